"""Locks between the threads of one process."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import Any, Final
from weakref import WeakSet

from towpath.engine.threads import block


class _Lock:
    """Who has a lock, and who waits for it, in order."""

    __slots__ = ("holder", "waiting")

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self.waiting: deque[tuple[threading.Lock, str | None]] = deque()  # their bells, and who they would be


class MemoryLockManager:
    """Gives locks to the threads of this process, in the order in which they ask.

    A task that waits for a lock leaves its place in the task runner to others.
    """

    def __init__(self) -> None:
        self.forget()
        _managers.add(self)

    def forget(self) -> None:
        """Begin anew, as a forked process has to: those who hold the locks live on in the parent only."""
        self._guard = threading.Lock()
        self._locks: dict[str, _Lock] = {}

    def acquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None) -> bool:
        """Take a lock, waiting for it if somebody else has it; tell whether it was had."""
        with self._guard:
            lock = self._locks.get(key)
            if lock is None:
                self._locks[key] = _Lock(holder)
                return True
            if lock.holder == holder:
                return True
            bell = self._queue(lock, holder)
        return self._wait(key, lock, bell, holder, acquire_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Give a lock back; whoever has waited longest has it then."""
        with self._guard:
            lock = self._locks.get(key)
            if lock is None or lock.holder != holder:
                raise ValueError(f"The lock {key!r} cannot be given back: {holder!r} does not have it.")
            self._hand_on(key, lock)

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody has a lock."""
        return key in self._locks

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Tell whether a holder has a lock."""
        lock = self._locks.get(key)
        return lock is not None and lock.holder == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody has a lock, `timeout` seconds at most; tell whether that came."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._guard:
                lock = self._locks.get(key)
                if lock is None:
                    return True
                bell = self._queue(lock, None)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._wait(key, lock, bell, None, left):
                return False

    def _queue(self, lock: _Lock, holder: str | None) -> threading.Lock:
        bell = threading.Lock()
        bell.acquire()
        lock.waiting.append((bell, holder))
        return bell

    def _wait(self, key: str, lock: _Lock, bell: threading.Lock, holder: str | None, seconds: float | None) -> bool:
        """Wait for the bell; without it, leave the queue, or hand on the lock that has just been given."""
        rung = False
        try:
            deadline = None if seconds is None else time.monotonic() + seconds
            while not rung:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                rung = block(bell, left)
        finally:
            if not rung:
                with self._guard:
                    try:
                        lock.waiting.remove((bell, holder))
                    except ValueError:  # rung in this very moment
                        if holder is not None:
                            self._hand_on(key, lock)
        return rung

    def _hand_on(self, key: str, lock: _Lock) -> None:
        """Give the lock to whoever is next, with the guard held; those who only wait for a free lock look again."""
        while lock.waiting:
            bell, holder = lock.waiting.popleft()
            if holder is not None:
                lock.holder = holder
                bell.release()
                return
            bell.release()
        del self._locks[key]

    def __reduce__(self) -> tuple[Any, ...]:
        return MemoryLockManager, ()  # in another process it is another one, which keeps that one's threads apart


_managers: Final[WeakSet[MemoryLockManager]] = WeakSet()


def _after_fork() -> None:
    for manager in tuple(_managers):
        manager.forget()


os.register_at_fork(after_in_child=_after_fork)
