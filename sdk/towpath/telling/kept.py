"""What the history keeps of artifacts, and the variables of this machine."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import UUID

from towpath.errors import HistoryError
from towpath.history.place import history_file
from towpath.serving.book_file import BookFile
from towpath.telling.port import RecordedArtifact, RecordedVariable

_ARTIFACTS: Final = "SELECT *, (SELECT name FROM flow_runs WHERE id = artifacts.run_id) AS run FROM artifacts"
_LATEST: Final = "number IN (SELECT max(number) FROM artifacts WHERE key IS NOT NULL GROUP BY key)"


class Kept(BookFile):
    """A history file, open for what runs have told, and for variables."""

    holds: ClassVar[str] = "Artifacts, events and variables"

    def artifacts(
        self, *, key: str | None = None, run_id: str | None = None, latest: bool = False, limit: int | None = None
    ) -> list[RecordedArtifact]:
        """Give artifacts, the newest first.

        Args:
            key: versions of this one only.
            run_id: of this flow run, and of its tasks, only.
            latest: only the latest version of each, and none without a key.
            limit: at most so many.
        """
        conditions, values = ["1"], []
        if key is not None:
            conditions.append("key = ?")
            values.append(key)
        if run_id is not None:
            conditions.append("run_id = ?")
            values.append(run_id)
        if latest:
            conditions.append(_LATEST)
        query = f"{_ARTIFACTS} WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT ?"
        return [_artifact(row) for row in self._look(query, (*values, -1 if limit is None else limit))]

    def artifact(self, artifact_id: str) -> RecordedArtifact | None:
        """Give an artifact by its id; None if there is none."""
        rows = self._look(f"{_ARTIFACTS} WHERE id = ?", (artifact_id,))
        return _artifact(rows[0]) if rows else None

    def versions(self) -> dict[str, int]:
        """Tell how many versions there are of each key."""
        query = "SELECT key, count(*) FROM artifacts WHERE key IS NOT NULL GROUP BY key"
        return {key: count for key, count in self._look(query, ())}  # noqa: C416 rows are no pairs

    def delete_artifacts(self, ids: Sequence[UUID]) -> int:
        """Delete artifacts; gives how many there were."""
        with self._transaction() as connection:
            return connection.execute(
                "DELETE FROM artifacts WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(map(str, ids))),)
            ).rowcount

    def variables(self) -> list[RecordedVariable]:
        """Give all variables, by name."""
        return [_variable(row) for row in self._look("SELECT * FROM variables ORDER BY name", ())]

    def variable(self, name: str) -> RecordedVariable | None:
        """Give a variable; None if it is not set."""
        rows = self._look("SELECT * FROM variables WHERE name = ?", (name,))
        return _variable(rows[0]) if rows else None

    def set_variable(self, name: str, value: str, tags: Sequence[str], *, overwrite: bool) -> RecordedVariable | None:
        """Set a variable; gives it as it is now, or None if it was set before and is to stay.

        Args:
            name: which.
            value: JSON.
            tags: of the variable.
            overwrite: whether what it was set to before is lost.
        """
        now = time.time()
        with self._transaction() as connection:
            was = connection.execute("SELECT created FROM variables WHERE name = ?", (name,)).fetchone()
            if was is not None and not overwrite:
                return None
            row = (name, value, json.dumps(list(tags)), now if was is None else was[0], now)
            connection.execute("INSERT OR REPLACE INTO variables VALUES (?, ?, ?, ?, ?)", row)
        return RecordedVariable(
            name=name, value=json.loads(value), tags=tuple(tags), created=_time(row[3]), updated=_time(now)
        )

    def unset_variable(self, name: str) -> bool:
        """Forget a variable; tell whether it was set."""
        with self._transaction() as connection:
            return bool(connection.execute("DELETE FROM variables WHERE name = ?", (name,)).rowcount)


@contextmanager
def open_kept() -> Iterator[Kept]:
    """Open what this user's history keeps.

    Raises:
        HistoryError: it is switched off, or cannot be opened.
    """
    with Kept(place()) as kept:
        yield kept


def place() -> Path:
    """Give the file of this user's history.

    Raises:
        HistoryError: it is switched off.
    """
    where = history_file()
    if where is None:
        raise HistoryError(
            "Artifacts, events and variables are kept in the history, and that is switched off: TOWPATH_HISTORY is"
            " 'off'. Unset it, or name a file in it."
        )
    return where


def _artifact(row: sqlite3.Row) -> RecordedArtifact:
    data: Any = row["data"]
    return RecordedArtifact(
        id=UUID(row["id"]),
        key=row["key"],
        type=row["type"],
        description=row["description"],
        data=float(data) if row["type"] == "progress" else data,
        flow_run_id=row["run_id"],
        flow_run=row["run"],
        task_run_id=row["task_run_id"],
        task_run=row["task_run"],
        created=_time(row["created"]),
        updated=_time(row["updated"]),
    )


def _variable(row: sqlite3.Row) -> RecordedVariable:
    return RecordedVariable(
        name=row["name"],
        value=json.loads(row["value"]),
        tags=tuple(json.loads(row["tags"])),
        created=_time(row["created"]),
        updated=_time(row["updated"]),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
