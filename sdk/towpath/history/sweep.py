"""What becomes of runs whose process has gone without a word: they are CRASHED, once, whoever looks first.

And of runs that are suspended, and that nobody has resumed in time: they have FAILED.

A run belongs to the process that works on it, and a process holds a lock while it lives (`alive`). Looking costs a
query; only if a process is found gone is there a transaction, and in it the question is asked again, so that of several
who look at the same time one acts.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any, Final

from towpath.history import waiting
from towpath.history.alive import Alive
from towpath.history.ledger import state_line
from towpath.states import TERMINAL, State, StateType

_TERMINAL: Final = ", ".join(f"'{type_}'" for type_ in sorted(TERMINAL))
_OVERDUE: Final = """
    SELECT pauses.run_id, pauses.until FROM pauses JOIN flow_runs ON flow_runs.id = pauses.run_id
    WHERE pauses.answered IS NULL AND pauses.is_suspension AND pauses.until < ? AND flow_runs.state_type = 'PAUSED'
        AND flow_runs.process IS NULL"""
_SUSPENDED: Final = "SELECT parent_id FROM flow_runs WHERE id = ? AND state_type = 'PAUSED' AND process IS NULL"


def sweep(connection: sqlite3.Connection, alive: Alive) -> int:
    """See to the runs of processes that have gone; gives the number of flow runs that are CRASHED by it.

    Args:
        connection: in autocommit mode, with no transaction open.
        alive: tells which processes are there.
    """
    if not _gone(connection, alive) and not _overdue(connection):
        return 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        crashed = sweep_within(connection, alive)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return crashed


def sweep_within(connection: sqlite3.Connection, alive: Alive) -> int:
    """Do the same within a transaction for writing that is open already."""
    for run in _overdue(connection):
        _fail(connection, *run)
    return sum(_bury(connection, *process) for process in _gone(connection, alive))


def _gone(connection: sqlite3.Connection, alive: Alive) -> list[tuple[int, int, float]]:
    return [
        process
        for process in connection.execute("SELECT token, pid, seen FROM processes")
        if not alive.is_alive(process[0])
    ]


def _overdue(connection: sqlite3.Connection) -> list[tuple[str, float]]:
    """Give the suspended runs that were to be resumed by now, and until when; a paused one looks to it itself."""
    return connection.execute(_OVERDUE, (time.time(),)).fetchall()


def _fail(connection: sqlite3.Connection, run_id: str, until: float) -> None:
    """Give an end to a suspended run that nobody has resumed in time, and to those that are suspended with it."""
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(until))
    state: State[Any] = State(StateType.FAILED, message=f"The run was suspended, and nobody resumed it until {at}.")
    above: str | None = run_id
    while above is not None:
        row = connection.execute(_SUSPENDED, (above,)).fetchone()
        if row is not None:
            waiting.move(connection, above, state, time.time())
        above = None if row is None else row[0]


def _bury(connection: sqlite3.Connection, token: int, pid: int, seen: float) -> int:
    """Give an end to what a process has left behind; it is said to have ended when the process was last heard of."""
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seen))
    message = f"The process (pid {pid}) has gone without saying how the run ended. It was last heard of at {at}."
    crashed = connection.execute(
        f"UPDATE flow_runs SET state_type = 'CRASHED', state_name = 'Crashed', state_message = :message,"  # noqa: S608
        " state_since = max(:seen, state_since), ended = max(:seen, state_since),"
        " seconds = max(0, max(:seen, state_since) - started)"
        f" WHERE process = :token AND state_type NOT IN ({_TERMINAL})",
        {"message": message, "seen": seen, "token": token},
    ).rowcount
    connection.execute(
        "INSERT INTO flow_run_states (run_id, type, name, message, since)"
        " SELECT id, state_type, state_name, state_message, state_since FROM flow_runs"
        " WHERE process = ? AND state_type = 'CRASHED'",
        (token,),
    )
    connection.execute("UPDATE flow_runs SET process = NULL WHERE process = ?", (token,))
    connection.execute(
        "UPDATE task_runs SET state_type = 'CRASHED', states = states || :line, ended = :seen,"
        " seconds = max(0, :seen - started) WHERE process = :token AND ended IS NULL",
        {"line": state_line(StateType.CRASHED, "Crashed", message, seen), "seen": seen, "token": token},
    )
    connection.execute("DELETE FROM processes WHERE token = ?", (token,))
    return crashed
