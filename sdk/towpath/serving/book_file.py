"""The file that the book is in: the history's, with tables of its own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from towpath.errors import HistoryError
from towpath.history import database
from towpath.history.alive import alive_beside
from towpath.history.lines import warn
from towpath.history.sweep import sweep

if TYPE_CHECKING:
    from types import TracebackType


class BookFile:
    """A history file, open for reading and writing; may be used by several threads, one at a time.

    Args:
        path: of the file, absolute; made if there is none.

    Raises:
        HistoryError: it cannot be opened or written.
    """

    holds: ClassVar[str] = "Deployments on this machine"
    """What is kept in it, for people."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._connection = database.connect(path, warn)
            self.alive = alive_beside(path)
        except (sqlite3.Error, OSError) as error:
            what = (isinstance(error, OSError) and error.strerror) or str(error)
            raise HistoryError(
                f"The history at {str(path)!r} cannot be opened for writing: {what}. {self.holds} are kept in it;"
                " name a file in another place in TOWPATH_HISTORY."
            ) from error
        self._connection.row_factory = sqlite3.Row
        self._seen = -1

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def has_changed(self) -> bool:
        """Tell whether anybody else has written to the file since this was asked last; costs next to nothing."""
        with self._lock:
            version: int = self._look("PRAGMA data_version", ())[0][0]
            changed, self._seen = version != self._seen, version
            return changed

    def sweep(self) -> None:
        """See to runs in the history whose process has gone."""
        with self._lock, suppress(sqlite3.OperationalError):  # nothing can be written now: the next look will
            sweep(self._connection, self.alive)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):  # some errors have rolled back already
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def _look(self, query: str, values: Iterable[Any]) -> list[sqlite3.Row]:
        with self._lock:
            try:
                return self._connection.execute(query, tuple(values)).fetchall()
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> HistoryError:
        return HistoryError(f"The history at {str(self.path)!r} cannot be used: {error}.")
