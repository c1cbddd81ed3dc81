"""Pauses, wishes and messages in the history file: what runs on this machine wait for.

What may happen once is one conditional UPDATE in one transaction: a pause is answered by one of those who try, and a
run that is to begin anew is taken by one process.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from towpath.errors import NoSuchRun, NotPausedError, PauseError
from towpath.futures import Future
from towpath.history import waiting
from towpath.history.reader import SQLiteHistory
from towpath.history.recorder import RECORDER
from towpath.history.sweep import sweep_within
from towpath.pausing.port import Begun, Message, Next, Pause, Standing, StillUnwinding, Taken
from towpath.pausing.rows import ENTER, OPEN, TAKE, is_ordered, is_waited_for, pause_of, top_of, why_not_again
from towpath.pausing.watch import Watch
from towpath.runs import FlowRun
from towpath.serving import again
from towpath.serving.bell import ring
from towpath.serving.book_file import BookFile
from towpath.slugs import new_id
from towpath.states import AWAITING_RETRY, RESUMING, State, StateType

T = TypeVar("T")


class LocalPauses(BookFile):
    """What runs in one history file wait for; may be used by several threads.

    Args:
        path: of the file, absolute.

    Raises:
        HistoryError: it cannot be opened or written.
    """

    holds = "Pauses, and the answers to them,"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._watch = Watch(self.has_changed)
        self._token: int | None = None

    def enter(self, pause: Pause) -> Pause:
        """Have a run wait; gives the pause as it is, which may have been answered before."""
        RECORDER.flush()
        until = None if pause.until is None else pause.until.timestamp()
        wanted = None if pause.wanted is None else json.dumps(dict(pause.wanted))
        values = (wanted, pause.description, pause.since.timestamp(), until)
        with self._transaction() as connection:
            if pause.is_suspension:
                top = top_of(connection, pause.run_id)
                why_not = "its run is not in the history." if top is None else why_not_again(connection, top)
                if why_not is not None:
                    raise PauseError(
                        f"This flow run cannot be suspended, because no process could begin it anew: {why_not}"
                        " pause_flow_run waits in this process instead."
                    )
            connection.execute(ENTER, (pause.run_id, pause.identity, pause.key, pause.is_suspension, *values))
            row = self._row(connection, pause)
        assert row is not None
        return pause_of(row)

    def tell(self, pause: Pause, state: State[Any]) -> None:
        """Do nothing: the history is told of each state anyway, and whoever steers the run looks there."""

    def answered(self, pause: Pause) -> Future[Pause]:
        """Give a future that ends with the pause as it is when it has been answered."""

        def look() -> Pause | None:
            row = self._row(None, pause)
            return None if row is None or row["answered"] is None else pause_of(row)

        return self.expect(look)

    def refuse(self, pause: Pause, why: str) -> None:
        """Have the run wait on: its own check found the answer wrong."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE pauses SET answer = NULL, answered = NULL, refused = ? WHERE identity = ? AND key = ?",
                (why, pause.identity, pause.key),
            )

    def recall(self, run: FlowRun) -> None:
        """Give a run that is called again the id and name under which it was suspended, if it was."""
        rows = self._look(
            "SELECT flow_runs.id, flow_runs.name FROM pauses JOIN flow_runs ON flow_runs.id = pauses.run_id"
            " WHERE pauses.identity = ? AND flow_runs.process IS NULL ORDER BY pauses.number DESC LIMIT 1",
            (run.identity,),
        )
        for row in rows:
            run.id, run.name = row["id"], row["name"]

    def heed(self, run_id: str) -> bool:
        """Take back the wish that a run may wait; tell whether there was one."""
        with self._transaction() as connection:
            return bool(connection.execute("DELETE FROM pause_wishes WHERE run_id = ?", (run_id,)).rowcount)

    def find(self, which: str) -> Standing:
        """Give a run by its id or name."""
        with SQLiteHistory(self.path) as history:
            run = history.run(which)
            tree = {one.id: one.name for one in history.tree(run.id)}
        with self._transaction() as connection:  # state and pauses are of one moment
            now = connection.execute("SELECT * FROM flow_runs WHERE id = ?", (run.id,)).fetchone()
            rows = connection.execute(OPEN, (json.dumps(list(tree)),)).fetchall()
            top = top_of(connection, run.id)
            why_not = None if top is None else why_not_again(connection, top)
            ordered = top is not None and is_ordered(connection, top["id"])
        if now is None:
            raise NoSuchRun(f"The run {run.name!r} has just been deleted.")
        return Standing(
            id=run.id,
            name=run.name,
            state=StateType(now["state_type"]),
            state_name=now["state_name"],
            has_process=now["process"] is not None,
            pauses=tuple(map(pause_of, rows)),
            names=tree,
            why_not_again=why_not,
            origin=None if ordered or top is None or top["origin"] is None else json.loads(top["origin"]),
        )

    def ask(self, run_id: str, *, is_suspension: bool) -> None:
        """Note the wish that a run may wait at its next call of a task or flow."""
        with self._transaction() as connection:
            if is_suspension:
                top = top_of(connection, run_id)
                why_not = None if top is None else why_not_again(connection, top)
                if why_not is not None:
                    raise PauseError(f"The run cannot be suspended, because no process could begin it anew: {why_not}")
            connection.execute(
                "INSERT OR REPLACE INTO pause_wishes VALUES (?, ?, ?)", (run_id, is_suspension, time.time())
            )

    def answer(self, pause: Pause, answer: Mapping[str, Any] | None) -> Begun:
        """Answer a pause: one who tries does, the others are too late."""
        now = time.time()
        with self._transaction() as connection:
            sweep_within(connection, self.alive)
            row = self._row(connection, pause)
            if row is None or row["state_type"] != StateType.PAUSED:
                stands = "was deleted" if row is None else f"is {row['state_name']}"
                raise NotPausedError(f"The run {stands} by now, and does not wait for anybody.")
            taken = connection.execute(
                "UPDATE pauses SET answer = ?, answered = ?, refused = NULL"
                " WHERE identity = ? AND key = ? AND answered IS NULL",
                (None if answer is None else json.dumps(dict(answer)), now, pause.identity, pause.key),
            ).rowcount
            if not taken:
                raise NotPausedError(f"Run {row['name']!r} has been resumed already, by somebody else.")
            if not pause.is_suspension:
                verdict = self._verdict(pause, _last_state(connection, pause.run_id))
                return Begun(then=Next.GOES_ON, run_id=pause.run_id, name=row["name"], verdict=verdict)
            top = top_of(connection, pause.run_id)
            assert top is not None
            if top["process"] is not None:
                raise StillUnwinding(f"Run {top['name']!r} is still being suspended. Try again in a moment.")
            if top["state_type"] != StateType.PAUSED:
                raise NotPausedError(
                    f"Run {row['name']!r} was called by run {top['name']!r}, which is {top['state_name']} by now. Have"
                    f" that begin anew: towpath runs retry {top['name']}"
                )
            server = self._begin(connection, top["id"], RESUMING)
        return self._told(top, server)

    def begin_anew(self, run_id: str) -> Begun:
        """Have a run begin anew: one that ended otherwise than well, or is suspended without anything to answer."""
        with self._transaction() as connection:
            sweep_within(connection, self.alive)
            run = connection.execute("SELECT * FROM flow_runs WHERE id = ?", (run_id,)).fetchone()
            if run is None:
                raise NoSuchRun(f"There is no run with the id {run_id!r} in the history at {str(self.path)!r}.")
            state = StateType(run["state_type"])
            if state is StateType.SCHEDULED and run["state_name"] in {RESUMING, AWAITING_RETRY}:
                if run["process"] is None and not is_ordered(connection, run_id):
                    return _begun(run, Next.TO_BE_STARTED)  # whoever wanted it has not come to start it
                raise PauseError(f"Run {run['name']!r} is about to begin anew already.")
            if state is StateType.COMPLETED:
                raise PauseError(f"Run {run['name']!r} has completed, so there is nothing to try again. Run it anew.")
            is_suspended = state is StateType.PAUSED and run["process"] is None
            if not (state.is_terminal or is_suspended):
                raise PauseError(f"Run {run['name']!r} goes on ({run['state_name']}). Wait for its end, or cancel it.")
            if is_waited_for(connection, run_id):
                above = connection.execute("SELECT name FROM flow_runs WHERE id = ?", (run["parent_id"],)).fetchone()
                parent = "another" if above is None else repr(above["name"])
                raise PauseError(
                    f"Run {run['name']!r} was called by run {parent}. Have that begin anew: it calls this one again,"
                    " and takes what is kept."
                )
            if (why_not := why_not_again(connection, run)) is not None:
                raise PauseError(f"Run {run['name']!r} cannot begin anew: {why_not}")
            server = self._begin(connection, run_id, RESUMING if is_suspended else AWAITING_RETRY)
        return self._told(run, server)

    def take(self, run_id: str) -> Taken | None:
        """Take a run that is to begin anew, for this process; None if another was faster."""
        if self._token is None:
            self._token = self.alive.announce()
        now = time.time()
        with self._transaction() as connection:
            from towpath import __version__

            connection.execute(
                "INSERT OR IGNORE INTO processes (token, pid, host, towpath, began, seen) VALUES (?, ?, ?, ?, ?, ?)",
                (self._token, os.getpid(), os.uname().nodename, __version__, now, now),
            )
            if not connection.execute(TAKE, (self._token, run_id)).rowcount:
                return None
            waiting.move(connection, run_id, State(StateType.PENDING), now)
            row = connection.execute("SELECT * FROM flow_runs WHERE id = ?", (run_id,)).fetchone()
        return Taken(
            run_id=run_id,
            name=row["name"],
            parameters=json.loads(row["parameters"]),
            tags=frozenset(json.loads(row["tags"])),
            attempt=row["attempt"],
        )

    def give_up(self, run_id: str, why: str) -> None:
        """Give a run that this process took, and could not begin, an end."""
        with self._transaction() as connection:
            waiting.move(connection, run_id, State(StateType.CRASHED, message=why), time.time())
            connection.execute("UPDATE flow_runs SET process = NULL WHERE id = ?", (run_id,))

    def send(self, run_id: str, prefix: str, value: Any, sender: str | None) -> None:
        """Send a JSON value to a run."""
        RECORDER.flush()  # it may be this process's, and have begun a moment ago
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM flow_runs WHERE id = ?", (run_id,)).fetchone() is None:
                raise NoSuchRun(f"There is no run with the id {run_id!r} in the history at {str(self.path)!r}.")
            connection.execute(
                "INSERT INTO messages (id, receiver, prefix, sender, value, sent) VALUES (?, ?, ?, ?, ?, ?)",
                (new_id(), run_id, prefix, sender, json.dumps(value), time.time()),
            )

    def received(self, run_id: str, prefix: str, *, after: int, besides: Collection[str]) -> Message | None:
        """Give the first message of a kind to a run."""
        rows = self._look(
            "SELECT number, prefix || '-' || id AS key, value, sender FROM messages"
            " WHERE receiver = ? AND prefix = ? AND number > ?"
            " AND prefix || '-' || id NOT IN (SELECT value FROM json_each(?)) ORDER BY number LIMIT 1",
            (run_id, prefix, after, json.dumps(list(besides))),
        )
        for row in rows:
            return Message(number=row["number"], key=row["key"], value=json.loads(row["value"]), sender=row["sender"])
        return None

    def expect(self, look: Callable[[], T | None]) -> Future[T]:
        """Give a future that ends with what a look gives, as soon as it gives something."""
        return self._watch.expect(look)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with super()._transaction() as connection:
            yield connection
        self._watch.nudge()  # a file has changed, SQLite says, when others have written to it

    def _verdict(self, pause: Pause, last_state: int) -> Future[str]:
        def look() -> str | None:
            row = self._row(None, pause)
            if row is not None and row["answered"] is None:
                return row["refused"] or ""
            newer = "SELECT 1 FROM flow_run_states WHERE run_id = ? AND number > ? LIMIT 1"
            return "" if row is None or self._look(newer, (pause.run_id, last_state)) else None

        return self.expect(look)

    def _begin(self, connection: sqlite3.Connection, run_id: str, name: str) -> int | None:
        waiting.begin_anew(connection, run_id, State(StateType.SCHEDULED, name), time.time())
        return again.begin_anew(connection, run_id)

    def _told(self, run: sqlite3.Row, server: int | None) -> Begun:
        """Wake the server that is to start a run, once that is committed."""
        if server is None:
            return _begun(run, Next.TO_BE_STARTED)
        ring(self.path, server)
        return _begun(run, Next.IS_STARTED)

    def _row(self, connection: sqlite3.Connection | None, pause: Pause) -> sqlite3.Row | None:
        query = (
            "SELECT pauses.*, flow_runs.name, flow_runs.state_type, flow_runs.state_name"
            " FROM pauses JOIN flow_runs ON flow_runs.id = pauses.run_id WHERE pauses.identity = ? AND pauses.key = ?"
        )
        values = (pause.identity, pause.key)
        rows = self._look(query, values) if connection is None else connection.execute(query, values).fetchall()
        return rows[0] if rows else None


def _begun(run: sqlite3.Row, then: Next) -> Begun:
    return Begun(then=then, run_id=run["id"], name=run["name"])


def _last_state(connection: sqlite3.Connection, run_id: str) -> int:
    """Give the number of the state that a run has entered last; numbers grow."""
    row = connection.execute("SELECT max(number) FROM flow_run_states WHERE run_id = ?", (run_id,)).fetchone()
    return row[0] or 0
