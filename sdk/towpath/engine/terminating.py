"""SIGTERM, for flows that a script calls: they end in order, all is recorded, and then the process ends by the signal.

What Python does of itself, to end at once, would leave hooks undone, task runs of the last moment unrecorded, and a run
that is RUNNING until somebody looks. It is left to whoever has a handler already, as servers and pods have.
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

_open: Final[list[Interrupt]] = []
_process = 0
"""In which the handler was put in its place; a fork inherits it, and should end as it would without."""
_told = False
#: How long a second signal, which ends the process at once, waits for a disk.
_HASTY_SECONDS: Final = 0.5


@contextmanager
def heeding_sigterm(run: Execution) -> Iterator[None]:
    """End a flow run in order when SIGTERM comes; in the main thread, unless somebody else listens for it.

    Args:
        run: of a flow that nobody has called.
    """
    global _process
    if threading.current_thread() is not threading.main_thread() or not _is_ours_to_hear():
        yield
        return
    interrupt = Interrupt()
    run.stretch = interrupt
    if not _open:
        _process = os.getpid()
        signal.signal(signal.SIGTERM, _on_sigterm)
    _open.append(interrupt)
    try:
        yield
    finally:
        _open.remove(interrupt)
        if not _open:
            _leave()


def _is_ours_to_hear() -> bool:
    handler = signal.getsignal(signal.SIGTERM)
    return handler is signal.SIG_DFL or (handler is _on_sigterm and bool(_open) and _process == os.getpid())


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    del number, frame
    global _told
    if _process != os.getpid():
        _end_by_signal()
    elif _told:
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
