"""What a run's process reports, and what it does when the run has changed under its hands."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.contract.fake_objects import Body
from tests.sdk.cluster.memory import MemoryCluster

from towpath import names
from towpath.cluster.own import OwnRun
from towpath.cluster.reports import RunOver, RunReporter
from towpath.engine.effects import Ended
from towpath.errors import Conflict, EntrypointError, FlowRunCancelled, ParameterError, Refused, Unreachable
from towpath.runs import FlowRun
from towpath.states import AwaitingRetry, Cancelled, Completed, Crashed, Failed, Retrying, Running, State

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
PENDING = {"type": "PENDING", "name": "Pending", "reason": "JobCreated", "since": "2026-03-01T11:59:58.000000Z"}
CANCELLING = {"type": "CANCELLING", "name": "Cancelling", "since": "2026-03-01T12:00:00.000000Z"}


class World:
    """A run in a cluster in memory, and the reporter of one of its attempts."""

    def __init__(self, termination_log: Path | None = None, *, attempt: int = 1, storage: str | None = None) -> None:
        self.cluster = MemoryCluster()
        made = self.cluster.objects.create("flowruns", {"metadata": {"name": "etl"}, "spec": {"flow": {"image": "i"}}})
        self.uid: str = made["metadata"]["uid"]
        self.run = FlowRun(flow_name="etl", name="etl", id=self.uid)
        self.slept: list[float] = []
        self.on_sleep: list[Callable[[], object]] = []
        self.time = 0.0
        self.reporter = RunReporter(
            self.cluster,
            OwnRun(name="etl", uid=self.uid, attempt=attempt, namespace="default", result_storage=storage),
            termination_log=termination_log,
            children=lambda: {"total": 2, "completed": 1, "failed": 1, "running": 0},
            now=lambda: NOW,
            sleep=self.sleep,
            monotonic=lambda: self.time,
            chance=lambda: 0.5,
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        if self.on_sleep:
            self.on_sleep.pop(0)()

    def operator_writes(self, attempt: int = 1, state: Body | None = None, **more: Any) -> None:
        self.cluster.objects.set_status("etl", attempt=attempt, job=f"etl-{attempt}", state=state or PENDING, **more)

    def begin(self) -> None:
        self.run.run_count = 1
        self.reporter.report(self.run, Running())

    def end(self, state: State[Any]) -> None:
        self.reporter.report(self.run, state)

    @property
    def status(self) -> Body:
        status: Body = self.cluster.objects.read("flowruns", "etl").get("status", {})
        return status


@pytest.fixture
def world() -> World:
    """Give a run whose first attempt the operator has written."""
    world = World()
    world.operator_writes()
    return world


def test_running_and_the_end_take_one_write_each(world: World) -> None:
    """A run that goes well is read once and written twice."""
    world.begin()
    assert world.status["state"]["type"] == "RUNNING"
    world.end(Completed(data={"rows": 3}))

    assert world.cluster.calls == ["get_run", "patch_status", "patch_status"]
    status = world.status
    assert (status["state"]["type"], status["state"]["reason"]) == ("COMPLETED", "Succeeded")
    assert status["result"] == {"inline": '{"rows":3}', "serializer": "json", "size": 10}
    assert status["children"] == {"total": 2, "completed": 1, "failed": 1, "running": 0}
    assert [entry["type"] for entry in status["history"]] == ["RUNNING", "COMPLETED"]
    assert next(c["status"] for c in status["conditions"] if c["type"] == "Succeeded") == "True"
    assert status["job"] == "etl-1"


def test_a_pod_that_is_faster_than_the_operator_waits_for_its_attempt() -> None:
    """No user code runs before the operator has written the attempt that the pod belongs to."""
    world = World(attempt=2)
    world.operator_writes(attempt=1)
    world.on_sleep = [lambda: None, lambda: world.operator_writes(attempt=2)]
    world.begin()
    assert len(world.slept) == 2
    assert (world.status["attempt"], world.status["state"]["type"]) == (2, "RUNNING")


def test_a_pod_gives_up_when_the_operator_never_comes() -> None:
    """After five minutes without its attempt the process ends without a report, and says whose fault it is."""
    world = World()
    with pytest.raises(Unreachable, match="did not write attempt 1 of run 'etl' within 300 s"):
        world.begin()
    assert 300 < sum(world.slept) < 310


@pytest.mark.parametrize(
    ("attempt", "state"),
    [(2, PENDING), (1, {"type": "CANCELLED", "name": "Cancelled"}), (1, {"type": "CRASHED", "name": "Crashed"})],
    ids=["another attempt", "cancelled", "crashed"],
)
def test_an_attempt_that_is_over_runs_nothing_and_writes_nothing(attempt: int, state: Body) -> None:
    """A pod that comes too late goes without a word."""
    world = World()
    world.operator_writes(attempt=attempt, state=state)
    with pytest.raises(RunOver):
        world.begin()
    assert "patch_status" not in world.cluster.calls


def test_a_run_of_the_same_name_is_another_run(world: World) -> None:
    """A run that was deleted and created again under its name does not get the old one's reports."""
    world.cluster.objects.delete("etl")
    world.cluster.objects.create("flowruns", {"metadata": {"name": "etl"}, "spec": {}})
    world.operator_writes()
    with pytest.raises(RunOver):
        world.begin()


def test_a_deleted_run_is_over(world: World) -> None:
    """A run that is gone has nobody to report to, at its beginning and at its end."""
    world.begin()
    world.cluster.objects.delete("etl")
    world.end(Completed())
    with pytest.raises(RunOver):
        World.begin(_deleted())


def _deleted() -> World:
    world = World()
    world.cluster.objects.delete("etl")
    return world


@pytest.mark.parametrize("by", ["state", "spec"])
def test_a_run_cancelled_before_it_began_is_reported_cancelled(world: World, by: str) -> None:
    """The cancel that came before the pod was ready ends the run without any of its code."""
    if by == "state":
        world.operator_writes(state=CANCELLING | {"reason": "ParentEnded"})
    else:
        world.cluster.objects.set_spec("etl", cancel=True)
    with pytest.raises(RunOver):
        world.begin()
    assert world.status["state"]["type"] == "CANCELLED"
    assert world.status["state"]["reason"] == ("ParentEnded" if by == "state" else "CancelledByRequest")


def test_a_cancel_between_looking_and_writing_is_not_overwritten(world: World) -> None:
    """RUNNING is written only over the state that was seen; the cancel that came in between is obeyed."""
    original = world.cluster.patch_status

    def cancel_first(name: str, operations: Any) -> Any:
        world.cluster.patch_status = original  # type: ignore[method-assign]
        world.operator_writes(state=CANCELLING)
        return original(name, operations)

    world.cluster.patch_status = cancel_first  # type: ignore[method-assign, assignment]
    with pytest.raises(RunOver):
        world.begin()
    assert world.status["state"]["type"] == "CANCELLED"


def test_work_that_ended_before_it_heard_of_the_cancel_keeps_its_end(world: World) -> None:
    """COMPLETED wins over a cancel that came too late, and the history shows both."""
    world.begin()
    world.operator_writes(
        state=CANCELLING, history=[*world.status["history"], {"type": "CANCELLING", "name": "Cancelling"}]
    )
    world.end(Completed(data=1))
    assert [entry["type"] for entry in world.status["history"]] == ["RUNNING", "CANCELLING", "COMPLETED"]


def test_the_end_of_a_dead_attempt_is_dropped(world: World) -> None:
    """Once another attempt has begun, what this one says no longer counts."""
    world.begin()
    world.operator_writes(attempt=2)
    world.end(Completed(data=1))
    assert world.status["state"] == PENDING
    assert "result" not in world.status


def test_a_lost_answer_is_no_second_state(world: World) -> None:
    """A report whose answer was lost is found written, and not written again."""
    world.begin()
    patch = world.cluster.patch_status

    def lost(name: str, operations: Any) -> Any:
        world.cluster.patch_status = patch  # type: ignore[method-assign]
        patch(name, operations)
        raise Conflict("sent again by the adapter, this finds the state changed")

    world.cluster.patch_status = lost  # type: ignore[method-assign, assignment]
    world.end(Completed(data=1))
    assert [entry["type"] for entry in world.status["history"]] == ["RUNNING", "COMPLETED"]


def test_a_refusal_is_not_repeated_for_ever(world: World) -> None:
    """What the API server will not have is tried twice, then it is an error."""
    world.cluster.fail("patch_status", *[Refused("no role")] * 5)
    with pytest.raises(Refused):
        world.begin()
    assert world.cluster.calls.count("patch_status") == 2


@pytest.mark.parametrize(
    ("state", "began", "reason", "kind", "type_"),
    [
        pytest.param(
            Failed(data=ValueError("bad row")), True, "FlowFailed", "User", "builtins.ValueError", id="exception"
        ),
        pytest.param(
            Failed(message="said so"), True, "FlowFailed", "User", "towpath.errors.FlowRunFailed", id="returned"
        ),
        pytest.param(
            Failed(name="TimedOut", data=TimeoutError("9 s")),
            True,
            "TimedOut",
            "User",
            "builtins.TimeoutError",
            id="late",
        ),
        pytest.param(
            Failed(data=ParameterError("x")),
            False,
            "InvalidParameters",
            "User",
            "towpath.errors.ParameterError",
            id="wrong",
        ),
        pytest.param(
            Failed(data=ParameterError("x")),
            True,
            "FlowFailed",
            "User",
            "towpath.errors.ParameterError",
            id="a child's",
        ),
        pytest.param(
            Failed(data=EntrypointError("x")),
            False,
            "EntrypointNotFound",
            "User",
            "towpath.errors.EntrypointError",
            id="not found",
        ),
        pytest.param(Crashed(data=SystemExit(3)), True, "Exited", "User", "builtins.SystemExit", id="sys.exit"),
        pytest.param(
            Crashed(data=Ended()),
            True,
            "Terminated",
            "Infrastructure",
            "towpath.engine.effects.Ended",
            id="told to stop",
        ),
    ],
)
def test_an_end_has_its_reason_and_says_whose_it_is(
    world: World, state: State[Any], began: bool, reason: str, kind: str, type_: str
) -> None:
    """Each way to fail has one word for machines, and only what the run runs on is infrastructure."""
    if began:
        world.begin()
    world.end(state)
    error = world.status["error"]
    assert (world.status["state"]["reason"], error["code"], error["kind"], error["type"]) == (
        reason,
        reason,
        kind,
        type_,
    )


@pytest.mark.parametrize(("wanted", "type_"), [(True, "CANCELLED"), (False, "FAILED")])
def test_a_run_that_hears_of_a_cancel_from_its_child_first_is_cancelled_too(
    world: World, wanted: bool, type_: str
) -> None:
    """A child's cancel fails its parent, unless the parent was to be cancelled as well and is only told later."""
    world.begin()
    if wanted:
        world.operator_writes(state=CANCELLING)

    world.end(Failed(data=FlowRunCancelled("The child was cancelled.")))

    assert world.status["state"]["type"] == type_
    assert ("error" in world.status) is not wanted


def test_a_cancelled_run_says_why(world: World) -> None:
    """The reason is that of the cancel: its own, or a parent that ended."""
    world.begin()
    world.operator_writes(state=CANCELLING | {"reason": "ParentEnded"})
    assert world.reporter.wanted_cancelled()
    world.end(Cancelled(data=Ended(cancelled=True)))
    assert (world.status["state"]["type"], world.status["state"]["reason"]) == ("CANCELLED", "ParentEnded")


def test_being_stopped_counts_as_cancelled_only_if_somebody_wanted_it(world: World) -> None:
    """A cancel in the spec, CANCELLING, or a deleted run: cancelled. Anything else, also an API away: not."""
    assert not world.reporter.wanted_cancelled()
    world.cluster.fail("get_run", Unreachable("away"))
    assert not world.reporter.wanted_cancelled()
    world.cluster.objects.set_spec("etl", cancel=True)
    assert world.reporter.wanted_cancelled()
    world.cluster.objects.delete("etl")
    assert world.reporter.wanted_cancelled()


def test_tries_are_shown_as_running_and_an_api_away_does_not_disturb_them(world: World) -> None:
    """People see that a run is tried again; for the operator it runs on; the run does not wait for the API long."""
    world.begin()
    world.reporter.report(world.run, AwaitingRetry(message="in 9 s"))
    assert (world.status["state"]["type"], world.status["state"]["name"]) == ("RUNNING", "AwaitingRetry")
    world.cluster.fail("patch_status", Unreachable("away"))
    world.reporter.report(world.run, Retrying())
    assert world.status["state"]["name"] == "AwaitingRetry"


def test_a_result_that_fits_nowhere_fails_the_run(world: World) -> None:
    """The run FAILED as ResultTooLarge; the message has the size, the limit, and what to set."""
    world.begin()
    world.end(Completed(data="x" * 20_000))
    assert (world.status["state"]["type"], world.status["state"]["reason"]) == ("FAILED", "ResultTooLarge")
    for part in ("20,002 bytes", f"{names.MAX_INLINE_RESULT_BYTES:,}", "result_storage"):
        assert part in world.status["state"]["message"]


def test_a_large_result_goes_to_the_storage_and_a_reference_travels(tmp_path: Path) -> None:
    """With a storage, only the reference is in the status, and the value is where it says."""
    world = World(storage=str(tmp_path))
    world.operator_writes()
    world.begin()
    world.end(Completed(data="x" * 20_000))
    result = world.status["result"]
    assert "inline" not in result
    assert json.loads(Path(result["ref"]).read_text()) == "x" * 20_000


def test_the_end_is_in_the_termination_message_before_it_is_reported(tmp_path: Path) -> None:
    """When the API cannot be reached, the termination message says how the run ended, and that is enough."""
    log = tmp_path / "log"
    world = World(log)
    world.operator_writes()
    world.begin()
    world.cluster.fail("patch_status", Unreachable("away"))
    world.end(Completed(data=[1]))
    assert world.reporter.told
    message = json.loads(log.read_bytes())
    assert (message["towpath"], message["attempt"], message["state"]["type"]) == (1, 1, "COMPLETED")
    assert message["result"]["inline"] == "[1]"


def test_an_end_that_nobody_hears_is_an_error(world: World) -> None:
    """With neither API nor termination message the process must not claim to have reported."""
    world.begin()
    world.cluster.fail("patch_status", Unreachable("away"))
    with pytest.raises(Unreachable):
        world.end(Completed())


def test_a_run_that_was_stopped_leaves_the_next_step_to_the_operator(tmp_path: Path) -> None:
    """CRASHED without anybody's wish is told by the termination message only: another attempt may follow."""
    world = World(tmp_path / "log")
    world.operator_writes()
    world.begin()
    world.end(Crashed(data=Ended("The pod is terminated.")))
    assert world.status["state"]["type"] == "RUNNING"
    assert json.loads((tmp_path / "log").read_bytes())["error"]["kind"] == "Infrastructure"
    assert world.reporter.left
