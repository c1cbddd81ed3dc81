"""Locks: one suite over both managers, and what only one of them promises."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from towpath.errors import StorageError
from towpath.locking.filesystem import FileSystemLockManager, locks_in
from towpath.locking.memory import MemoryLockManager
from towpath.locking.protocol import LockManager

HOLD = """
import sys
from towpath.locking.filesystem import FileSystemLockManager
assert FileSystemLockManager(sys.argv[1]).acquire_lock("k", "other")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["memory", "folder"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> LockManager:
    """A lock manager of each kind."""
    return MemoryLockManager() if request.param == "memory" else FileSystemLockManager(tmp_path / "locks")


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock `k`, until it is told otherwise."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "locks")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def beside(work: Callable[[], object]) -> threading.Thread:
    """Do something in another thread."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_both_are_lock_managers(locks: LockManager) -> None:
    """Authors may write a third."""
    assert isinstance(locks, LockManager)


def test_a_lock_is_one_holders_until_it_is_given_back(locks: LockManager) -> None:
    """Whoever has it may take it again; another key is another lock."""
    assert not locks.is_locked("k")
    assert locks.acquire_lock("k", "a")
    assert locks.acquire_lock("k", "a")
    assert locks.acquire_lock("other/k", "b")
    assert (locks.is_locked("k"), locks.is_lock_holder("k", "a"), locks.is_lock_holder("k", "b")) == (True, True, False)
    assert not locks.acquire_lock("k", "b", 0)
    assert not locks.acquire_lock("k", "b", 0.01)
    locks.release_lock("k", "a")
    assert not locks.is_locked("k")
    assert locks.acquire_lock("k", "b", 0)


def test_only_its_holder_gives_a_lock_back(locks: LockManager) -> None:
    """Anything else is a mistake in the program, and is said."""
    with pytest.raises(ValueError, match="'k' cannot be given back: 'a' does not have it"):
        locks.release_lock("k", "a")
    locks.acquire_lock("k", "a")
    with pytest.raises(ValueError, match="'b' does not have it"):
        locks.release_lock("k", "b")
    assert locks.is_lock_holder("k", "a")


def test_one_at_a_time_has_it(locks: LockManager) -> None:
    """Many threads that want it get it one after the other."""
    inside, most, had = 0, 0, []

    def work(name: str) -> None:
        nonlocal inside, most
        for _ in range(5):
            assert locks.acquire_lock("k", name)
            inside += 1
            most = max(most, inside)
            had.append(name)
            inside -= 1
            locks.release_lock("k", name)

    threads = [beside(lambda name=f"t{n}": work(name)) for n in range(6)]  # type: ignore[misc]
    for thread in threads:
        thread.join(60)
    assert (most, len(had)) == (1, 30)
    assert not locks.is_locked("k")


def test_waiting_for_a_free_lock_takes_none(locks: LockManager) -> None:
    """`wait_for_lock` tells whether it became free in time."""
    assert locks.wait_for_lock("k", 0)
    locks.acquire_lock("k", "a")
    assert not locks.wait_for_lock("k", 0.01)
    waiting = beside(lambda: locks.wait_for_lock("k"))
    locks.release_lock("k", "a")
    waiting.join(60)
    assert not waiting.is_alive()
    assert not locks.is_locked("k")


def test_whoever_gives_up_waiting_leaves_nothing_behind(locks: LockManager) -> None:
    """A wait that took too long does not take the lock later."""
    locks.acquire_lock("k", "a")
    assert not locks.acquire_lock("k", "b", 0.01)
    locks.release_lock("k", "a")
    assert not locks.is_locked("k")
    assert locks.acquire_lock("k", "c", 0)


def test_threads_get_their_turn_in_order() -> None:
    """Within a process nobody is passed over."""
    locks = MemoryLockManager()
    locks.acquire_lock("k", "first")
    had: list[str] = []

    def work(name: str) -> None:
        locks.acquire_lock("k", name)
        had.append(name)
        locks.release_lock("k", name)

    threads = []
    for n in range(5):
        threads.append(beside(lambda name=str(n): work(name)))  # type: ignore[misc]
        while len(locks._locks["k"].waiting) <= n:
            time.sleep(0)
    locks.release_lock("k", "first")
    for thread in threads:
        thread.join(60)
    assert had == ["0", "1", "2", "3", "4"]


def test_a_copy_of_a_memory_lock_knows_nothing_of_the_original() -> None:
    """It may travel with a task, and keeps apart the threads of the process where it is."""
    locks = MemoryLockManager()
    locks.acquire_lock("k", "a")
    assert not pickle.loads(pickle.dumps(locks)).is_locked("k")


def test_processes_are_kept_apart(tmp_path: Path, other_process: subprocess.Popen[str]) -> None:
    """What another process has cannot be had, nor given back; once it has ended, it can."""
    locks = FileSystemLockManager(tmp_path / "locks")
    assert locks.is_locked("k")
    assert not locks.acquire_lock("k", "a", 0.02)
    assert not locks.wait_for_lock("k", 0.02)
    other_process.communicate("")
    assert locks.acquire_lock("k", "a", 60)


def test_a_killed_process_holds_nothing(tmp_path: Path, other_process: subprocess.Popen[str]) -> None:
    """However it ended, its locks are free, and whoever waits for one has it soon."""
    locks = FileSystemLockManager(tmp_path / "locks")
    had: list[bool] = []
    waiting = beside(lambda: had.append(locks.acquire_lock("k", "a", 60)))
    other_process.send_signal(signal.SIGKILL)
    waiting.join(60)
    assert had == [True]


def test_no_file_is_left(tmp_path: Path) -> None:
    """A folder of locks does not grow with the number of keys that were ever locked."""
    locks = FileSystemLockManager(tmp_path / "locks")
    for key in ("a", "b/c", "..", "x" * 1000, "ümlaut", "with space"):
        locks.acquire_lock(key, "h")
        assert len(list((tmp_path / "locks").iterdir())) == 1
        locks.release_lock(key, "h")
    assert list((tmp_path / "locks").iterdir()) == []


def test_two_managers_of_one_folder_agree(tmp_path: Path) -> None:
    """Each flow may make its own; and one that was pickled is another."""
    one = FileSystemLockManager(tmp_path)
    other = pickle.loads(pickle.dumps(one))
    assert (one, hash(one)) == (other, hash(other))
    one.acquire_lock("k", "a")
    assert not other.acquire_lock("k", "b", 0)
    one.release_lock("k", "a")
    assert other.acquire_lock("k", "b", 0)


def test_all_who_ask_for_a_folders_locks_have_the_same() -> None:
    """However many ask at the same moment: what one has taken, another may give back on its behalf."""
    found: list[LockManager] = []
    threads = [beside(lambda: found.append(locks_in("/nowhere/at-all"))) for _ in range(20)]
    for thread in threads:
        thread.join(60)
    assert len(set(map(id, found))) == 1


def test_a_forked_process_does_not_hold_its_parents_locks(tmp_path: Path) -> None:
    """The parent gives a lock back although a child, which has a copy of everything, is still there."""
    locks = FileSystemLockManager(tmp_path)
    locks.acquire_lock("k", "a")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # the child
        os.close(writer)
        knows_nothing = not locks.is_lock_holder("k", "a")
        os.read(reader, 1)
        os._exit(0 if knows_nothing else 1)
    os.close(reader)
    try:
        locks.release_lock("k", "a")
        assert FileSystemLockManager(tmp_path).acquire_lock("k", "b", 0)
    finally:
        os.close(writer)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """And the lock is not half taken."""
    (tmp_path / "locks").write_text("mine")
    locks = FileSystemLockManager(tmp_path / "locks")
    with pytest.raises(StorageError, match=r"Locks cannot be taken in the folder '.*/locks'"):
        locks.acquire_lock("k", "a")
    assert not locks.is_lock_holder("k", "a")


def test_an_interrupted_wait_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C while waiting, and the lock goes to the next."""
    code = (
        "import os, signal, threading, time\n"
        "from towpath.locking.memory import MemoryLockManager\n"
        "locks = MemoryLockManager(); locks.acquire_lock('k', 'a')\n"
        "def interrupt():\n"
        "    while not locks._locks['k'].waiting: time.sleep(0.01)\n"
        "    time.sleep(0.1)  # it is in the queue, and falls asleep now\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt).start()\n"
        "try: locks.acquire_lock('k', 'b')\n"
        "except KeyboardInterrupt: pass\n"
        "locks.release_lock('k', 'a'); print(locks.is_locked('k'))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=100)
    assert run.stdout == "False\n"


def test_work_of_many_processes_is_done_one_at_a_time(tmp_path: Path) -> None:
    """A counter in a file, read and written by several processes, loses no count."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=count_up, args=(str(tmp_path), 20)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    assert counter.read_text() == "60"


def count_up(folder: str, times: int) -> None:
    """Add to the counter, under its lock."""
    locks, counter = FileSystemLockManager(f"{folder}/locks"), Path(folder) / "counter"
    for _ in range(times):
        locks.acquire_lock("counter", str(os.getpid()))
        counter.write_text(str(int(counter.read_text()) + 1))
        locks.release_lock("counter", str(os.getpid()))
