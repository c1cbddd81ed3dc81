"""Runs that go through states, a receiver that fails, and operators that see to an automation: killed, late, two at once.

Each operator has a store that is as old as its last look at the watch, its own desk, and what it is sending. The API
server refuses a patch of another version and a second run of the same name. Clocks of runs are wrong by minutes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.builders import make_flowrun
from tests.json_patch import apply_patch

from towpath.api.v1alpha1.automation import AutomationStatus
from towpath.api.v1alpha1.transitions import rfc3339
from towpath_operator.automations.desk import Desks
from towpath_operator.reconcile import automation, occurrences
from towpath_operator.reconcile.automation_actions import Delivery, MakeRun, Outcome, SendWebhook, Settle
from towpath_operator.reconcile.automation_observed import ObservedAutomation
from towpath_operator.reconcile.decision import Action, ConfirmUnchanged, PatchStatus
from towpath_operator.runtime.store import Store

Body = dict[str, Any]


class _StaleError(Exception):
    """What was decided rests on what is no longer so."""


class Operator:
    """One process: all of it goes when it is killed."""

    def __init__(self) -> None:
        self.store = Store(listener=self._changed)
        self.desks = Desks(self.store)
        self.sending: dict[Delivery, SendWebhook] = {}
        self.outcomes: dict[Delivery, Outcome] = {}

    def _changed(self, plural: str, old: Any, new: Any) -> None:
        if plural == "flowruns" and new is not None:
            list(self.desks.run_changed(old, new))


@dataclass
class World:
    """One automation, the runs that it counts, and who has heard of them."""

    body: Body
    now: datetime
    runs: dict[str, Body] = field(default_factory=dict)
    version: int = 10
    operators: list[Operator] = field(default_factory=lambda: [Operator(), Operator()])
    happened: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Ids of events that count: run and state."""
    heard: Counter[str] = field(default_factory=Counter)
    """How often the receiver took which event."""
    counts: dict[str, int] = field(default_factory=dict)
    """For how many the receiver was told that an event stands."""
    made: Counter[str] = field(default_factory=Counter)
    """How often a run was made by the automation, by its name."""
    writes: int = 0

    def begin(self, skew: int = 0) -> None:
        """Let a run appear."""
        name = f"run-{len(self.runs)}"
        self._put(name, make_flowrun(name, created=rfc3339(self.now)))
        self.goes(len(self.runs) - 1, "PENDING", skew)

    def goes(self, number: int, state: str, skew: int = 0) -> None:
        """Let a run enter a state, by a clock of its own."""
        if number >= len(self.runs):
            return
        name = list(self.runs)[number]
        run = self.runs[name]
        at = rfc3339(self.now + timedelta(seconds=skew))
        status = run.get("status") or {"attempt": 1}
        entry = {"type": state, "name": state.capitalize(), "at": at, "attempt": 1}
        history = [*status.get("history", ()), entry][-20:]
        if any(one == entry for one in status.get("history", ())):
            return  # the same state in the same microsecond
        new = {"type": state, "name": state.capitalize(), "since": at}
        status = {**status, "state": new, "history": history}
        if state == "RUNNING":
            status.setdefault("startTime", at)
        self._put(name, {**run, "status": status})
        for one in occurrences.transitions(self.body, self.runs[name], None, [entry], is_witnessed=True):
            self.happened[one.id] = (name, state)

    def clean(self) -> None:
        """Delete the runs of which everything was heard."""
        waiting = {name for id_, (name, _) in self.happened.items() if not self.heard[id_] and id_ not in self._dealt()}
        self.runs = {name: run for name, run in self.runs.items() if name not in waiting} if not waiting else self.runs

    def watch(self, operator: int) -> None:
        """Let an operator hear of everything as it is."""
        store = self.operators[operator].store
        store.put("automations", self.body)
        for run in self.runs.values():
            store.put("flowruns", run)

    def kill(self, operator: int) -> None:
        """Let an operator begin anew."""
        self.operators[operator] = Operator()
        self.watch(operator)

    def answer(self, operator: int, outcome: Outcome | None, *, is_lost: bool = False) -> None:
        """Let all attempts of an operator end; without an outcome the receiver takes them.

        Args:
            operator: which.
            outcome: how the attempts fail.
            is_lost: whether the receiver takes the message, and the answer gets lost.
        """
        one = self.operators[operator]
        for delivery, order in one.sending.items():
            if outcome is None or is_lost:
                self.heard[delivery.event] += 1
                self.counts[delivery.event] = order.message.body["data"]["count"]
            one.outcomes[delivery] = outcome or Outcome()
        one.sending = {}

    def look(self, operator: int, *, kill_before: int | None = None) -> float | None:
        """Let an operator look at the automation; give when it wants to look again: 0 at once, None never.

        Args:
            operator: which.
            kill_before: number of the action before which it is killed.
        """
        one = self.operators[operator]
        body = one.store.get("automations", self.body["metadata"]["namespace"], self.body["metadata"]["name"])
        if body is None:
            return None
        observed = ObservedAutomation(
            body, outcomes=dict(one.outcomes), in_flight=frozenset(one.sending), deployments={"clean-up": {"spec": {}}}
        )
        if automation.has_begun(body, self.now):
            desk = one.desks.look(body, self.now)
            deadline = desk.deadlines[0][0] if desk.deadlines else None
            observed = replace(observed, found=tuple(desk.found.values()), next_deadline=deadline)
        decision = automation.decide(observed, self.now)
        if decision.bug:
            raise decision.bug
        for number, action in enumerate(decision.actions):
            if number == kill_before:
                self.kill(operator)
                return 0
            try:
                self._do(one, action)
            except _StaleError:
                self.watch(operator)
                return 0
        return 0 if decision.actions else decision.requeue_after

    def settle(self) -> None:
        """Let both operators do all that there is, with a receiver that takes everything."""
        for operator in (0, 1):
            self.watch(operator)
            for _ in range(500):
                again = self.look(operator)
                if again:
                    self.now += timedelta(seconds=again)
                elif again is None and not self.operators[operator].sending:
                    break
                self.answer(operator, None)
            else:
                raise AssertionError("an operator finds something to do for ever")

    def _do(self, one: Operator, action: Action) -> None:
        match action:
            case SendWebhook(delivery=delivery):
                if delivery not in one.outcomes:
                    one.sending.setdefault(delivery, action)
            case MakeRun(manifest=manifest):
                name = manifest["metadata"]["name"]
                if not self.made[name]:
                    self.made[name] += 1
            case PatchStatus(resource_version=version, patch=patch):
                self._expect(version)
                self.version += 1
                self.writes += 1
                patched = apply_patch(self.body, patch)
                AutomationStatus.model_validate(patched["status"])
                patched["metadata"]["resourceVersion"] = str(self.version)
                self.body = patched
                one.store.put("automations", patched)
            case ConfirmUnchanged(resource_version=version):
                self._expect(version)
            case Settle(events=events, outcomes=outcomes):
                one.desks.settle(self.body["metadata"]["namespace"], self.body["metadata"]["name"], events)
                for delivery in outcomes:
                    one.outcomes.pop(delivery, None)
            case _:
                pass

    def _expect(self, version: str) -> None:
        if self.body["metadata"]["resourceVersion"] != version:
            raise _StaleError

    def _put(self, name: str, run: Body) -> None:
        self.version += 1
        self.runs[name] = {**run, "metadata": {**run["metadata"], "resourceVersion": str(self.version)}}

    def _dealt(self) -> set[str]:
        return {*(self.body.get("status") or {}).get("dealt", ())}
