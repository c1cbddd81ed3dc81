"""The laws of the chaos suite against histories that are made up: each finds what breaks it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.chaos import judge
from tests.chaos.history import Blow, History, Promise, read
from tests.chaos.made_up import at, deployment, job, lease, pod, run, tick, wrote

Law = Callable[[History], judge.Found]


def breaches(law: Law, history: History) -> list[str]:
    """Give what a law finds."""
    found = list(law(history))
    assert found, "the law has looked at nothing"
    return [what for what in found if what]


def states(*steps: tuple[str, int]) -> History:
    """Give the history of a run that was seen in these states and attempts."""
    writes = [wrote(run("r", *step, version=n + 1), "flowruns", n) for n, step in enumerate(steps)]
    return History(writes)


GOOD_STATES = [
    pytest.param([("PENDING", 1), ("RUNNING", 1), ("COMPLETED", 1)], id="straight"),
    pytest.param([("RUNNING", 1), ("CRASHED", 1), ("SCHEDULED", 2), ("COMPLETED", 2)], id="retried on request"),
    pytest.param([("FAILED", 1), ("FAILED", 1)], id="other fields of an ended run"),
]
BAD_STATES = [
    pytest.param([("COMPLETED", 1), ("RUNNING", 1)], "COMPLETED in attempt 1, then RUNNING", id="undone"),
    pytest.param([("FAILED", 1), ("COMPLETED", 1)], "FAILED in attempt 1, then COMPLETED", id="changed"),
    pytest.param([("COMPLETED", 1), ("SCHEDULED", 2)], "COMPLETED in attempt 1, then SCHEDULED", id="again"),
    pytest.param([("RUNNING", 2), ("RUNNING", 1)], "RUNNING in attempt 2, then RUNNING in 1", id="counted back"),
]


@pytest.mark.parametrize("steps", GOOD_STATES)
def test_states_that_may_follow_each_other(steps: list[tuple[str, int]]) -> None:
    """Ends are final within an attempt; a bad one may be followed by another attempt."""
    assert breaches(judge.ends_are_final, states(*steps)) == []


@pytest.mark.parametrize(("steps", "what"), BAD_STATES)
def test_ends_that_do_not_stay(steps: list[tuple[str, int]], what: str) -> None:
    """Each is told with what it was and what it became."""
    (breach,) = breaches(judge.ends_are_final, states(*steps))
    assert what in breach


def test_versions_count_and_not_the_order_of_the_log() -> None:
    """Lines of requests that overlap stand in the log in any order."""
    late = [
        wrote(run("r", "COMPLETED", version=9), "flowruns", 1),
        wrote(run("r", "RUNNING", version=8), "flowruns", 2),
    ]
    assert breaches(judge.ends_are_final, History(late)) == []


def test_a_refused_write_has_not_happened() -> None:
    """A 422 changes nothing."""
    writes = [wrote(run("r", "COMPLETED"), "flowruns"), wrote(run("r", "RUNNING", version=2), "flowruns", 1, code=422)]
    assert breaches(judge.ends_are_final, History(writes)) == []


def test_two_jobs_of_an_attempt() -> None:
    """Under another name, or under the same one after the first was deleted."""
    good = [wrote(job("r-1", "r"), "jobs"), wrote(job("r-2", "r", 2), "jobs"), wrote(job("r-1", "r"), "jobs", 3)]
    assert breaches(judge.one_job_per_attempt, History(good)) == []
    for other in (job("r-x", "r"), job("r-1", "r", uid="second")):
        assert breaches(judge.one_job_per_attempt, History([*good, wrote(other, "jobs", 5)]))


def test_two_pods_at_once() -> None:
    """The second begins before the first has ended, or been removed; a request to go is no end."""
    first, second = wrote(pod("a", "r"), "pods", 0), wrote(pod("b", "r", version=5), "pods", 10)
    over = wrote(pod("a", "r", "Failed", version=2), "pods", 9)
    asked = wrote(pod("a", "r", deletionTimestamp="x", deletionGracePeriodSeconds=30), "pods", 8, verb="delete")
    removed = wrote(pod("a", "r", deletionTimestamp="x", deletionGracePeriodSeconds=0), "pods", 9, verb="delete")
    left = {"pods": [pod("b", "r", version=5)]}
    assert breaches(judge.never_two_pods, History([first, over, second], left)) == []
    assert breaches(judge.never_two_pods, History([first, asked, removed, second], left)) == []
    assert breaches(judge.never_two_pods, History([first, asked, second, removed], left)) == []  # 9 s is before 10 s
    left = {"pods": [pod("a", "r"), pod("b", "r", version=5)]}
    assert breaches(judge.never_two_pods, History([first, asked, second], left))


def test_a_pod_lives_as_long_as_its_flow() -> None:
    """Seconds may pass between the end of the flow's container and that of the pod's phase."""
    first, second = wrote(pod("a", "r"), "pods", 0), wrote(pod("b", "r", version=5), "pods", 10)
    over = pod("a", "r", "Running", version=2)
    for container, good in (("flow", True), ("sidecar", False)):
        over["status"]["containerStatuses"] = [{"name": container, "state": {"terminated": {"exitCode": 0}}}]
        left = {"pods": [over, pod("b", "r", version=5)]}
        found = breaches(judge.never_two_pods, History([first, wrote(over, "pods", 9), second], left))
        assert (found == []) is good


@pytest.mark.parametrize(
    ("plural", "spec", "called"),
    [("queues", {"queue": "q"}, "queue q"), ("concurrencylimits", {"limits": ["q"]}, "limit q")],
    ids=["queue", "limit"],
)
def test_more_pods_than_there_may_be(plural: str, spec: dict[str, Any], called: str) -> None:
    """At any moment; one that takes the place of another at the same time is no more than one."""
    lane = {"metadata": {"name": "q", "uid": "q", "resourceVersion": "1"}, "spec": {"limit": 1}}
    runs = [run(name, "COMPLETED", spec=spec) for name in ("one", "two")]
    begun = [wrote(pod("a", "one"), "pods", 0), wrote(pod("b", "two"), "pods", 5)]
    ended = [wrote(pod("b", "two", "Succeeded", version=3), "pods", 9)]
    left = {plural: [lane], "flowruns": runs, "pods": [pod("b", "two", "Succeeded", version=3)]}
    early, late = (wrote(pod("a", "one", "Succeeded", version=2), "pods", when) for when in (4, 6))
    assert breaches(judge.limits_hold, History([*begun, early, *ended], left)) == []
    (breach,) = breaches(judge.limits_hold, History([*begun, late, *ended], left))
    assert breach == f"{called} had 2 pods at once, 1 are allowed"


def test_a_deployment_with_more_pods_than_it_may_have() -> None:
    """Its concurrency limit holds as a queue's does."""
    runs = [run(name, "COMPLETED", spec={"deploymentRef": "d"}) for name in ("one", "two")]
    writes = [wrote(pod("a", "one"), "pods", 0), wrote(pod("b", "two"), "pods", 5)]
    left = {
        "deployments": [deployment(concurrency={"limit": 1})],
        "flowruns": runs,
        "pods": [pod("a", "one"), pod("b", "two")],
    }
    assert breaches(judge.limits_hold, History(writes, left))


def granted(name: str, slots: int, state: str = "RUNNING", *, version: int) -> dict[str, Any]:
    """Make a run whose code was granted slots of the limit `desk`."""
    made = run(name, state, version=version)
    made["status"]["slotsGranted"] = [{"limit": "desk", "slots": slots, "number": 1}]
    return made


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETED"])
def test_slots_that_code_was_granted(state: str) -> None:
    """From the version that grants them to the one that does not, or in which the run has ended."""
    desk = {"metadata": {"name": "desk", "uid": "desk", "resourceVersion": "1"}, "spec": {"limit": 1}}
    over = granted("one", 0 if state == "RUNNING" else 1, state, version=5)

    def seen(*bodies: dict[str, Any], blow: str = "") -> History:
        writes = [wrote(body, "flowruns", int(body["metadata"]["resourceVersion"])) for body in bodies]
        blows = [Blow(blow, at(3.5), at(3.6))] if blow else []
        return History(writes, {"concurrencylimits": [desk]}, blows)

    first, goes_on = granted("one", 1, version=2), granted("one", 1, version=3)
    late, early = granted("two", 1, version=6), granted("two", 1, version=4)
    after = granted("two", 1, version=7)
    assert breaches(judge.granted_slots_are_there, seen(first, goes_on, over, late, after)) == []
    (breach,) = breaches(judge.granted_slots_are_there, seen(first, goes_on, early, over, after))
    assert breach == "2 slots of limit desk were granted at once, it has 1"
    lost = seen(first, goes_on, early, over, after, blow="apiserver killed for 3 s")
    assert breaches(judge.granted_slots_are_there, lost) == []
    assert breaches(judge.granted_slots_are_there, seen(first, goes_on, early, over, after, blow="pod deleted"))


def test_a_run_that_does_not_end() -> None:
    """It is told with its state."""
    assert breaches(judge.every_run_ends, History([], {"flowruns": [run("r", "CRASHED")]})) == []
    (breach,) = breaches(judge.every_run_ends, History([], {"flowruns": [run("r", "RUNNING")]}))
    assert breach.startswith("r is RUNNING for ever")


def test_what_is_left_running() -> None:
    """Pods and Jobs that go on when there is nothing to run."""
    left = {"pods": [pod("a", "r", "Succeeded")], "jobs": [job("j", "r")]}
    assert breaches(judge.nothing_is_left_running, History([], left)) == []
    left = {"pods": [pod("a", "r", "Running")], "jobs": [job("j", "r", over=False)]}
    assert len(breaches(judge.nothing_is_left_running, History([], left))) == 2


def promised(*ends: str, harmed: str | None = None) -> History:
    """Give the history of a run that was to complete in its first attempt, and of its child."""
    child = run("child", ends[0], spec={"parent": {"uid": "r"}})
    blows = [Blow("pod deleted", at(1), at(2), harmed)] if harmed else []
    writes = [wrote(pod("a", "r"), "pods", 0), wrote(pod("a", "r", "Succeeded", version=2), "pods", 9)]
    promise = {name: Promise(frozenset({"COMPLETED"})) for name in ("r", "child", "other")}
    left = {"flowruns": [run("r", ends[0]), child, run("other", "COMPLETED")]}
    return History(writes, left, blows, promise)


def test_a_run_that_nobody_touched_ends_as_its_code_says() -> None:
    """So do its children; one whose process was ended on purpose is excused, with its family."""
    assert breaches(judge.promises_are_kept, promised("COMPLETED")) == []
    assert len(breaches(judge.promises_are_kept, promised("CRASHED"))) == 2
    assert breaches(judge.promises_are_kept, promised("CRASHED", harmed="r")) == []
    assert breaches(judge.promises_are_kept, promised("CRASHED", harmed="child")) == []
    assert breaches(judge.promises_are_kept, promised("CRASHED", harmed="*")) == []
    assert len(breaches(judge.promises_are_kept, promised("CRASHED", harmed="other"))) == 2


def test_an_attempt_too_many_is_a_promise_not_kept() -> None:
    """A run whose pod nobody touched has no reason for a second attempt."""
    history = History([], {"flowruns": [run("r", "COMPLETED", 2)]}, (), {"r": Promise(frozenset({"COMPLETED"}))})
    assert breaches(judge.promises_are_kept, history)


def test_a_run_below_a_cancelled_one() -> None:
    """It is cancelled, or had ended before; nothing completes below it afterwards."""
    top = run("top", "CANCELLED", version=5, spec={"cancel": True})
    below = {"parent": {"uid": "top"}}
    for end, version, good in (("CANCELLED", 9, True), ("COMPLETED", 3, True), ("COMPLETED", 9, False)):
        child = run("child", end, version=version, spec=below)
        found = breaches(judge.cancelled_trees_end, History([wrote(child, "flowruns")], {"flowruns": [top, child]}))
        assert (found == []) is good


TICKS = [
    pytest.param([2, 4, 6], None, id="each once"),
    pytest.param([2, 6], "no run between", id="a gap"),
    pytest.param([6, 8], "began", id="late from the beginning"),
    pytest.param([], "no run at all", id="none"),
]


@pytest.mark.parametrize(("times", "what"), TICKS)
def test_ticks(times: list[float], what: str | None) -> None:
    """Every time of a schedule has its run."""
    left = {"deployments": [deployment()], "flowruns": [tick(due) for due in times]}
    found = breaches(judge.every_tick_once, History([], left))
    assert what in found[0] if what else found == []


def test_a_tick_that_has_two_runs() -> None:
    """Even if one of them has been deleted since."""
    writes = [wrote(tick(4, suffix="-again"), "flowruns", verb="create")]
    left = {"deployments": [deployment()], "flowruns": [tick(due) for due in (2, 4)]}
    (breach,) = breaches(judge.every_tick_once, History(writes, left))
    assert "two runs for 12:00:04" in breach


def test_a_write_of_one_who_does_not_hold_the_lease() -> None:
    """It counts when it was sent: what was sent in time and carried out late is no breach, nor what was refused."""
    taken = [
        wrote(lease("a", acquired=0), "leases", 0, by="a"),
        wrote(lease("b", acquired=20), "leases", 20, by="b"),
    ]
    r = run("r", "PENDING")
    assert breaches(judge.only_the_holder_writes, History([*taken, wrote(r, "flowruns", 25, by="b")])) == []
    assert breaches(judge.only_the_holder_writes, History([*taken, wrote(r, "flowruns", 25, by="a", sent=7)])) == []
    assert breaches(judge.only_the_holder_writes, History([*taken, wrote(r, "flowruns", 25, by="a", code=422)])) == []
    assert breaches(judge.only_the_holder_writes, History([*taken, wrote(r, "flowruns", 25, by="a")]))


@pytest.mark.parametrize(
    ("taken_at", "good"), [(12.0, True), (16.0, False), (None, False)], ids=["soon", "late", "never"]
)
def test_how_long_a_fail_over_takes(taken_at: float | None, good: bool) -> None:
    """Another holds the Lease within 15 s, whatever the one that is back does then."""
    writes = [wrote(lease("a", acquired=0), "leases", 0, by="a")]
    if taken_at is not None:
        writes.append(wrote(lease("b", acquired=taken_at + 1), "leases", taken_at + 1, by="b"))
    blow = Blow("fail-over: operator killed, and left down", at(1), at(18))
    history = History(writes, blows=[blow])
    assert (breaches(judge.another_takes_over, history) == []) is good
    ((_, took),) = judge.fail_overs(history)
    assert (took and round(took.total_seconds())) == taken_at


def test_a_run_that_was_started_and_is_not_there() -> None:
    """Nobody deletes any."""
    history = History([], {"flowruns": [run("r", "COMPLETED")]}, promises={"r": Promise(frozenset({"COMPLETED"}))})
    assert breaches(judge.no_run_is_lost, history) == []
    history = History([], {"flowruns": []}, promises=history.promises)
    assert breaches(judge.no_run_is_lost, history) == ["r was started, and is not there"]


def test_a_webhook_that_is_missing_and_stops_somebody() -> None:
    """What it refuses itself is refused rightly."""
    said = {"metadata": {"name": "r"}, "message": "admission webhook denied the request: no"}
    assert breaches(judge.a_missing_webhook_stops_nobody, History([wrote(said, "flowruns", code=422)])) == []
    said["message"] = 'Internal error occurred: failed calling webhook "flowruns.towpath.dev": EOF'
    assert breaches(judge.a_missing_webhook_stops_nobody, History([wrote(said, "flowruns", code=500)]))


@pytest.mark.parametrize("again", [True, False])
def test_a_webhook_that_stays_away(again: bool) -> None:
    """Once all is well it is asked again."""
    assert (breaches(judge.the_webhook_comes_back, History([], refuses_again=again)) == []) is again


def test_the_audit_log_is_read(tmp_path: Path) -> None:
    """Writes of one namespace, also of full files; not what was only tried, nor a line that was cut off."""
    line = {
        "verb": "create",
        "objectRef": {"resource": "jobs", "namespace": "ns"},
        "responseStatus": {"code": 201},
        "responseObject": job("j", "r"),
        "userAgent": "operator=first sent=1772366400.000",
        "requestReceivedTimestamp": "2026-03-01T12:00:01.000000Z",
        "stageTimestamp": "2026-03-01T12:00:02.000000Z",
    }
    other = line | {"objectRef": {"resource": "jobs", "namespace": "elsewhere"}}
    looked = line | {"verb": "get"}
    tried = line | {"requestURI": "/apis/batch/v1/namespaces/ns/jobs?dryRun=All"}
    (tmp_path / "audit-2026.log").write_text(
        "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in (line, other, looked, tried))
    )
    whole = json.dumps(line, separators=(",", ":"))
    (tmp_path / "audit.log").write_text(f"{whole}\n{whole[:200]}")
    found = read(tmp_path / "audit.log", "ns")
    assert [(write.name, write.operator, write.sent) for write in found] == [("j", "first", at(0))] * 2
    assert found[0].body == job("j", "r")


def test_every_law_is_asked() -> None:
    """`judge` leaves none out, and says of each what it looked at."""
    laws = [
        value for name, value in vars(judge).items() if getattr(value, "__annotations__", {}).get("return") == "Found"
    ]
    assert set(laws) == set(judge.LAWS)
    verdicts = judge.judge(History([], {"flowruns": [run("r", "RUNNING")]}))
    assert len(verdicts) == len(judge.LAWS)
    assert [verdict.law for verdict in verdicts if verdict.breaches] == ["Every run ends"]
