"""Events of this machine: those that were emitted, and those that states of runs are. The latter are written once, as
states, and become events when they are read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final
from uuid import UUID, uuid5

from towpath.events import RESOURCE_ID, RESOURCE_NAME, RESOURCE_ROLE, Event, RelatedResource, Resource
from towpath.telling.kept import Kept
from towpath.telling.port import Origin

FLOW_RUN: Final = "towpath.flow-run."
TASK_RUN: Final = "towpath.task-run."
#: Names the ids of events that states are, so that they are the same whenever they are read.
_SPACE: Final = UUID("9a9d4c2e-2d5f-4d8b-8d6a-5f0b6c1e7a31")
_EVENTS: Final = "SELECT *, (SELECT name FROM flow_runs WHERE id = events.run_id) AS run FROM events"
_RESOURCE_ID: Final = """coalesce(json_extract(resource, '$."towpath.resource.id"'),
    json_extract(resource, '$."prefect.resource.id"'))"""


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event, and the run that it comes from."""

    event: Event
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which events are asked for."""

    name: str = "*"
    """With `*` for anything. Task runs are many: their states are given only if it begins with `towpath.task-run.`."""
    resource: str = "*"
    """Id of the resource, with `*` for anything."""
    run_id: str | None = None
    since: datetime | None = None

    @property
    def asks_for_tasks(self) -> bool:
        """Whether states of task runs are asked for."""
        return self.name.startswith(TASK_RUN)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far somebody has read."""

    event: int
    state: int


class Timeline(Kept):
    """A history file, open for events."""

    def latest(self, query: Query, limit: int | None) -> list[SeenEvent]:
        """Give events, the latest first.

        Args:
            query: which.
            limit: at most so many; None for all.
        """
        self.sweep()
        found = [seen for _, seen in (*self._emitted(query, 0, limit), *self._states(query, 0, limit))]
        found += self._task_states(query, limit)
        found.sort(key=lambda seen: seen.event.occurred, reverse=True)
        return found[:limit]

    def mark(self) -> Mark:
        """Tell how far the timeline goes now."""
        row = self._look(
            "SELECT (SELECT coalesce(max(number), 0) FROM events),"
            " (SELECT coalesce(max(number), 0) FROM flow_run_states)",
            (),
        )[0]
        return Mark(row[0], row[1])

    def after(self, mark: Mark, query: Query) -> tuple[list[SeenEvent], Mark]:
        """Give events that came after a mark, in their order, and the next mark."""
        self.sweep()
        now = self.mark()
        emitted = list(self._emitted(query, mark.event, None, now.event))
        states = list(self._states(query, mark.state, None, now.state))
        found = [seen for _, seen in (*reversed(emitted), *reversed(states))]
        return sorted(found, key=lambda seen: seen.event.occurred), now

    def _emitted(self, query: Query, after: int, limit: int | None, upto: int = -1) -> Iterator[tuple[int, SeenEvent]]:
        rows = self._look(
            f"{_EVENTS} WHERE number > ? AND (? < 0 OR number <= ?) AND {_RESOURCE_ID} GLOB ?"
            " AND event GLOB ? AND (? IS NULL OR run_id = ?) AND occurred >= ?"
            " ORDER BY occurred DESC, number DESC LIMIT ?",
            (
                after,
                upto,
                upto,
                _glob(query.resource),
                _glob(query.name),
                query.run_id,
                query.run_id,
                _since(query),
                _all(limit),
            ),
        )
        return ((row["number"], SeenEvent(_event(row), _origin(row))) for row in rows)

    def _states(self, query: Query, after: int, limit: int | None, upto: int = -1) -> Iterator[tuple[int, SeenEvent]]:
        rows = self._look(
            "SELECT states.*, runs.name AS run, runs.flow, runs.deployment, runs.tags FROM flow_run_states AS states"
            " JOIN flow_runs AS runs ON runs.id = states.run_id"
            " WHERE states.number > ? AND (? < 0 OR states.number <= ?) AND ? || states.name GLOB ?"
            " AND ? || states.run_id GLOB ? AND (? IS NULL OR states.run_id = ?) AND states.since >= ?"
            " ORDER BY states.number DESC LIMIT ?",
            (
                after,
                upto,
                upto,
                FLOW_RUN,
                _glob(query.name),
                FLOW_RUN,
                _glob(query.resource),
                query.run_id,
                query.run_id,
                _since(query),
                _all(limit),
            ),
        )
        return ((row["number"], SeenEvent(_state_event(row), Origin(row["run_id"], row["run"]))) for row in rows)

    def _task_states(self, query: Query, limit: int | None) -> Sequence[SeenEvent]:
        """Give states of task runs; only if they are asked for, because that reads every row."""
        if not query.asks_for_tasks:
            return []
        rows = self._look(
            "SELECT tasks.*, runs.name AS run, runs.flow FROM task_runs AS tasks"
            " LEFT JOIN flow_runs AS runs ON runs.id = tasks.run_id"
            " WHERE coalesce(tasks.ended, tasks.started, 1e12) >= ? AND (? IS NULL OR tasks.run_id = ?)"
            " AND ? || tasks.id GLOB ? ORDER BY coalesce(tasks.ended, tasks.started, 1e12) DESC",
            (_since(query), query.run_id, query.run_id, TASK_RUN, _glob(query.resource)),
        )
        found: list[SeenEvent] = []
        for row in rows:
            found += (seen for seen in _task_events(row) if _fits(seen.event, query))
            if limit is not None and len(found) >= limit:
                break
        return found


def _event(row: sqlite3.Row) -> Event:
    return Event(
        event=row["event"],
        resource=Resource(json.loads(row["resource"])),
        related=[RelatedResource(each) for each in json.loads(row["related"] or "[]")],
        payload=json.loads(row["payload"] or "{}"),
        id=UUID(row["id"]),
        follows=UUID(row["follows"]) if row["follows"] else None,
        occurred=datetime.fromtimestamp(row["occurred"], UTC),
    )


def _origin(row: sqlite3.Row) -> Origin:
    return Origin(row["run_id"], row["run"], row["task_run_id"], row["task_run"])


def _state_event(row: sqlite3.Row) -> Event:
    related = [_related("towpath.flow", row["flow"], "flow")]
    if row["deployment"]:
        related.append(_related("towpath.deployment", row["deployment"], "deployment"))
    related += (_related("towpath.tag", tag, "tag") for tag in json.loads(row["tags"]))
    run = Resource({RESOURCE_ID: f"{FLOW_RUN}{row['run_id']}", RESOURCE_NAME: row["run"]})
    state = (row["type"], row["name"], row["message"], row["since"])
    return _state(FLOW_RUN, run, state, related, row["number"])


def _task_events(row: sqlite3.Row) -> Iterator[SeenEvent]:
    related = [_related("towpath.task", row["task"], "task")]
    if row["run"] is not None:
        related.append(_related("towpath.flow-run", row["run_id"], "flow-run", row["run"]))
    run = Resource({RESOURCE_ID: f"{TASK_RUN}{row['id']}", RESOURCE_NAME: row["name"]})
    origin = Origin(row["run_id"] or None, row["run"], row["id"], row["name"])
    for number, line in enumerate(row["states"].splitlines()):
        yield SeenEvent(_state(TASK_RUN, run, json.loads(line), related, number), origin)


def _state(kind: str, run: Resource, state: Sequence[Any], related: list[RelatedResource], number: int) -> Event:
    type_, name, message, since = state
    return Event(
        event=f"{kind}{name}",
        resource=run,
        related=related,
        payload={"state": {"type": type_, "name": name, "message": message}},
        id=uuid5(_SPACE, f"{run.id}/{number}"),
        occurred=datetime.fromtimestamp(since, UTC),
    )


def _related(kind: str, name: str, role: str, shown: str | None = None) -> RelatedResource:
    labels: Mapping[str, str] = {RESOURCE_ID: f"{kind}.{name}", RESOURCE_ROLE: role, RESOURCE_NAME: shown or name}
    return RelatedResource(labels)


def _fits(event: Event, query: Query) -> bool:
    named = fnmatchcase(event.event, query.name.replace("[", "[[]"))
    return named and (query.since is None or event.occurred >= query.since)


def _glob(pattern: str) -> str:
    """Give a pattern in which only `*` and `?` mean something."""
    return pattern.replace("[", "[[]")


def _since(query: Query) -> float:
    return 0.0 if query.since is None else query.since.timestamp()


def _all(limit: int | None) -> int:
    return -1 if limit is None else limit
