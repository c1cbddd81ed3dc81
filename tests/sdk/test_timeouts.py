"""Timeouts end the work: in the main thread, in worker threads, in blocking calls, one within another."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from towpath import ThreadPoolTaskRunner, flow, task
from towpath.engine import timeouts
from towpath.engine.effects import Raised, Returned, TimedOut
from towpath.engine.interrupts import Stretch
from towpath.engine.timeouts import within
from towpath.errors import RunTimeout

#: Long enough for work to have begun, also where others have the cores.
SHORT = 0.5


def spin() -> None:
    """Keep Python busy."""
    while True:
        pass


def block() -> None:
    """Sit in a call that releases the interpreter."""
    threading.Event().wait(30)


@pytest.fixture(params=["main thread", "worker thread"])
def anywhere(request: pytest.FixtureRequest) -> Any:
    """Run a function in the main thread, or in another one."""

    def run(fn: Any) -> Any:
        if request.param == "main thread":
            return fn()
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(fn()))
        thread.start()
        thread.join(60)
        return answers[0]

    return run


def test_work_in_time_is_as_without(anywhere: Any) -> None:
    """Value and exception come out unchanged."""
    error = ValueError("own")

    def fail() -> None:
        raise error

    assert anywhere(lambda: within(10, lambda: 5)) == Returned(5)
    assert anywhere(lambda: within(10, fail)) == Raised(error)


def test_python_that_runs_too_long_is_ended(anywhere: Any) -> None:
    """A loop in Python is broken off, in any thread; its `finally` runs."""
    cleaned: list[str] = []

    def work() -> None:
        try:
            spin()
        finally:
            cleaned.append("yes")

    assert anywhere(lambda: within(SHORT, work)) == TimedOut(SHORT)
    assert cleaned == ["yes"]


def test_a_blocking_call_in_the_main_thread_is_interrupted() -> None:
    """A signal breaks it off at once."""
    began = time.monotonic()
    assert within(SHORT, lambda: time.sleep(30)) == TimedOut(SHORT)
    assert time.monotonic() - began < 10


def test_a_blocking_call_in_a_worker_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python cannot interrupt it; the run is TimedOut all the same, and says so. Its thread ends with the call."""
    monkeypatch.setattr(timeouts, "GRACE_SECONDS", 0.02)
    release, left = threading.Event(), threading.Event()

    @task(timeout_seconds=SHORT)
    def stuck() -> None:
        try:
            release.wait(30)
        finally:
            left.set()

    state = stuck.submit().wait()
    assert (state.type, state.name) == ("FAILED", "TimedOut")
    assert "cannot interrupt" in (state.message or "")
    release.set()
    assert left.wait(60)


def test_swallowing_the_end_does_not_help(anywhere: Any) -> None:
    """Work that goes on after it was ended, and returns, is late all the same."""

    def stubborn() -> str:
        try:
            spin()
        except BaseException:
            return "still here"
        return "never"

    assert anywhere(lambda: within(SHORT, stubborn)) == TimedOut(SHORT)


@pytest.mark.parametrize("outer_first", [True, False], ids=["outer first", "inner first"])
def test_timeouts_within_timeouts(outer_first: bool) -> None:
    """Each ends its own run: the inner one is caught by the outer's code, the outer one goes through the inner run."""
    inner_states: list[Any] = []
    inner_limit, outer_limit = (30, SHORT) if outer_first else (SHORT, 30)

    @task(timeout_seconds=inner_limit)
    def inner() -> None:
        block()

    @flow(timeout_seconds=outer_limit)
    def outer() -> str:
        inner_states.append(inner(return_state=True))
        return "went on"

    state = outer(return_state=True)
    if outer_first:
        assert (state.name, inner_states) == ("TimedOut", [])
    else:
        assert (state.result(), inner_states[0].name) == ("went on", "TimedOut")


def test_a_flow_out_of_time_ends_its_tasks() -> None:
    """Tasks in threads are broken off as well, those that wait included, and what is queued never begins."""
    ended: list[str] = []

    @task
    def work(kind: str) -> None:
        try:
            spin() if kind == "spin" else never.submit().wait()
        finally:
            ended.append(kind)

    @task
    def never() -> None:
        spin()

    @flow(timeout_seconds=3, task_runner=ThreadPoolTaskRunner(max_workers=3))
    def main() -> None:
        work.map(["spin", "wait"]).wait()

    with pytest.raises(RunTimeout, match="Flow run"):
        main()
    assert sorted(ended) == ["spin", "wait"]


def test_every_try_has_its_own_time(naps: list[float]) -> None:
    """A timeout counts as a failure, and each retry begins anew."""
    tries: list[int] = []

    @task(timeout_seconds=SHORT, retries=2)
    def slow() -> None:
        tries.append(1)
        block()

    with pytest.raises(TimeoutError):
        slow()
    assert len(tries) == 3


def test_the_end_does_not_reach_what_comes_after() -> None:
    """Work that ends at the same moment as its time leaves no exception behind."""
    for i in range(50):
        within(0.0005, lambda i=i: sum(range(20 * i)))  # type: ignore[misc]
    stretch = Stretch()
    with stretch:
        pass
    stretch.break_off(RuntimeError())
    assert sum(range(10_000)) == 49_995_000
