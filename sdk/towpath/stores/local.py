"""A folder as result storage: on this machine, or a volume that several machines share.

Paths are texts here: this is the way of every kept result, and the calls of Path cost ten times as much.
"""

# ruff: noqa: PTH100, PTH103, PTH105, PTH108, PTH111, PTH116, PTH118, PTH123
from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from towpath.errors import StorageError
from towpath.stores.port import checked

_TEMPORARY: Final = ".tmp"
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
#: How old a half-written file is when nobody can be writing it any longer.
_STALE_SECONDS: Final = 24 * 3600.0
_NOTHING: Final = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


class LocalFileSystem:
    """Keeps each result in a file of its own; writing renames a finished file into its place.

    Args:
        basepath: the folder; made when it is needed. `~` stands for the user's home.
        private: whether nobody else may look into a folder that is made.
    """

    is_near = True

    def __init__(self, basepath: str | os.PathLike[str], *, private: bool = False) -> None:
        self.basepath = os.path.abspath(os.path.expanduser(basepath))
        self._is_private = private

    def read(self, key: str) -> bytes | None:
        """Give what is kept under a key; None if there is nothing."""
        path = self.reference(key)
        try:
            with open(path, "rb", buffering=0) as file:
                return file.readall()
        except OSError as error:
            if error.errno in _NOTHING:
                return None
            raise self._trouble("read", error) from error

    def write(self, key: str, data: bytes) -> None:
        """Keep bytes under a key."""
        path = self.reference(key)
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.{os.urandom(6).hex()}{_TEMPORARY}"
        try:
            try:
                handle = os.open(temporary, _FLAGS, 0o666)
            except FileNotFoundError:
                self._make(folder)
                handle = os.open(temporary, _FLAGS, 0o666)
            try:
                try:
                    left = memoryview(data)
                    while left:
                        left = left[os.write(handle, left) :]
                finally:
                    os.close(handle)
                os.replace(temporary, path)
            except BaseException:
                with suppress(OSError):  # an interrupt may come when all is done
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise self._trouble("written", error) from error

    def delete(self, key: str) -> bool:
        """Forget what is kept under a key; tell whether there was anything."""
        try:
            os.unlink(self.reference(key))
        except OSError as error:
            if error.errno in _NOTHING:
                return False
            raise self._trouble("written", error) from error
        return True

    def keys(self) -> Iterator[str]:
        """Give all keys."""
        for folder, folders, files in os.walk(self.basepath):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inner = os.path.relpath(folder, self.basepath)
            for name in files:
                if not name.startswith("."):
                    yield name if inner == "." else f"{inner}/{name}"

    def sweep(self) -> int:
        """Remove what writers left behind that were killed while they wrote; gives how many files."""
        removed = 0
        for folder, _, files in os.walk(self.basepath):
            for name in files:
                path = os.path.join(folder, name)
                if name.startswith(".") and name.endswith(_TEMPORARY) and _age_seconds(path) > _STALE_SECONDS:
                    os.unlink(path)
                    removed += 1
        return removed

    def reference(self, key: str) -> str:
        """Give the absolute path of a key."""
        return f"{self.basepath}/{checked(key)}"

    def _make(self, folder: str) -> None:
        os.makedirs(self.basepath, mode=0o700 if self._is_private else 0o777, exist_ok=True)
        os.makedirs(folder, exist_ok=True)

    def _trouble(self, what: str, error: OSError) -> StorageError:
        told = f"The result storage {self.basepath!r} cannot be {what}: {error.strerror or error}."
        if what == "written":
            told += " See to that folder, or name another in result_storage=... or TOWPATH_RESULT_STORAGE."
        error.__suppress_context__ = True  # the steps in which a folder is made tell nobody anything
        trouble = StorageError(told)
        trouble.errno = error.errno
        return trouble

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalFileSystem) and other.basepath == self.basepath

    def __hash__(self) -> int:
        return hash(self.basepath)

    def __repr__(self) -> str:
        return f"LocalFileSystem({self.basepath!r})"


def _age_seconds(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except OSError:  # its writer has just finished
        return 0.0
