"""Decides what is done about what happened: take it in, do what is to be done, and say so.

What happened is found again by whoever looks: in the histories of runs, and in times that have passed. The status says
up to when that was seen to (`lookFrom`), and which later events were taken in (`dealt`): the times of transitions come
from many clocks and reach the operator late, so the mark stays some minutes behind the last event.

- An event is written to the status first, with what is left to do; then webhooks are sent. Killed anywhere, the next
  operator goes on with what is left. So each is delivered at least once.
- Runs are created before that, under a name made of the event: killed in between, the next operator is told that the
  run exists. Wishes (cancel, suspend) may be repeated.
- One status write takes in many events and many outcomes: at most one a second. What does not match is never written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from towpath import names
from towpath.api.v1alpha1.automation import MAX_DEALT, MAX_PENDING
from towpath.api.v1alpha1.transitions import rfc3339
from towpath.limits import cut
from towpath_operator.reconcile import messages, occurrences
from towpath_operator.reconcile.automation_actions import Delivery, MakeRun, Outcome, SendWebhook, Settle, Tell, Wish
from towpath_operator.reconcile.automation_observed import ObservedAutomation
from towpath_operator.reconcile.conditions import changes, patch_of
from towpath_operator.reconcile.decision import Action, ConfirmUnchanged, Decision, EmitEvent
from towpath_operator.reconcile.occurrences import Occurrence
from towpath_operator.reconcile.pending import Pending
from towpath_operator.reconcile.reading import integer, mapping, mappings, moment, text, texts

PLURAL: Final = "automations"
#: Events and outcomes are written at most so often.
WRITE_SECONDS: Final = 1.0
#: How long after its time a transition may become known, and is found even if the operator was killed meanwhile.
BEHIND: Final = timedelta(seconds=300)


class Turn:
    """One look at an Automation that has begun."""

    def __init__(self, observed: ObservedAutomation, now: datetime) -> None:
        self.observed, self.now, self.body = observed, now, observed.automation
        self.status = mapping(self.body, "status")
        self.spec_actions = mappings(self.body, "spec", "actions")
        self.pending = [Pending.read(entry, len(self.spec_actions)) for entry in mappings(self.status, "pending")]
        self.actions: list[Action] = []
        self.told: list[Action] = []
        self.waits: list[float] = []
        self.settled: set[str] = set()  # ids of events that the status knows
        self.outcomes: set[Delivery] = set()
        self.triggered = self.delivered = self.given_up = 0
        asked = text(self.body, "metadata", "annotations", names.ANNOTATION_TEST)[:64]
        self.test = asked if asked != text(self.status, "tested") else ""
        self.error = ""
        written = moment(self.status, "written")
        since = (now - written).total_seconds() if written else WRITE_SECONDS
        self.too_soon = WRITE_SECONDS - since if 0 <= since < WRITE_SECONDS else 0.0

    def decide(self, wanted: dict[str, Any]) -> Decision:
        """Decide; `wanted` is what the status should say of the spec."""
        new = self._new_events()
        if self.too_soon and (new or self.test or self.observed.outcomes or self._due_calls()):
            self.waits.append(self.too_soon)
        else:
            self._hear()
            taken = self._take(new)
            self._call()
            wanted |= self._facts(taken)
        self.pending = [one for one in self.pending if one.left]
        if changed := changes(self.body, wanted):
            self.actions.append(patch_of(PLURAL, self.body, changed))
        return Decision((*self.actions, *self._settle(), *self._send(), *self.told), sooner(*self.waits))

    def _new_events(self) -> list[Occurrence]:
        """Give what nobody has dealt with, the oldest first."""
        look, dealt = moment(self.status, "lookFrom"), {*texts(self.status, "dealt")}
        dealt.update(one.event.id for one in self.pending)
        found = {one.id: one for one in self.observed.found}
        if one := self._silence():
            found[one.id] = one
        assert look is not None
        new = [one for one in found.values() if one.id not in dealt and (one.is_witnessed or one.at > look)]
        self.settled |= found.keys() - {one.id for one in new}
        if self.observed.next_deadline:
            self.waits.append(max(0.0, (self.observed.next_deadline - self.now).total_seconds()))
        return sorted(new, key=lambda one: (one.at, one.id))

    def _silence(self) -> Occurrence | None:
        """Give the event that no run has completed for too long, if that is so; else see that it is not missed."""
        seconds = integer(self.body, "spec", "trigger", "noSuccess", "forSeconds")
        since = self._last_success()
        if seconds is None or since is None:
            return None
        found = occurrences.silence(self.body, since)
        if found.at <= self.now:
            return found
        self.waits.append(min((found.at - self.now).total_seconds(), max(10.0, seconds / 10)))
        return None

    def _last_success(self) -> datetime | None:
        known = (moment(self.status, "began"), moment(self.status, "lastSuccess"), self.observed.last_success)
        return max(filter(None, known), default=None)

    def _hear(self) -> None:
        """Note how attempts to send went."""
        for one in self.pending:
            for index in list(one.left):
                if outcome := self.observed.outcomes.get(Delivery(one.event.id, index)):
                    self._note(one, index, outcome)
        self.outcomes |= self.observed.outcomes.keys()

    def _take(self, new: Sequence[Occurrence]) -> Sequence[Occurrence]:
        """Take events in, as many as there is room for; with a throttle all of them as one, when it is time."""
        every = range(len(self.spec_actions))
        room = MAX_PENDING - len([one for one in self.pending if one.left])
        if not room:
            self.test = ""
        elif self.test:
            sent = [index for index in every if mapping(self.spec_actions[index], "webhook")]
            self.pending.append(Pending.begin(occurrences.sample(self.body, self.now), sent, self.now))
            room -= 1
        taken = shown = new[:room]
        if new and (seconds := integer(self.body, "spec", "throttle", "seconds")) and room:
            last = moment(self.status, "lastTriggered")
            again = last + timedelta(seconds=seconds) if last and last <= self.now else self.now
            if again > self.now:
                self.waits.append((again - self.now).total_seconds())
                taken = shown = ()
            else:
                taken, shown = new, [replace(new[-1], id=new[0].id, count=len(new))]
        self.pending += [Pending.begin(event, every, self.now) for event in shown]
        self.settled |= {event.id for event in taken}
        self.triggered = len(taken)
        return taken

    def _due_calls(self) -> bool:
        return any(self._is_call(index) and one.is_due(index, self.now) for one in self.pending for index in one.left)

    def _is_call(self, index: int) -> bool:
        return not mapping(self.spec_actions[index], "webhook")

    def _call(self) -> None:
        """Do what is done by the API server; what it has just refused waits."""
        for one in self.pending:
            for index in [index for index in one.left if self._is_call(index)]:
                if not one.is_due(index, self.now):
                    continue
                refusal = self.observed.refused.get(Delivery(one.event.id, index))
                if refusal is None and (action := self._action(one.event, index)):
                    self.actions.append(action)
                self._note(one, index, Outcome(refusal or ""))
        if any(isinstance(action, MakeRun | Wish) for action in self.actions):
            # Somebody may have done it long ago: the run may have ended, and be deleted, before our store hears of it.
            metadata = mapping(self.body, "metadata")
            place = (text(metadata, "namespace"), text(metadata, "name"), text(metadata, "resourceVersion"))
            self.actions.insert(0, ConfirmUnchanged(PLURAL, *place))

    def _action(self, event: Occurrence, index: int) -> Action | None:
        spec, namespace = self.spec_actions[index], text(self.body, "metadata", "namespace")
        delivery = Delivery(event.id, index)
        if mapping(spec, "runDeployment"):
            return MakeRun(namespace, self._run(event, index), delivery)
        if text(spec, "suspend", "target") == "Deployment":
            name = event.deployment
            return Wish("deployments", namespace, name, "", {"suspend": True}, delivery) if name else None
        if event.uid in self.observed.ended or not event.uid:
            return None
        fields: dict[str, Any] = {"suspend": True}
        if "cancel" in spec:
            mode = text(spec, "cancel", "mode")
            fields = {"cancel": True} | ({"cancelMode": mode} if mode else {})
        return Wish("flowruns", namespace, event.run, event.uid, fields, delivery)

    def _run(self, event: Occurrence, index: int) -> dict[str, Any]:
        spec = mapping(self.spec_actions[index], "runDeployment")
        deployment, namespace = text(spec, "name"), text(self.body, "metadata", "namespace")
        name = names.automation_run_name(deployment, event.id, index)
        labels = {
            names.LABEL_RUN: name,
            names.LABEL_ROOT_RUN: name,
            names.LABEL_DEPLOYMENT: deployment,
            names.LABEL_AUTOMATION: text(self.body, "metadata", "name"),
            names.LABEL_MANAGED_BY: names.MANAGED_BY,
        }
        given = messages.render(mapping(spec, "parameters"), messages.known(self.body, event))
        parameters = {**mapping(self.observed.deployments.get(deployment), "spec", "parameters"), **given}
        return {
            "apiVersion": names.API_VERSION,
            "kind": "FlowRun",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"deploymentRef": deployment} | ({"parameters": parameters} if parameters else {}),
        }

    def _note(self, one: Pending, index: int, outcome: Outcome) -> None:
        if not outcome.error:
            del one.left[index]
            self.delivered += 1
            return
        self.error = outcome.error
        if not one.failed(index, outcome, self.now):
            return
        self.given_up += 1
        metadata = mapping(self.body, "metadata")
        regarding = {"apiVersion": names.API_VERSION, "kind": "Automation"}
        regarding |= {key: text(metadata, key) for key in ("namespace", "name", "uid")}
        message = f"actions[{index}] is given up for event {one.event.id}: {outcome.error}"
        self.told.append(EmitEvent(regarding, "ActionFailed", message, warning=True))

    def _facts(self, taken: Sequence[Occurrence]) -> dict[str, Any]:
        """Give what the status is to say of events, if there is news."""
        left = [one for one in self.pending if one.left]
        pending = [one.wire() for one in left] or None
        facts = self._success(is_written=bool(taken))
        if not changes(self.body, {"pending": pending}) and not (taken or self.test or self.delivered):
            return facts
        for key, count in (("triggered", self.triggered), ("delivered", self.delivered), ("failed", self.given_up)):
            facts[key] = (integer(self.status, key) or 0) + count
        facts |= {"pending": pending, "waiting": len(left), "written": rfc3339(self.now)}
        if self.error or (self.delivered and not any(one.has_failed for one in left)):
            facts["lastError"] = cut(self.error, 256) or None
        if taken:
            facts |= self._marks(taken) | {"lastTriggered": rfc3339(self.now)}
        if self.delivered:
            facts["lastDelivered"] = rfc3339(self.now)
        if self.test:
            facts["tested"] = self.test
        return facts

    def _success(self, *, is_written: bool) -> dict[str, Any]:
        seconds = integer(self.body, "spec", "trigger", "noSuccess", "forSeconds")
        seen = self._last_success() if seconds else None
        known = moment(self.status, "lastSuccess") or moment(self.status, "began")
        if seconds is None or seen is None or known is None or seen <= known:
            return {}
        is_old = (seen - known).total_seconds() >= max(10.0, seconds / 10)
        return {"lastSuccess": rfc3339(seen)} if is_old or is_written else {}

    def _marks(self, taken: Sequence[Occurrence]) -> dict[str, Any]:
        """Give how far everything has been seen to, once these have been taken in."""
        look = moment(self.status, "lookFrom")
        assert look is not None
        look = max(look, min(max(one.at for one in taken), self.now) - BEHIND)
        ids = sorted({*texts(self.status, "dealt"), *(one.id for one in taken)})
        kept = [id_ for id_ in ids if (time := occurrences.time_of(id_)) is not None and time > look]
        if len(kept) > MAX_DEALT:
            oldest = occurrences.time_of(kept[-MAX_DEALT])
            assert oldest is not None
            # What happened at that very time may not be dealt with: better one told twice than one not told.
            look, kept = oldest - timedelta(microseconds=1), kept[-MAX_DEALT:]
        return {"lookFrom": rfc3339(look), "dealt": kept or None}

    def _settle(self) -> Sequence[Action]:
        """Let go of what the status says by now."""
        done: list[Action] = []
        namespace, name = (text(self.body, "metadata", key) for key in ("namespace", "name"))
        if self.settled or self.outcomes:
            done.append(Settle(namespace, name, frozenset(self.settled), frozenset(self.outcomes)))
        if self.triggered or self.delivered or self.given_up:
            done.append(Tell(namespace, name, self.triggered, self.delivered, self.given_up))
        return done

    def _send(self) -> Sequence[Action]:
        """Send what is due, and say when the next is."""
        metadata = mapping(self.body, "metadata")
        sent: list[Action] = []
        for one in self.pending:
            for index in one.left:
                delivery = Delivery(one.event.id, index)
                if not one.is_due(index, self.now):
                    self.waits.append(one.wait(index, self.now))
                elif (
                    not self._is_call(index) and delivery not in self.observed.in_flight | self.observed.outcomes.keys()
                ):
                    webhook = mapping(self.spec_actions[index], "webhook")
                    sent.append(
                        SendWebhook(
                            text(metadata, "namespace"),
                            text(metadata, "name"),
                            text(metadata, "uid"),
                            delivery,
                            webhook,
                            messages.message(self.body, webhook, one.event),
                            one.event.at.timestamp(),
                        )
                    )
        return sent


def sooner(*waits: float | None) -> float | None:
    """Give the shortest of some waits; None: there is none."""
    return min((wait for wait in waits if wait is not None), default=None)
