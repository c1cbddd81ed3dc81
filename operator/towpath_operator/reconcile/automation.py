"""Decides about an Automation: whether it looks, from when on, and what keeps it from doing what it should.

What is done about what happened is decided in `automation_turn`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from towpath.api.v1alpha1.transitions import rfc3339
from towpath_operator.reconcile import messages, occurrences
from towpath_operator.reconcile.automation_observed import ObservedAutomation
from towpath_operator.reconcile.automation_turn import PLURAL, Turn, sooner
from towpath_operator.reconcile.conditions import Condition, changes, condition, patch_of, with_conditions
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.guard import guarded
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.pods import is_deleting
from towpath_operator.reconcile.reading import integer, mappings, moment, text, texts, value
from towpath_operator.reconcile.ready import TYPE as READY

#: A mark so far ahead was written by a clock that was wrong.
AHEAD: Final = timedelta(seconds=60)
#: How soon it is looked again whether what somebody has to mend has been mended.
PROBLEM_SECONDS: Final = 30.0


class Word(StrEnum):
    """Why the condition Ready is False."""

    SUSPENDED = "Suspended"  # spec.suspend is true
    INVALID_TEMPLATE = "InvalidTemplate"  # a placeholder stands for nothing; nothing is done until it is corrected
    DEPLOYMENT_NOT_FOUND = "DeploymentNotFound"  # it names a Deployment that does not exist
    SECRET_NOT_READABLE = "SecretNotReadable"  # noqa: S105 - a Secret is not there, or the operator may not read it


def decide(observed: ObservedAutomation, now: datetime) -> Decision:
    """Decide what should be done about an Automation; pure, and never raises: see `Decision.bug`."""
    return guarded(lambda: _decide(observed, now))


def has_begun(automation: Body, now: datetime) -> bool:
    """Tell whether the status speaks of what the spec counts, so that there is a mark to look from."""
    mark = moment(automation, "status", "lookFrom")
    is_same = text(automation, "status", "definition") == occurrences.definition_of(automation)
    return is_same and mark is not None and mark <= now + AHEAD and value(automation, "spec", "suspend") is not True


def _decide(observed: ObservedAutomation, now: datetime) -> Decision:
    body = observed.automation
    if is_deleting(body):
        return Decision()
    said = _condition(observed, now)
    wanted: dict[str, Any] = {
        "conditions": with_conditions(body, {READY: said}),
        "observedGeneration": integer(body, "metadata", "generation"),
    }
    if said["reason"] == Word.SUSPENDED:
        wanted |= dict.fromkeys(("definition", "began", "lookFrom", "dealt", "lastSuccess"))
        return _write(body, wanted)
    if not has_begun(body, now):
        return _write(body, wanted | _beginning(body, now))
    if said["reason"] == Word.INVALID_TEMPLATE:
        return _write(body, wanted)
    decision = Turn(observed, now).decide(wanted)
    if said["status"] == "False":
        return replace(decision, requeue_after=sooner(decision.requeue_after, PROBLEM_SECONDS))
    return decision


def _write(body: Body, wanted: Mapping[str, Any]) -> Decision:
    changed = changes(body, wanted)
    return Decision((patch_of(PLURAL, body, changed),)) if changed else Decision()


def _beginning(body: Body, now: datetime) -> dict[str, Any]:
    """Give the status of an Automation that begins: a new one with its creation, another one now."""
    is_new = integer(body, "metadata", "generation") == 1 and not text(body, "status", "definition")
    began = (moment(body, "metadata", "creationTimestamp") if is_new else None) or now
    marks = dict.fromkeys(("began", "lookFrom"), rfc3339(began))
    return {"definition": occurrences.definition_of(body), **marks, "dealt": None, "lastSuccess": None}


def _condition(observed: ObservedAutomation, now: datetime) -> Condition:
    body = observed.automation
    if value(body, "spec", "suspend") is True:
        return condition(body, READY, Word.SUSPENDED, "It is suspended. Set suspend to false to go on.", now)
    if said := messages.problem_of(body):
        return condition(body, READY, Word.INVALID_TEMPLATE, said, now)
    namespace = text(body, "metadata", "namespace")
    for name in deployments_of(body):
        if name not in observed.deployments:
            said = f"There is no Deployment {name!r} in namespace {namespace!r}. Apply it, or correct its name here."
            return condition(body, READY, Word.DEPLOYMENT_NOT_FOUND, said, now)
    if observed.secret_problem:
        return condition(body, READY, Word.SECRET_NOT_READABLE, observed.secret_problem, now)
    return condition(body, READY, READY, "", now)


def deployments_of(automation: Body) -> Sequence[str]:
    """Give the names of the Deployments that an Automation names."""
    made = [text(action, "runDeployment", "name") for action in mappings(automation, "spec", "actions")]
    return [name for name in (*texts(automation, "spec", "match", "deployments"), *made) if name]
