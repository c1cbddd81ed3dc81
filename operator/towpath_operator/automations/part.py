"""The part of the operator that deals with automations: observes one, has it decided on, and does what was decided."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from towpath.errors import TowpathError
from towpath_operator.apply import Applier
from towpath_operator.automations.desk import Desks
from towpath_operator.automations.metrics import AutomationMetrics
from towpath_operator.automations.secrets import Secrets
from towpath_operator.automations.webhooks import Webhooks
from towpath_operator.kinds import BY_PLURAL, FLOWRUNS
from towpath_operator.observe import Key
from towpath_operator.reconcile import automation, messages, occurrences
from towpath_operator.reconcile.automation_actions import Delivery, MakeRun, SendWebhook, Settle, Tell, Wish
from towpath_operator.reconcile.automation_observed import ObservedAutomation
from towpath_operator.reconcile.automation_turn import PLURAL
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.history import ended_at
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import mapping, mappings, moment, text, texts, value
from towpath_operator.runtime.client import ApiError, Client
from towpath_operator.runtime.store import Store

log = logging.getLogger(__name__)

#: How long a run stays at most, after its end or a restart, for an automation to write down what became of it.
HELD: Final = timedelta(hours=1)
_REFUSALS: Final = frozenset({400, 403, 409, 422})


class RefusedError(TowpathError):
    """The API server does not take what an action asks for."""

    def __init__(self, delivery: Delivery, error: ApiError) -> None:
        super().__init__(f"The API server refused actions[{delivery.action}] with {error.status}: {error.message}")
        self.delivery = delivery


class Automations:
    """All that is needed for automations.

    Args:
        client: writes only while this replica may.
        store: what is known of all kinds.
        applier: does what is not for automations only.
        metrics: told of what happens.
        wake: has an automation looked at.
        may_write: tells whether this replica may act.
        hosts: to which webhooks may go; empty: to all.
    """

    def __init__(
        self,
        client: Client,
        store: Store,
        applier: Applier,
        metrics: AutomationMetrics,
        *,
        wake: Callable[[Key], None],
        may_write: Callable[[], bool],
        hosts: Sequence[str] = (),
    ) -> None:
        self._client = client
        self._store = store
        self._applier = applier
        self._metrics = metrics
        self._desks = Desks(store)
        self._secrets = Secrets(client)
        self._webhooks = Webhooks(
            self._secrets,
            metrics,
            heard=lambda namespace, name: wake(Key(PLURAL, namespace, name)),
            may_send=may_write,
            hosts=hosts,
        )

    def run_changed(self, old: Body | None, new: Body | None) -> Iterator[Key]:
        """Note a change of a FlowRun; give the automations that have to be looked at."""
        for name in self._desks.run_changed(old, new) if new is not None else ():
            yield Key(PLURAL, text(new, "metadata", "namespace"), name)

    def changed(self, old: Body | None, new: Body | None) -> None:
        """Note how an automation is now; `new` is None if it is gone."""
        self._metrics.changed(old, new)
        if new is None:
            self._desks.forget(text(old, "metadata", "namespace"), text(old, "metadata", "name"))
            self._webhooks.forget(text(old, "metadata", "uid"))

    def awaits(self, namespace: str, now: datetime) -> Callable[[Body], bool]:
        """Give what tells whether an automation has yet to write down what became of a run that has ended.

        Until then the run's history is the only record. After a restart that is so for every run, until the desks have
        been opened; then for no longer than an hour: whoever cannot be told must not keep runs for ever.
        """
        known_since: dict[str, datetime] = {}
        has_new = False
        for body in self._store.all("automations"):
            if text(body, "metadata", "namespace") != namespace or not mapping(body, "spec", "trigger", "states"):
                continue
            if value(body, "spec", "suspend") is True or messages.problem_of(body):
                continue
            if desk := self._desks.get(namespace, text(body, "metadata", "name")):
                known_since |= {event.uid: desk.opened for event in desk.found.values()}
            elif automation.has_begun(body, now):
                return lambda _: True
            else:
                has_new = True

        def is_awaited(run: Body) -> bool:
            end, since = ended_at(run), known_since.get(text(run, "metadata", "uid"))
            if end is None or (since is None and not has_new):
                return False
            return now - max(end, since or end) < HELD

        return is_awaited

    async def look_at(self, key: Key, now: datetime) -> float | None:
        """Observe, decide and apply; give the seconds until the automation has to be looked at again.

        What is refused to one action does not stop the others.
        """
        refused: dict[Delivery, str] = {}
        while True:
            observed = await self._observe(key, now)
            if observed is None:
                return None
            decision = automation.decide(dataclasses.replace(observed, refused=refused), now)
            if decision.bug is not None:
                raise decision.bug
            try:
                await self._apply(decision)
            except RefusedError as refusal:
                log.warning("%s", refusal, extra={"namespace": key.namespace, "automation": key.name})
                refused[refusal.delivery] = str(refusal)
            else:
                return decision.requeue_after

    async def close(self) -> None:
        """Break off what is being sent."""
        await self._webhooks.close()

    async def _observe(self, key: Key, now: datetime) -> ObservedAutomation | None:
        body = self._store.get(*key)
        if body is None:
            return None
        namespace, uid = key.namespace, text(body, "metadata", "uid")
        problem = await self._secrets.problem_of(body)
        body = self._store.get(*key) or body  # Secrets may have taken their time
        named = {name: self._store.get("deployments", namespace, name) for name in automation.deployments_of(body)}
        observed = ObservedAutomation(
            body,
            outcomes=self._webhooks.outcomes(uid),
            in_flight=self._webhooks.in_flight(uid),
            deployments={name: found for name, found in named.items() if found is not None},
            secret_problem=problem,
        )
        if not automation.has_begun(body, now):
            self._desks.forget(namespace, key.name)
            return observed
        desk = self._desks.look(body, now)
        succeeded = [moment(named.get(name), "status", "lastSucceeded") for name in _all_of(body)]
        return dataclasses.replace(
            observed,
            found=tuple(desk.found.values()),
            next_deadline=desk.deadlines[0][0] if desk.deadlines else None,
            last_success=max(filter(None, (desk.last_success, *succeeded)), default=None),
            ended=self._ended(body, desk.found.values()),
        )

    def _ended(self, body: Body, found: Iterable[occurrences.Occurrence]) -> frozenset[str]:
        namespace = text(body, "metadata", "namespace")
        runs = {(one.run, one.uid) for one in found}
        runs |= {(text(one, "run"), text(one, "uid")) for one in mappings(body, "status", "pending")}
        known = ((uid, self._store.get("flowruns", namespace, name)) for name, uid in runs if uid)
        return frozenset(uid for uid, run in known if run is not None and occurrences.has_ended(run))

    async def _apply(self, decision: Decision) -> None:
        for action in decision.actions:
            match action:
                case SendWebhook():
                    self._webhooks.send(action)
                case MakeRun():
                    await self._make_run(action)
                case Wish():
                    await self._wish(action)
                case Settle():
                    self._settle(action)
                case Tell():
                    self._tell(action)
                case _:
                    await self._applier.apply(Decision((action,)))

    async def _make_run(self, action: MakeRun) -> None:
        try:
            run = await self._client.create(FLOWRUNS, action.namespace, action.manifest)
        except ApiError as error:
            if error.status == 409:
                return  # made before
            if error.status in _REFUSALS:
                raise RefusedError(action.delivery, error) from error
            raise
        self._store.put("flowruns", run)

    async def _wish(self, action: Wish) -> None:
        resource = BY_PLURAL[action.plural]
        patch = [{"op": "add", "path": f"/spec/{name}", "value": value} for name, value in action.fields.items()]
        if action.uid:
            patch.insert(0, {"op": "test", "path": "/metadata/uid", "value": action.uid})
        try:
            body = await self._client.patch(resource, action.namespace, action.name, patch)
        except ApiError as error:
            if error.status == 404 or await self._is_another(action, error):
                return
            if error.status in _REFUSALS:
                raise RefusedError(action.delivery, error) from error
            raise
        self._store.put(action.plural, body)

    async def _is_another(self, action: Wish, refusal: ApiError) -> bool:
        """Tell whether a wish was refused because the object is not the one that it was for."""
        if not action.uid or refusal.status not in (409, 422):
            return False
        try:
            found = await self._client.get(BY_PLURAL[action.plural], action.namespace, action.name)
        except ApiError as error:
            if error.status == 404:
                return True
            raise
        return text(found, "metadata", "uid") != action.uid

    def _settle(self, action: Settle) -> None:
        self._desks.settle(action.namespace, action.automation, action.events)
        body = self._store.get(PLURAL, action.namespace, action.automation)
        self._webhooks.settle(text(body, "metadata", "uid"), action.outcomes)

    def _tell(self, action: Tell) -> None:
        place = (action.namespace, action.automation)
        if action.triggered:
            self._metrics.triggered(*place, action.triggered)
        for outcome, count in (("done", action.delivered), ("given_up", action.given_up)):
            if count:
                self._metrics.over(*place, outcome, count)


def _all_of(automation_: Body) -> Sequence[str]:
    """Give the Deployments of which every run counts, so that their own word on success does too."""
    match = automation_["spec"].get("match") or {}
    return texts(match, "deployments") if not match.keys() - {"deployments", "subflows"} else []
