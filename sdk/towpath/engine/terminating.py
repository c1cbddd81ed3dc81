"""SIGTERM, for flows that a script calls: they end in order, all is recorded, and then the process ends by the signal.

Somebody outside may also cancel such a flow, and the process goes on, in whatever thread it runs and whoever listens
for signals.

What Python does of itself, to end at once, would leave hooks undone, task runs of the last moment unrecorded, and a run
that is RUNNING until somebody looks. It is left to whoever has a handler already, as servers and pods have.

A forked process is to end as it would without us. Python forgets signals that arrive while it forks, if they have a
handler; so SIGTERM waits at the system's until the child has none.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from towpath.engine.execution import Execution
from towpath.engine.interrupts import Interrupt
from towpath.history.recorder import RECORDER
from towpath.history.wishes import endable

#: How long a second signal, which ends the process at once, waits for a disk.
_HASTY_SECONDS: Final = 0.5

_open: Final[list[Interrupt]] = []
_told = False
_forking: Final = threading.local()


@contextmanager
def heeding_others(run: Execution) -> Iterator[None]:
    """End a flow run in order when somebody outside cancels it, and when SIGTERM comes.

    Args:
        run: of a flow that nobody has called.
    """
    run.stretch = interrupt = Interrupt()
    with endable(run.run.id, interrupt.cancel), _heeding_sigterm(interrupt):
        yield


@contextmanager
def _heeding_sigterm(interrupt: Interrupt) -> Iterator[None]:
    """Do so in the main thread, unless somebody else listens for it."""
    if threading.current_thread() is not threading.main_thread() or not _is_ours_to_hear():
        yield
        return
    _open.append(interrupt)
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        yield
    finally:
        if interrupt in _open:  # not so in a forked process
            _open.remove(interrupt)
            if not _open:
                _leave()


def _is_ours_to_hear() -> bool:
    return signal.getsignal(signal.SIGTERM) is (_on_sigterm if _open else signal.SIG_DFL)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    del number, frame
    global _told
    if _told:
        RECORDER.flush(_HASTY_SECONDS)
        _end_by_signal()
    _told = True
    for interrupt in tuple(_open):
        interrupt.end("The process was told to stop (SIGTERM).")


def _leave() -> None:
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if _told:
        RECORDER.flush()  # tasks outside of the flow: its own end has been written
        _end_by_signal()


def _end_by_signal() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _hold_back() -> None:
    if _open:
        _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_through() -> None:
    if _open and hasattr(_forking, "mask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _forget() -> None:
    """Be as any other process, with what came meanwhile."""
    global _told
    if _open:
        if signal.getsignal(signal.SIGTERM) is _on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _let_through()
    _open.clear()
    _told = False


os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_forget)
