"""Which processes are still there: each holds a lock on one byte of a file, and the system lets go of it when they end.

A process id alone does not tell: it is given out again, and means something else in another container. A lock does: it
cannot outlive its process, however that ended, and a forked child does not inherit it. The byte is the process's token,
a random number.

POSIX drops *all* locks of a process on a file as soon as the process closes *any* descriptor of it. So the file is
opened once a process, kept here, and never closed.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TOKEN_BYTES: Final = 7  # tokens are offsets in a file and integers in SQLite: both have 63 bits
_SETTING_UP: Final = 0  # byte of whoever creates the database, or puts it aside


class Alive:
    """The file in which processes hold their locks.

    Args:
        path: made if it does not exist.

    Raises:
        OSError: it can neither be written nor read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # enough to ask about others
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process has to: the locks are its parent's."""
        self._own: set[int] = set()
        self._setting_up = threading.Lock()

    def announce(self) -> int:
        """Give this process a token that is alive until it ends."""
        token = int.from_bytes(os.urandom(_TOKEN_BYTES), "big") | 1  # never the byte 0
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, token)
        self._own.add(token)
        return token

    def is_alive(self, token: int) -> bool:
        """Tell whether the process that was given a token is still there."""
        if token in self._own:
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, token)
        except (BlockingIOError, PermissionError):
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, token)
        return False

    @contextmanager
    def setting_up(self) -> Iterator[None]:
        """Keep other processes from setting up the database, or putting it aside, at the same time."""
        with self._setting_up:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _SETTING_UP)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _SETTING_UP)


_opened: dict[tuple[int, int], Alive] = {}
_opening = threading.Lock()


def alive_file(database: Path) -> Path:
    """Name the lock file of a database."""
    return database.with_name(f"{database.name}-alive")


def alive_beside(database: Path) -> Alive:
    """Give the one object for the lock file of a database in this process.

    Raises:
        OSError: it can neither be written nor read.
    """
    path = alive_file(database)
    with _opening:
        try:
            status = path.stat()
        except FileNotFoundError:
            path.touch(mode=0o600)
            status = path.stat()
        known = _opened.get(place := (status.st_dev, status.st_ino))
        if known is None:
            known = _opened[place] = Alive(path)
        return known


def _forget() -> None:
    global _opening
    _opening = threading.Lock()
    for alive in _opened.values():
        alive.forget()


os.register_at_fork(after_in_child=_forget)
