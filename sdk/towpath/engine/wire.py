"""Messages between a process and one of its workers: the name of what is to be done there, and with what."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Protocol

from towpath.engine.parcels import dumps, loads


class Sends(Protocol):
    """The way to somebody."""

    def send(self, name: str, *args: Any) -> None:
        """Have the other side do something."""


class Wire:
    """One end; several threads may send, one receives."""

    def __init__(self, fd: int) -> None:
        self._connection = Connection(fd)
        self._lock = threading.Lock()

    def send(self, name: str, *args: Any) -> None:
        """Have the other side do something; nothing happens if it is gone, which whoever receives will notice."""
        data = dumps((name, args))
        with self._lock, suppress(OSError):
            self._connection.send_bytes(data)

    def serve(self, target: object) -> None:
        """Do what the other side wants, by the methods of `target` named `on_…`, until it is gone."""
        with self._connection:
            while True:
                try:
                    data = self._connection.recv_bytes()
                except (EOFError, OSError):
                    return
                name, args = loads(data)
                getattr(target, f"on_{name}")(*args)

    def hang_up(self) -> None:
        """Part from the other side; both find out by what they receive."""
        with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)
