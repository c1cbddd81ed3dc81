"""What is asked of the history's tables about runs that wait or begin anew; within somebody's transaction."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import Final

from towpath.pausing.port import Pause
from towpath.states import AWAITING_RETRY, RESUMING

#: Opens a pause, or what is there is left as it is: one that was answered stays so.
ENTER: Final = """
    INSERT INTO pauses (run_id, identity, key, is_suspension, wanted, description, since, until)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (identity, key) DO UPDATE SET run_id = excluded.run_id, is_suspension = excluded.is_suspension,
        wanted = excluded.wanted, description = excluded.description, since = excluded.since, until = excluded.until
    WHERE answered IS NULL"""
#: Pauses that runs wait in, of a JSON array of runs.
OPEN: Final = """
    SELECT pauses.* FROM pauses JOIN flow_runs ON flow_runs.id = pauses.run_id
    WHERE pauses.answered IS NULL AND flow_runs.state_type = 'PAUSED'
        AND pauses.run_id IN (SELECT value FROM json_each(?)) ORDER BY pauses.number"""
#: Takes a run that is to begin anew, for the process of a token.
TAKE: Final = (
    f"UPDATE flow_runs SET process = ? WHERE id = ? AND process IS NULL AND state_type = 'SCHEDULED'"  # noqa: S608
    f" AND state_name IN ('{RESUMING}', '{AWAITING_RETRY}')"
    " AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.run_id = flow_runs.id)"
)


def pause_of(row: sqlite3.Row) -> Pause:
    """Make a pause of its row."""
    return Pause(
        run_id=row["run_id"],
        identity=row["identity"],
        key=row["key"],
        is_suspension=bool(row["is_suspension"]),
        wanted=None if row["wanted"] is None else json.loads(row["wanted"]),
        description=row["description"],
        since=datetime.fromtimestamp(row["since"], UTC),
        until=None if row["until"] is None else datetime.fromtimestamp(row["until"], UTC),
        refused=row["refused"],
        answer=None if row["answer"] is None else json.loads(row["answer"]),
        is_answered=row["answered"] is not None,
    )


def top_of(connection: sqlite3.Connection, run_id: str) -> sqlite3.Row | None:
    """Give the run whose process a run is in: itself, or the one above it that nobody has called in its process."""
    row: sqlite3.Row | None = None
    above: str | None = run_id
    while above is not None:
        found = connection.execute("SELECT * FROM flow_runs WHERE id = ?", (above,)).fetchone()
        if found is None:
            break
        row = found
        above = None if is_ordered(connection, above) else found["parent_id"]
    return row


def is_ordered(connection: sqlite3.Connection, run_id: str) -> bool:
    """Tell whether a run is one of a deployment, whose server starts it."""
    return connection.execute("SELECT 1 FROM orders WHERE run_id = ?", (run_id,)).fetchone() is not None


def is_waited_for(connection: sqlite3.Connection, run_id: str) -> bool:
    """Tell whether another run has called a run, and waits for it, or did."""
    row = connection.execute(
        "SELECT flow_runs.parent_id, orders.outlives_parent FROM flow_runs"
        " LEFT JOIN orders ON orders.run_id = flow_runs.id WHERE flow_runs.id = ?",
        (run_id,),
    ).fetchone()
    return row is not None and row["parent_id"] is not None and not row["outlives_parent"]


def why_not_again(connection: sqlite3.Connection, run: sqlite3.Row) -> str | None:
    """Say why no process could begin a run anew; None if one could.

    Args:
        connection: with a transaction open.
        run: the row of a run that stands for itself.
    """
    if is_ordered(connection, run["id"]):
        return None
    if run["origin"] is None:
        return (
            f"its flow {run['flow']!r} cannot be loaded from a file. It is local to a function, was typed into an"
            " interactive session, or has options of its own (`with_options`) and no name at the top level of its file."
        )
    if not run["parameters_whole"]:
        return "its parameters are too large to be recorded, or have no form in JSON. Pass a path or an id instead."
    return None
