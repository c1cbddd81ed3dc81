"""`run_flow`, as a pod uses it: ports plugged in, overrides, and never an exception of user code."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from towpath import Completed, Failed, Flow, Future, State, allow_failure, flow, runtime, tags, task
from towpath.engine.drive import run_flow
from towpath.engine.ports import FlowCall
from towpath.errors import NestingTooDeep, ParameterError, UpstreamNotReady
from towpath.parameters import to_json
from towpath.runs import FlowRun


class Reports:
    """Notes what is reported, and what user code had done by then."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []
        self.ran: list[str] = []
        self.fail_at = ""

    def report(self, run: FlowRun, state: State[Any]) -> None:
        """Take note."""
        assert run.state is state
        assert state.timestamp is not None
        if state.name == self.fail_at:
            raise ConnectionError("the API is gone")
        self.seen.append((state.name, run.name, len(self.ran)))


class Launches:
    """A launcher that runs children in this process, as a cluster would elsewhere."""

    def __init__(self) -> None:
        self.calls: list[FlowCall] = []
        self.later: list[Future[Any]] = []

    def launch(self, call: FlowCall) -> Future[Any]:
        """Run the child, its parameters having travelled as JSON."""
        self.calls.append(call)
        if call.flow.name == "refused":
            raise PermissionError("not allowed")
        future: Future[Any] = Future()
        travelled = to_json(call.parameters, call.flow.name)
        if call.flow.name == "later":
            self.later.append(future)
        else:
            run = FlowRun(call.flow.name, depth=call.parent.depth + 1)
            future.complete(run_flow(call.flow, travelled, run=run))
        return future


def run(made: Flow[..., Any], parameters: dict[str, Any] | None = None, **options: Any) -> State[Any]:
    """Run a flow under the name `run-1`."""
    return run_flow(made, parameters or {}, run=options.pop("facts", FlowRun(made.name, name="run-1")), **options)


@flow
def add(x: int, y: int = 1) -> int:
    return x + y


def test_states_are_reported_before_they_count() -> None:
    """RUNNING before user code, the end after hooks."""
    reports = Reports()
    made = flow(on_completion=[lambda *_: reports.ran.append("hook")])(lambda: reports.ran.append("code"))
    state = run(made, reporter=reports)
    assert state.is_completed()
    assert reports.seen == [("Running", "run-1", 0), ("Completed", "run-1", 2)]


def test_retries_are_reported(naps: list[float]) -> None:
    """AwaitingRetry and Retrying in between; the override counts, not the decorator."""
    reports = Reports()
    made = flow(retries=5, retry_delay_seconds=[3, 4])(lambda: 1 / 0)
    assert run(made, reporter=reports, retries=1).is_failed()
    assert [name for name, *_ in reports.seen] == ["Running", "AwaitingRetry", "Retrying", "Failed"]
    assert naps == [3]


def test_wrong_parameters_are_reported_without_running() -> None:
    """FAILED with the ParameterError, and the run has not been counted as run."""
    reports, facts = Reports(), FlowRun("add", name="n")
    state = run(add, {"x": "many", "z": 1}, reporter=reports, facts=facts)
    assert isinstance(state.data, ParameterError)
    assert [name for name, *_ in reports.seen] == ["Failed"]
    assert facts.run_count == 0


@pytest.mark.parametrize("fail_at", ["Running", "Completed"])
def test_what_the_reporter_raises_comes_out(fail_at: str) -> None:
    """A run that cannot say that it runs does not run."""
    reports = Reports()
    reports.fail_at = fail_at
    with pytest.raises(ConnectionError):
        run(flow(lambda: reports.ran.append("code")), reporter=reports)
    assert reports.ran == ([] if fail_at == "Running" else ["code"])


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_what_user_code_raises_does_not(error: BaseException) -> None:
    """It is the state's data."""

    def fail() -> None:
        raise error

    state = run(flow(fail))
    assert state.data is error
    assert state.is_final()


def test_parameters_arrive_as_json() -> None:
    """By name; facts know them, and the timeout may be overridden."""
    facts = FlowRun("add", name="n")
    assert run(add, {"x": "5"}, facts=facts).result() == 6
    assert facts.parameters == {"x": 5, "y": 1}
    assert run(flow(timeout_seconds=100)(lambda: __import__("time").sleep(30)), timeout_seconds=0.01).name == "TimedOut"


def test_async_flows_run_too() -> None:
    """In an event loop of their own."""

    @flow
    async def main(x: int) -> int:
        await asyncio.sleep(0)
        return x

    assert run(main, {"x": "4"}).result() == 4


def test_a_name_that_is_given_is_kept() -> None:
    """The resource's name wins over the template; without one the template counts."""
    named = flow(flow_run_name="from template")(lambda: runtime.flow_run.name)
    assert run(named).result() == "run-1"
    assert run(named, facts=FlowRun("f")).result() == "from template"


def test_subflows_are_launched() -> None:
    """Called, submitted and mapped: each goes to the launcher with validated parameters, and gives its value back."""
    launches = Launches()

    @flow
    def parent() -> list[int]:
        with tags("t"):
            return [add("1"), add.submit(2, y=3).result(), *add.map([4, 5]).result()]  # type: ignore[call-overload]

    facts = FlowRun("parent", name="run-1")
    assert run(parent, launcher=launches, facts=facts).result() == [2, 5, 5, 6]
    assert [dict(call.parameters) for call in launches.calls[:2]] == [{"x": 1, "y": 1}, {"x": 2, "y": 3}]
    assert all(call.parent is facts and call.tags == {"t"} for call in launches.calls)


def test_async_subflows_are_launched() -> None:
    """Awaited and gathered, without blocking the event loop."""
    launches = Launches()

    @flow
    async def child(x: int) -> int:
        return x * 2

    @flow
    async def parent() -> list[Any]:
        state = await child(5, return_state=True)
        return [await child(1), *await asyncio.gather(child(2), child(3)), await child.submit(4), state.result()]

    assert run(parent, launcher=launches).result() == [2, 4, 6, 8, 10]
    assert len(launches.calls) == 5


def test_inline_subflows_stay() -> None:
    """`inline=True` runs in the parent's process, and what it calls is launched again, from the same parent's process."""
    launches = Launches()
    inline = add.with_options(name="inline", inline=True)

    @flow(inline=True)
    def middle() -> int:
        return add(10)

    assert run(flow(lambda: inline(1) + middle()), launcher=launches).result() == 13
    assert [call.flow.name for call in launches.calls] == ["add"]


def test_exceptions_of_launched_runs_come_back() -> None:
    """The child's own; the launcher's; and wrong parameters before anything is launched."""
    launches = Launches()
    fail = flow(name="fail")(lambda: 1 / 0)

    @flow
    def parent() -> list[Any]:
        seen: list[Any] = []
        for call in (fail, add.with_options(name="refused")):
            try:
                call(1) if call is not fail else call()
            except (ZeroDivisionError, PermissionError) as error:
                seen.append(type(error).__name__)
        with pytest.raises(ParameterError, match="'add'"):
            add("many")  # type: ignore[call-overload]
        seen.append(add("many", return_state=True).name)
        return seen

    assert run(parent, launcher=launches).result() == ["ZeroDivisionError", "PermissionError", "Failed"]
    assert [call.flow.name for call in launches.calls] == ["fail", "refused"]


def test_launched_runs_wait_for_their_upstream() -> None:
    """Futures among the arguments are resolved first; if one failed, nothing is launched."""
    launches = Launches()

    @task
    def one() -> int:
        return 1

    @task
    def bad() -> int:
        raise ValueError

    @flow
    def parent() -> Any:
        with pytest.raises(UpstreamNotReady):
            add(bad.submit())  # type: ignore[arg-type]
        names = [add.submit(bad.submit()).wait().name, add.submit(1, wait_for=[bad.submit()]).wait().name]
        kind = flow(name="kind")(lambda x: x).submit(allow_failure(bad.submit(return_state=True)))
        return names, add.submit(one.submit()).result(), add(one.submit(), y=add.submit(5)), kind.state.name  # type: ignore[arg-type]

    names, two, seven, kind = run(parent, launcher=launches).result()
    assert (names, two, seven) == (["NotReady", "NotReady"], 2, 7)
    assert kind == "Failed"  # an exception has no form in JSON
    assert sorted(call.flow.name for call in launches.calls) == ["add", "add", "add", "kind"]


def test_a_flow_waits_for_children_that_it_launched() -> None:
    """Also for those that it never asked for; a failed flow does not, its children end as the cluster sees fit."""
    launches = Launches()
    later = add.with_options(name="later")
    ended: list[str] = []

    def end_soon() -> None:
        import threading

        threading.Timer(0.02, lambda: (ended.append("child"), launches.later[-1].complete(Completed(data=1)))).start()

    @flow
    def parent(fail: bool) -> None:
        later.submit(1)
        if fail:
            raise ValueError
        end_soon()

    assert run(parent, {"fail": False}, launcher=launches).is_completed()
    assert ended == ["child"]
    assert run(parent, {"fail": True}, launcher=launches).is_failed()
    assert not launches.later[-1].done()


def test_states_of_launched_runs() -> None:
    """`return_state=True` gives what the launcher brought."""

    class Cancels(Launches):
        def launch(self, call: FlowCall) -> Future[Any]:
            future: Future[Any] = Future()
            future.complete(Failed(name="Odd", message="m"))
            return future

    state = run(flow(lambda: {"s": add(1, return_state=True)}), launcher=Cancels()).result()["s"]
    assert (state.name, state.message) == ("Odd", "m")


def test_depth_counts_across_processes() -> None:
    """A pod deep in a tree refuses the level too many before launching it."""
    launches = Launches()
    state = run(flow(lambda: add(1)), launcher=launches, facts=FlowRun("f", depth=20))
    assert isinstance(state.data, NestingTooDeep)
    assert launches.calls == []


def test_facts_of_the_end() -> None:
    """Counts of tasks, times and the root are there for the report."""
    facts = FlowRun("f", name="n", attempt=3, depth=1, parent_id="p", parent_name="parent", root_id="r", deployment="d")

    @flow
    def main() -> Any:
        task(lambda: None)()
        task(lambda: 1 / 0)(return_state=True)
        run_ = runtime.flow_run
        return run_.attempt, run_.parent_flow_run_id, run_.root_flow_run_id, runtime.deployment.name, add(1)

    assert run(main, facts=facts).result() == (3, "p", "r", "d", 2)
    assert (facts.tasks.total, facts.tasks.completed, facts.tasks.failed) == (2, 1, 1)
    assert facts.total_run_time.total_seconds() >= 0
    assert facts.end_time is not None
    assert (facts.state_type, facts.state_name) == ("COMPLETED", "Completed")
