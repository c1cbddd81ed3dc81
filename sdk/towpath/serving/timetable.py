"""What is due: the schedules of what is served, and how far each has been seen to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from towpath.runs import FlowRun
from towpath.serving import agenda
from towpath.serving.orders import Order
from towpath.slugs import slug

if TYPE_CHECKING:
    from towpath.schedules import Schedule
    from towpath.serving.book import Book
    from towpath.serving.deployment import ServedDeployment

log = logging.getLogger("towpath.serving")


@dataclass(slots=True)
class _Entry:
    """A schedule of a deployment, up to when it has been seen to, and when it is due next."""

    schedule: Schedule
    mark: datetime
    next: datetime | None = None

    def move(self, mark: datetime) -> None:
        self.mark = mark
        self.next = next(iter(self.schedule.next_times(mark, 1)), None)


class Timetable:
    """The active schedules of deployments.

    Args:
        deployments: by their keys.
        book: where runs that are due are entered, and how far schedules have been seen to is kept.
    """

    def __init__(self, deployments: Mapping[str, ServedDeployment], book: Book) -> None:
        self._deployments, self._book = deployments, book
        self._entries: dict[str, list[_Entry]] = {}
        self._paused: frozenset[str] = frozenset()

    def open(self, server: int, now: datetime) -> None:
        """Begin where whoever served the deployments last has stopped.

        Args:
            server: token of the process that serves them from now on.
            now: the time.
        """
        for key, deployment in self._deployments.items():
            marks = self._book.open(deployment, server, now)
            self._entries[key] = []
            for schedule in deployment.schedules:
                if schedule.active:
                    entry = _Entry(schedule, now)
                    entry.move(min(marks[schedule.key], now))  # the clock may have been set back
                    self._entries[key].append(entry)
        self._paused = frozenset(key for key, deployment in self._deployments.items() if deployment.paused)

    def next_times(self) -> dict[str, datetime]:
        """Tell when a run of each deployment is due next; those are left out that no schedule makes runs of."""
        times = {}
        for key, entries in self._entries.items():
            due = [entry.next for entry in entries if entry.next is not None]
            if due and key not in self._paused:
                times[key] = min(due)
        return times

    def make_runs(self, now: datetime) -> bool:
        """Enter a run for each time that is due; tell whether there was any."""
        made = False
        for key in self._entries.keys() - self._paused:
            for entry in self._entries[key]:
                if entry.mark > now:  # the clock was set back; what comes again is the same order, and entered once
                    entry.move(now)
            due = [entry for entry in self._entries[key] if entry.next is not None and entry.next <= now]
            if due:
                made = True
                orders = [order for entry in due for order in self._orders(self._deployments[key], entry, now)]
                orders.sort(key=lambda order: order.due)
                self._book.enter(key, orders, now, {entry.schedule.key: now for entry in due})
                for entry in due:
                    entry.move(now)
        return made

    def see_pauses(self, now: datetime) -> None:
        """Take up which deployments are paused or resumed; what was due meanwhile is left out."""
        paused = frozenset(one.key for one in self._book.deployments() if one.is_paused) & self._entries.keys()
        for key in self._paused - paused:
            self._book.mark(key, {entry.schedule.key: now for entry in self._entries[key]})
            for entry in self._entries[key]:
                entry.move(now)
        self._paused = paused

    def _orders(self, deployment: ServedDeployment, entry: _Entry, now: datetime) -> list[Order]:
        due = agenda.due(entry.schedule, entry.mark, now, deployment.missed_runs)
        if due.left_out:
            log.warning(
                "Deployment %r: nobody served it when runs of %s were due, and some are left out (missed_runs=%r, at"
                " most %d).",
                deployment.key,
                entry.schedule,
                deployment.missed_runs.value,
                agenda.MOST_MISSED,
            )
        return [_order(deployment, entry.schedule, time) for time in due.times]


def _order(deployment: ServedDeployment, schedule: Schedule, due: datetime) -> Order:
    run = FlowRun(
        deployment.flow.name,
        name=slug(),
        flow_version=deployment.flow.version,
        parameters={**deployment.parameters, **schedule.parameters},
        tags=deployment.tags,
        deployment=deployment.name,
    )
    return Order(run=run, deployment=deployment.key, identity=f"{schedule.key}@{due.isoformat()}", due=due)
