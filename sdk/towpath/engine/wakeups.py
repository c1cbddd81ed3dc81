"""Hears signals at once, whatever the main thread is doing.

Python runs a signal's handler in the main thread, between two of its instructions. A signal that arrives in the
instant before a blocking call is therefore noticed when that call returns: after a `sleep` of an hour, an hour late.
What Python does at once is to write the signal's number to a file descriptor; a thread that reads there hears of every
signal.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NOBODY = -1


@contextmanager
def heard(tell: Callable[[int], object]) -> Iterator[None]:
    """Tell the numbers of signals as they arrive, in a thread of its own; to be used in the main thread.

    Heard are signals that have a handler in Python; the handler is called as well, sooner or later. A process forked
    meanwhile hears nothing: its signals are its own.

    Args:
        tell: called with the number of each signal.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def listen() -> None:
        while numbers := reader.recv(64):
            for number in numbers:
                tell(number)

    listener = threading.Thread(target=listen, name="towpath-signals", daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    _listening.add(writer.fileno())
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        _listening.discard(writer.fileno())
        writer.close()
        listener.join()
        reader.close()


_listening: set[int] = set()


def _forget() -> None:
    """Let a forked child's signals not reach its parent."""
    if _listening:
        listening = signal.set_wakeup_fd(NOBODY)
        if listening not in _listening:  # an event loop's, which looks after itself
            signal.set_wakeup_fd(listening)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
