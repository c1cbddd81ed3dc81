"""`run_deployment` and a deployment that is served on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.serving.scene import START, deployment, report

from towpath import arun_deployment, deployments, run_deployment, travel
from towpath.api.v1alpha1 import transitions
from towpath.cluster.port import Cluster
from towpath.context import RunContext, enter, leave
from towpath.engine.clock import SYSTEM
from towpath.engine.scope import Scope
from towpath.errors import ConfigurationError, FlowRunCrashed, MissingResult, NestingTooDeep, ParameterError
from towpath.history import open_history
from towpath.runs import FlowRun
from towpath.serving import waiters
from towpath.serving.bell import Bell
from towpath.serving.book import Book
from towpath.serving.cancelling import cancel
from towpath.states import State, StateType


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file of this test's history, and no cluster."""
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    deployments._connected.cache_clear()
    return tmp_path / "history.db"


class Server:
    """A server that does nothing by itself."""

    def __init__(self, file: Path) -> None:
        self.book = Book(file)
        self.token = self.book.alive.announce()
        self.bell = Bell(file, self.token)
        self.book.open(deployment(parameters={"day": 1, "full": False}, tags=frozenset({"own"})), self.token, START)

    def orders(self) -> list[Any]:
        """Take everything that waits; give it."""
        found = [self.book.take(one.run_id, self.token, 1) for one in self.book.open_orders(["etl/nightly"])]
        return [one for one in found if one is not None]

    def tell(self, run_id: str, value: Any = None, error: BaseException | None = None) -> None:
        """Tell the end of a run."""
        if error is None:
            result = travel.pack_result(value, storage=None, key="k")
            self.book.tell(run_id, {"state": transitions.state(StateType.COMPLETED, START), "result": result})
        else:
            told = {"state": transitions.state(StateType.FAILED, START, message=str(error))}
            self.book.tell(run_id, told | {"error": travel.pack_error(error, "FlowFailed")})

    def close(self) -> None:
        """Stop."""
        self.bell.take_down()
        self.book.close()


@pytest.fixture
def server(file: Path) -> Iterator[Server]:
    """Give a server that does nothing by itself."""
    server = Server(file)
    yield server
    server.close()


@pytest.fixture
def parent(server: Server) -> Iterator[FlowRun]:
    """Give the flow run whose code calls."""
    run = FlowRun("top", name="top", run_count=1)
    context = RunContext(flow=None, flow_run=run, scope=Scope(None, SYSTEM), log_prints=False)
    token = enter(context)
    yield run
    leave(token)


def test_an_order_is_rung_for_and_says_everything(server: Server) -> None:
    """The server is woken; parameters and tags go over the deployment's."""
    run = run_deployment(
        "etl/nightly",
        parameters={"day": 7},
        tags=["b", "a"],
        flow_run_name="mine",
        scheduled_time=datetime(2026, 1, 31, tzinfo=UTC),
        timeout=0,
        poll_interval=5,
    )
    assert server.bell.wait(0)
    (taken,) = server.orders()
    assert (taken.run_id, taken.name, taken.given_name, run.name) == (run.id, "mine", "mine", "mine")
    assert (taken.parameters, taken.tags) == ({"day": 7, "full": False}, {"own", "a", "b"})
    assert taken.due == datetime(2026, 1, 31, tzinfo=UTC)
    assert run.state.is_scheduled()


@pytest.mark.parametrize("name", ["nightly", "etl/nightly"])
def test_the_handle_waits_and_gives_the_value(server: Server, name: str) -> None:
    """What the flow returned comes back, or its own exception."""
    run = run_deployment(name, timeout=0)
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.01 s; it is Scheduled"):
        run.result(timeout=0.01)
    server.tell(run.id, {"rows": 3})
    assert run.result(30) == {"rows": 3}
    assert run.state.is_completed()
    assert repr(run) == f"FlowRunHandle({run.name!r})"

    other = run_deployment(name, timeout=0)
    server.tell(other.id, error=ZeroDivisionError("by zero"))
    with pytest.raises(ZeroDivisionError, match="by zero"):
        other.result(30)
    assert isinstance(other.result(30, raise_on_failure=False), ZeroDivisionError)


def test_in_an_event_loop_it_is_awaited(server: Server) -> None:
    """Waiting holds nobody up."""

    async def scene() -> list[Any]:
        run: Any = await run_deployment("nightly", idempotency_key="k", timeout=0)  # type: ignore[misc]
        assert (await run.wait_async(0.01)).is_scheduled()
        waiting = asyncio.gather(run.result_async(), arun_deployment("nightly", idempotency_key="k"))
        await asyncio.sleep(0)
        server.tell(run.id, 42)
        value, other = await waiting
        return [value, await other.result_async()]

    assert asyncio.run(scene()) == [42, 42]


def test_the_same_idempotency_key_gives_the_same_run(server: Server) -> None:
    """A second order is the first one, under the first one's name."""
    first = run_deployment("nightly", idempotency_key="k", timeout=0)
    second = run_deployment("nightly", idempotency_key="k", flow_run_name="other", timeout=0)
    assert (first.id, first.name) == (second.id, second.name)
    assert run_deployment("nightly", idempotency_key="j", timeout=0).id != first.id


def test_in_a_flow_the_run_is_a_child(server: Server, parent: FlowRun, file: Path) -> None:
    """The history has it below the run that calls; fire and forget outlives it."""
    child = run_deployment("nightly", timeout=0.01)
    let_go = run_deployment("nightly", timeout=0)
    stranger = run_deployment("nightly", timeout=0, as_subflow=False)
    with open_history(file) as history:
        found = {run.id: run for run in history.runs()}
    assert (found[child.id].parent_id, found[child.id].root_id, found[child.id].depth) == (parent.id, parent.id, 1)
    assert found[stranger.id].parent_id is None
    orders = {order.run_id: order for order in server.book.open_orders(["etl/nightly"])}
    assert [orders[run.id].outlives_parent for run in (child, let_go, stranger)] == [False, True, True]


def test_a_flow_that_is_tried_again_finds_its_runs_again(server: Server, parent: FlowRun) -> None:
    """Two in one try are two; in the next try they are the same, unless they did not complete."""
    ids = [run_deployment("nightly", timeout=0).id for _ in range(2)]
    other = run_deployment("nightly", parameters={"day": 2}, timeout=0).id
    assert len({*ids, other}) == 3
    server.tell(ids[0], 1)
    server.tell(ids[1], error=ValueError("no"))
    parent.run_count = 2
    token = enter(RunContext(flow=None, flow_run=parent, scope=Scope(None, SYSTEM), log_prints=False))
    again = [run_deployment("nightly", timeout=0).id for _ in range(2)]
    assert run_deployment("nightly", parameters={"day": 2}, timeout=0).id == other
    leave(token)
    assert again[0] == ids[0]
    assert again[1] not in ids


def test_a_failure_within_the_same_try_stays_one(server: Server, parent: FlowRun) -> None:
    """Only another try of the parent starts it anew."""
    run = run_deployment("nightly", idempotency_key="k", timeout=0)
    server.tell(run.id, error=ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        run_deployment("nightly", idempotency_key="k", raise_on_failure=True)


def test_a_recursion_of_deployments_is_stopped(
    server: Server, parent: FlowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deeper than the guard allows: a clear error, and nothing is ordered."""
    monkeypatch.setenv("TOWPATH_MAX_DEPTH", "3")
    parent.depth = 3
    with pytest.raises(NestingTooDeep, match="4 levels below the flow at the top; at most 3"):
        run_deployment("nightly")
    assert server.orders() == []


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"parameters": {"day": object()}},
            ParameterError,
            "Parameter 'day' of deployment 'etl/nightly'.*no form in JSON",
        ),
        ({"work_queue_name": "nightly"}, ConfigurationError, "where there are no queues: work_queue_name='nightly'"),
        ({"job_variables": {"image": "x"}}, ConfigurationError, "served on this machine.*job_variables={'image': 'x'}"),
    ],
)
def test_what_cannot_be_ordered_is_said_at_once(
    server: Server, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    """And nothing is ordered."""
    with pytest.raises(error, match=words):
        run_deployment("nightly", **options)
    assert server.orders() == []


def test_a_name_that_several_have_is_asked_about(server: Server) -> None:
    """Two flows may have a deployment of the same name: the one that is served counts, else say which."""
    server.book.open(deployment(flow=report), server.token, START)
    with pytest.raises(ConfigurationError, match=r"Several deployments.*'etl/nightly', 'report/nightly'"):
        run_deployment("nightly", timeout=0)
    server.book.stop(["report/nightly"], server.token, START, pauses=False)
    assert run_deployment("nightly", timeout=0).state.is_scheduled()


def test_a_deployment_that_nobody_serves_at_present(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The run waits for a server, and a warning says so."""
    server.book.stop(["etl/nightly"], server.token, START, pauses=False)
    run = run_deployment("nightly", timeout=0)
    assert run.state.is_scheduled()
    assert "'etl/nightly' is not served at present" in caplog.text


def test_an_unknown_deployment_is_neither_here_nor_there(server: Server) -> None:
    """Not served here, and no cluster is named: both are said."""
    with pytest.raises(ConfigurationError, match=r"'nigthly' is not served on this machine.*No cluster is named"):
        run_deployment("nigthly")


def test_a_deployment_of_the_cluster_is_found_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not served here is asked for in the cluster; in a pod, everything is."""
    asked = []

    def connected() -> Cluster:
        asked.append(True)
        raise ConfigurationError("no cluster")

    monkeypatch.setattr(deployments, "_connected", connected)
    with pytest.raises(ConfigurationError):
        run_deployment("hourly")
    assert len(asked) == 1
    run_deployment("nightly", timeout=0)
    assert len(asked) == 1
    monkeypatch.setenv("TOWPATH_RUN", "a-pod")
    with pytest.raises(ConfigurationError):
        run_deployment("nightly")
    assert len(asked) == 2


def test_whoever_waits_finds_that_a_process_has_gone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any server: the run is CRASHED, and the caller is told."""
    monkeypatch.setattr(waiters, "_ALIVE_SECONDS", 0.01)
    run = run_deployment("nightly", timeout=0)
    server.book.take(run.id, 2**40 + 1, 1)
    assert run.wait(30).is_crashed()
    assert "has gone" in (run.state.message or "")
    with pytest.raises(FlowRunCrashed):
        run.result()


def test_a_run_that_was_deleted_has_crashed(server: Server, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for it is told so."""
    monkeypatch.setattr(waiters, "_ALIVE_SECONDS", 0.01)
    run, other = (run_deployment("nightly", timeout=0) for _ in range(2))
    for one in (run, other):
        server.book.end(one.id, State(StateType.CANCELLED), START)
        with open_history(file) as history:
            history.delete(one.id)
    assert run.wait(30).name == "Deleted"
    assert other.state.name == "Deleted"


def test_a_value_that_was_not_kept_is_missed_by_who_asks(server: Server) -> None:
    """The run has completed all the same."""
    run = run_deployment("nightly", timeout=0)
    told = transitions.state(StateType.COMPLETED, START)
    server.book.tell(run.id, {"state": told, "untold": "It was too large."})
    assert run.wait(30).is_completed()
    with pytest.raises(MissingResult, match="It was too large"):
        run.result()


def test_a_run_is_cancelled_by_its_id(server: Server, file: Path) -> None:
    """One that waits is CANCELLED when the call returns; one that has ended, or that nobody knows, is not."""
    run = run_deployment("nightly", timeout=0)
    server.bell.wait(0)
    assert cancel(run.id)
    assert run.wait(30).is_cancelled()
    assert not cancel(run.id)
    assert not cancel("unknown", file)


def test_the_server_of_a_run_is_told_that_it_is_to_end(server: Server) -> None:
    """It sees to the grace period."""
    run = run_deployment("nightly", timeout=0)
    server.bell.wait(0)
    server.book.claim(run.id, server.token, START)
    server.book.take(run.id, server.token, 1)
    assert cancel(run.id)
    assert server.bell.wait(0)
    assert run.state.is_cancelling()


def test_waiting_for_many_takes_one_thread(server: Server) -> None:
    """A hundred runs that are waited for: all ends arrive, whatever their order."""
    runs = [run_deployment("nightly", timeout=0) for _ in range(100)]
    futures = [run._end() for run in runs]
    for run in reversed(runs):
        server.tell(run.id, run.id)
    assert [future.result(30) for future in futures] == [run.id for run in runs]


def test_a_scheduled_time_without_a_zone_is_local(server: Server) -> None:
    """As people write it."""
    naive = datetime(2026, 7, 1, 12)
    run_deployment("nightly", scheduled_time=naive, timeout=0)
    assert server.orders()[0].due == naive.astimezone(UTC)
    assert timedelta() == naive.astimezone(UTC) - naive.astimezone()
