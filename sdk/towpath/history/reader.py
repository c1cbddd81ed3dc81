"""Reading the history from its SQLite file. Every look first sees to runs whose process has gone."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from towpath.errors import AmbiguousRun, HistoryError, NoSuchRun
from towpath.history import database
from towpath.history.alive import Alive, alive_beside
from towpath.history.lines import warn
from towpath.history.port import (
    DEFAULT_LIMIT,
    RecordedLine,
    RecordedProcess,
    RecordedRun,
    RecordedState,
    RecordedTally,
    RecordedTask,
)
from towpath.history.sweep import sweep
from towpath.states import TERMINAL, StateType

_RUNS: Final = (
    "SELECT flow_runs.*, processes.pid, processes.host, processes.towpath, processes.seen"
    " FROM flow_runs LEFT JOIN processes ON processes.token = flow_runs.process"
)
_TREE: Final = (
    "WITH RECURSIVE below (id) AS (VALUES (?) UNION SELECT flow_runs.id FROM flow_runs JOIN below"  # noqa: S608
    f" ON flow_runs.parent_id = below.id) {_RUNS} WHERE id IN (SELECT id FROM below) ORDER BY depth, number"
)
_TERMINAL: Final = ", ".join(f"'{type_}'" for type_ in sorted(TERMINAL))
#: Tables that hold what belongs to a flow run.
_PARTS: Final = ("flow_run_states", "task_runs", "lines")
_DELETE_RUNS: Final = "DELETE FROM flow_runs WHERE id IN (SELECT value FROM json_each(?))"
_TALLIES: Final = """
    SELECT run_id, count(*) AS total, count(ended) AS ended, sum(state_type = 'COMPLETED') AS completed,
        sum(state_type = 'COMPLETED' AND states LIKE '%["COMPLETED","Cached"%') AS cached
    FROM task_runs WHERE run_id IN (SELECT value FROM json_each(?)) GROUP BY run_id"""
_FAILURES: Final = """
    SELECT name FROM task_runs WHERE run_id = ? AND ended IS NOT NULL AND state_type != 'COMPLETED'
    ORDER BY process, number LIMIT ?"""
_NAMED: Final = 5
_LAST_CHARACTER: Final = "\U0010ffff"
_SHOWN: Final = 8


class SQLiteHistory:
    """The history in a SQLite file; may be used in several threads, one at a time.

    Args:
        path: of the file, absolute; made if there is none.

    Raises:
        HistoryError: it cannot be opened, is no history, or comes from a newer Towpath.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._alive: Alive | None = None
        self._connection = self._connect()
        self._connection.row_factory = sqlite3.Row

    def runs(
        self,
        *,
        flow: str | None = None,
        states: Collection[StateType] | None = None,
        since: datetime | None = None,
        parent: str | None = None,
        top_level: bool = False,
        limit: int | None = DEFAULT_LIMIT,
    ) -> list[RecordedRun]:
        """Give runs, the newest first."""
        conditions: dict[str, tuple[Any, ...]] = {}
        if flow is not None:
            conditions["flow = ?"] = (flow,)
        if states is not None:
            conditions[f"state_type IN ({_marks(states)})"] = tuple(state.value for state in states)
        if since is not None:
            conditions["created >= ?"] = (since.timestamp(),)
        if parent is not None:
            conditions["parent_id = ?"] = (parent,)
        if top_level:
            conditions["parent_id IS NULL"] = ()
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        values = [value for values in conditions.values() for value in values]
        rows = self._look(f"{_RUNS}{where} ORDER BY number DESC LIMIT ?", (*values, -1 if limit is None else limit))
        return [self._run_of(row) for row in rows]

    def run(self, which: str) -> RecordedRun:
        """Give a run by its id, its name, or the first characters of either."""
        for condition, values in (
            ("id = ?", (which,)),
            ("name = ?", (which,)),
            ("(id >= ? AND id < ?) OR (name >= ? AND name < ?)", (which, which + _LAST_CHARACTER) * 2),
        ):
            found = self._look(f"{_RUNS} WHERE {condition} ORDER BY number DESC LIMIT ?", (*values, _SHOWN + 1))
            if len(found) == 1:
                return self._run_of(found[0])
            if found:
                raise _ambiguous(which, [self._run_of(row) for row in found])
        raise NoSuchRun(
            f"There is no run {which!r} in the history at {str(self.path)!r}. `towpath runs ls` lists them; those of a"
            " cluster are found with --cluster, or -n and their namespace."
        )

    def tree(self, run_id: str) -> list[RecordedRun]:
        """Give a run and all that is below it, each after the one that called it."""
        rows = self._look(_TREE, (run_id,))
        if not rows:
            raise self._no_run(run_id)
        return [self._run_of(row) for row in rows]

    def states(self, run_id: str) -> list[RecordedState]:
        """Give the states that a flow run was in, in order."""
        rows = self._look("SELECT * FROM flow_run_states WHERE run_id = ? ORDER BY number", (run_id,))
        return [_state(row["type"], row["name"], row["message"], row["since"]) for row in rows]

    def tasks(self, run_id: str | None, *, limit: int | None = None) -> list[RecordedTask]:
        """Give the task runs of a flow run, or those outside of any, in the order in which they began."""
        rows = self._look(
            "SELECT * FROM task_runs WHERE run_id = ? ORDER BY process, number LIMIT ?",
            (run_id or "", -1 if limit is None else limit),
        )
        return [_task(row) for row in rows]

    def tallies(self, run_ids: Collection[str]) -> dict[str, RecordedTally]:
        """Count the task runs of flow runs, also while those go on; a run that has none is left out."""
        found = {}
        for row in self._look(_TALLIES, (json.dumps(list(run_ids)),)):
            failed = row["ended"] - row["completed"]
            names = self._look(_FAILURES, (row["run_id"], _NAMED)) if failed else []
            found[row["run_id"]] = RecordedTally(
                row["total"], row["completed"], failed, row["cached"], tuple(name["name"] for name in names)
            )
        return found

    def logs(
        self, run_ids: Sequence[str], *, after: int = 0, level: int = 0, limit: int | None = None
    ) -> list[RecordedLine]:
        """Give log lines of some flow runs and of their tasks, in order."""
        rows = self._look(
            "SELECT * FROM lines WHERE run_id IN (SELECT value FROM json_each(?)) AND number > ? AND level >= ?"
            " ORDER BY number LIMIT ?",
            (json.dumps(list(run_ids)), after, level, -1 if limit is None else limit),
        )
        return [
            RecordedLine(
                row["number"], row["run_id"], row["task_run"], row["level"], row["message"], _time(row["time"])
            )
            for row in rows
        ]

    def delete(self, run_id: str) -> int:
        """Delete a run and all that is below it; gives the number of flow runs deleted."""

        def chosen() -> list[str]:
            rows = self._connection.execute(_TREE, (run_id,)).fetchall()
            if not rows:
                raise self._no_run(run_id)
            for row in rows:
                if row["state_type"] not in TERMINAL:
                    raise HistoryError(
                        f"Run {row['name']!r} is {row['state_type']}, and is kept until it has ended. Cancel it first."
                    )
            return [row["id"] for row in rows]

        return self._delete(chosen)

    def prune(self, *, older_than: timedelta | None = None, keep: int | None = None) -> int:
        """Delete trees of runs that have ended; gives the number of flow runs deleted."""
        if older_than is None and keep is None:
            raise ValueError("Say what to prune: older_than, keep, or both.")
        horizon = 0.0 if older_than is None else (datetime.now(UTC) - older_than).timestamp()

        def chosen() -> list[str]:
            rows = self._connection.execute(
                "SELECT root_id, max(coalesce(ended, state_since)) AS ended, min(number) AS number,"  # noqa: S608
                f" max(state_type NOT IN ({_TERMINAL})) AS is_live FROM flow_runs GROUP BY root_id ORDER BY 3 DESC"
            ).fetchall()
            beyond = len(rows) if keep is None else keep
            roots = [
                row["root_id"]
                for place, row in enumerate(rows)
                if not row["is_live"] and (row["ended"] < horizon or place >= beyond)
            ]
            ids = self._connection.execute(
                "SELECT id FROM flow_runs WHERE root_id IN (SELECT value FROM json_each(?))", (json.dumps(roots),)
            )
            return [row["id"] for row in ids]

        return self._delete(chosen)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = database.connect(self.path, warn)
            self._alive = alive_beside(self.path)
            return connection
        except (sqlite3.Error, OSError) as error:
            with suppress(sqlite3.Error):
                return database.connect_to_read(self.path)
            what = (isinstance(error, OSError) and error.strerror) or str(error)
            raise HistoryError(
                f"The history at {str(self.path)!r} cannot be opened: {what}. If it is elsewhere, name it in"
                " TOWPATH_HISTORY."
            ) from error

    def _look(self, query: str, values: Iterable[Any]) -> list[sqlite3.Row]:
        with self._lock:
            try:
                self._sweep()
                return self._connection.execute(query, tuple(values)).fetchall()
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def _sweep(self) -> None:
        if self._alive is not None:
            with suppress(sqlite3.OperationalError):  # nothing can be written now: somebody else will see to it
                sweep(self._connection, self._alive)

    def _delete(self, chosen: Callable[[], list[str]]) -> int:
        with self._lock:
            try:
                self._sweep()
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    ids = json.dumps(found := chosen())
                    for table in _PARTS:
                        self._connection.execute(
                            f"DELETE FROM {table} WHERE run_id IN (SELECT value FROM json_each(?))",  # noqa: S608
                            (ids,),
                        )
                    self._connection.execute(_DELETE_RUNS, (ids,))
                    self._connection.execute("COMMIT")
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                return len(found)
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> HistoryError:
        cure = " It is damaged; `sqlite3 FILE .recover` saves what can be." if database.is_broken(error) else ""
        return HistoryError(f"The history at {str(self.path)!r} cannot be used: {error}.{cure}")

    def _no_run(self, run_id: str) -> NoSuchRun:
        return NoSuchRun(f"There is no run with the id {run_id!r} in the history at {str(self.path)!r}.")

    def _run_of(self, row: sqlite3.Row) -> RecordedRun:
        return RecordedRun(
            id=row["id"],
            name=row["name"],
            flow=row["flow"],
            flow_version=row["flow_version"],
            parent_id=row["parent_id"],
            root_id=row["root_id"],
            depth=row["depth"],
            deployment=row["deployment"],
            parameters=json.loads(row["parameters"]),
            parameters_are_whole=bool(row["parameters_whole"]),
            tags=frozenset(json.loads(row["tags"])),
            attempt=row["attempt"],
            run_count=row["run_count"],
            state=_state(row["state_type"], row["state_name"], row["state_message"], row["state_since"]),
            created=_time(row["created"]),
            started=_optional_time(row["started"]),
            ended=_optional_time(row["ended"]),
            seconds=row["seconds"],
            tasks_total=row["tasks_total"],
            tasks_completed=row["tasks_completed"],
            tasks_failed=row["tasks_failed"],
            process=self._process_of(row),
        )

    def _process_of(self, row: sqlite3.Row) -> RecordedProcess | None:
        if row["pid"] is None:
            return None
        is_alive = self._alive is None or self._alive.is_alive(row["process"])
        return RecordedProcess(row["pid"], row["host"], row["towpath"], _time(row["seen"]), is_alive)


def _task(row: Mapping[str, Any] | sqlite3.Row) -> RecordedTask:
    return RecordedTask(
        id=row["id"],
        run_id=row["run_id"] or None,
        task=row["task"],
        name=row["name"],
        tags=frozenset(json.loads(row["tags"] or "[]")),
        run_count=row["run_count"],
        states=tuple(_state(*json.loads(line)) for line in row["states"].splitlines()),
        started=_optional_time(row["started"]),
        ended=_optional_time(row["ended"]),
        seconds=row["seconds"],
    )


def _state(type_: str, name: str, message: str | None, since: float) -> RecordedState:
    return RecordedState(StateType(type_), name, message, _time(since))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _optional_time(seconds: float | None) -> datetime | None:
    return None if seconds is None else _time(seconds)


def _marks(values: Collection[Any]) -> str:
    return ",".join("?" * len(values))


def _ambiguous(which: str, runs: Sequence[RecordedRun]) -> AmbiguousRun:
    lines = [
        f"  {run.id}  {run.name}  {run.flow}  {run.state.name}  {run.created:%Y-%m-%d %H:%M:%S}"
        for run in runs[:_SHOWN]
    ]
    more = ["  …"] if len(runs) > _SHOWN else []
    return AmbiguousRun("\n".join([f"Several runs are called {which!r}. Say which, by its id:", *lines, *more]))
