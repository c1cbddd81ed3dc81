"""Wakes a server: a named pipe beside the history file, which anybody on this machine who may use the file may ring.

A ring says nothing but "look". One that gets lost does no harm: a server looks every second anyhow.
"""

from __future__ import annotations

import math
import os
import select
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from towpath.history.alive import Alive

_INFIX: Final = "-bell-"
_ENOUGH: Final = 65536


class Bell:
    """A server's own bell.

    Args:
        history: path of the history file.
        server: token of the server's process.
    """

    def __init__(self, history: Path, server: int) -> None:
        self._path = _path(history, server)
        self._guard = threading.RLock()  # a signal handler may ring while its own thread does
        self._is_down = False
        os.mkfifo(self._path, 0o600)
        self._pipe = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)  # also for writing: it never ends

    def ring(self) -> None:
        """Wake the server, from any thread or signal handler of its own process."""
        with self._guard, suppress(BlockingIOError):  # it is full of rings
            if not self._is_down:
                os.write(self._pipe, b"!")

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, or so long; tell whether it rang."""
        rings = select.poll()  # which, other than `select`, knows files beyond the thousandth
        rings.register(self._pipe, select.POLLIN)
        ready = rings.poll(math.ceil(max(0.0, seconds) * 1000))
        if ready:
            with suppress(BlockingIOError):
                os.read(self._pipe, _ENOUGH)
        return bool(ready)

    def take_down(self) -> None:
        """Remove the bell; a thread that still rings it does so in vain."""
        with self._guard:
            self._is_down = True
            self._path.unlink(missing_ok=True)
            os.close(self._pipe)


def ring(history: Path, server: int) -> bool:
    """Wake the server with this token; tell whether there was one to hear it."""
    try:
        pipe = os.open(_path(history, server), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # no bell, or nobody who listens
        return False
    try:
        os.write(pipe, b"!")
    except BlockingIOError:  # it is full of rings
        pass
    except OSError:
        return False
    finally:
        os.close(pipe)
    return True


def remove_left_over(history: Path, alive: Alive) -> None:
    """Remove the bells of servers that have gone without doing so."""
    for path in history.parent.glob(f"{history.name}{_INFIX}*"):
        token = path.name.rpartition("-")[2]
        with suppress(ValueError, OSError):
            if not alive.is_alive(int(token, 16)):
                path.unlink()


def _path(history: Path, server: int) -> Path:
    return history.with_name(f"{history.name}{_INFIX}{server:x}")
