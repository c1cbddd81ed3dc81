"""Which deployments there are on this machine, and what of their schedules has been seen to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from towpath.serving.book_file import BookFile
from towpath.serving.orders import KnownDeployment, KnownSchedule, moment

if TYPE_CHECKING:
    from towpath.flows import Flow
    from towpath.serving.deployment import ServedDeployment

#: A server that is stopped in order and back within so long was restarted: nothing that was due meanwhile is left out.
RESTART: Final = timedelta(minutes=1)


class Pause(IntEnum):
    """Whether a deployment's schedules make runs."""

    NO = 0
    YES = 1
    """They make none, because somebody said so."""
    UNTIL_SERVED = 2
    """They make none, because their server was stopped."""


class Register(BookFile):
    """The part of the book that is about deployments."""

    def open(self, deployment: ServedDeployment, server: int, now: datetime) -> dict[str, datetime]:
        """Enter a deployment that is served from now on; give the marks of its active schedules, by their keys.

        A schedule that is new, or was paused, is marked now: nothing before was missed. One whose server has just been
        restarted was not paused.
        """
        active = [one.key for one in deployment.schedules if one.active]
        shown = [{"key": one.key, "says": str(one), "active": one.active} for one in deployment.schedules]
        with self._transaction() as connection:
            kept = active if self._goes_on(connection, deployment.key, now) else []
            connection.execute(
                "INSERT OR REPLACE INTO deployments (key, flow, name, description, version, parameters, tags,"
                " schedules, is_paused, server, served, parameter_schema) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    deployment.key,
                    deployment.flow.name,
                    deployment.name,
                    deployment.description,
                    deployment.version,
                    json.dumps(dict(deployment.parameters)),
                    json.dumps(sorted(deployment.tags)),
                    json.dumps(shown),
                    deployment.paused,
                    server,
                    now.timestamp(),
                    json.dumps(_taken(deployment.flow), default=str),
                ),
            )
            connection.execute(
                "DELETE FROM schedule_marks WHERE deployment = ? AND schedule NOT IN (SELECT value FROM json_each(?))",
                (deployment.key, json.dumps(kept)),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO schedule_marks VALUES (?, ?, ?)",
                [(deployment.key, key, now.timestamp()) for key in active],
            )
            marks = connection.execute(
                "SELECT schedule, upto FROM schedule_marks WHERE deployment = ?", (deployment.key,)
            ).fetchall()
        return {mark["schedule"]: moment(mark["upto"]) for mark in marks}

    def deployments(self, name: str | None = None) -> list[KnownDeployment]:
        """Give the deployments of a name, `name` or `flow/name`; without one, all."""
        rows = self._look("SELECT * FROM deployments WHERE ? IN (key, name) OR ? IS NULL ORDER BY key", (name, name))
        return [
            KnownDeployment(
                key=row["key"],
                flow=row["flow"],
                name=row["name"],
                parameters=json.loads(row["parameters"]),
                tags=frozenset(json.loads(row["tags"])),
                is_paused=bool(row["is_paused"]),
                server=row["server"],
                is_served=row["server"] != 0 and self.alive.is_alive(row["server"]),
                description=row["description"],
                version=row["version"],
                schedules=tuple(
                    KnownSchedule(one["key"], one["says"], one["active"]) for one in json.loads(row["schedules"])
                ),
                parameter_schema=json.loads(row["parameter_schema"] or "null"),
            )
            for row in rows
        ]

    def pause(self, deployments: Collection[str], pause: Pause) -> None:
        """Have the schedules of deployments, by their keys, make no runs, or make them again."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE deployments SET is_paused = ? WHERE key = ?", [(pause.value, key) for key in deployments]
            )

    def stop(self, deployments: Collection[str], server: int, now: datetime, *, pauses: bool) -> None:
        """Note that a server serves deployments no more; those that another serves by now are none of its business.

        Args:
            deployments: by their keys.
            server: its token.
            now: the time.
            pauses: whether their schedules make no runs until they are served again.
        """
        paused = Pause.UNTIL_SERVED if pauses else Pause.NO
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE deployments SET is_paused = max(is_paused, ?), served = ?, server = 0"
                " WHERE key = ? AND server = ?",
                [(paused.value, now.timestamp(), key, server) for key in deployments],
            )

    def mark(self, deployment: str, upto: Mapping[str, datetime]) -> None:
        """Note up to when schedules of a deployment have been seen to."""
        with self._transaction() as connection:
            self._mark(connection, deployment, upto)

    @staticmethod
    def _goes_on(connection: sqlite3.Connection, deployment: str, now: datetime) -> bool:
        """Tell whether schedules that were seen to before go on from there."""
        before = connection.execute("SELECT is_paused, served FROM deployments WHERE key = ?", (deployment,)).fetchone()
        if before is None or before["is_paused"] == Pause.NO:
            return True
        return before["is_paused"] == Pause.UNTIL_SERVED and now - moment(before["served"]) <= RESTART

    @staticmethod
    def _mark(connection: sqlite3.Connection, deployment: str, upto: Mapping[str, datetime]) -> None:
        connection.executemany(
            "INSERT INTO schedule_marks VALUES (?, ?, ?)"
            " ON CONFLICT (deployment, schedule) DO UPDATE SET upto = max(upto, excluded.upto)",
            [(deployment, schedule, at.timestamp()) for schedule, at in upto.items()],
        )


def _taken(flow: Flow[..., Any]) -> dict[str, Any]:
    """Give the JSON Schema of what a flow takes; of one that does not validate, names only."""
    schema = flow.parameter_schema()
    if flow.should_validate_parameters:
        return schema
    return {**schema, "properties": {name: {} for name in schema.get("properties") or ()}}
