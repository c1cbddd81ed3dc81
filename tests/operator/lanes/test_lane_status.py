"""What Queues and ConcurrencyLimits say of themselves: whether they can be used, and how full they are; seldom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.builders import NAMESPACE
from tests.operator.lanes.yard import Yard

from towpath.api.v1alpha1.concurrency_limit import ConcurrencyLimitStatus
from towpath.api.v1alpha1.queue import QueueStatus
from towpath.states import StateType
from towpath_operator.observe import Key


def looked_at(yard: Yard, plural: str, name: str) -> dict[str, Any]:
    """Give the status of an object once it has been looked at a while later."""
    yard.now += timedelta(seconds=10)
    yard.look_at_lane(Key(plural, NAMESPACE, name))
    status: dict[str, Any] = yard.body(plural, name)["status"]
    (QueueStatus if plural == "queues" else ConcurrencyLimitStatus).model_validate(status)
    return status


def test_a_queue_counts_who_works_and_who_waits() -> None:
    """It is ready, and says of which generation it speaks."""
    yard = Yard()
    yard.put("queues", "lane", {"limit": 2})
    for number in range(5):
        yard.run(f"run-{number}", queue="lane")
    yard.settle()
    status = looked_at(yard, "queues", "lane")

    assert (status["active"], status["waiting"], status["observedGeneration"]) == (2, 3, 1)
    assert [(one["type"], one["status"]) for one in status["conditions"]] == [("Ready", "True")]


def test_a_limit_names_who_has_its_slots() -> None:
    """Runs as such, and the code of runs with as many as it has."""
    yard = Yard()
    yard.put("concurrencylimits", "db", {"limit": 5})
    yard.run("as-a-run", limits=["db"])
    yard.run("by-code")
    yard.settle()
    yard.report("by-code", StateType.RUNNING)
    yard.want("by-code", "db", 3, number=1)
    yard.settle()
    status = looked_at(yard, "concurrencylimits", "db")

    assert (status["active"], status["waiting"]) == (4, 0)
    assert status["holders"] == [{"run": "as-a-run", "slots": 1}, {"run": "by-code", "slots": 3}]


def test_no_more_than_twenty_holders_are_named() -> None:
    """The others are counted."""
    yard = Yard()
    yard.put("concurrencylimits", "db", {"limit": 30})
    for number in range(25):
        yard.run(f"run-{number}", limits=["db"])
    yard.settle()
    status = looked_at(yard, "concurrencylimits", "db")

    assert (status["active"], len(status["holders"])) == (25, 20)


def test_counts_alone_are_written_every_few_seconds() -> None:
    """However fast runs come and go; the last change is written too."""
    yard = Yard()
    yard.put("queues", "lane", {"limit": 50})
    yard.settle()
    looked_at(yard, "queues", "lane")
    yard.writes = 0
    key = Key("queues", NAMESPACE, "lane")
    for number in range(5):
        yard.run(f"run-{number}", queue="lane")
        yard.look(f"run-{number}")
        decision = yard.look_at_lane(key)
    assert yard.body("queues", "lane")["status"]["active"] <= 1
    assert decision.requeue_after is not None
    assert 0 < decision.requeue_after <= 5
    assert looked_at(yard, "queues", "lane")["active"] == 5


@pytest.mark.parametrize(
    ("plural", "spec", "reason", "said"),
    [
        ("queues", {"suspend": True}, "Suspended", "No more runs begin"),
        ("concurrencylimits", {"limit": 1, "suspend": True}, "Suspended", "Nobody is limited"),
        ("queues", {"template": {"spec": {"hostNetwork": True}}}, "InvalidTemplate", "hostNetwork"),
    ],
    ids=["queue", "limit", "template"],
)
def test_what_is_not_as_usual_is_said(plural: str, spec: dict[str, Any], reason: str, said: str) -> None:
    """The condition Ready says why, and what follows."""
    yard = Yard()
    yard.put(plural, "lane", spec)
    (condition,) = looked_at(yard, plural, "lane")["conditions"]

    assert (condition["status"], condition["reason"]) == ("False", reason)
    assert said in condition["message"]


def test_with_a_rate_what_is_taken_falls_without_being_written_all_the_time() -> None:
    """It is told when slots are taken, and when all have come free."""
    yard = Yard()
    yard.put("concurrencylimits", "api", {"limit": 5, "slotDecayPerSecond": "0.1"})
    yard.run("run")
    yard.settle()
    yard.report("run", StateType.RUNNING)
    yard.want("run", "api", 4, number=1)
    yard.settle()
    key = Key("concurrencylimits", NAMESPACE, "api")
    assert looked_at(yard, "concurrencylimits", "api")["active"] == 4

    yard.writes = 0
    assert yard.look_at_lane(key).requeue_after == pytest.approx(30)
    assert looked_at(yard, "concurrencylimits", "api")["active"] == 4
    assert yard.writes == 0
    yard.now += timedelta(seconds=40)
    assert looked_at(yard, "concurrencylimits", "api")["active"] == 0


def test_a_run_says_whose_template_is_wrong() -> None:
    """Nobody finds in Flow or run what the Queue says."""
    yard = Yard()
    yard.put("queues", "lane", {"template": {"spec": {"containers": [{"name": "other"}]}}})
    yard.run("run", queue="lane")
    yard.run("own", template={"spec": {"containers": [{"name": "other"}]}})
    yard.settle()

    assert yard.status("run")["state"]["message"].startswith("Queue 'lane': template.spec.containers[other] would")
    assert yard.status("own")["state"]["message"].startswith("template.spec.containers[other] would")


def test_the_template_of_a_queue_is_below_the_flows() -> None:
    """What the flow says of the pod goes over what the queue says."""
    yard = Yard()
    queue = {"metadata": {"labels": {"from": "queue", "only": "queue"}}}
    yard.put("queues", "lane", {"template": queue})
    flow = {"image": "image:1", "entrypoint": "flows:main", "template": {"metadata": {"labels": {"from": "flow"}}}}
    yard.run("run", queue="lane", flow=flow)
    yard.settle()
    labels = yard.body("jobs", yard.job_of("run"))["spec"]["template"]["metadata"]["labels"]

    assert (labels["from"], labels["only"]) == ("flow", "queue")
