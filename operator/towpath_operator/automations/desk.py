"""What was seen of runs that automations count, until their statuses say so.

Each change of a run is compared with what was known before, so that nothing depends on what its times say. That costs a
namespace without automations one look-up, and others a few comparisons for each automation; runs that do not count are
never looked at again. What happened before this process came to decide is found once, when it first looks at an
automation: in the histories of the runs that there are.

Deadlines (late, longRunning) are kept on a heap for each automation, and looked at again when they come: most runs
have begun or ended by then.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from towpath.api.v1alpha1.transitions import rfc3339
from towpath_operator.reconcile import occurrences
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.occurrences import Occurrence
from towpath_operator.reconcile.reading import mapping, mappings, moment, text

Entry: TypeAlias = Mapping[str, Any]


class View(Protocol):
    """What is asked of the store."""

    def get(self, plural: str, namespace: str, name: str) -> Body | None:
        """Give an object as last seen."""
        ...

    def all(self, plural: str) -> Iterable[Body]:
        """Give every object of a kind."""
        ...


@dataclass(slots=True)
class Desk:
    """One automation's."""

    automation: Body
    definition: str
    opened: datetime
    found: dict[str, Occurrence] = field(default_factory=dict)
    deadlines: list[tuple[datetime, str, str]] = field(default_factory=list)
    """When the run of this UID and name will have taken too long, if it goes on as it does; the earliest first."""
    last_success: datetime | None = None
    counts_success: bool = False


class Desks:
    """The desks of all automations that this process has looked at."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._desks: dict[str, dict[str, Desk]] = {}

    def look(self, automation: Body, now: datetime) -> Desk:
        """Give an automation's desk, with what has come to be late by now; its status must speak of its spec."""
        namespace, name = text(automation, "metadata", "namespace"), text(automation, "metadata", "name")
        desk = self._desks.setdefault(namespace, {}).get(name)
        definition = _definition(automation)
        if desk is None or desk.definition != definition:
            desk = self._desks[namespace][name] = self._open(automation, definition, now)
        desk.automation = automation
        self._ring(desk, namespace, now)
        return desk

    def get(self, namespace: str, name: str) -> Desk | None:
        """Give an automation's desk as it is; None if nobody has looked at it yet."""
        return self._desks.get(namespace, {}).get(name)

    def run_changed(self, old: Body | None, new: Body) -> Iterator[str]:
        """Note a change of a run; give the names of the automations of its namespace that should look at it."""
        desks = self._desks.get(text(new, "metadata", "namespace"))
        if not desks:
            return
        entries = occurrences.entries_after(old, new)
        is_same = old is not None and not entries and _wish(old) == _wish(new)
        if is_same:
            return
        deployment = self._deployment(new)
        for name, desk in desks.items():
            if occurrences.counts(desk.automation, new, deployment) and self._note(desk, new, deployment, entries):
                yield name

    def settle(self, namespace: str, name: str, events: Iterable[str]) -> None:
        """Let go of events that an automation's status knows."""
        if desk := self._desks.get(namespace, {}).get(name):
            for event in events:
                desk.found.pop(event, None)

    def forget(self, namespace: str, name: str) -> None:
        """Clear an automation's desk: it is gone, or does not look any more."""
        desks = self._desks.get(namespace, {})
        desks.pop(name, None)
        if not desks:
            self._desks.pop(namespace, None)

    def _open(self, automation: Body, definition: str, now: datetime) -> Desk:
        """Make a desk with all that the runs that there are tell."""
        desk = Desk(
            automation, definition, now, counts_success=bool(mapping(automation, "spec", "trigger", "noSuccess"))
        )
        namespace = text(automation, "metadata", "namespace")
        look = moment(automation, "status", "lookFrom") or now
        mark = rfc3339(look)
        for run in self._view.all("flowruns"):
            if run["metadata"]["namespace"] != namespace or (not desk.counts_success and _is_past(run, mark)):
                continue
            deployment = self._deployment(run)
            if not occurrences.counts(automation, run, deployment):
                continue
            entries = [
                entry
                for entry in mappings(run, "status", "history")
                if (at := moment(entry, "at")) is not None and at > look
            ]
            for one in occurrences.transitions(automation, run, deployment, entries, is_witnessed=False):
                desk.found[one.id] = one
            _note_success(desk, run)
            due = occurrences.deadline_of(automation, run)
            if due is not None and due > look:
                heapq.heappush(desk.deadlines, (due, text(run, "metadata", "uid"), text(run, "metadata", "name")))
        return desk

    def _note(self, desk: Desk, run: Body, deployment: Body | None, entries: Sequence[Entry]) -> bool:
        """Put down what a change of a run says; tell whether the automation should look at it now."""
        automation = desk.automation
        before = len(desk.found)
        for one in occurrences.transitions(automation, run, deployment, entries, is_witnessed=True):
            desk.found[one.id] = one
        _note_success(desk, run)
        due = occurrences.deadline_of(automation, run)
        if due is None:
            return len(desk.found) > before
        is_first = not desk.deadlines or due < desk.deadlines[0][0]  # the timer is set for a later one
        heapq.heappush(desk.deadlines, (due, text(run, "metadata", "uid"), text(run, "metadata", "name")))
        return is_first or len(desk.found) > before

    def _ring(self, desk: Desk, namespace: str, now: datetime) -> None:
        while desk.deadlines and desk.deadlines[0][0] <= now:
            due, uid, name = heapq.heappop(desk.deadlines)
            run = self._view.get("flowruns", namespace, name)
            if run is None or text(run, "metadata", "uid") != uid:
                continue
            if occurrences.deadline_of(desk.automation, run) == due:
                one = occurrences.overdue(desk.automation, run, self._deployment(run), due)
                desk.found[one.id] = one

    def _deployment(self, run: Body) -> Body | None:
        name = text(run, "spec", "deploymentRef")
        return self._view.get("deployments", text(run, "metadata", "namespace"), name) if name else None


def _is_past(run: Body, mark: str) -> bool:
    """Tell that a run ended before what is looked for; of ten thousand most did, and reading each takes its time."""
    return bool(ended := text(run, "status", "completionTime")) and ended <= mark


def _definition(automation: Body) -> str:
    """Tell one state of an automation from another that looks from elsewhere."""
    return "/".join(
        (
            text(automation, "metadata", "uid"),
            occurrences.definition_of(automation),
            text(automation, "status", "began"),
        )
    )


def _wish(run: Body) -> object:
    """Give what a deadline depends on beside the history."""
    return run["spec"].get("suspend"), text(run, "status", "startTime")


def _note_success(desk: Desk, run: Body) -> None:
    if desk.counts_success and (at := occurrences.success_of(run)):
        desk.last_success = max(at, desk.last_success or at)
