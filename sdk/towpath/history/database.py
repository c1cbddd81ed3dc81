"""The SQLite file: opened for several processes at once, brought up to date, put aside when it is broken."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from towpath.errors import HistoryError
from towpath.history.alive import alive_beside, alive_file
from towpath.history.place import FILE_NAME
from towpath.history.schema import APPLICATION_ID, MIGRATIONS

#: How long to wait for another process's transaction; they take milliseconds.
BUSY_SECONDS: Final = 10.0
_MAGIC: Final = b"SQLite format 3\0"
_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SIDE_FILES: Final = ("-wal", "-shm", "")  # the database last: nobody may find it gone and its log still there


def connect(path: Path, notice: Callable[[str], None]) -> sqlite3.Connection:
    """Open a history for reading and writing; make it if there is none.

    The connection is in autocommit mode: transactions are begun by hand.

    Args:
        path: of the SQLite file; absolute.
        notice: told in a sentence when a broken file was put aside.

    Raises:
        HistoryError: the file is no history, or one of a newer Towpath.
        sqlite3.Error: it cannot be opened or written.
        OSError: its folder or its lock file cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_strange(path)
    alive = alive_beside(path)
    if not path.exists():
        path.touch(mode=0o600)  # parameters and logs are nobody else's business
    try:
        connection = _open(path)
        if _is_ready(path, connection):
            return connection
        connection.close()
    except sqlite3.DatabaseError as error:
        if not is_broken(error):
            raise
    with alive.setting_up():  # whoever waited here may find the work done
        try:
            return _set_up(path)
        except sqlite3.DatabaseError as error:
            if not is_broken(error):
                raise
        _put_aside(path, notice)
        return _set_up(path)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a history where nothing can be written.

    Raises:
        HistoryError: the file is no history, or one of a newer Towpath.
        sqlite3.Error: there is none, or it cannot be read.
    """
    for mode in ("mode=ro", "immutable=1"):  # the second needs no file beside it, and so misses what is only there
        with suppress(sqlite3.OperationalError):
            connection = sqlite3.connect(
                f"{path.as_uri()}?{mode}", uri=True, isolation_level=None, timeout=BUSY_SECONDS
            )
            if _is_ready(path, connection):
                return connection
            connection.close()
    raise sqlite3.OperationalError("unable to open database file")


def is_broken(error: sqlite3.Error) -> bool:
    """Tell whether an error says that the file itself is damaged."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _BROKEN


def put_aside(path: Path, identity: tuple[int, int], notice: Callable[[str], None]) -> None:
    """Put a file aside that turned out to be broken, unless somebody else has done so already.

    Args:
        path: of the SQLite file.
        identity: which file it was, as `identity_of` gave it.
        notice: told in a sentence.
    """
    with alive_beside(path).setting_up():
        if identity_of(path) == identity:
            _put_aside(path, notice)


def identity_of(path: Path) -> tuple[int, int] | None:
    """Tell which file stands under a path; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _refuse_strange(path: Path) -> None:
    """See to it that nobody's letter is put aside as a damaged history, because a setting names it."""
    if path.name == FILE_NAME or alive_file(path).exists() or not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    if start and start != _MAGIC:
        raise HistoryError(f"{str(path)!r} is no SQLite file, so it is left alone. Name another in TOWPATH_HISTORY.")


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")  # enough for a process that is killed; only a power cut may cost
    return connection


def _is_ready(path: Path, connection: sqlite3.Connection) -> bool:
    """Tell whether the tables are as they should be; False for a file that has to be set up or brought up to date."""
    ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.close()
            raise HistoryError(
                f"{str(path)!r} is a SQLite file of something else, not a history of Towpath. Name another file in"
                " TOWPATH_HISTORY."
            )
        return False
    version = connection.execute("SELECT max(version) FROM migrations").fetchone()[0]
    if version > len(MIGRATIONS):
        connection.close()
        raise HistoryError(
            f"The history at {str(path)!r} was written by a newer Towpath: its tables have version {version}, this one"
            f" knows {len(MIGRATIONS)}. Upgrade Towpath here, or name another file in TOWPATH_HISTORY."
        )
    return bool(version == len(MIGRATIONS))


def _set_up(path: Path) -> sqlite3.Connection:
    connection = _open(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        if not _is_ready(path, connection):
            connection.execute("BEGIN IMMEDIATE")
            _migrate(connection)
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    from towpath import __version__

    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (version INTEGER PRIMARY KEY, applied REAL NOT NULL, towpath TEXT NOT NULL)"
    )
    at = connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0]
    for version, statements in enumerate(MIGRATIONS[at:], at + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (version, time.time(), __version__))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _put_aside(path: Path, notice: Callable[[str], None]) -> None:
    """Rename a broken file, and what SQLite keeps beside it."""
    mark = f"corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
    aside = path.with_name(f"{path.name}.{mark}")
    for suffix in _SIDE_FILES:
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    path.touch(mode=0o600)
    notice(
        f"The history at {str(path)!r} is damaged, so it was put aside as {aside.name!r} and a new one begun. What can"
        " still be read of it: sqlite3 FILE .recover"
    )
