"""Running a piece of work for so long and no longer.

In the main thread a signal ends it, whatever it is doing. Elsewhere Python cannot interrupt a blocking call; so the
work is handed to a thread of its own, and if it does not end within a moment of being told to, nobody waits for it any
longer: it ends when its call returns.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any, Final

from towpath.engine.effects import Raised, Returned, TimedOut
from towpath.engine.interrupts import HAS_SIGNAL, OutOfTime, Stretch
from towpath.engine.threads import THREADS, block, here

#: How long work in a thread may take to end after it was told to.
GRACE_SECONDS: Final = 1.0


def within(seconds: float, work: Callable[[], Any]) -> Returned | Raised | TimedOut:
    """Do a piece of work, and end it when its time is up.

    What ends it from outside (KeyboardInterrupt, SystemExit, an interrupt of the run) is raised.
    """
    if HAS_SIGNAL and threading.current_thread() is threading.main_thread():
        return _within_this_thread(seconds, work)
    return _within_another_thread(seconds, work)


def _within_this_thread(seconds: float, work: Callable[[], Any]) -> Returned | Raised | TimedOut:
    stretch, bell = Stretch(), threading.Lock()
    late = OutOfTime()
    bell.acquire()

    def watch() -> None:
        if not bell.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            stretch.break_off(late)

    THREADS.start(watch)
    event: Returned | Raised | TimedOut
    try:
        with stretch:
            event = Returned(work())
    except Exception as error:
        event = Raised(error)
    except OutOfTime as error:
        if error is not late:  # it is meant for work that this is a part of
            raise
        event = TimedOut(seconds)
    finally:
        bell.release()
    return TimedOut(seconds) if stretch.fired else event


class _Helper:
    """Work in a thread of its own, on behalf of the one that waits for it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.stretch = Stretch()
        self.done = threading.Lock()
        self.done.acquire()
        self.event: Returned | Raised | None = None
        self.ended: BaseException | None = None
        self._lane = here.lane
        self._work: Callable[[], Any] | None = work
        self._context: contextvars.Context | None = contextvars.copy_context()

    def __call__(self) -> None:
        here.lane = self._lane
        assert self._work is not None
        assert self._context is not None
        try:
            with self.stretch:
                self.event = Returned(self._context.run(self._work))
        except Exception as error:
            self.event = Raised(error)
        except BaseException as error:
            self.ended = self.stretch.cause(error)
        finally:
            here.lane = here.nested = here.stretch = None
            self._work = self._context = None
            self.done.release()


def _within_another_thread(seconds: float, work: Callable[[], Any]) -> Returned | Raised | TimedOut:
    helper = _Helper(work)
    THREADS.start(helper)
    try:
        if not block(helper.done, seconds, keep_place=True):
            helper.stretch.break_off(OutOfTime())
            return TimedOut(seconds, stuck=not block(helper.done, GRACE_SECONDS, keep_place=True))
    except BaseException as error:
        helper.stretch.break_off(error)
        helper.done.acquire(timeout=GRACE_SECONDS)
        raise
    if helper.ended is not None:
        raise helper.ended
    assert helper.event is not None
    return helper.event
