"""Limits of task runs by their tags: in every kind of call, given back however the task ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.concurrency.crowd import PATIENCE, Crowd, state, until

from towpath import ProcessPoolTaskRunner, ThreadPoolTaskRunner, flow, tags, task
from towpath.concurrency import delete_limit, list_limits, set_limit
from towpath.concurrency import tags as tags_module
from towpath.concurrency.asyncio import concurrency as concurrency_async
from towpath.concurrency.sync import concurrency
from towpath.engine import core
from towpath.engine.clock import SystemClock
from towpath.engine.drive import run_flow
from towpath.engine.effects import READY, Enter, Plan, Raised, Step
from towpath.engine.interrupts import Interrupt
from towpath.history import open_history
from towpath.history.recorder import RECORDER
from towpath.runs import FlowRun
from towpath.states import StateType


def told(file: Path, flow_name: str) -> list[list[str]]:
    """Give the states of the task runs of a flow's latest run."""
    RECORDER.flush()
    with open_history(file) as history:
        (run, *_) = history.runs(flow=flow_name)
        return [[state.name for state in task_run.states] for task_run in history.tasks(run.id)]


@pytest.mark.parametrize("runner", [None, ThreadPoolTaskRunner(max_workers=3)], ids=["any number", "three"])
def test_submitted_tasks_of_a_tag_take_turns(file: Path, runner: ThreadPoolTaskRunner | None) -> None:
    """Never more at once than the limit has slots; those that waited say so in the history."""
    set_limit("tag:heavy", 2)
    crowd = Crowd()

    @task(tags=["heavy"])
    def work(number: int) -> int:
        with crowd:
            until(lambda: crowd.most > 1)
            time.sleep(0.005)
        return number

    @flow(task_runner=runner)
    def crowded() -> int:
        return sum(future.result(timeout=PATIENCE) for future in work.map(range(20)))

    assert crowded() == 190
    assert (crowd.times, crowd.most) == (20, 2)
    states = told(file, "crowded")
    assert ["AwaitingConcurrencySlot", "Running", "Completed"] in states
    assert {names[-1] for names in states} == {"Completed"}
    assert state() == {"tag:heavy": (0, 0)}


def test_async_tasks_wait_without_blocking_their_loop(file: Path) -> None:
    """Awaited side by side, they take turns, and the loop goes on."""
    set_limit("tag:heavy", 2)
    crowd = Crowd()

    @task(tags=["heavy"])
    async def work(number: int) -> int:
        with crowd:
            await asyncio.to_thread(until, lambda: crowd.most > 1)
            await asyncio.sleep(0.005)
        return number

    @flow
    async def crowded() -> int:
        return sum(await asyncio.gather(*[work(number) for number in range(12)]))

    assert asyncio.run(crowded()) == 66
    assert (crowd.times, crowd.most) == (12, 2)
    assert state() == {"tag:heavy": (0, 0)}


def test_a_called_task_waits_where_it_is_called(file: Path) -> None:
    """In the main thread of a flow, too; and outside of any flow."""
    set_limit("tag:heavy", 1)

    @task
    def work() -> int:
        return 1

    release, held = threading.Event(), threading.Event()

    @task(tags=["heavy"])
    def hold() -> None:
        held.set()
        assert release.wait(PATIENCE)

    def release_when_one_waits() -> None:
        until(lambda: state() == {"tag:heavy": (1, 1)})
        release.set()

    @flow
    def waits() -> int:
        holder = hold.submit()
        assert held.wait(PATIENCE)
        threading.Thread(target=release_when_one_waits).start()
        with tags("heavy"):
            answer = work()
        holder.wait()
        return answer

    assert waits() == 1
    assert told(file, "waits")[1] == ["AwaitingConcurrencySlot", "Running", "Completed"]
    with tags("heavy"):
        assert work() == 1
    assert state() == {"tag:heavy": (0, 0)}


def test_tasks_in_processes_take_turns(file: Path, tmp_path: Path) -> None:
    """A task in a process of its own counts, and one that it calls there borrows its slot."""
    set_limit("tag:heavy", 1)

    from tests.sdk.concurrency.processed import outer

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def crowded() -> list[int]:
        return [future.result(timeout=PATIENCE) for future in outer.map([str(tmp_path)] * 3)]

    assert crowded() == [1, 1, 1]
    assert state() == {"tag:heavy": (0, 0)}


def test_a_task_lends_its_slot_to_those_that_it_calls(file: Path) -> None:
    """One slot is enough for tasks within tasks, called and submitted; those submitted side by side take turns."""
    set_limit("tag:heavy", 1)
    crowd = Crowd()

    @task(tags=["heavy"])
    def inner(number: int) -> int:
        with crowd:
            time.sleep(0.002)
        return number

    @task(tags=["heavy"])
    def outer() -> int:
        return inner(1) + sum(future.result(timeout=PATIENCE) for future in inner.map([2, 3, 4]))

    @flow
    def nested() -> list[int]:
        return [future.result(timeout=PATIENCE) for future in [outer.submit(), outer.submit()]]

    assert nested() == [10, 10]
    assert crowd.most == 1


def _fails() -> None:
    raise ValueError("no such row")


def _returns_late() -> None:
    time.sleep(PATIENCE)


def _exits() -> None:
    sys.exit(3)


@pytest.mark.parametrize(
    ("body", "options", "ends"),
    [
        pytest.param(_fails, {}, "Failed", id="failed"),
        pytest.param(_returns_late, {"timeout_seconds": 0.05}, "TimedOut", id="timed out"),
        pytest.param(_exits, {}, "Crashed", id="exited"),
    ],
)
def test_slots_are_given_back_however_the_task_ends(
    file: Path, body: Callable[[], None], options: dict[str, Any], ends: str
) -> None:
    """After each kind of end the next gets in without a wait."""
    set_limit("tag:heavy", 1)
    work = task(tags=["heavy"], name="work", **options)(body)

    @flow
    def run() -> str:
        return work.submit(return_state=True).name  # type: ignore[no-any-return]

    assert run() == ends
    assert state() == {"tag:heavy": (0, 0)}
    assert told(file, "run")[0][0] == "Running"


def test_a_task_that_is_tried_again_does_not_hold_its_slot_meanwhile(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try asks for a slot of its own; while the task waits for its next one, others get in."""
    set_limit("tag:heavy", 1)
    tries: list[int] = []
    seen = threading.Event()
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: seen.wait(PATIENCE))  # as long as the test wants

    @task(tags=["heavy"], retries=1, retry_delay_seconds=0.2)
    def flaky() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return len(tries)

    @flow
    def run() -> int:
        future = flaky.submit()
        until(lambda: len(tries) == 1 and state() == {"tag:heavy": (0, 0)})
        seen.set()
        return future.result(timeout=PATIENCE)

    assert run() == 2
    assert told(file, "run") == [["Running", "AwaitingRetry", "Retrying", "Completed"]]


def test_a_flow_that_fails_drops_tasks_that_wait(file: Path) -> None:
    """What waits for a slot when its flow has failed never begins, and waits no longer."""
    set_limit("tag:heavy", 0)
    begun: list[int] = []

    @task(tags=["heavy"])
    def work() -> None:
        begun.append(1)

    @flow
    def fails() -> None:
        for _ in range(3):
            work.submit()
        until(lambda: state() == {"tag:heavy": (0, 3)})
        raise ValueError("something else went wrong")

    assert fails(return_state=True).name == "Failed"
    assert told(file, "fails") == [["AwaitingConcurrencySlot", "Cancelled"]] * 3
    assert (begun, state()) == ([], {"tag:heavy": (0, 0)})


def test_a_flow_that_times_out_ends_tasks_that_wait(file: Path) -> None:
    """Called and submitted ones: the flow ends at its time, and nobody waits any more."""
    set_limit("tag:heavy", 0)

    @task(tags=["heavy"])
    def work() -> None:
        pytest.fail("there are no slots")

    @flow(timeout_seconds=5)  # by far enough to come to where both wait
    def late() -> None:
        work.submit()
        work()

    assert late(return_state=True).name == "TimedOut"
    assert sorted(names[0] for names in told(file, "late")) == ["AwaitingConcurrencySlot"] * 2
    assert state() == {"tag:heavy": (0, 0)}


@pytest.mark.parametrize("kind", ["called", "submitted", "block", "async block"])
def test_a_flow_that_is_cancelled_while_it_waits_ends_at_once(file: Path, kind: str) -> None:
    """Whatever it waits in, a cancelled flow is CANCELLED, its finally blocks have run, and its place is free."""
    set_limit("tag:heavy", 0)
    set_limit("db", 0)
    left: list[str] = []

    @task(tags=["heavy"])
    def work() -> None:
        pytest.fail("there are no slots")

    @flow
    def waits() -> None:
        try:
            if kind == "block":
                with concurrency("db"):
                    pytest.fail("there are no slots")
            work() if kind == "called" else work.submit().result()
        finally:
            left.append(kind)

    @flow
    async def waits_async() -> None:
        try:
            async with concurrency_async("db"):
                pytest.fail("there are no slots")
        finally:
            left.append(kind)

    interrupt = Interrupt()

    def cancel() -> None:
        until(lambda: sum(waiting for _, waiting in state().values()) == 1)
        interrupt.end("Nobody wants it any more.", cancelled=True)

    thread = threading.Thread(target=cancel)
    thread.start()
    chosen = waits_async if kind == "async block" else waits
    ended = run_flow(chosen, {}, run=FlowRun(chosen.name), interrupt=interrupt)
    thread.join(PATIENCE)
    assert (ended.type, ended.message) == (StateType.CANCELLED, "Nobody wants it any more.")
    assert left == [kind]
    assert state() == {"db": (0, 0), "tag:heavy": (0, 0)}


def test_a_task_whose_upstream_failed_does_not_wait_for_a_slot(file: Path) -> None:
    """It is NotReady at once, though nobody gets in."""
    set_limit("tag:heavy", 0)

    @task
    def fails() -> None:
        raise ValueError("nothing to work on")

    @task(tags=["heavy"])
    def work(_: object) -> None:
        pytest.fail("its upstream failed")

    @flow
    def run() -> str:
        return work.submit(fails.submit()).wait(PATIENCE).name  # type: ignore[union-attr]

    assert run() == "NotReady"


def test_a_limit_of_none_says_so_in_state_and_log(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A task that cannot begin says why, once a flow run in the log; the limit that opens lets it in."""
    caplog.set_level(logging.INFO, "towpath")
    set_limit("tag:heavy", 0)

    @task(tags=["heavy"])
    def work() -> int:
        return 1

    @flow
    def closed() -> int:
        futures = [work.submit() for _ in range(5)]
        until(lambda: state() == {"tag:heavy": (0, 5)})
        set_limit("tag:heavy", 2)
        return sum(future.result(timeout=PATIENCE) for future in futures)

    assert closed() == 5
    (line,) = [message for message in caplog.messages if "0 slots, so nobody gets in" in message]
    assert line.startswith("Waits for 1 slot of 'tag:heavy'.")
    with open_history(file) as history:
        first = history.tasks(history.runs(flow="closed")[0].id)[0].states[0]
    assert (first.type, first.name) == (StateType.SCHEDULED, "AwaitingConcurrencySlot")
    assert "nobody gets in until it is set to more" in (first.message or "")


def test_all_tags_of_a_task_need_a_slot(file: Path) -> None:
    """One limit that is full is enough to wait; tags without a limit ask for nothing."""
    set_limit("tag:a", 1)
    set_limit("tag:b", 1)

    @task(tags=["a", "b", "free"])
    def work() -> dict[str, tuple[float, int]]:
        return state()

    @flow
    def run() -> dict[str, tuple[float, int]]:
        return work()

    assert run() == {"tag:a": (1, 0), "tag:b": (1, 0)}
    assert [holder.limits for limit in list_limits() for holder in limit.holders] == []


def test_a_limit_that_is_deleted_lets_tasks_in(file: Path) -> None:
    """Those that wait get in, and those that come later do not ask."""
    set_limit("tag:heavy", 0)

    @task(tags=["heavy"])
    def work() -> int:
        return 1

    @flow
    def run() -> int:
        future = work.submit()
        until(lambda: state() == {"tag:heavy": (0, 1)})
        delete_limit("tag:heavy")
        return future.result(timeout=PATIENCE) + work()

    assert run() == 2


def test_thousands_that_wait_need_no_thread_each(file: Path) -> None:
    """Waiting for a slot costs a submitted task no thread, whatever number of them waits."""
    set_limit("tag:heavy", 0)

    @task(tags=["heavy"])
    def work() -> None:
        pass

    @flow
    def many() -> int:
        before = threading.active_count()
        futures = [work.submit() for _ in range(2_000)]
        until(lambda: state()["tag:heavy"][1] > 0)
        grown = threading.active_count() - before
        delete_limit("tag:heavy")
        for future in futures:
            future.result(timeout=PATIENCE)
        return grown

    assert many() < 50


def test_a_flow_takes_no_more_slots_than_its_task_runner_can_use(file: Path) -> None:
    """With two workers it holds two of ten slots, however many tasks it has submitted; others get the rest."""
    set_limit("tag:heavy", 10)
    go_on = threading.Event()

    @task(tags=["heavy"])
    def work() -> None:
        assert go_on.wait(PATIENCE)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def narrow() -> None:
        futures = [work.submit() for _ in range(20)]
        until(lambda: state() == {"tag:heavy": (2, 0)})
        with concurrency("tag:heavy", occupy=8, timeout_seconds=PATIENCE):
            assert state() == {"tag:heavy": (10, 0)}
        go_on.set()
        for future in futures:
            future.result(timeout=PATIENCE)

    narrow()
    assert told(file, "narrow").count(["AwaitingConcurrencySlot", "Running", "Completed"]) == 18


def test_a_killed_process_gives_its_tasks_slots_back(file: Path) -> None:
    """Tags limit the tasks of all processes; when one is killed the next gets in."""
    set_limit("tag:heavy", 1)
    script = """
import sys, time
from towpath import flow, task
@task(tags=["heavy"])
def work():
    print("held", flush=True)
    time.sleep(60)
@flow
def hold():
    work()
hold()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "TOWPATH_HISTORY": str(file)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"

    @task(tags=["heavy"])
    def work() -> int:
        return 1

    @flow
    def waits() -> int:
        future = work.submit()
        until(lambda: state() == {"tag:heavy": (1, 1)})
        process.send_signal(signal.SIGKILL)
        return future.result(timeout=PATIENCE)

    assert waits() == 1
    process.communicate()
    assert told(file, "waits") == [["AwaitingConcurrencySlot", "Running", "Completed"]]


def test_a_history_that_fails_fails_the_task(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is known, and cannot be asked, is not passed in silence: the task FAILED before it began."""
    set_limit("tag:heavy", 1)

    def breaks(*_: object) -> None:
        raise OSError("no more of it")

    monkeypatch.setattr("towpath.concurrency.local.Keeper.ask", breaks)

    @task(tags=["heavy"])
    def work() -> None:
        pytest.fail("nobody asked the limit")

    @flow
    def run() -> None:
        for kind in (work, work.submit):
            ended = kind(return_state=True)
            assert ended.name == "Failed"
            assert "No slots of 'tag:heavy' can be had" in (ended.message or "")

    run()


def test_tasks_without_tags_never_hear_of_limits(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked for a task without tags; for one with tags the file is looked at a few times a second at most."""
    set_limit("db", 1)
    looks: list[int] = []
    look = tags_module._look
    monkeypatch.setattr(tags_module, "_look", lambda: (looks.append(1), look()))
    monkeypatch.setattr(tags_module, "_FRESH_SECONDS", 3600.0)

    @task
    def work() -> None:
        pass

    @flow
    def plain() -> None:
        for _ in range(50):
            work()

    @flow
    def tagged() -> None:
        with tags("heavy"):
            plain()

    plain()
    assert looks == []
    tagged()
    assert looks == [1]


@pytest.mark.parametrize("event", [READY, Raised(ValueError("full"))], ids=["admitted", "refused"])
def test_the_core_asks_for_slots_before_each_try(event: Any) -> None:
    """Before RUNNING, and before each retry; who is refused fails without having run."""
    life = core.life(Plan("Task run", retries=1, delays=(0.0,), is_limited=True), lambda: 0.0)
    assert next(life) is Step.PREPARE
    assert life.send(READY) is Step.ADMIT
    effect = life.send(event)
    assert isinstance(effect, Enter)
    if event is not READY:
        assert (effect.state.name, "could not start" in (effect.state.message or "")) == ("Failed", True)
        return
    assert effect.state.name == "Running"
    assert life.send(None) is Step.CALL
    waiting = life.send(Raised(ValueError("once")))
    assert isinstance(waiting, Enter)
    assert waiting.state.name == "AwaitingRetry"
    assert life.send(None) is Step.ADMIT


def test_blocks_within_a_limited_task_do_not_borrow(file: Path) -> None:
    """Only tags lend: a block that wants a slot that its own run holds in another block waits for it."""
    set_limit("db", 1)
    with concurrency("db"), pytest.raises(TimeoutError), concurrency("db", timeout_seconds=0):
        pytest.fail("it is taken")
