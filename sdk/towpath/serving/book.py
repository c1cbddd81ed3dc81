"""The book: deployments, what of their schedules has been seen to, and every run that was asked of them.

Part of the history file, so that all processes of this machine share it and none has to be there. What must happen once
is one transaction, or one conditional UPDATE: an order is entered once, because its deployment and identity are unique;
it is taken by one process, whoever else tries; it has one outcome, the first.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from towpath.api.v1alpha1 import transitions
from towpath.history import waiting
from towpath.serving import again
from towpath.serving.orders import OpenOrder, Order, TakenOrder, moment
from towpath.serving.register import Register
from towpath.states import TERMINAL, State, StateType

_TERMINAL: Final = ", ".join(f"'{type_}'" for type_ in sorted(TERMINAL))
_MANY: Final = 500  # orders that are looked at in one go: those first in the queue, and those that others wait for
_OPEN: Final = f"""
    SELECT orders.*, flow_runs.parent_id, flow_runs.state_type IN ({_TERMINAL}) AS has_ended,
        CASE WHEN parents.state_type IN ({_TERMINAL}) THEN parents.state_type END AS parent_ended
    FROM orders JOIN flow_runs ON flow_runs.id = orders.run_id LEFT JOIN flow_runs AS parents ON
        parents.id = flow_runs.parent_id
    WHERE orders.outcome IS NULL"""  # noqa: S608
_OPEN_OF_DEPLOYMENTS: Final = (
    f"{_OPEN} AND orders.deployment IN (SELECT value FROM json_each(?))"  # noqa: S608
    " ORDER BY orders.server IS NULL, flow_runs.parent_id IS NULL, orders.due, orders.number LIMIT ?"
)
_ORDER: Final = (
    "INSERT OR IGNORE INTO orders (run_id, deployment, identity, made_in, due, given_name, parent_name,"
    " outlives_parent) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_TAKEN: Final = """
    SELECT orders.*, flow_runs.*, deployments.name AS deployment_name
    FROM orders JOIN flow_runs ON flow_runs.id = orders.run_id JOIN deployments ON deployments.key = orders.deployment
    WHERE orders.run_id = ?"""


class Book(Register):
    """The book in a history file; may be used by several threads, one at a time."""

    def enter(
        self, deployment: str, orders: Sequence[Order], now: datetime, upto: Mapping[str, datetime] | None = None
    ) -> list[str]:
        """Enter orders of a deployment, and note up to when its schedules have been seen to: both, or neither.

        Returns:
            The ids of the orders' runs; of an order that was entered before, that of its first run.
        """
        ids = []
        with self._transaction() as connection:
            for order in orders:
                run = order.run
                values = (run.id, order.deployment, order.identity, order.made_in, order.due.timestamp())
                entered = connection.execute(
                    _ORDER, (*values, order.given_name, run.parent_name, order.outlives_parent)
                ).rowcount
                if entered:
                    waiting.enter(connection, run, order.state(now), now.timestamp())
                    ids.append(run.id)
                else:
                    ids.append(self._first(connection, order))
            self._mark(connection, deployment, upto or {})
        return ids

    def open_orders(self, deployments: Collection[str]) -> list[OpenOrder]:
        """Give orders that have no outcome, those that were started first, then those that wait, in their order."""
        rows = self._look(_OPEN_OF_DEPLOYMENTS, (json.dumps(list(deployments)), _MANY))
        return [_open_order(row) for row in rows]

    def claim(self, run_id: str, server: int, now: datetime) -> bool:
        """Have a server see to an order that waits; tell whether it got it."""
        with self._transaction() as connection:
            claimed = connection.execute(
                "UPDATE orders SET server = ? WHERE run_id = ? AND server IS NULL AND process IS NULL"
                " AND outcome IS NULL AND cancel_wanted IS NULL AND suspended IS NULL",
                (server, run_id),
            ).rowcount
            if claimed:
                waiting.move(connection, run_id, State(StateType.PENDING), now.timestamp())
        return bool(claimed)

    def release(self, run_id: str, server: int, why: str, now: datetime) -> None:
        """Have an order wait again that a server saw to, unless a process has taken it."""
        with self._transaction() as connection:
            released = connection.execute(
                "UPDATE orders SET server = NULL"
                " WHERE run_id = ? AND server = ? AND process IS NULL AND outcome IS NULL",
                (run_id, server),
            ).rowcount
            if released:
                waiting.move(connection, run_id, State(StateType.SCHEDULED, message=why), now.timestamp())

    def put_off(self, run_ids: Iterable[str], now: datetime) -> None:
        """Note that runs wait for a place."""
        state: State[Any] = State(
            StateType.SCHEDULED, "AwaitingConcurrencySlot", "As many runs as may go on at once do so."
        )
        with self._transaction() as connection:
            for run_id in run_ids:
                waiting.move(connection, run_id, state, now.timestamp())

    def take(self, run_id: str, process: int, pid: int) -> TakenOrder | None:
        """Take an order, for the process that runs it; None if another has, or nobody wants it any more."""
        with self._transaction() as connection:
            taken = connection.execute(
                "UPDATE orders SET process = ?, pid = ? WHERE run_id = ? AND process IS NULL AND outcome IS NULL"
                " AND cancel_wanted IS NULL AND suspended IS NULL",
                (process, pid, run_id),
            ).rowcount
            row = connection.execute(_TAKEN, (run_id,)).fetchone() if taken else None
        if row is None:
            return None
        return TakenOrder(
            run_id=run_id,
            name=row["name"],
            deployment_name=row["deployment_name"],
            due=moment(row["due"]),
            parameters=json.loads(row["parameters"]),
            tags=frozenset(json.loads(row["tags"])),
            parent_id=row["parent_id"],
            parent_name=row["parent_name"],
            root_id=row["root_id"],
            depth=row["depth"],
            attempt=row["attempt"],
            given_name=row["given_name"],
        )

    def tell(self, run_id: str, outcome: Mapping[str, Any]) -> None:
        """Write down how a run ended, in the words of its own process; the first word counts."""
        with self._transaction() as connection:
            self._tell(connection, run_id, outcome)

    def suspend(self, run_id: str, now: datetime) -> None:
        """Have a run wait, without a process, until somebody resumes it."""
        with self._transaction() as connection:
            again.suspend(connection, run_id, now.timestamp())

    def end(self, run_id: str, state: State[Any], now: datetime) -> State[Any]:
        """Give an end to a run whose process cannot say how it ended, or that has none; give the end that it has.

        If its process has said so to the history, and was ended before it could say more, that counts.
        """
        with self._transaction() as connection:
            if not waiting.move(connection, run_id, state, now.timestamp()):
                told = connection.execute(
                    "SELECT state_type, state_name, state_message FROM flow_runs WHERE id = ?", (run_id,)
                ).fetchone()
                state = State(StateType(told["state_type"]), told["state_name"], told["state_message"])
            waiting.end_suspended_below(connection, run_id, state, now.timestamp())
            written = transitions.state(state.type, now, name=state.name, message=state.message)
            self._tell(connection, run_id, {"state": written})
        return state

    def end_suspended(self, run_id: str, now: datetime) -> bool:
        """Cancel a run that is suspended, with those that are suspended with it; tell whether it was one."""
        state: State[Any] = State(StateType.CANCELLED, message="The run was cancelled while it was suspended.")
        with self._transaction() as connection:
            return waiting.end_suspended(connection, run_id, state, now.timestamp())

    def wish_ended(self, run_id: str, now: datetime) -> bool:
        """Have a run ended by the process that it goes on in, though no server has started that; tell whether it can.

        The process hears of it within a second. A run that another has called in its process ends with that one only.
        """
        with self._transaction() as connection:
            row = connection.execute(
                f"SELECT process FROM flow_runs WHERE id = ? AND parent_id IS NULL AND state_type NOT IN ({_TERMINAL})",  # noqa: S608
                (run_id,),
            ).fetchone()
            if row is None or row["process"] is None or not self.alive.is_alive(row["process"]):
                return False
            connection.execute(
                "INSERT OR REPLACE INTO end_wishes VALUES (?, ?, ?)", (run_id, row["process"], now.timestamp())
            )
            waiting.move(connection, run_id, State(StateType.CANCELLING), now.timestamp())
            return True

    def end_untold(self, run_id: str, how: str, now: datetime) -> State[Any] | None:
        """Give an end to a run whose process has gone, if it left none; give that end.

        Args:
            run_id: of the run.
            how: what became of the process, as in "The process of the run has gone".
            now: the time.
        """
        if self.outcomes([run_id]):
            return None
        state: State[Any] = State(StateType.CANCELLED, message="The run was cancelled, and its process was ended.")
        if not self.is_wanted_cancelled(run_id):
            state = State(StateType.CRASHED, message=f"The process of the run {how}, without saying how the run ended.")
        return self.end(run_id, state, now)

    def bury(self, run_ids: Collection[str], now: datetime) -> None:
        """Give an end to those runs whose process has gone and left none."""
        rows = self._look(
            "SELECT run_id, process, cancel_wanted FROM orders WHERE outcome IS NULL AND process IS NOT NULL"
            " AND run_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(run_ids)),),
        )
        for row in rows:
            if not self.alive.is_alive(row["process"]):
                self.end_untold(row["run_id"], "has gone", now)

    def want_cancelled(self, run_id: str, now: datetime) -> OpenOrder | None:
        """Note that a run is to end; give its order, or None if it has ended or is no run of a deployment."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE orders SET cancel_wanted = coalesce(cancel_wanted, ?) WHERE run_id = ? AND outcome IS NULL",
                (now.timestamp(), run_id),
            )
            row = connection.execute(f"{_OPEN} AND orders.run_id = ?", (run_id,)).fetchone()
            if row is not None and row["process"] is not None:
                waiting.move(connection, run_id, State(StateType.CANCELLING), now.timestamp())
        return None if row is None else _open_order(row)

    def is_wanted_cancelled(self, run_id: str) -> bool:
        """Tell whether somebody has asked for the end of a run."""
        rows = self._look("SELECT cancel_wanted FROM orders WHERE run_id = ?", (run_id,))
        return bool(rows) and rows[0]["cancel_wanted"] is not None

    def outcomes(self, run_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Give the outcomes of those runs that have one."""
        rows = self._look(
            "SELECT run_id, outcome FROM orders WHERE outcome IS NOT NULL"
            " AND run_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(run_ids)),),
        )
        return {row["run_id"]: json.loads(row["outcome"]) for row in rows}

    def known(self, run_ids: Collection[str]) -> set[str]:
        """Give those runs that there are."""
        query = "SELECT run_id FROM orders WHERE run_id IN (SELECT value FROM json_each(?))"
        return {row["run_id"] for row in self._look(query, (json.dumps(list(run_ids)),))}

    def made_in(self, run_id: str) -> str:
        """Tell in which try of its parent an order was made."""
        row = self._look("SELECT made_in FROM orders WHERE run_id = ?", (run_id,))[0]
        tried: str = row["made_in"]
        return tried

    def taken_by(self, run_id: str) -> int | None:
        """Give the token of the process that took a run, if one has."""
        rows = self._look("SELECT process FROM orders WHERE run_id = ?", (run_id,))
        return rows[0]["process"] if rows else None

    def is_given_back(self, run_id: str) -> bool:
        """Tell whether a run that was taken has no process any more, and no end: it is suspended, or was resumed."""
        rows = self._look("SELECT server, process, outcome FROM orders WHERE run_id = ?", (run_id,))
        return bool(rows) and all(value is None for value in rows[0])

    def name_of(self, run_id: str) -> str:
        """Give the name of a run; its id if it was deleted."""
        rows = self._look("SELECT name FROM flow_runs WHERE id = ?", (run_id,))
        return rows[0]["name"] if rows else run_id

    def state_of(self, run_id: str) -> State[Any] | None:
        """Give the state of a run that has not ended; None if it was deleted."""
        rows = self._look(
            "SELECT state_type, state_name, state_message, state_since FROM flow_runs WHERE id = ?", (run_id,)
        )
        if not rows:
            return None
        state: State[Any] = State(StateType(rows[0]["state_type"]), rows[0]["state_name"], rows[0]["state_message"])
        state.stamp(rows[0]["state_since"])
        return state

    @staticmethod
    def _first(connection: sqlite3.Connection, order: Order) -> str:
        row = connection.execute(
            "SELECT run_id FROM orders WHERE deployment = ? AND identity = ?", (order.deployment, order.identity)
        ).fetchone()
        first: str = row["run_id"]
        return first

    @staticmethod
    def _tell(connection: sqlite3.Connection, run_id: str, outcome: Mapping[str, Any]) -> None:
        connection.execute(
            "UPDATE orders SET outcome = ? WHERE run_id = ? AND outcome IS NULL",
            (json.dumps(outcome, ensure_ascii=False), run_id),
        )


def _open_order(row: sqlite3.Row) -> OpenOrder:
    return OpenOrder(
        run_id=row["run_id"],
        deployment=row["deployment"],
        due=moment(row["due"]),
        server=row["server"],
        process=row["process"],
        pid=row["pid"],
        cancel_wanted=row["cancel_wanted"] is not None,
        is_suspended=row["suspended"] is not None,
        has_ended=bool(row["has_ended"]),
        parent_id=row["parent_id"],
        outlives_parent=bool(row["outlives_parent"]),
        parent_ended=row["parent_ended"],
    )
