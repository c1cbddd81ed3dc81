"""Orders whose runs are suspended, or begin anew: within the transaction of whoever decides that."""

from __future__ import annotations

import sqlite3


def suspend(connection: sqlite3.Connection, run_id: str, now: float) -> None:
    """Have an order wait until somebody resumes its run: the process that took it ends."""
    connection.execute(
        "UPDATE orders SET suspended = ?, server = NULL, process = NULL, pid = NULL"
        " WHERE run_id = ? AND outcome IS NULL",
        (now, run_id),
    )


def begin_anew(connection: sqlite3.Connection, run_id: str) -> int | None:
    """Have an order be started again; give the token of the process that serves its deployment, or did last.

    None: the run is not one of a deployment.
    """
    connection.execute(
        "UPDATE orders SET suspended = NULL, server = NULL, process = NULL, pid = NULL, cancel_wanted = NULL,"
        " outcome = NULL WHERE run_id = ?",
        (run_id,),
    )
    row = connection.execute(
        "SELECT deployments.server FROM orders LEFT JOIN deployments ON deployments.key = orders.deployment"
        " WHERE orders.run_id = ?",
        (run_id,),
    ).fetchone()
    return None if row is None else row[0] or 0
