"""Runs that nobody works on: entered before they have a process, and given an end that no process of theirs can tell.

What a run's own process tells is the recorder's business; these are the words of others, written at once and within
the transaction of whoever says them.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from towpath.history.ledger import tag_list, text
from towpath.states import TERMINAL, State

if TYPE_CHECKING:
    from towpath.runs import FlowRun

_TERMINAL: Final = ", ".join(f"'{type_}'" for type_ in sorted(TERMINAL))
_SUSPENDED: Final = "state_type = 'PAUSED' AND process IS NULL"


def enter(connection: sqlite3.Connection, run: FlowRun, state: State[Any], now: float) -> None:
    """Enter a run that waits to be started.

    Args:
        connection: with a transaction open.
        run: its facts; the parameters are JSON values.
        state: such as SCHEDULED.
        now: seconds since the epoch.
    """
    connection.execute(
        "INSERT INTO flow_runs (id, name, flow, flow_version, parent_id, root_id, depth, deployment, parameters,"
        " parameters_whole, tags, attempt, run_count, state_type, state_name, state_message, state_since, created,"
        " tasks_total, tasks_completed, tasks_failed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, 1, 0, ?, ?, ?, ?, ?, 0, 0, 0)",
        (
            run.id,
            text(run.name),
            text(run.flow_name),
            run.flow_version,
            run.parent_id,
            run.root_id,
            run.depth,
            run.deployment,
            json.dumps(dict(run.parameters)),
            tag_list(run.tags),
            state.type.value,
            state.name,
            state.message,
            now,
            now,
        ),
    )
    _remember(connection, run.id, state, now)


def move(connection: sqlite3.Connection, run_id: str, state: State[Any], now: float) -> bool:
    """Put a run into a state, unless it has ended; tell whether that was so.

    Args:
        connection: with a transaction open.
        run_id: the run's id.
        state: the state.
        now: seconds since the epoch.
    """
    ended = now if state.is_final() else None
    moved = connection.execute(
        "UPDATE flow_runs SET state_type = ?, state_name = ?, state_message = ?, state_since = ?, ended = ?,"  # noqa: S608
        " seconds = CASE WHEN ? IS NULL OR started IS NULL THEN NULL ELSE max(0, ? - started) END"
        f" WHERE id = ? AND state_type NOT IN ({_TERMINAL})",
        (state.type.value, state.name, state.message, now, ended, ended, ended, run_id),
    ).rowcount
    if moved:
        _remember(connection, run_id, state, now)
    return bool(moved)


def begin_anew(connection: sqlite3.Connection, run_id: str, state: State[Any], now: float) -> None:
    """Have a run that nobody works on wait for its next attempt, whatever its state.

    Args:
        connection: with a transaction open.
        run_id: the run's id.
        state: SCHEDULED.
        now: seconds since the epoch.
    """
    connection.execute(
        "UPDATE flow_runs SET attempt = attempt + 1, state_type = ?, state_name = ?, state_message = ?,"
        " state_since = ?, ended = NULL, seconds = NULL, process = NULL WHERE id = ?",
        (state.type.value, state.name, state.message, now, run_id),
    )
    _remember(connection, run_id, state, now)


def end_suspended(connection: sqlite3.Connection, run_id: str, state: State[Any], now: float) -> bool:
    """Give an end to a run that is suspended, and to those that are suspended with it; tell whether it was one.

    Args:
        connection: with a transaction open.
        run_id: the run's id.
        state: terminal.
        now: seconds since the epoch.
    """
    if connection.execute(f"SELECT 1 FROM flow_runs WHERE id = ? AND {_SUSPENDED}", (run_id,)).fetchone() is None:  # noqa: S608
        return False
    move(connection, run_id, state, now)
    end_suspended_below(connection, run_id, state, now)
    return True


def end_suspended_below(connection: sqlite3.Connection, run_id: str, state: State[Any], now: float) -> None:
    """Give an end to those that are suspended in the process that a run was in, and that it has called.

    Args:
        connection: with a transaction open.
        run_id: the run's id.
        state: terminal.
        now: seconds since the epoch.
    """
    for (below,) in [
        tuple(row)
        for row in connection.execute(
            f"SELECT id FROM flow_runs WHERE parent_id = ? AND {_SUSPENDED}"  # noqa: S608
            " AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.run_id = flow_runs.id)",
            (run_id,),
        )
    ]:
        end_suspended(connection, below, state, now)


def _remember(connection: sqlite3.Connection, run_id: str, state: State[Any], now: float) -> None:
    connection.execute(
        "INSERT INTO flow_run_states (run_id, type, name, message, since) VALUES (?, ?, ?, ?, ?)",
        (run_id, state.type.value, state.name, state.message, now),
    )
