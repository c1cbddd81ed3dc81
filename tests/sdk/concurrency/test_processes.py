"""Slots among processes: shared, handed over, and free when a process has gone, however it went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.sdk.concurrency.crowd import PATIENCE, state, until
from tests.sdk.history.notebook import finish, start

from towpath.concurrency import list_limits, set_limit
from towpath.concurrency.sync import concurrency, rate_limit
from towpath.history import open_history
from towpath.history.recorder import RECORDER

pytestmark = pytest.mark.timeout(300)

#: Holds slots, says so, and goes on until its standard input is closed.
HOLDER = """
import sys
from towpath import flow
from towpath.concurrency.sync import concurrency

@flow(flow_run_name="the-holder")
def hold():
    with concurrency({names!r}, occupy={occupy}):
        print("held", flush=True)
        sys.stdin.read()

hold()
"""


class Holder:
    """A process that holds slots."""

    def __init__(self, file: Path, *names: str, occupy: int = 1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER.format(names=list(names), occupy=occupy)],
            env={**os.environ, "TOWPATH_HISTORY": str(file)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def wait_until_it_holds(self) -> None:
        """Wait for it to have its slots."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def end(self, *signals: signal.Signals) -> None:
        """End it: by signals, or in order."""
        for number in signals:
            self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("ends", [(), (signal.SIGKILL,), (signal.SIGTERM,)], ids=["in order", "SIGKILL", "SIGTERM"])
def test_slots_of_a_process_that_ends_go_to_who_waits(file: Path, ends: tuple[signal.Signals, ...]) -> None:
    """Whatever way the holder goes, its slots are free at once: there is no lease to wait for, and nothing leaks."""
    set_limit("db", 2)
    holder = Holder(file, "db", occupy=2)
    holder.wait_until_it_holds()
    (limit,) = list_limits()
    assert [(one.run, one.process, one.occupy) for one in limit.holders] == [("the-holder", holder.process.pid, 2)]
    entered = threading.Event()

    def enter() -> None:
        with concurrency("db"):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    until(lambda: state()["db"] == (2, 1))
    holder.end(*ends)
    assert entered.wait(PATIENCE)
    thread.join(PATIENCE)
    assert state() == {"db": (0, 0)}


def test_slots_of_a_killed_process_are_free_for_the_next_who_asks(file: Path) -> None:
    """Nobody has to wait for them: the next who asks finds them free, and does not wait at all."""
    set_limit("db", 1)
    holder = Holder(file, "db")
    holder.wait_until_it_holds()
    holder.end(signal.SIGKILL)
    assert state() == {"db": (0, 0)}
    with concurrency("db", max_retries=0):
        assert state() == {"db": (1, 0)}


def test_a_killed_process_that_waited_holds_up_nobody(file: Path) -> None:
    """One at the head of the queue that was killed there is passed over."""
    set_limit("db", 2)
    with concurrency("db"):
        first = Holder(file, "db", occupy=2)
        until(lambda: state()["db"] == (1, 1))
        first.end(signal.SIGKILL)
        with concurrency("db", timeout_seconds=PATIENCE):
            assert state() == {"db": (2, 0)}


def test_a_process_whose_turn_it_is_is_woken(file: Path) -> None:
    """Who gives slots back tells the process that gets them: many hand-overs need nobody who looks now and then."""
    set_limit("db", 1)
    script = """
import sys
from towpath.concurrency import keeper
from towpath.concurrency.sync import concurrency
keeper.LOOK_SECONDS = 5.0
print("ready", flush=True)
sys.stdin.readline()
for _ in range(80):
    with concurrency("db"):
        pass
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, "TOWPATH_HISTORY": str(file)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    with concurrency("db"):
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
    for process in processes:
        process.communicate(timeout=2 * PATIENCE)
        assert process.returncode == 0


def test_processes_that_ask_in_opposite_orders_never_lock_each_other_out(file: Path) -> None:
    """All of several limits, or none: so two processes that name them in opposite orders both get through."""
    set_limit("a", 1)
    set_limit("b", 1)
    script = """
import sys
from towpath.concurrency.sync import concurrency
for _ in range(50):
    with concurrency({names!r}):
        pass
"""
    for process in [start(script.format(names=names), file) for names in (["a", "b"], ["b", "a"])]:
        finish(process)
    assert state() == {"a": (0, 0), "b": (0, 0)}


def test_no_more_are_inside_than_there_are_slots_whoever_is_killed(file: Path, tmp_path: Path) -> None:
    """Processes work under a limit while some are killed at any moment: never too many inside, and none left over."""
    set_limit("db", 2)
    script = """
import os, random, sys, time
from pathlib import Path
from towpath.concurrency.sync import concurrency
inside = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(15):
    with concurrency("db"):
        mark = inside / str(os.getpid())
        mark.touch()
        print(*[one.name for one in inside.iterdir()], flush=True)
        time.sleep(random.random() * 0.01)
        mark.unlink()
"""
    inside = tmp_path / "inside"
    inside.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(inside)],
            env={**os.environ, "TOWPATH_HISTORY": str(file)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for victim in processes[:2]:
        assert victim.stdout is not None
        victim.stdout.readline()
        victim.kill()
    survivors = {str(process.pid) for process in processes[2:]}
    seen = [line.split() for process in processes for line in process.communicate(timeout=PATIENCE)[0].splitlines()]
    assert [process.returncode for process in processes[2:]] == [0, 0, 0]
    assert len(seen) >= 45
    assert max(len(survivors.intersection(pids)) for pids in seen) <= 2
    assert state() == {"db": (0, 0)}


def test_a_rate_is_shared_by_processes(file: Path) -> None:
    """Two processes together go no faster than the limit."""
    set_limit("api", 2, slot_decay_per_second=20)
    script = """
import time
from towpath.concurrency.sync import rate_limit
for _ in range(6):
    rate_limit("api")
    print(time.time(), flush=True)
"""
    processes = [start(script, file) for _ in range(2)]
    times = sorted(float(line) for process in processes for line in finish(process)[0].split())
    for index, since in enumerate(times):
        for until_ in times[index:]:
            inside = sum(since <= at <= until_ for at in times)
            assert inside <= 2 + 20 * (until_ - since) + 2, "each may have been late to say that its turn had come"


def test_a_forked_child_neither_holds_nor_frees_its_parents_slots(file: Path) -> None:
    """A child that leaves the block which it was forked in takes nothing away; it can ask for slots of its own."""
    set_limit("db", 2)
    RECORDER.close()
    with concurrency("db"):
        child = os.fork()
        if child == 0:
            try:
                with concurrency("db", timeout_seconds=PATIENCE):
                    code = 0 if state()["db"][0] == 2 else 3
            except BaseException:
                code = 4
            os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert state() == {"db": (1, 0)}
    assert state() == {"db": (0, 0)}


def test_a_forked_child_leaves_its_parents_block_without_a_trace(file: Path) -> None:
    """The parent's slot is the parent's, although the child's code ends the block as well."""
    set_limit("db", 1)
    set_limit("api", 1, slot_decay_per_second=1)
    block = concurrency("db")
    block.__enter__()
    child = os.fork()
    if child == 0:
        try:
            rate_limit("api")  # so that it has slots of its own to keep apart
            block.__exit__(None, None, None)
            list_limits()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert state()["db"] == (1, 0)
    block.__exit__(None, None, None)
    assert state()["db"] == (0, 0)


def test_ctrl_c_ends_a_wait(file: Path) -> None:
    """A flow that waits for a slot and is interrupted ends at once, CRASHED, and its place in the queue is free."""
    set_limit("db", 1)
    with concurrency("db"):
        waiting = Holder(file, "db")
        until(lambda: state()["db"] == (1, 1))
        waiting.end(signal.SIGINT)
        assert state() == {"db": (1, 0)}
    with open_history(file) as history:
        assert [run.state.name for run in history.runs()] == ["Crashed"]


def test_a_process_leaves_nothing_beside_the_file(file: Path) -> None:
    """When a script has ended in order, no bell of its stays behind; and one that was killed has its removed."""
    set_limit("db", 1)
    killed = Holder(file, "db")
    killed.wait_until_it_holds()
    killed.end(signal.SIGKILL)
    finish(start("from towpath.concurrency.sync import concurrency\nwith concurrency('db'): pass", file))
    assert not list(file.parent.glob("*-bell-*"))


def test_a_rate_limit_that_nobody_waits_for_takes_its_slots_at_once(file: Path) -> None:
    """The slots of a rate belong to nobody: a process that ends gives none back."""
    set_limit("api", 3, slot_decay_per_second=0.001)
    finish(start("from towpath.concurrency.sync import rate_limit\nrate_limit('api', occupy=2)", file))
    (limit,) = list_limits()
    assert 1.9 < limit.taken <= 2
    rate_limit("api")
    (limit,) = list_limits()
    assert limit.taken > 2.5
