"""Ending a run from outside: by its interrupt, from a signal handler or another thread."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from towpath import State, ThreadPoolTaskRunner, flow, task
from towpath.engine.drive import run_flow
from towpath.engine.effects import Ended
from towpath.engine.interrupts import Interrupt
from towpath.runs import FlowRun
from towpath.states import StateType


class Case:
    """A run that is to be ended, and what is seen of it."""

    def __init__(self) -> None:
        self.interrupt = Interrupt()
        self.began = threading.Event()
        self.seen: list[str] = []

    def run(self, fn: Callable[[], Any], **options: Any) -> State[Any]:
        """Run a flow with hooks; gives its final state."""
        for hook in ("on_cancellation", "on_crashed", "on_completion", "on_failure"):
            options[hook] = [lambda _flow, _run, state, hook=hook: self.seen.append(f"{hook} {state.name}")]
        made = flow(**options)(fn)
        return run_flow(made, {}, run=FlowRun(made.name), interrupt=self.interrupt)

    def end_when_begun(self, **options: Any) -> threading.Thread:
        """End the run from another thread, once user code is there."""

        def end() -> None:
            self.began.wait(60)
            self.interrupt.end("Told to stop.", **options)

        thread = threading.Thread(target=end)
        thread.start()
        return thread

    def wait(self) -> None:
        """Be user code that takes long and cleans up."""
        self.began.set()
        try:
            time.sleep(30)
        finally:
            self.seen.append("cleaned up")


@pytest.mark.parametrize(
    ("cancelled", "type_", "hook"),
    [(True, StateType.CANCELLED, "on_cancellation Cancelled"), (False, StateType.CRASHED, "on_crashed Crashed")],
    ids=["cancelled", "crashed"],
)
def test_a_flow_in_the_main_thread_ends_in_order(cancelled: bool, type_: StateType, hook: str) -> None:
    """A blocking call is broken off, cleanup runs, then hooks; the state says why."""
    case = Case()
    thread = case.end_when_begun(cancelled=cancelled)
    state = case.run(case.wait)
    thread.join()
    assert (state.type, state.message) == (type_, "Told to stop.")
    assert isinstance(state.result(raise_on_failure=False), Ended)
    assert case.seen == ["cleaned up", hook]


def test_a_signal_handler_ends_the_flow() -> None:
    """As SIGTERM does in a pod: `end` raises right in the handler's thread."""
    case = Case()
    before = signal.signal(signal.SIGTERM, lambda *_: case.interrupt.end("SIGTERM", cancelled=True))
    try:

        def work() -> None:
            signal.raise_signal(signal.SIGTERM)
            case.seen.append("not reached")

        state = case.run(work)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (state.type, case.seen) == (StateType.CANCELLED, ["on_cancellation Cancelled"])


def test_an_async_flow_ends_in_order() -> None:
    """Its coroutine is cancelled; hooks may await again."""
    case = Case()

    async def work() -> None:
        case.began.set()
        try:
            await asyncio.sleep(30)
        finally:
            case.seen.append("cleaned up")

    thread = case.end_when_begun(cancelled=True)
    state = case.run(work)  # type: ignore[arg-type]
    thread.join()
    assert state.is_cancelled()
    assert case.seen == ["cleaned up", "on_cancellation Cancelled"]


def test_a_flow_in_another_thread_ends_in_order() -> None:
    """Where signals do not reach, an exception between two bytecodes does, and our own waits are woken."""
    case = Case()
    states: list[State[Any]] = []

    @task
    def endless() -> None:
        while True:
            time.sleep(0.001)

    def work() -> None:
        future = endless.submit()
        case.began.set()
        future.wait()

    runner = threading.Thread(target=lambda: states.append(case.run(work)))
    runner.start()
    case.end_when_begun(cancelled=True).join()
    runner.join(60)
    assert states[0].is_cancelled()


def test_tasks_and_children_end_with_their_flow() -> None:
    """Those in threads are broken off, those waiting for a retry too, those queued never begin."""
    case = Case()
    ended: list[str] = []
    states: list[Any] = []

    @task
    def endless(name: str) -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            ended.append(name)

    @task(retries=1, retry_delay_seconds=100)
    def waits_for_a_retry() -> None:
        raise ValueError

    @flow(on_cancellation=[lambda *_: ended.append("child's hook")])
    def child() -> None:
        endless("in child")

    def work() -> None:
        states.extend([endless.submit("task"), waits_for_a_retry.submit(), child.submit()])
        while states[1].state.name != "AwaitingRetry" or not states[2].state.is_running():
            time.sleep(0.001)
        states.append(endless.submit(states[0]))
        case.began.set()
        states[0].wait()

    thread = case.end_when_begun(cancelled=True)
    assert case.run(work, task_runner=ThreadPoolTaskRunner(max_workers=2)).is_cancelled()
    thread.join()
    assert [future.state.type for future in states] == ["CANCELLED"] * 4
    assert sorted(ended) == ["child's hook", "in child", "task"]


def test_an_end_before_the_beginning() -> None:
    """A run that was told to end before it began runs no user code."""
    case = Case()
    case.interrupt.end("Too late.", cancelled=True)
    assert case.run(case.wait).is_cancelled()
    assert case.seen == ["on_cancellation Cancelled"]


def test_an_end_after_the_end_changes_nothing() -> None:
    """A run that completed stays completed; the thread goes on unharmed."""
    case = Case()
    assert case.run(lambda: 5).result() == 5
    case.interrupt.end()
    assert case.seen == ["on_completion Completed"]


def test_a_second_end_changes_nothing() -> None:
    """The first reason counts."""
    case = Case()

    def work() -> None:
        case.interrupt.end("first", cancelled=True)

    state = case.run(work)
    case.interrupt.end("second")
    assert (state.message, state.type) == ("first", StateType.CANCELLED)


def test_hooks_are_not_interrupted() -> None:
    """An end that comes while hooks run is too late, and they run to their end."""
    case = Case()

    def hook(*_: Any) -> None:
        case.interrupt.end("late", cancelled=True)
        case.seen.append("hook ran to its end")

    made = flow(on_completion=[hook])(lambda: 5)
    state = run_flow(made, {}, run=FlowRun("f"), interrupt=case.interrupt)
    assert state.result() == 5
    assert case.seen == ["hook ran to its end"]


def test_a_child_in_the_same_thread_ends_with_its_parent() -> None:
    """The exception goes through the child, whose hooks run first."""
    case = Case()
    order: list[str] = []

    @flow(on_cancellation=[lambda *_: order.append("child")])
    def child() -> None:
        case.wait()

    def work() -> None:
        try:
            child()
        finally:
            order.append("parent's cleanup")

    thread = case.end_when_begun(cancelled=True)
    assert case.run(work).is_cancelled()
    thread.join()
    assert order == ["child", "parent's cleanup"]


def test_work_that_does_not_end_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task in a blocking call holds the end of its flow up for a moment only; its future is CRASHED and says why."""
    monkeypatch.setattr("towpath.engine.scope.GRACE_SECONDS", 0.05)
    case = Case()
    release = threading.Event()
    futures: list[Any] = []

    @task
    def stuck() -> None:
        release.wait(30)

    def work() -> None:
        futures.append(stuck.submit())
        while not futures[0].state.is_running():
            time.sleep(0.001)
        case.began.set()
        time.sleep(30)

    thread = case.end_when_begun(cancelled=True)
    assert case.run(work).is_cancelled()
    thread.join()
    assert futures[0].state.is_crashed()
    assert "did not end within 0.05 s" in futures[0].state.message
    release.set()
