"""Threads that all runs share, and how to wait in one of them without holding anybody up.

`concurrent.futures` has two habits that a task runner cannot live with: a piece of work that waits for another one in
the same bounded pool keeps its place there, which ends in a deadlock; and every pool starts threads of its own. Here
threads are shared and kept for a while, a `Lane` counts how much work of one runner goes on at a time, and `block`
gives the place of a waiting piece to somebody else until the wait is over.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import asyncio

    from towpath.engine.interrupts import Stretch

Work: TypeAlias = Callable[[], None]
"""Something to do in a thread; it deals with its own exceptions."""

IDLE_SECONDS: Final = 10.0
#: How many threads may be at work before it matters whether they get on. Short pieces are done soonest by few threads:
#: hundreds would keep each other from the interpreter.
_FREELY: Final = 32
#: How long nobody may have taken a piece before more threads are called than that.
_STANDSTILL_SECONDS: Final = 0.002
#: How long after an idle thread the next may go.
_APART_SECONDS: Final = 0.001


class Here(threading.local):
    """What the current thread is busy with."""

    lane: Lane | None = None
    """Whose place the current work holds."""
    stretch: Stretch | None = None
    """How the current work may be ended from outside; None where signals do that, or nobody may."""
    nested: deque[Work] | None = None
    """Work that the current work has started, and that waits for a place."""
    ours: bool = False
    """Whether the thread is one of `Threads`."""
    runner: asyncio.Runner | None = None
    """The thread's event loop, once it needed one; closed when the thread ends."""


here: Final = Here()


class Threads:
    """Daemon threads, started when there is work for them and kept for a few idle seconds.

    Whoever takes a piece of work wakes a colleague if there is more; so a burst of short pieces is worked off by a few
    threads, while pieces that block get a thread each. Once there are more than a few, somebody watches whether they
    get on, and calls others only when they do not.
    """

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process has to: the threads live on in the parent only."""
        self._lock = threading.Lock()
        self._work: deque[Work] = deque()
        self._idle: dict[threading.Lock, threading.Thread] = {}  # by the bell that wakes each
        self._closing = False
        self._waking = False  # somebody was woken or started and has not looked for work yet
        self._busy = 0  # threads that are not idle, be it that they wait for something
        self._taken = 0  # pieces, ever
        self._watched = False  # somebody watches whether pieces are taken
        self.short = False  # the system has refused to give a further thread

    def start(self, work: Work) -> None:
        """Have a piece of work done, soon, by some thread."""
        with self._lock:
            self._work.append(work)
            wake = self._call()
        if wake:
            wake()

    def close(self) -> None:
        """Let idle threads go, before the process exits; those that are busy are left to their work."""
        with self._lock:
            self._closing = True
            idle, self._idle = self._idle, {}
        for bell, thread in idle.items():  # one by one, as they go at other times too
            _ring(bell)
            thread.join(1.0)

    def _call(self) -> Callable[[], None] | None:
        """Choose how to get a thread to look for work, with the lock held; None if one is on its way."""
        if self._waking:
            return None
        if self._busy >= _FREELY:
            watches, self._watched = not self._watched, True
            return self._start_watch if watches else None
        self._waking = True
        return self._colleague()

    def _colleague(self) -> Callable[[], None]:
        return partial(_ring, self._idle.popitem()[0]) if self._idle else self._hire

    def _hire(self) -> None:
        try:
            threading.Thread(target=self._serve, name="towpath", daemon=True).start()
        except RuntimeError:  # those that there are will come to the work, or those that wait will help
            with self._lock:
                self._waking = False
                self.short = True

    def _start_watch(self) -> None:
        try:
            threading.Thread(target=self._watch, name="towpath-watch", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._watched = False
                self.short = True

    def _watch(self) -> None:
        """While there is work, call others whenever none of it is taken: one, then two, then four …"""
        taken, more = -1, 1
        while True:
            time.sleep(_STANDSTILL_SECONDS)
            with self._lock:
                if not self._work:
                    self._watched = False
                    return
                more = 2 * more if taken == self._taken else 1
                calls = [self._colleague() for _ in range(min(more // 2, len(self._work), len(self._idle) or more))]
                taken = self._taken
            for call in calls:
                call()

    def help_until(self, lock: threading.Lock) -> bool:
        """Do others' work in this thread, which is about to wait, until a lock can be had; tell whether it was had."""
        while not lock.acquire(blocking=False):
            with self._lock:
                if not self._work:
                    return False
                work = self._work.popleft()
            lane, nested, stretch = here.lane, here.nested, here.stretch
            here.lane = here.nested = here.stretch = None
            try:
                work()
            finally:
                here.lane, here.nested, here.stretch = lane, nested, stretch
        return True

    def _serve(self) -> None:
        here.ours = True
        try:
            self._work_off()
        finally:
            if here.runner is not None:
                here.runner.close()

    def _work_off(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        called = True
        is_eldest = False
        while True:
            work: Work | None = None
            wake = None
            with self._lock:
                if called:
                    self._waking = called = False
                    self._busy += 1
                if self._work:
                    work = self._work.popleft()
                    self._taken += 1
                    wake = self._call() if self._work else None
                elif self._closing:
                    return
                else:
                    self._busy -= 1
                    is_eldest = not self._idle
                    self._idle[bell] = threading.current_thread()
            if wake:
                wake()
            if work is not None:
                work()
                continue
            if not self._is_called(bell, is_eldest):
                return
            called = True

    def _is_called(self, bell: threading.Lock, is_eldest: bool) -> bool:
        """Wait for a call; tell whether it came, or the thread is to go.

        Only the eldest looks at the clock, and when it goes, so does the next. If ten thousand threads went at once,
        they would keep each other and everybody else from work for a minute, as each needs the interpreter for it.
        """
        seconds = self._idle_seconds if is_eldest else -1
        while True:
            rung = bell.acquire(timeout=seconds)
            with self._lock:
                is_called = bell not in self._idle
                if not rung and not is_called:
                    del self._idle[bell]
                    for heir in self._idle:
                        _ring(heir)
                        break
                    return False
            if is_called:
                if not rung:
                    bell.acquire()  # called in the very last moment
                return True
            seconds = min(self._idle_seconds, _APART_SECONDS)  # the eldest by now


def _ring(bell: threading.Lock) -> None:
    try:
        bell.release()
    except RuntimeError:  # it has been rung for another reason, and not been heard yet
        return


THREADS: Final = Threads()
atexit.register(THREADS.close)
os.register_at_fork(after_in_child=THREADS.forget)


class Lane:
    """At most so many pieces of work at a time; a piece that waits for a run does not count while it waits.

    What is started from outside gets its turn in order. What a piece of work starts comes before that, and what its own
    work starts before that again: so work that divides itself goes deep first, and few of its pieces wait at a time.
    """

    def __init__(self, width: int | None) -> None:
        self._free = width
        self._lock = threading.Lock()
        self._work: list[deque[Work]] = [deque()]  # from outside, then a queue for each piece that started some
        self._returning: deque[threading.Lock] = deque()

    def start(self, work: Work) -> None:
        """Have a piece of work done when there is room for it."""
        if self._free is None:
            THREADS.start(work)
            return
        with self._lock:
            if self._free == 0:
                self._queue().append(work)
                return
            self._free -= 1
        THREADS.start(lambda: self._do(work))

    def leave(self) -> None:
        """Give a place up: to somebody who returns from a wait, else to the next piece of work."""
        assert self._free is not None
        with self._lock:
            returning = self._returning.popleft() if self._returning else None
            work = self._next() if returning is None else None
            if returning is None and work is None:
                self._free += 1
        if returning is not None:
            returning.release()
        elif work is not None:
            THREADS.start(lambda: self._do(work))

    def rejoin(self) -> None:
        """Take a place again after a wait; those who return come before new work."""
        assert self._free is not None
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._returning.append(turn)
        turn.acquire()

    def _do(self, work: Work) -> None:
        here.lane = self
        try:
            work()
        finally:
            here.lane = here.nested = None
            self.leave()

    def _queue(self) -> deque[Work]:
        """Choose where what the current code starts is to wait, with the lock held."""
        if here.lane is not self:
            return self._work[0]
        if here.nested is None:
            here.nested = deque()
        if not here.nested:  # a queue that was found empty is no longer looked at
            self._work = [queue for queue in self._work if queue is not here.nested]
            self._work.append(here.nested)
        return here.nested

    def _next(self) -> Work | None:
        while len(self._work) > 1 and not self._work[-1]:
            self._work.pop()
        return self._work[-1].popleft() if self._work[-1] else None


def block(lock: threading.Lock, seconds: float | None = None, *, keep_place: bool = False) -> bool:
    """Acquire a lock that another thread will release, such that an interrupt ends the wait.

    Args:
        lock: held now; whoever brings what is waited for releases it.
        seconds: how long to wait at most; None: for ever.
        keep_place: the wait is for work done on this work's own behalf, so its place stays taken.

    Returns:
        Whether the lock was acquired.
    """
    lane = None if keep_place else here.lane
    stretch = here.stretch
    timeout = -1 if seconds is None else min(max(seconds, 0.0), threading.TIMEOUT_MAX)
    if lane is not None:
        lane.leave()
    try:
        if THREADS.short and here.ours and THREADS.help_until(lock):
            return True
        if stretch is None:
            return lock.acquire(timeout=timeout)
        stretch.waker = lock  # first this, then the look at `fired`: whoever interrupts does it the other way round
        return not stretch.fired and lock.acquire(timeout=timeout) and not stretch.fired
    finally:
        if stretch is not None:
            stretch.waker = None
        if lane is not None:
            lane.rejoin()
