"""Ending work from outside: from a signal handler, from another thread, or because its time is up.

Python offers three ways, each good for one kind of thread, and each with a trap that this module keeps in one place:

- the main thread: a signal, whose handler raises there. It interrupts blocking calls as well. The signal is SIGURG,
  which does no harm when it comes late: its default is to be ignored.
- any other thread: an asynchronous exception, raised between two bytecodes. A blocking call is not interrupted; our own
  waits are, by releasing the lock that they wait for.
- a task of an event loop: its cancellation.

The trap is lateness: an exception must not reach a thread that has already gone on to something else. So work that may
be ended runs within `with stretch:`, and nothing is delivered before or after.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Final, Self

from towpath.engine.effects import Ended
from towpath.engine.threads import THREADS, here

_MAIN: Final = threading.main_thread().ident
_SIGNAL: Final = getattr(signal, "SIGURG", None)
HAS_SIGNAL: Final = _SIGNAL is not None
#: What a run says that somebody has cancelled.
CANCELLED: Final = "The run was cancelled."


class OutOfTime(BaseException):
    """A piece of work ran longer than it may."""


class Stretch:
    """Work of one thread that may be ended, once, by an exception raised in it.

    Entered again and again by the same piece of work, one `with` after the other. An end that is asked for in between
    is raised by the next `with`.
    """

    __slots__ = ("_cancel", "_error", "_ident", "_lock", "_open", "_outer", "_raised", "_sent", "fired", "waker")

    def __init__(self) -> None:
        self.fired = False
        self.waker: threading.Lock | None = None
        self._lock = threading.RLock()  # a signal handler may find it held by the very thread that it runs in
        self._error: BaseException | None = None
        self._open = False
        self._raised = False
        self._sent = False
        self._ident: int | None = None
        self._outer: Stretch | None = None
        self._cancel: Callable[[], None] | None = None

    def break_off(self, error: BaseException) -> None:
        """Raise an exception in the work: now, at its next step, or when it begins; a second end changes nothing."""
        with self._lock:
            if self.fired:
                return
            self._error = error
            self.fired = True
            if self._open:
                self._deliver()

    def cause(self, error: BaseException) -> BaseException:
        """Give the exception that the work was ended with for the one it saw, which Python may have made itself."""
        if self._error is None or not self._raised:
            return error
        if self._cancel is None:
            return self._error if type(error) is type(self._error) else error
        import asyncio

        if not isinstance(error, asyncio.CancelledError):
            return error
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        return self._error

    def in_loop(self) -> None:
        """Deliver by cancelling the current asyncio task, from now on."""
        import asyncio

        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def cancel() -> None:
            if self._open and not self._raised:
                self._raised = True
                task.cancel()

        def call() -> None:
            with suppress(RuntimeError):  # the loop has closed: there is nothing left to end
                loop.call_soon_threadsafe(cancel)

        self._cancel = call

    def __enter__(self) -> Self:
        with self._lock:
            if self.fired and not self._raised:
                self._raised = True
                assert self._error is not None
                raise self._error
            self._ident = threading.get_ident()
            if self._cancel is None:
                if self._ident == _MAIN and _SIGNAL is not None:
                    _listen()
                    _in_main.append(self)
                else:
                    self._outer, here.stretch = here.stretch, self
            self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._open = False
            if self._cancel is not None:
                return
            if self in _in_main:
                _in_main.remove(self)
                return
            if self._sent:
                self._sent = False
                _raise_in_thread(self._ident, None)  # what did not come through must not come later
            here.stretch = self._outer

    def _deliver(self) -> None:
        assert self._error is not None
        if self._cancel is not None:
            self._cancel()
        elif self._ident == threading.get_ident():
            self._raised = True
            raise self._error
        elif self in _in_main:
            self._knock()
            THREADS.start(self._keep_knocking)
        else:
            self._raised = self._sent = True
            _raise_in_thread(self._ident, type(self._error))
            if (waker := self.waker) is not None:
                with suppress(RuntimeError):  # what it waits for came in the same moment
                    waker.release()

    def _knock(self) -> bool:
        """Send the signal; tell whether that was of any use."""
        with self._lock:
            if self._raised or not self._open:
                return False
            assert _SIGNAL is not None
            signal.pthread_kill(self._ident or 0, _SIGNAL)
            return True

    def _keep_knocking(self) -> None:
        """Send the signal until it has been heard: one that comes just before a blocking call does not interrupt it."""
        pause = 0.01
        while self._knock():
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def raise_in_main(self) -> None:
        """Raise the exception that is due, from the signal handler; there is nothing more to deliver then."""
        if self.fired and not self._raised and self._open:
            self._raised = True
            self._open = False
            _in_main.remove(self)
            assert self._error is not None
            raise self._error


class Interrupt(Stretch):
    """Ends a flow run in order; made by whoever starts the run, given to `run_flow`.

    Use:
        interrupt = Interrupt()
        signal.signal(signal.SIGTERM, lambda *_: interrupt.end("Pod is terminated.", cancelled=was_asked_for()))
        state = run_flow(flow, parameters, run=run, interrupt=interrupt)

    User code sees an exception that `except Exception` does not catch, so `finally` and `with` do their work; tasks in
    threads are ended as well; hooks run; the end is reported as CANCELLED, or CRASHED if nobody asked for a cancel.
    """

    __slots__ = ()

    def end(self, message: str = "The process was told to stop.", *, cancelled: bool = False) -> None:
        """End the run, from a signal handler or any thread; one that has not begun ends before any user code runs.

        Args:
            message: why, in a sentence; the message of the run's state.
            cancelled: whether somebody asked for the run to be cancelled.
        """
        self.break_off(Ended(message, cancelled))

    def cancel(self) -> None:
        """End the run because somebody asked for that."""
        self.end(CANCELLED, cancelled=True)


_in_main: Final[list[Stretch]] = []
_previous: Any = None


def _raise_in_thread(ident: int | None, kind: type[BaseException] | None) -> None:
    """Have an exception raised in a thread, between two bytecodes; None: take back what has not been raised yet."""
    import ctypes

    error = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident or 0), error)


def _listen() -> None:
    """See to it that our handler is in place; a flow may have put its own there meanwhile."""
    global _previous
    assert _SIGNAL is not None
    current = signal.getsignal(_SIGNAL)
    if current is not _on_signal:
        _previous = current
        signal.signal(_SIGNAL, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    for stretch in tuple(_in_main):  # the outermost first: what ends it ends those within
        stretch.raise_in_main()
    if callable(_previous):
        _previous(number, frame)
