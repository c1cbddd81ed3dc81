"""What every task runner promises."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath import Future, ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner, flow, get_run_logger, runtime, task
from towpath.cache_policies import INPUTS
from towpath.engine.drive import run_flow
from towpath.engine.interrupts import Interrupt
from towpath.errors import ConfigurationError, RunTimeout, SerializationError
from towpath.runs import FlowRun
from towpath.states import State, StateType

RUNNERS: list[TaskRunner] = [
    ThreadPoolTaskRunner(),
    ThreadPoolTaskRunner(max_workers=1),
    ProcessPoolTaskRunner(max_workers=1),
    ProcessPoolTaskRunner(max_workers=2),
]
every_runner = pytest.mark.parametrize("runner", RUNNERS, ids=repr)


class Odd(Exception):
    """Cannot be built from its args."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{why} ({code})")
        self.code = code


@task
def double(x: int) -> int:
    return 2 * x


@task
async def double_async(x: int) -> int:
    return 2 * x


@task
def count_to(n: int) -> Any:
    yield from range(n)


@task
def fail() -> None:
    raise Odd(7, why="no")


@task
def fib(n: int) -> int:
    if n < 2:
        return n
    first, second = fib.submit(n - 1), fib.submit(n - 2)
    return first.result() + second.result()


@task
def call_another(x: int) -> int:
    return double(x) + 1


@task
def tell() -> tuple[Any, ...]:
    return runtime.flow_run.name, runtime.task_run.name, runtime.task_run.parameters, runtime.task_run.tags


@task
def say(word: str) -> None:
    get_run_logger().warning("said %s", word)
    logging.getLogger("elsewhere").warning("also %s", word)


@task(log_prints=True)
def show(word: str) -> None:
    print(word)


@task
def doze(trace: Path) -> None:
    trace.with_suffix(".begun").write_text(str(os.getpid()), encoding="utf-8")
    try:
        for _ in range(2000):
            time.sleep(0.01)
    finally:
        trace.write_text("tidied", encoding="utf-8")


@task(retries=2)
def count_tries(trace: Path) -> int:
    with trace.open("a", encoding="utf-8") as file:
        file.write("x")
    if len(trace.read_text(encoding="utf-8")) < 3:
        raise ValueError("again")
    return len(trace.read_text(encoding="utf-8"))


@task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task
def leave() -> None:
    raise SystemExit(3)


@task
def pass_on_much() -> int:
    made = [task(lambda i: bytes([i]) * 1_000_000).submit(i) for i in range(4)]
    return sum(task(len).map(made).result())


@task(cache_policy=INPUTS)
def kept(trace: Path) -> int:
    with trace.open("a", encoding="utf-8") as file:
        file.write("x")
    return len(trace.read_text(encoding="utf-8"))


@task
def submit_kept(trace: Path) -> int:
    return kept.submit(trace).result()


@task
def submit_a_lock() -> str:
    lock: Any = threading.Lock()
    return str(double.submit(lock).wait())


@task
def pid(_: Any = None) -> int:
    return os.getpid()


def within(runner: TaskRunner, body: Callable[[], Any]) -> Any:
    """Run a body as a flow."""
    return flow(name="main", task_runner=runner)(body)()


@every_runner
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
        late = doze.with_options(timeout_seconds=1.0)
        state = within(runner, lambda: [late.submit(tmp_path / "trace").wait()])[0]
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
        trace = tmp_path / "trace"

        def body() -> None:
            futures = [doze.submit(trace) for _ in range(3)]
            states.extend(futures)
            while not trace.with_suffix(".begun").exists():
                time.sleep(0.01)
            threading.Timer(0.1, interrupt.end, ["Enough."], {"cancelled": cancelled}).start()
            futures[0].wait()

        begun = time.monotonic()
        state = run_flow(flow(task_runner=runner)(body), {}, run=FlowRun("main"), interrupt=interrupt)
        assert time.monotonic() - begun < 6
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


class TestProcesses:
    """What only the runner on processes promises."""

    def test_a_killed_worker_crashes_its_task(self) -> None:
        """At once, and the next task gets a new one."""
        states = within(ProcessPoolTaskRunner(1), lambda: [die.submit().wait(), double.submit(1).wait()])
        assert [state.type for state in states] == [StateType.CRASHED, StateType.COMPLETED]
        assert "killed by SIGKILL" in states[0].message

    def test_a_killed_worker_is_an_ordinary_exception(self) -> None:
        """A flow that is ready for failing tasks is ready for this one too."""

        def body() -> str:
            try:
                die.submit().result()
            except Exception as error:
                return f"{type(error).__name__}: {error}"
            return "lived"

        told = within(ProcessPoolTaskRunner(1), body)
        assert told.startswith("FlowRunCrashed: The worker of the task run 'die-0' was killed by SIGKILL.")

    def test_processes_are_used_again_and_end_with_the_run(self) -> None:
        """No more of them than workers, none of them this process, none left."""
        pids = set(within(ProcessPoolTaskRunner(2), lambda: pid.map(range(20)).result()))
        assert 1 <= len(pids) <= 2
        assert os.getpid() not in pids
        for number in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(number, 0)

    def test_an_argument_that_cannot_travel_is_named(self) -> None:
        """And the task is not tried again."""
        lock: Any = threading.Lock()
        state = within(ProcessPoolTaskRunner(1), lambda: [double.with_options(retries=2).submit(lock).wait()])[0]
        assert state.type is StateType.FAILED
        assert isinstance(state.data, SerializationError)
        assert "Argument 'x' of task 'double'" in str(state.data)

    def test_a_nested_argument_that_cannot_travel_is_named(self) -> None:
        """In the task that submits it."""
        state = within(ProcessPoolTaskRunner(1), lambda: submit_a_lock.submit().result())
        assert "Argument 'x' of task 'double'" in state

    def test_a_value_that_cannot_travel_says_so(self) -> None:
        """The task failed, and its worker goes on."""
        made = task(name="make")(threading.Lock)
        states = within(ProcessPoolTaskRunner(1), lambda: [made.submit().wait(), double.submit(1).wait()])
        assert [state.type for state in states] == [StateType.FAILED, StateType.COMPLETED]
        assert "that task 'make' returned" in str(states[0].data)

    def test_tracebacks_travel_as_notes(self) -> None:
        """So that one sees where in the worker it was."""
        state = within(ProcessPoolTaskRunner(1), lambda: [fail.submit().wait()])[0]
        assert 'raise Odd(7, why="no")' in "".join(state.data.__notes__)

    @pytest.mark.parametrize("workers", [0, -1, True], ids=repr)
    def test_a_pool_without_workers_is_refused(self, workers: Any) -> None:
        """At least one, or None for as many as there are cores."""
        with pytest.raises(ConfigurationError, match="max_workers"):
            ProcessPoolTaskRunner(max_workers=workers)
