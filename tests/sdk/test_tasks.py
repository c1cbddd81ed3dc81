"""Task runs: calls, submits, retries, dependencies."""

from __future__ import annotations

import functools
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from towpath import (
    Completed,
    Failed,
    Future,
    State,
    ThreadPoolTaskRunner,
    allow_failure,
    exponential_backoff,
    flow,
    get_run_context,
    quote,
    runtime,
    tags,
    task,
)
from towpath.errors import ConfigurationError, RunError, UpstreamNotReady
from towpath.runs import TaskRun


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
def fail(message: str = "no") -> int:
    raise ValueError(message)


class Flaky:
    """Fails so many times, then gives the number of the call."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise ValueError(f"failure {self.calls}")
        return self.calls


def test_a_call_is_the_functions_own() -> None:
    """Value out, exception out, in a flow or outside of any."""
    assert add(1) == 2
    assert add(1, y=5) == 6
    assert flow(lambda: add(2))() == 3
    with pytest.raises(ValueError, match="no"):
        fail()


def test_the_state_instead_of_the_value() -> None:
    """`return_state=True` raises nothing."""
    state = add(1, return_state=True)
    assert (state.is_completed(), state.result()) == (True, 2)
    failed = fail(return_state=True)
    assert failed.is_failed()
    assert isinstance(failed.result(raise_on_failure=False), ValueError)
    assert failed.message == "Task run encountered an exception: ValueError: no"


def test_the_plain_function_is_at_hand() -> None:
    """`.fn` is untouched, and the task looks like it."""
    assert add.fn(1, 1) == 2
    assert (add.name, add.__name__, add.__module__) == ("add", "add", __name__)


def test_submit_gives_a_future() -> None:
    """The future has the value, the state, the run's name and id."""

    @flow
    def main() -> tuple[int, str | None, bool]:
        future = add.submit(1, y=2)
        return future.result(), future.name, bool(future.task_run_id)

    assert main() == (3, "add-0", True)


def test_submitted_outside_of_a_flow() -> None:
    """A task runs in a thread all the same."""
    assert add.submit(1).result() == 2


def test_futures_among_the_arguments_are_their_values() -> None:
    """As an argument, deep within one, and from another thread's work."""

    @task
    def total(numbers: dict[str, list[int]], extra: int) -> int:
        return sum(sum(values) for values in numbers.values()) + extra

    @flow
    def main() -> int:
        a, b = add.submit(1), add.submit(2)
        return total({"a": [a, 10], "b": [b]}, extra=a) + total.submit({"a": [b]}, a).result()  # type: ignore[dict-item, list-item, arg-type]

    assert main() == 17 + 5


def test_wait_for_orders_runs() -> None:
    """A run begins after those in `wait_for` have ended, although it takes nothing from them."""
    order: list[str] = []
    gate = threading.Event()

    @task
    def first() -> None:
        gate.wait(60)
        order.append("first")

    @task
    def second() -> None:
        order.append("second")

    @flow
    def main() -> None:
        future = second.submit(wait_for=[first.submit()])
        gate.set()
        future.wait()

    main()
    assert order == ["first", "second"]


def test_a_failed_upstream_keeps_a_task_from_running() -> None:
    """Submitted: PENDING NotReady, also further down the line; called: UpstreamNotReady. The flow itself completes."""
    ran: list[str] = []

    @task
    def after(x: Any) -> None:
        ran.append("after")

    @flow
    def main() -> list[State[Any]]:
        bad = fail.submit()
        blocked = after.submit(bad)
        further = after.submit([blocked])
        with pytest.raises(UpstreamNotReady, match="'fail-0'"):
            after(bad)
        with pytest.raises(UpstreamNotReady):
            further.result()
        states = [blocked.wait(), further.wait(), after(1, wait_for=[bad], return_state=True)]
        return {"states": states}  # type: ignore[return-value]

    states = main()["states"]  # type: ignore[call-overload]
    assert [(state.type, state.name) for state in states] == [("PENDING", "NotReady")] * 3
    assert ran == []


def test_allow_failure_lets_a_task_see_the_exception() -> None:
    """The exception stands where the value would."""

    @task
    def tell(x: Any) -> str:
        return type(x).__name__

    @flow
    def main() -> list[str]:
        bad = fail.submit()
        return [tell(allow_failure(bad)), tell.submit(allow_failure(bad)).result(), tell([allow_failure(bad)])]

    assert main() == ["ValueError", "ValueError", "list"]


def test_quote_hides_what_it_stands_round() -> None:
    """A future in a quote arrives as a future."""

    @task
    def kind(x: Any) -> str:
        return type(x[0]).__name__

    assert flow(lambda: kind(quote([add.submit(1)])))() == "Future"


@pytest.mark.parametrize("submitted", [False, True], ids=["called", "submitted"])
def test_retries_until_it_works(naps: list[float], submitted: bool) -> None:
    """Failures are tried again, after the delays given; the run counts its tries."""
    flaky = Flaky(2)
    tried = task(flaky, name="flaky").with_options(retries=3, retry_delay_seconds=[1, 7])
    assert (tried.submit().result() if submitted else tried()) == 3
    assert naps == [1, 7]


def task_with(flaky: Any, **options: Any) -> Any:
    """Make a task with options of a callable object."""
    return task(**options)(flaky)


def test_retries_are_spent(naps: list[float]) -> None:
    """The last exception comes out."""
    with pytest.raises(ValueError, match="failure 3"):
        task_with(Flaky(5), retries=2, retry_delay_seconds=exponential_backoff(3))()
    assert naps == [3, 6]


def test_jitter_is_applied(naps: list[float]) -> None:
    """A jitter factor spreads the delay that is really waited."""
    task_with(Flaky(1), retries=1, retry_delay_seconds=10, retry_jitter_factor=0.5)()
    assert naps[0] != 10
    assert 0 < naps[0] <= 15


class Condition:
    """A condition that is an object, not a function."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, Any, Any]] = []

    def __call__(self, task_: Any, run: Any, state: Any) -> bool:
        self.seen.append((task_, run, state))
        return len(self.seen) < 2


async def asynchronous(task_: Any, run: Any, state: Any) -> bool:
    """Decide asynchronously."""
    return bool(run.run_count < 2)


@pytest.mark.parametrize(
    ("condition", "calls"),
    [
        (lambda *_: True, 4),
        (lambda *_: False, 1),
        (functools.partial(lambda least, task_, run, state: run.run_count < least, 3), 3),
        (Condition(), 2),
        (asynchronous, 2),
        (lambda *_: 1 / 0, 1),
        (lambda *_: None, 1),
    ],
    ids=["yes", "no", "partial", "object", "async", "broken", "None"],
)
def test_any_callable_may_decide_about_retries(condition: Any, calls: int) -> None:
    """Functions, partials, objects, coroutines; one that breaks means no further try."""
    flaky = Flaky(9)
    with pytest.raises(ValueError, match="failure"):
        task_with(flaky, retries=3, retry_condition_fn=condition)()
    assert flaky.calls == calls


def test_the_condition_sees_task_run_and_state() -> None:
    """It is asked with the task, the run and the failed state."""
    condition = Condition()
    tried = task_with(Flaky(9), retries=2, retry_condition_fn=condition)
    tried(return_state=True)
    task_, run, state = condition.seen[0]
    assert task_ is tried
    assert isinstance(run, TaskRun)
    assert isinstance(state.result(raise_on_failure=False), ValueError)


def test_a_returned_failed_state_is_a_failure() -> None:
    """It is tried again; a plain call gives it back in the end, `.result()` of a future raises."""
    flaky = Flaky(0)

    @task(retries=2)
    def answer() -> State[int]:
        return Failed(message="not yet") if flaky() < 3 else Completed(data=7, name="Lucky")

    state = answer(return_state=True)
    assert (state.name, state.result()) == ("Lucky", 7)

    @task
    def bad() -> State[Any]:
        return Failed(message="broken")

    assert bad().is_failed()
    with pytest.raises(RunError, match="broken"):
        bad.submit().result()


def test_arguments_that_do_not_fit_raise_at_once() -> None:
    """A TypeError of the call itself is not tried again; one of user code is."""
    calls: list[int] = []

    @task(retries=3)
    def strict(x: int) -> None:
        calls.append(x)
        raise TypeError("own")

    with pytest.raises(TypeError, match="missing"):
        strict()  # type: ignore[call-overload]
    assert calls == []
    with pytest.raises(TypeError, match="own"):
        strict(1)
    assert len(calls) == 4


def test_generators_give_lists() -> None:
    """Whatever is yielded; a generator that is returned, too."""

    @task
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    @task
    def returned(n: int) -> Any:
        return (i for i in range(n))

    assert count(3) == [0, 1, 2]
    assert count.submit(2).result() == [0, 1]
    assert returned(2) == [0, 1]


def test_async_tasks_run_in_threads_too() -> None:
    """From a sync flow an async task is submitted; each has an event loop."""

    @task
    async def fetch(x: int) -> int:
        return x + 1

    @task
    async def stream(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    @flow
    def main() -> Any:
        return [future.result() for future in [fetch.submit(1), fetch.submit(2), stream.submit(2)]]

    assert main() == [2, 3, [0, 1]]


def test_tasks_call_tasks() -> None:
    """A task is a run of its own within another, and submits to the same flow."""

    @task
    def outer(x: int) -> tuple[int, str, str]:
        inner = add.submit(x).result()
        return add(inner), runtime.task_run.name or "", runtime.flow_run.name or ""

    @flow(flow_run_name="top")
    def main() -> Any:
        return outer.submit(1).result()

    assert main() == (3, "outer-0", "top")


def test_names_count_calls_within_a_flow_run() -> None:
    """`add-0`, `add-1`; a template or a function names runs otherwise."""

    @task(task_run_name="add {x} and {y}")
    def templated(x: int, y: int = 2) -> str | None:
        return runtime.task_run.name

    @task(task_run_name=lambda parameters: f"x is {parameters['x']}")
    def named(x: int) -> str | None:
        return runtime.task_run.name

    @flow
    def main() -> list[Any]:
        return [
            add.submit(1).name,
            add.submit(1).name,
            templated(1),
            named.submit(5).result(),
            templated(add.submit(2)),
        ]  # type: ignore[arg-type]

    assert main() == ["add-0", "add-1", "add 1 and 2", "x is 5", "add 3 and 2"]
    assert templated(7) == "add 7 and 2"


def test_a_name_that_cannot_be_made_fails_the_run() -> None:
    """A template over parameters that do not exist is the author's mistake, and says so."""

    @task(task_run_name="{nothing}")
    def misnamed() -> None: ...

    state = misnamed(return_state=True)
    assert state.is_failed()
    assert "could not start: KeyError: 'nothing'" in (state.message or "")


def test_tags_come_from_task_and_context() -> None:
    """The task's own, and those in force where it is called, also in threads."""

    @task(tags=["own"])
    def tagged() -> list[str]:
        return runtime.task_run.tags

    @flow
    def main() -> list[list[str]]:
        with tags("a", "b"):
            return [tagged(), tagged.submit().result()]

    assert main() == [["a", "b", "own"]] * 2
    assert tagged() == ["own"]


def test_options_can_be_changed() -> None:
    """`with_options` gives a new task; what was not named stays."""
    changed = add.with_options(name="plus", retries=2)
    assert (changed.name, changed.retries, changed.fn) == ("plus", 2, add.fn)
    assert (add.name, add.retries) == ("add", 0)
    assert changed.with_options(tags=["t"]).retries == 2
    assert changed(1) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retries": -1}, "retries"),
        ({"retries": "3"}, "retries"),
        ({"retry_delay_seconds": -1}, "retry_delay_seconds"),
        ({"retry_jitter_factor": -1}, "retry_jitter_factor"),
        ({"timeout_seconds": -1}, "timeout_seconds"),
        ({"retry_condition_fn": 5}, "retry_condition_fn"),
        ({"on_failure": [5]}, "on_failure"),
        ({"tags": "one"}, "tags"),
        ({"name": " "}, "name"),
        ({"retrys": 3}, "retrys"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_options_that_cannot_be_are_refused_where_they_are_written(options: dict[str, Any], words: str) -> None:
    """ConfigurationError names the option and the value."""
    with pytest.raises(ConfigurationError, match=words):
        task(**options)(lambda: None)


def test_what_is_no_function_cannot_be_a_task() -> None:
    """`@task` on a value says so."""
    with pytest.raises(ConfigurationError, match="5"):
        task(5)  # type: ignore[call-overload]


def test_facts_of_a_run() -> None:
    """Times, counts and parameters are there for hooks and conditions."""
    seen: list[TaskRun] = []

    @task(retries=1)
    def tried(x: int, y: int = 2) -> None:
        run = get_run_context().task_run
        assert run is not None
        seen.append(run)
        if run.run_count == 1:
            raise ValueError

    tried(1)
    run = seen[0]
    assert run.parameters == {"x": 1, "y": 2}
    assert run.run_count == 2
    assert run.start_time is not None
    assert run.end_time is not None
    assert run.end_time >= run.start_time
    assert run.state_name == "Completed"
    assert run.flow_run_id is None


def test_counts_of_a_flow_runs_tasks() -> None:
    """The flow run knows how many task calls it made and how they ended."""

    @flow
    def main() -> tuple[int, int, int, int]:
        add(1)
        add.map([1, 2]).wait()
        bad = fail.submit()
        add.submit(bad).wait()  # type: ignore[arg-type]
        run = get_run_context().flow_run
        assert run is not None
        return run.tasks.total, run.tasks.completed, run.tasks.failed, run.tasks.running

    assert main() == (5, 3, 2, 0)


def test_nothing_is_kept_of_runs_that_nobody_holds() -> None:
    """A finished call leaves neither arguments nor result behind; so memory does not grow with the number of calls."""

    class Big: ...

    @task
    def take(x: Big) -> Big:
        return Big()

    gone: list[weakref.ref[Big]] = []

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> None:
        gc.disable()
        try:
            argument = Big()
            gone.extend([weakref.ref(argument), weakref.ref(take(argument))])
            future = take.submit(argument)
            gone.append(weakref.ref(future.result()))
            del argument, future
            add.submit(1).wait()  # the one worker has let go of the call before
            assert [ref() for ref in gone] == [None] * 3
        finally:
            gc.enable()

    main()


def test_futures_keep_results_not_arguments() -> None:
    """A future that is kept holds the value; what the call was given is let go."""

    class Big: ...

    argument = Big()
    gone = weakref.ref(argument)
    future: Future[int] = task(lambda _: 5).submit(argument)
    future.wait()
    del argument
    deadline = time.monotonic() + 60
    while gone() is not None:  # until its thread has gone on to something else
        assert time.monotonic() < deadline
        add.submit(1).wait()
        gc.collect()
    assert future.result() == 5
