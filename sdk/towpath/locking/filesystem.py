"""Locks between processes: of one machine, or of several that share a volume."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from towpath.engine.threads import block
from towpath.errors import StorageError
from towpath.locking.memory import MemoryLockManager

_FIRST_PAUSE_SECONDS: Final = 0.001
_LONGEST_PAUSE_SECONDS: Final = 0.05
_LONGEST_NAME: Final = 200
_TAKEN: Final = (errno.EAGAIN, errno.EACCES)


class FileSystemLockManager:
    """Gives locks by locking files in a folder: the system gives them back when their process ends, however it does.

    There is a file for each lock only as long as somebody has it.

    Args:
        lock_files_directory: the folder; made when it is needed.
    """

    def __init__(self, lock_files_directory: str | os.PathLike[str]) -> None:
        self.lock_files_directory = Path(lock_files_directory).expanduser().absolute()
        self._threads = MemoryLockManager()  # between the threads of this process, which need no file for it
        self._files: dict[str, int] = {}

    def acquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None) -> bool:
        """Take a lock, waiting for it if somebody else has it; tell whether it was had.

        Raises:
            StorageError: the folder cannot be used.
        """
        if self.is_lock_holder(key, holder):
            return True
        deadline = None if acquire_timeout is None else time.monotonic() + acquire_timeout
        if not self._threads.acquire_lock(key, holder, acquire_timeout):
            return False
        try:
            file = self._take(self._path(key), deadline)
        except BaseException:
            self._threads.release_lock(key, holder)
            raise
        if file is None:
            self._threads.release_lock(key, holder)
            return False
        self._files[key] = file
        return True

    def release_lock(self, key: str, holder: str) -> None:
        """Give a lock back.

        Raises:
            ValueError: the holder does not have it.
        """
        if self.is_lock_holder(key, holder) and (file := self._files.pop(key, None)) is not None:
            self._path(key).unlink(missing_ok=True)
            fcntl.flock(file, fcntl.LOCK_UN)  # closing would not do, if a forked process has the file open
            os.close(file)
        self._threads.release_lock(key, holder)

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody has a lock."""
        if self._threads.is_locked(key):
            return True
        try:
            file = os.open(self._path(key), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise self._trouble(error) from error
            return True
        finally:
            os.close(file)
        return False

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Tell whether a holder has a lock."""
        return self._threads.is_lock_holder(key, holder)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody has a lock, `timeout` seconds at most; tell whether that came."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_PAUSE_SECONDS
        while self.is_locked(key):
            if deadline is not None and time.monotonic() >= deadline:
                return False
            pause = _wait(pause, deadline)
        return True

    def _take(self, path: Path, deadline: float | None) -> int | None:
        """Lock a file, and make it if there is none; give it open, or None if that took too long."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            file = self._open(path)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(path, file):
                    return file
                os.close(file)  # whoever had it has just taken it away: there may be another by now
                continue
            except OSError as error:
                os.close(file)
                if error.errno not in _TAKEN:
                    raise self._trouble(error) from error
            if deadline is not None and time.monotonic() >= deadline:
                return None
            pause = _wait(pause, deadline)

    def _open(self, path: Path) -> int:
        try:
            try:
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._trouble(error) from error

    def _path(self, key: str) -> Path:
        name = quote(key, safe=" =+@,")
        if len(name) > _LONGEST_NAME:
            name = blake2b(key.encode(), digest_size=20).hexdigest()
        return self.lock_files_directory / f"{name}.lock"

    def _trouble(self, error: OSError) -> StorageError:
        why = error.strerror or str(error)
        error.__suppress_context__ = True  # the steps in which a folder is made tell nobody anything
        return StorageError(
            f"Locks cannot be taken in the folder {str(self.lock_files_directory)!r}: {why}. See to that folder, or"
            " name another: cache_policy=POLICY.configure(lock_manager=FileSystemLockManager('/shared/locks'))."
        )

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, FileSystemLockManager) and other.lock_files_directory == self.lock_files_directory
        return bool(same)

    def __hash__(self) -> int:
        return hash(self.lock_files_directory)

    def __reduce__(self) -> tuple[Any, ...]:
        return FileSystemLockManager, (self.lock_files_directory,)

    def __repr__(self) -> str:
        return f"FileSystemLockManager({str(self.lock_files_directory)!r})"


_of_folders: Final[dict[str, FileSystemLockManager]] = {}


def locks_in(folder: str) -> FileSystemLockManager:
    """Give the manager of a folder's locks, the same to all who ask in this process.

    Args:
        folder: an absolute path.
    """
    known = _of_folders.get(folder)
    return _of_folders.setdefault(folder, FileSystemLockManager(folder)) if known is None else known


def _is_at(path: Path, file: int) -> bool:
    """Tell whether an open file is the one that stands under a path."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(file)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _wait(seconds: float, deadline: float | None) -> float:
    """Wait for a little while, without holding a place of a task runner; give how long to wait the next time."""
    never = threading.Lock()
    never.acquire()
    block(never, seconds if deadline is None else max(0.0, min(seconds, deadline - time.monotonic())))
    return min(seconds * 2, _LONGEST_PAUSE_SECONDS)
