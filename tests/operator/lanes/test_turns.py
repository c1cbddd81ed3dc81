"""Whose turn it is: queues and limits, decision by decision."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.operator.lanes.yard import Yard

from towpath.states import StateType


def yard_with(plural: str = "queues", limit: int = 1, **spec: object) -> Yard:
    """Make a yard with one lane, named `lane`."""
    yard = Yard()
    yard.put(plural, "lane", {"limit": limit} | spec)
    yard.settle()
    return yard


def test_a_queue_lets_as_many_runs_work_as_it_has_places() -> None:
    """The first runs get their Jobs, the others wait and say for what."""
    yard = yard_with(limit=2)
    for number in range(4):
        yard.run(f"run-{number}", queue="lane")
    yard.settle()

    assert yard.at_work() == ["run-0", "run-1"]
    status = yard.status("run-3")
    assert (status["state"]["type"], status["state"]["name"]) == ("SCHEDULED", "AwaitingConcurrencySlot")
    assert status["waitingFor"] == "Queue lane: 2 at once; 1 before it"


def test_the_place_of_a_run_that_ends_goes_to_the_next() -> None:
    """At once, and without anybody else being looked at."""
    yard = yard_with()
    for number in range(50):
        yard.run(f"run-{number:02}", queue="lane")
    yard.settle()
    yard.writes = 0

    yard.report("run-00", StateType.RUNNING)
    yard.settle()
    yard.report("run-00", StateType.COMPLETED)
    looked_at = len([key for key in yard.dirty if key.plural == "flowruns"])
    yard.settle()

    assert yard.at_work() == ["run-01"]
    assert looked_at == 2
    assert yard.writes <= 2


@pytest.mark.parametrize("plural", ["queues", "concurrencylimits"])
def test_priority_comes_before_age_and_age_before_name(plural: str) -> None:
    """Higher priorities first; within one, who has waited longest; then by name."""
    yard = yard_with(plural)
    lane = {"queue": "lane"} if plural == "queues" else {"limits": ["lane"]}
    yard.run("first", age=9, **lane)
    yard.settle()
    yard.run("b", age=1, **lane)
    yard.run("a", age=1, **lane)
    yard.run("old", age=5, **lane)
    yard.run("urgent", priority=7, **lane)
    yard.settle()

    order = []
    while yard.at_work():
        (name,) = yard.at_work()
        order.append(name)
        yard.report(name, StateType.COMPLETED)
        yard.settle()
    assert order == ["first", "urgent", "old", "a", "b"]


def test_a_priority_may_change_while_a_run_waits() -> None:
    """The run goes to its new place in the line."""
    yard = yard_with()
    for number in range(3):
        yard.run(f"run-{number}", queue="lane")
    yard.settle()
    yard.change("run-2", priority=1)
    yard.settle()
    yard.report("run-0", StateType.COMPLETED)
    yard.settle()

    assert yard.at_work() == ["run-2"]


def test_the_priority_of_a_queue_is_added() -> None:
    """Runs of two queues meet in a limit: those of the queue with the higher priority go first."""
    yard = yard_with("concurrencylimits")
    yard.put("queues", "fast", {"priority": 10})
    yard.put("queues", "slow", {})
    for number in range(3):
        yard.run(f"slow-{number}", age=9 - number, queue="slow", limits=["lane"])
    yard.settle()
    yard.run("fast", queue="fast", limits=["lane"])
    yard.settle()
    yard.report("slow-0", StateType.COMPLETED)
    yard.settle()

    assert yard.at_work() == ["fast"]


def test_many_who_wait_for_one_thing_keep_nobody_else_waiting() -> None:
    """Hundreds of runs of a busy limit stand in the same queue, and before who does not need that limit."""
    yard = Yard()
    yard.put("queues", "lane", {"limit": 300})
    yard.put("concurrencylimits", "db", {"limit": 1})
    for number in range(250):
        yard.run(f"run-{number:03}", age=500 - number, queue="lane", limits=["db"], priority=9)
    yard.settle()
    yard.run("in-the-queue", queue="lane")
    yard.run("elsewhere")
    yard.settle()

    assert yard.at_work() == ["elsewhere", "in-the-queue", "run-000"]


def test_a_suspended_queue_lets_nobody_begin_and_those_at_work_go_on() -> None:
    """When it is not suspended any more, the first go on at once."""
    yard = yard_with(limit=5)
    yard.run("at-work", queue="lane")
    yard.settle()
    yard.put("queues", "lane", {"limit": 5, "suspend": True})
    yard.run("later", queue="lane")
    yard.settle()

    assert yard.at_work() == ["at-work"]
    assert yard.status("later")["waitingFor"] == "Queue lane, which is suspended"
    yard.put("queues", "lane", {"limit": 5})
    yard.settle()
    assert yard.at_work() == ["at-work", "later"]


def test_a_limit_that_is_suspended_or_deleted_lets_everybody_in() -> None:
    """A ConcurrencyLimit that is out of force limits nobody; a tag's limit that is gone neither."""
    yard = yard_with("concurrencylimits", tag="heavy", appliesTo="Runs")
    for number in range(3):
        yard.run(f"run-{number}", tags=["heavy"])
    yard.settle()
    assert yard.at_work() == ["run-0"]
    yard.put("concurrencylimits", "lane", {"limit": 1, "tag": "heavy", "appliesTo": "Runs", "suspend": True})
    yard.settle()
    assert yard.at_work() == ["run-0", "run-1", "run-2"]

    yard = yard_with("concurrencylimits", tag="heavy", appliesTo="Runs")
    for number in range(3):
        yard.run(f"run-{number}", tags=["heavy"])
    yard.settle()
    yard.drop("concurrencylimits", "lane")
    yard.settle()
    assert yard.at_work() == ["run-0", "run-1", "run-2"]


def test_a_limit_for_tagged_tasks_is_nothing_for_runs() -> None:
    """Without `appliesTo: Runs` a tag's limit speaks of tasks."""
    yard = yard_with("concurrencylimits", tag="heavy")
    for number in range(3):
        yard.run(f"run-{number}", tags=["heavy"])
    yard.settle()

    assert yard.at_work() == ["run-0", "run-1", "run-2"]


def test_a_limit_for_a_tag_that_comes_later_counts_who_is_at_work() -> None:
    """Nobody is stopped, and nobody begins, until there is room."""
    yard = Yard()
    yard.run("a", tags=["heavy"])
    yard.run("b", tags=["heavy"])
    yard.settle()
    yard.put("concurrencylimits", "lane", {"limit": 2, "tag": "heavy", "appliesTo": "Runs"})
    yard.run("c", tags=["heavy"])
    yard.settle()

    assert yard.at_work() == ["a", "b"]
    yard.report("a", StateType.COMPLETED)
    yard.settle()
    assert yard.at_work() == ["b", "c"]


def test_what_is_raised_lets_as_many_more_begin() -> None:
    """And no more than that are looked at."""
    yard = yard_with(limit=1)
    for number in range(20):
        yard.run(f"run-{number:02}", queue="lane")
    yard.settle()
    yard.put("queues", "lane", {"limit": 3})

    assert len([key for key in yard.dirty if key.plural == "flowruns"]) == 2
    yard.settle()
    assert yard.at_work() == ["run-00", "run-01", "run-02"]


def test_what_is_lowered_stops_nobody() -> None:
    """Those at work go on, and the next begins when there is room again."""
    yard = yard_with(limit=3)
    for number in range(5):
        yard.run(f"run-{number}", queue="lane")
    yard.settle()
    yard.put("queues", "lane", {"limit": 1})
    for number in range(3):
        assert f"run-{number}" in yard.at_work()
        yard.report(f"run-{number}", StateType.COMPLETED)
        yard.settle()

    assert yard.at_work() == ["run-3"]


@pytest.mark.parametrize(
    ("spec", "reason", "waits_for", "plural"),
    [
        ({"queue": "lane"}, "QueueNotFound", "Queue lane", "queues"),
        ({"limits": ["lane"]}, "ConcurrencyLimitNotFound", "ConcurrencyLimit lane", "concurrencylimits"),
    ],
    ids=["queue", "limit"],
)
def test_what_is_not_there_is_waited_for(spec: dict[str, Any], reason: str, waits_for: str, plural: str) -> None:
    """A run that names a Queue or ConcurrencyLimit that does not exist is PENDING until it does."""
    yard = Yard()
    yard.run("run", **spec)
    yard.settle()
    assert yard.status("run")["state"]["type"] == "PENDING"
    assert (yard.state("run"), yard.status("run")["waitingFor"]) == (reason, waits_for)

    yard.put(plural, "lane", {"limit": 1})
    yard.settle()
    assert yard.at_work() == ["run"]


@pytest.mark.parametrize("attempts", [0, 1, 12])
def test_what_was_never_there_is_waited_for_also_when_it_is_tried_again(attempts: int) -> None:
    """A run that has failed for want of its queue does not get past it; one that was at work goes on without it."""
    yard = Yard()
    yard.run("run", queue="lane", pendingTimeoutSeconds=5)
    yard.put("queues", "other", {})
    yard.run("at-work", queue="other")
    yard.settle()
    for attempt in range(attempts + 1):
        yard.now += timedelta(seconds=6)
        yard.look("run")
        assert yard.state("run") == "QueueNotFound"
        assert yard.status("run")["state"]["type"] == "FAILED"
        yard.change("run", retryAfterAttempt=attempt)
        yard.settle()
    assert (yard.state("run"), yard.status("run")["state"]["type"]) == ("QueueNotFound", "PENDING")

    yard.drop("queues", "other")
    yard.report("at-work", StateType.RUNNING)
    yard.report("at-work", StateType.FAILED)
    yard.change("at-work", retryAfterAttempt=1)
    yard.settle()
    assert yard.at_work() == ["at-work"]

    yard.put("queues", "lane", {"limit": 1})
    yard.settle()
    assert yard.at_work() == ["at-work", "run"]


def test_a_run_cannot_name_a_limit_with_a_rate() -> None:
    """A rate is for code; the run says so at once."""
    yard = yard_with("concurrencylimits", slotDecayPerSecond="0.5")
    yard.run("run", limits=["lane"])
    yard.settle()

    assert yard.state("run") == "InvalidSpec"


def test_a_run_that_waits_is_cancelled_at_once() -> None:
    """And those behind it move up."""
    yard = yard_with()
    for number in range(3):
        yard.run(f"run-{number}", queue="lane")
    yard.settle()
    yard.change("run-1", cancel=True)
    yard.settle()
    assert yard.state("run-1") == "CancelledByRequest"
    assert "waitingFor" not in yard.status("run-1")

    yard.report("run-0", StateType.COMPLETED)
    yard.settle()
    assert yard.at_work() == ["run-2"]


def test_a_run_that_waits_and_is_deleted_leaves_the_line() -> None:
    """Nothing is kept for it."""
    yard = yard_with()
    for number in range(3):
        yard.run(f"run-{number}", queue="lane")
    yard.settle()
    yard.drop("flowruns", "run-1")
    yard.drop("flowruns", "run-0")
    yard.settle()

    assert yard.at_work() == ["run-2"]


def test_a_suspended_run_holds_nothing() -> None:
    """Its place is free while it waits for somebody; then it takes its turn like others, by its age."""
    yard = yard_with()
    yard.run("long", age=9, queue="lane")
    yard.run("short", age=5, queue="lane")
    yard.run("late", age=1, queue="lane")
    yard.settle()
    yard.change("long", suspend=True)
    yard.report("long", StateType.RUNNING)
    yard.report("long", StateType.PAUSED, "Suspended")
    yard.settle()
    assert yard.state("short") == "JobCreated"

    yard.change("long", suspend=False)
    yard.settle()
    assert yard.state("long") == "AwaitingConcurrencySlot"
    yard.report("short", StateType.COMPLETED)
    yard.settle()
    assert (yard.state("long"), yard.state("late")) == ("JobCreated", "AwaitingConcurrencySlot")


def test_a_run_between_two_attempts_after_lost_infrastructure_keeps_its_place() -> None:
    """Nobody slips in while it waits for its back-off."""
    yard = yard_with()
    yard.run("run", queue="lane")
    yard.run("next", queue="lane")
    yard.settle()
    body = yard.body("flowruns", "run")
    retry = {"type": "SCHEDULED", "name": "AwaitingRetry", "reason": "AwaitingRetry", "since": "2026-03-01T12:00:00Z"}
    status = {key: value for key, value in body["status"].items() if key != "job"}
    yard._store("flowruns", body | {"status": status | {"state": retry, "attempt": 2}})
    yard.settle()

    assert yard.state("next") == "AwaitingConcurrencySlot"


def test_a_place_is_reserved_from_the_decision_on() -> None:
    """Of two runs that are looked at while the first Job is being made, one waits."""
    yard = yard_with()
    yard.run("a", queue="lane")
    yard.run("b", queue="lane")
    first, second = yard.decide("a"), yard.decide("b")
    yard.apply(second)
    yard.apply(first)
    yard.settle()

    assert yard.at_work() == ["a"]


def test_a_place_stays_reserved_while_nobody_knows_whether_the_job_was_made() -> None:
    """Until the run is decided about again; then it has the place, or not."""
    yard = yard_with()
    yard.run("a", queue="lane")
    yard.run("b", queue="lane")
    yard.decide("a")  # and the API server does not answer
    yard.look("b")
    assert yard.state("b") == "AwaitingConcurrencySlot"

    yard.look("a")
    yard.settle()
    assert yard.at_work() == ["a"]


def test_a_place_comes_back_when_the_job_was_surely_not_made() -> None:
    """The next in the line begins."""
    yard = yard_with()
    yard.run("a", queue="lane")
    yard.run("b", queue="lane")
    yard.decide("a")
    yard.look("b")
    yard.view.lanes.failed(yard.key("a"))
    yard._wake()
    yard.settle()

    assert yard.at_work() == ["b"]


def test_a_job_whose_run_does_not_know_of_it_yet_holds_a_place() -> None:
    """A new operator that finds the Job counts it, whatever the run's status says."""
    yard = yard_with()
    yard.run("a", queue="lane")
    yard.run("b", queue="lane")
    yard.apply(yard.decide("a"), steps=1)
    yard.restart()
    yard.look("b")
    yard.settle()

    assert yard.at_work() == ["a"]


def test_a_new_operator_knows_the_line_from_the_runs() -> None:
    """A newcomer does not get past those who wait because it is looked at first."""
    yard = yard_with()
    for number in range(3):
        yard.run(f"run-{number}", age=9, queue="lane")
    yard.settle()
    yard.report("run-0", StateType.COMPLETED)
    yard.restart()
    yard.run("newcomer", queue="lane")
    yard.look("newcomer")
    yard.settle()

    assert yard.at_work() == ["run-1"]


def test_a_child_needs_no_place_where_its_parent_has_one() -> None:
    """Else a parent would wait for ever for a child that waits for the parent's place."""
    yard = yard_with()
    yard.run("parent", queue="lane")
    yard.settle()
    yard.run("child", parent="parent", queue="lane")
    yard.run("grandchild", parent="child", queue="lane")
    yard.run("other", queue="lane")
    yard.settle()

    assert yard.at_work() == ["child", "grandchild", "parent"]


def test_a_child_does_not_stand_behind_who_waits_for_what_its_parent_has() -> None:
    """What is kept for that one would be kept from the child for ever."""
    yard = yard_with()
    yard.put("concurrencylimits", "db", {"limit": 1})
    yard.run("parent", age=9, queue="lane")
    yard.settle()
    yard.run("waits-for-both", age=8, queue="lane", limits=["db"])
    yard.settle()
    yard.run("stranger", age=7, limits=["db"])
    yard.settle()
    assert yard.state("stranger") == "AwaitingConcurrencySlot"  # what is kept is kept from others

    yard.run("child", parent="parent", limits=["db"])
    yard.settle()
    assert yard.at_work() == ["child", "parent"]


def test_the_words_about_a_place_are_looked_at_again_lazily() -> None:
    """A run far back looks less often, and writes only when its rounded place has changed."""
    yard = yard_with()
    for number in range(40):
        yard.run(f"run-{number:02}", queue="lane")
    yard.settle()
    assert yard.status("run-39")["waitingFor"] == "Queue lane: 1 at once; about 20 before it"
    yard.writes = 0
    decision = yard.look("run-39")
    assert decision.requeue_after is not None
    assert decision.requeue_after >= 30
    assert yard.writes == 0
