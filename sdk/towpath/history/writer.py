"""The one thread of a process that writes to the history: notes in, a transaction every few tens of milliseconds out.

It must never be in a flow's way. What it cannot write now, because the disk is full or somebody holds the file, it
keeps and tries again; if it can never write, it says so once and goes quiet. A file that turns out to be damaged is put
aside; one that was taken away is made again.

The connection lives in this thread's frames only: a forked child, in which this thread does not exist, must neither use
it nor close it, and this way cannot.
"""

from __future__ import annotations

import errno
import itertools
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from towpath.errors import HistoryError
from towpath.history import database
from towpath.history.alive import Alive, alive_beside
from towpath.history.ledger import Ledger, Row
from towpath.history.notes import FlowNote, FlushNote, LeftNote, LineNote, Note, RowNote, TaskNote
from towpath.history.sweep import sweep_within
from towpath.history.wishes import ENDINGS, WISHES

#: How long notes are gathered before they are written; with the writing itself it stays well below 100 ms.
GATHER_SECONDS: Final = 0.02
RETRY_SECONDS: Final = 1.0
#: How much is kept of each kind while nothing can be written.
KEPT_ROWS: Final = 100_000
#: Rows in one statement, at most, a power of two. At each call of SQLite and of the system this thread lets go of the
#: interpreter's lock, and waits 5 ms for it while a flow computes; so the fewer the better.
ROWS_AT_ONCE: Final = 256
#: How often it is noted that the process is there, looked whether the file still is, and heard what others wish.
LOOK_SECONDS: Final = 1.0
_NEVER: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
_PASSES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EINTR, errno.EIO})

_FLOW_RUNS: Final = """
    INSERT INTO flow_runs (id, name, flow, flow_version, parent_id, root_id, depth, deployment, parameters,
        parameters_whole, tags, attempt, run_count, state_type, state_name, state_message, state_since, created,
        started, ended, seconds, tasks_total, tasks_completed, tasks_failed, origin, process)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, parameters = excluded.parameters,
        parameters_whole = excluded.parameters_whole, attempt = excluded.attempt, run_count = excluded.run_count,
        state_type = excluded.state_type, state_name = excluded.state_name, state_message = excluded.state_message,
        state_since = excluded.state_since, started = coalesce(flow_runs.started, excluded.started),
        ended = excluded.ended, seconds = excluded.seconds, tasks_total = excluded.tasks_total,
        tasks_completed = excluded.tasks_completed, tasks_failed = excluded.tasks_failed, process = excluded.process"""
_STATES: Final = "INSERT INTO flow_run_states (run_id, type, name, message, since) VALUES"
_TASKS: Final = (
    "INSERT OR REPLACE INTO task_runs (run_id, number, id, task, name, tags, run_count, state_type, states, started,"
    " ended, seconds, process) VALUES"
)
_LATER: Final = "UPDATE task_runs SET state_type = ?, states = states || ? WHERE run_id = ? AND id = ?"
_LINES: Final = "INSERT INTO lines (run_id, task_run, level, message, time) VALUES"
_PROCESS: Final = (
    "INSERT OR IGNORE INTO processes (token, pid, host, towpath, began, seen) VALUES (:token, :pid, :host, :towpath,"
    " :now, :now)"
)


class Writer:
    """Writes one process's notes to one file; `start` it once.

    Args:
        path: the SQLite file; absolute.
        tell: told in a sentence what the user has to know.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self.path = path
        self.notes: queue.SimpleQueue[Note] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="towpath-history", daemon=True)
        self.at_work = threading.Lock()
        """Held while SQLite is at work: whoever forks then would take its locks along."""
        self._bell = threading.Lock()
        self._bell.acquire()
        self._tell = tell
        self._has_told = False
        self._ledger = Ledger()
        self._alive: Alive | None = None
        self._token = 0
        self._identity: tuple[int, int] | None = None
        self._next_look = 0.0

    def flush(self, seconds: float, *, stop: bool = False) -> bool:
        """Wait until what was noted is written, or cannot be; tell whether that was so in time.

        Args:
            seconds: how long to wait at most.
            stop: have the thread end after that.
        """
        done = threading.Lock()
        done.acquire()
        self.notes.put(FlushNote(done, stop))
        with suppress(RuntimeError):  # it has been rung already
            self._bell.release()
        return done.acquire(timeout=seconds)

    def _run(self) -> None:
        waiting: list[FlushNote] = []
        try:
            self._write_until_told(waiting)
        except HistoryError as error:
            self._tell(f"{error} Until then runs are not recorded.")
        except Exception as error:
            self._tell_once(error, "The flow runs on; from here on it is not recorded.")
        _release(waiting)
        while not any(note.stop for note in waiting):
            waiting = [note for note in [self.notes.get()] if isinstance(note, FlushNote)]
            _release(waiting)

    def _write_until_told(self, waiting: list[FlushNote]) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            self._gather(waiting)
            try:
                with self.at_work:
                    connection = self._write(connection, looks=bool(waiting))
            except (sqlite3.Error, OSError) as error:
                with self.at_work:
                    self._recover(connection, error)
                connection = None
            stop = any(note.stop for note in waiting)
            if stop and connection is not None:
                with self.at_work:
                    connection.close()
            if stop:
                return
            _release(waiting)
            waiting.clear()

    def _gather(self, waiting: list[FlushNote]) -> None:
        """Take notes until somebody waits for them, or for a moment after the first."""
        try:
            first = self.notes.get(timeout=RETRY_SECONDS if self._ledger or self._ledger.going_on else None)
        except queue.Empty:
            return
        if not isinstance(first, FlushNote):
            self._bell.acquire(timeout=GATHER_SECONDS)
        enter = self._ledger.task
        for note in itertools.chain((first,), (self.notes.get_nowait() for _ in range(self.notes.qsize()))):
            match note:
                case TaskNote():
                    enter(note)
                case LineNote():
                    self._ledger.line(note)
                case FlowNote():
                    self._ledger.flow(note)
                case LeftNote():
                    self._ledger.left(note)
                case RowNote():
                    self._ledger.other(note)
                case FlushNote():
                    waiting.append(note)

    def _write(self, connection: sqlite3.Connection | None, *, looks: bool) -> sqlite3.Connection | None:
        """Write what is pending, in one transaction; gives the connection, if one was needed.

        Args:
            connection: None at first, and after a failure.
            looks: whether to look if the file is still there, although that was done a moment ago.
        """
        now, moment = time.time(), time.monotonic()
        if not self._ledger:
            if connection is not None and self._ledger.going_on and moment >= self._next_look:
                self._next_look = moment + LOOK_SECONDS
                self._hear(connection)
            return connection
        looks = looks or moment >= self._next_look
        if looks:
            self._next_look = moment + LOOK_SECONDS
        if looks and self._identity is not None and database.identity_of(self.path) != self._identity:
            if connection is not None:
                connection.close()
                connection = None
            self._ledger.begin_anew()
        if connection is None:
            connection = self._connect()
        pending, token = self._ledger.pending(), self._token
        connection.execute("BEGIN IMMEDIATE")
        try:
            if looks:
                connection.execute("UPDATE processes SET seen = ? WHERE token = ?", (now, token))
            if pending.new_tree:
                assert self._alive is not None
                sweep_within(connection, self._alive)
            for *row, is_left in pending.runs:
                connection.execute(_FLOW_RUNS, (*row, None if is_left else token))
            _insert(connection, _STATES, pending.states)
            _insert(connection, _TASKS, pending.tasks, token)
            connection.executemany(_LATER, pending.later)
            _insert(connection, _LINES, pending.lines)
            complaints = _write_others(connection, pending.others)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # some errors have rolled back already
                connection.execute("ROLLBACK")
            raise
        self._ledger.written()
        if looks:
            self._hear(connection)
        for complaint in complaints:
            self._tell(complaint)
        return connection

    def _hear(self, connection: sqlite3.Connection) -> None:
        """Take up which of the runs that go on somebody wants to wait, and which to end."""
        wanted = dict(connection.execute("SELECT run_id, is_suspension FROM pause_wishes").fetchall())
        if wanted or WISHES:
            heard = {run_id: bool(wanted[run_id]) for run_id in wanted.keys() & self._ledger.going_on}
            WISHES.clear()
            WISHES.update(heard)
        for (run_id,) in connection.execute(
            "SELECT run_id FROM end_wishes WHERE process = ?", (self._token,)
        ).fetchall():
            connection.execute("DELETE FROM end_wishes WHERE run_id = ?", (run_id,))
            if (end := ENDINGS.get(run_id)) is not None:
                end()

    def _connect(self) -> sqlite3.Connection:
        from towpath import __version__

        connection = database.connect(self.path, self._tell)
        self._identity = database.identity_of(self.path)
        alive = alive_beside(self.path)
        if alive is not self._alive:
            self._alive, self._token = alive, alive.announce()
        process = {"token": self._token, "pid": os.getpid(), "host": os.uname().nodename, "towpath": __version__}
        connection.execute(_PROCESS, {**process, "now": time.time()})
        return connection

    def _recover(self, connection: sqlite3.Connection | None, error: sqlite3.Error | OSError) -> None:
        """Make ready for another try; raises the error if there is no use in that."""
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        if _is_for_good(error):
            raise error
        if isinstance(error, sqlite3.Error) and database.is_broken(error) and self._identity is not None:
            database.put_aside(self.path, self._identity, self._tell)
            self._ledger.begin_anew()
            return
        self._ledger.shed(KEPT_ROWS)
        self._tell_once(
            error,
            "The flow runs on, and this is tried again; what cannot be written before the process ends is lost.",
        )

    def _tell_once(self, error: Exception, consequence: str) -> None:
        if self._has_told:
            return
        self._has_told = True
        what = (isinstance(error, OSError) and error.strerror) or str(error)
        self._tell(
            f"The history at {str(self.path)!r} cannot be written: {what} ({type(error).__name__}). {consequence}"
            " Name a file in another place in TOWPATH_HISTORY, or set it to 'off'."
        )


def _insert(connection: sqlite3.Connection, start: str, rows: Sequence[Row], *last: Any) -> None:
    """Insert rows with few statements, of few different lengths; `last` is the value of a last column that all have."""
    if not rows:
        return
    most = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // (len(rows[0]) + len(last))
    at, count = 0, ROWS_AT_ONCE
    while count > most:
        count //= 2
    while at < len(rows):
        while count > len(rows) - at:
            count //= 2
        values: list[Any] = []
        for row in rows[at : at + count]:
            values += row
            values += last
        marks = f"({','.join('?' * (len(values) // count))})"
        connection.execute(f"{start} {','.join([marks] * count)}", values)
        at += count


def _write_others(connection: sqlite3.Connection, notes: Iterable[RowNote]) -> list[str]:
    """Write what is told beside states and lines, in its order; gives complaints about what could not be."""
    complaints: list[str] = []
    for statement, group in itertools.groupby(notes, lambda note: note.statement):
        if statement.endswith("VALUES"):
            _insert(connection, statement, [note.values for note in group])
        else:
            complaints += [n.complaint for n in group if not connection.execute(statement, n.values).rowcount]
    return complaints


def _is_for_good(error: sqlite3.Error | OSError) -> bool:
    """Tell whether trying again has no use: it will not be allowed later either, or the program is wrong."""
    if isinstance(error, OSError):
        return error.errno not in _PASSES
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code == sqlite3.SQLITE_READONLY_DBMOVED:  # the second: the file has just been taken away
        return code is None
    return code & 0xFF in _NEVER


def _release(waiting: Iterable[FlushNote]) -> None:
    for note in waiting:
        note.done.release()
