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
#: In both, 1 to 4 are what a `Query` asks for.
_EMITTED: Final = """SELECT *, (SELECT name FROM flow_runs WHERE id = events.run_id) AS run FROM events
    WHERE event GLOB ?1 AND coalesce(json_extract(resource, '$."towpath.resource.id"'),
        json_extract(resource, '$."prefect.resource.id"')) GLOB ?2
    AND (?3 IS NULL OR run_id = ?3) AND occurred >= ?4"""
_STATES: Final = f"""SELECT states.*, runs.name AS run, runs.flow, runs.deployment, runs.tags
    FROM flow_run_states AS states JOIN flow_runs AS runs ON runs.id = states.run_id
    WHERE '{FLOW_RUN}' || states.name GLOB ?1 AND '{FLOW_RUN}' || states.run_id GLOB ?2
    AND (?3 IS NULL OR states.run_id = ?3) AND states.since >= ?4"""  # noqa: S608
#: Rows in which a state may be that is asked for: 1 looks for it in the text that has all of them.
_TASKS: Final = f"""SELECT tasks.*, runs.name AS run FROM task_runs AS tasks
    LEFT JOIN flow_runs AS runs ON runs.id = tasks.run_id
    WHERE tasks.states GLOB ?1 AND '{TASK_RUN}' || tasks.id GLOB ?2 AND (?3 IS NULL OR tasks.run_id = ?3)
    AND coalesce(tasks.ended, tasks.started, 1e12) >= ?4
    ORDER BY coalesce(tasks.ended, tasks.started, 1e12) DESC"""  # noqa: S608


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

    @property
    def values(self) -> tuple[Any, ...]:
        """What it asks for, for SQLite."""
        since = 0.0 if self.since is None else self.since.timestamp()
        return _glob(self.name), _glob(self.resource), self.run_id, since


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
        values = (*query.values, -1 if limit is None else limit)
        found = [
            _emitted(row) for row in self._look(f"{_EMITTED} ORDER BY occurred DESC, number DESC LIMIT ?5", values)
        ]
        found += map(_state, self._look(f"{_STATES} ORDER BY states.number DESC LIMIT ?5", values))
        if query.asks_for_tasks:
            found += self._task_states(query, limit)
        found.sort(key=_time, reverse=True)
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
        emitted = self._look(
            f"{_EMITTED} AND number > ?5 AND number <= ?6 ORDER BY number", (*query.values, mark.event, now.event)
        )
        states = self._look(
            f"{_STATES} AND states.number > ?5 AND states.number <= ?6 ORDER BY states.number",
            (*query.values, mark.state, now.state),
        )
        return sorted([*map(_emitted, emitted), *map(_state, states)], key=_time), now

    def _task_states(self, query: Query, limit: int | None) -> Sequence[SeenEvent]:
        """Give states of task runs; only if they are asked for, because that looks at every row."""
        name = json.dumps(query.name.removeprefix(TASK_RUN))
        values = (f"*,{_glob(name)},*", *query.values[1:])
        found: list[SeenEvent] = []
        with self._lock:
            try:
                for row in self._connection.execute(_TASKS, values):  # there may be very many: one at a time
                    found += (seen for seen in _task_states(row) if _fits(seen.event, query))
                    if limit is not None and len(found) >= limit:
                        break
            except sqlite3.Error as error:
                raise self._failed(error) from error
        return found


def _emitted(row: sqlite3.Row) -> SeenEvent:
    event = Event(
        event=row["event"],
        resource=Resource(json.loads(row["resource"])),
        related=[RelatedResource(each) for each in json.loads(row["related"] or "[]")],
        payload=json.loads(row["payload"] or "{}"),
        id=UUID(row["id"]),
        follows=UUID(row["follows"]) if row["follows"] else None,
        occurred=datetime.fromtimestamp(row["occurred"], UTC),
    )
    return SeenEvent(event, Origin(row["run_id"], row["run"], row["task_run_id"], row["task_run"]))


def _state(row: sqlite3.Row) -> SeenEvent:
    related = [_related("towpath.flow", row["flow"], "flow")]
    if row["deployment"]:
        related.append(_related("towpath.deployment", row["deployment"], "deployment"))
    related += (_related("towpath.tag", tag, "tag") for tag in json.loads(row["tags"]))
    run = Resource({RESOURCE_ID: f"{FLOW_RUN}{row['run_id']}", RESOURCE_NAME: row["run"]})
    state = (row["type"], row["name"], row["message"], row["since"])
    return SeenEvent(_entered(FLOW_RUN, run, state, related, row["number"]), Origin(row["run_id"], row["run"]))


def _task_states(row: sqlite3.Row) -> Iterator[SeenEvent]:
    related = [_related("towpath.task", row["task"], "task")]
    if row["run"] is not None:
        related.append(_related("towpath.flow-run", row["run_id"], "flow-run", row["run"]))
    run = Resource({RESOURCE_ID: f"{TASK_RUN}{row['id']}", RESOURCE_NAME: row["name"]})
    origin = Origin(row["run_id"] or None, row["run"], row["id"], row["name"])
    for number, line in enumerate(row["states"].splitlines()):
        yield SeenEvent(_entered(TASK_RUN, run, json.loads(line), related, number), origin)


def _entered(kind: str, run: Resource, state: Sequence[Any], related: list[RelatedResource], number: int) -> Event:
    """Give the event that a run has entered a state."""
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


def _time(seen: SeenEvent) -> datetime:
    return seen.event.occurred
