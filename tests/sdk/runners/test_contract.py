"""What every task runner promises."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.runners.work import (
    Odd,
    call_another,
    count_to,
    count_tries,
    double,
    double_async,
    doze,
    fail,
    fib,
    kept,
    leave,
    pass_on_much,
    say,
    show,
    submit_kept,
    tell,
    within,
)  # fmt: skip

from towpath import Future, TaskRunner, flow, task
from towpath.engine.drive import run_flow
from towpath.engine.interrupts import Interrupt
from towpath.errors import RunTimeout
from towpath.runs import FlowRun
from towpath.states import State, StateType


class TestEveryRunner:
    """The contract."""

    def test_values_come_back(self, runner: TaskRunner) -> None:
        """Whatever the number of tasks, in order."""
        assert within(runner, lambda: double.map(range(50)).result()) == [2 * i for i in range(50)]

    def test_exceptions_come_back(self, runner: TaskRunner) -> None:
        """With their type, words and attributes, also those that cannot be built from their args."""
        state: State[Any] = within(runner, lambda: [fail.submit().wait()])[0]
        assert state.type is StateType.FAILED
        assert isinstance(state.data, Odd)
        assert (str(state.data), state.data.code) == ("no (7)", 7)

    def test_every_kind_of_function(self, runner: TaskRunner) -> None:
        """Async ones and generators, closures and lambdas too."""
        plus = 1

        def body() -> list[Any]:
            return [
                double_async.submit(2).result(),
                count_to.submit(3).result(),
                task(lambda x: x + plus).submit(1).result(),
            ]

        assert within(runner, body) == [4, [0, 1, 2], 2]

    def test_chains_and_fans(self, runner: TaskRunner) -> None:
        """A task that depends on others begins after them."""

        def body() -> int:
            future: Future[int] = double.submit(1)
            for _ in range(10):
                future = double.submit(future)
            return task(sum).submit(double.map([future] * 3)).result()

        assert within(runner, body) == 3 * 2**12

    def test_what_needs_a_failed_one_is_not_ready(self, runner: TaskRunner) -> None:
        """And never begins."""
        state = within(runner, lambda: [double.submit(fail.submit()).wait().name])
        assert state == ["NotReady"]

    def test_tasks_that_submit_and_wait_do_not_deadlock(self, runner: TaskRunner) -> None:
        """Also where the runner is full."""
        assert within(runner, lambda: fib.submit(5).result()) == 5

    def test_much_may_travel_between_nested_tasks(self, runner: TaskRunner) -> None:
        """More than fits between two processes at a time, in both directions."""
        assert within(runner, lambda: pass_on_much.submit().result()) == 4_000_000

    def test_nested_runs_are_counted(self, runner: TaskRunner) -> None:
        """Those submitted in a task, and those called in one."""
        run = FlowRun("main")

        def body() -> None:
            assert fib.submit(2).result() == 1
            assert call_another.submit(2).result() == 5

        assert run_flow(flow(task_runner=runner)(body), {}, run=run).is_completed()
        assert (run.tasks.total, run.tasks.completed) == (5, 5)

    def test_retries(self, runner: TaskRunner, tmp_path: Path) -> None:
        """A task is tried again as it says."""
        assert within(runner, lambda: count_tries.submit(tmp_path / "trace").result()) == 3

    def test_kept_results_are_found(self, runner: TaskRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By a task of the flow, and by one that a task submits."""
        monkeypatch.setenv("TOWPATH_RESULT_STORAGE", str(tmp_path / "results"))
        trace = tmp_path / "trace"
        assert (
            within(runner, lambda: [make.submit(trace).result() for make in (submit_kept, kept, submit_kept)])
            == [1] * 3
        )

    def test_a_timeout_ends_the_work(self, runner: TaskRunner, tmp_path: Path) -> None:
        """Which may tidy up."""
        for seconds in (1.0, 5.0, 15.0):  # within the first, a machine that is busy may not even have begun
            late = doze.with_options(timeout_seconds=seconds)
            state = within(runner, lambda: [late.submit(tmp_path / "trace").wait()])[0]  # noqa: B023 used at once
            if (tmp_path / "trace.begun").exists():
                break
        assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
        assert isinstance(state.data, RunTimeout)
        assert (tmp_path / "trace").read_text(encoding="utf-8") == "tidied"

    def test_the_run_context(self, runner: TaskRunner) -> None:
        """A task knows where it stands."""
        run = FlowRun("main", name="here")

        def body() -> None:
            named = tell.with_options(tags=["blue"])
            assert named.submit().result() == ("here", "tell-0", {}, ["blue"])

        assert run_flow(flow(task_runner=runner)(body), {}, run=run).is_completed()

    def test_lines_of_log_arrive(self, runner: TaskRunner, caplog: pytest.LogCaptureFixture) -> None:
        """With their run's fields, those of other loggers and prints too."""
        caplog.set_level("INFO")
        within(runner, lambda: [say.submit("hello").result(), show.submit("shown").result()])
        lines = {record.getMessage(): record for record in caplog.records}
        assert lines["said hello"].__dict__["task_run"] == "say-0"
        assert lines["said hello"].levelname == "WARNING"
        assert {"also hello", "shown"} <= set(lines)

    @pytest.mark.parametrize("cancelled", [True, False], ids=["cancelled", "crashed"])
    def test_an_interrupt_ends_the_tasks(self, runner: TaskRunner, tmp_path: Path, cancelled: bool) -> None:
        """Within seconds, those that wait for a place too; they may tidy up, and their states say what happened."""
        interrupt, states = Interrupt(), []
        begun: list[float] = []
        trace = tmp_path / "trace"

        def body() -> None:
            futures = [doze.submit(trace) for _ in range(3)]
            states.extend(futures)
            while not trace.with_suffix(".begun").exists():
                time.sleep(0.01)
            begun.append(time.monotonic())
            threading.Timer(0.1, interrupt.end, ["Enough."], {"cancelled": cancelled}).start()
            futures[0].wait()

        state = run_flow(flow(task_runner=runner)(body), {}, run=FlowRun("main"), interrupt=interrupt)
        assert time.monotonic() - begun[0] < 20
        assert state.type is (StateType.CANCELLED if cancelled else StateType.CRASHED)
        assert {future.state.type for future in states} <= {state.type, StateType.CANCELLED}
        assert trace.read_text(encoding="utf-8") == "tidied"

    def test_sys_exit_crashes_the_task(self, runner: TaskRunner) -> None:
        """And not whatever it runs in."""
        state = within(runner, lambda: [leave.submit().wait(), double.submit(1).wait()])
        assert [s.type for s in state] == [StateType.CRASHED, StateType.COMPLETED]

    def test_one_run_does_not_disturb_the_next(self, runner: TaskRunner) -> None:
        """Each run has a duplicate of its own."""
        made = flow(task_runner=runner)(lambda: double.map([1, 2]).result())
        assert made() == made() == [2, 4]

    def test_equal_runners_are_one(self, runner: TaskRunner) -> None:
        """So that options can be compared."""
        assert len({runner, runner.duplicate()}) == 1
