"""Decides what should be done about a Deployment: make the runs that are due, and say how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from towpath import names
from towpath.api.v1alpha1.transitions import rfc3339
from towpath.schedules.resource import run_manifest, written
from towpath.states import Reason
from towpath_operator.reconcile.conditions import Condition, changes, condition, patch_of, with_conditions
from towpath_operator.reconcile.decision import Action, ConfirmUnchanged, CreateRun, Decision, EmitEvent, TellMissed
from towpath_operator.reconcile.flow import check_flow
from towpath_operator.reconcile.guard import guarded
from towpath_operator.reconcile.observed import Body, ObservedDeployment
from towpath_operator.reconcile.parameters import check_parameters
from towpath_operator.reconcile.pods import is_deleting
from towpath_operator.reconcile.problem import Problem
from towpath_operator.reconcile.reading import integer, mapping, mappings, moment, text, value
from towpath_operator.reconcile.ready import TYPE as READY
from towpath_operator.reconcile.ready import ready
from towpath_operator.reconcile.resolve import check_template, name_of_flow, schema_of
from towpath_operator.reconcile.schedules import ON_TIME, REFUSED_SECONDS, Outlook, next_runs, outlooks

PLURAL: Final = "deployments"
SCHEDULED: Final = "Scheduled"
#: How long what is counted may lag behind: runs come and go faster than a status should be written.
COUNT_SECONDS: Final = 10.0


class Word(StrEnum):
    """Why the condition Scheduled is False."""

    SUSPENDED = "Suspended"  # the Deployment, or each of its schedules, is suspended
    INVALID_SCHEDULE = "InvalidSchedule"  # one cannot be understood, or is never due
    RUN_REFUSED = "RunRefused"  # the API server refuses runs: a quota, or an admission policy
    INVALID_PARAMETERS = "InvalidParameters"  # what it gives to runs does not fit the flow: they fail


def decide(observed: ObservedDeployment, now: datetime) -> Decision:
    """Decide what should be done about a Deployment; pure, and never raises: see `Decision.bug`."""
    return guarded(lambda: _decide(observed, now))


def _decide(observed: ObservedDeployment, now: datetime) -> Decision:
    body = observed.deployment
    if is_deleting(body):
        return Decision()
    found = outlooks(observed, now)
    runs = sorted((time, one.name, one) for one in found for time in one.due)
    actions: list[Action] = [_create(body, one, time) for time, _, one in runs]
    if runs and now - runs[0][0] > ON_TIME:
        # Somebody may have made this run long ago: it may have ended, and be deleted, before our store hears of it.
        actions.insert(0, _confirm(body))
    wanted: dict[str, Any] = {
        "conditions": with_conditions(
            body, {READY: ready(body, check(observed), now), SCHEDULED: _scheduled(observed, found, now)}
        ),
        "observedGeneration": integer(body, "metadata", "generation"),
        "schedules": [dict(one.seen) for one in found] or None,
        "nextRuns": next_runs(found) or None,
    }
    if runs:
        wanted["lastScheduled"] = written(runs[-1][0])
    changed = changes(body, wanted)
    counted, wait = _counts(observed, len(runs), now, is_written=bool(changed))
    if changed or counted:
        actions.append(patch_of(PLURAL, body, changed | counted))
    actions += [told for one in found if one.missed for told in _tell(body, one)]
    return Decision(tuple(actions), _sooner(wait, *(_wait(one, now) for one in found)))


def check(observed: ObservedDeployment) -> Problem | None:
    """Tell why a Deployment cannot be run, if it cannot."""
    spec = mapping(observed.deployment, "spec")
    if observed.flow is None:
        wanted, namespace = text(spec, "flowRef"), text(observed.deployment, "metadata", "namespace")
        message = f"There is no Flow {wanted!r} in namespace {namespace!r}. Apply it, or correct flowRef."
        return Problem(Reason.FLOW_NOT_FOUND, message)
    if problem := check_flow(observed.flow):
        message = f"Flow {text(observed.flow, 'metadata', 'name')!r} cannot be run: {problem.message}"
        return Problem(problem.reason, message)
    schema = schema_of(mapping(observed.flow, "spec"))
    flow_name = name_of_flow(observed.flow)
    return check_parameters(flow_name, schema, mapping(spec, "parameters"), complete=False) or check_template(spec)


def _create(body: Body, one: Outlook, due: datetime) -> CreateRun:
    namespace, name = text(body, "metadata", "namespace"), text(body, "metadata", "name")
    manifest = run_manifest(namespace, name, one.name, due, _given(body, one))
    return CreateRun(namespace, manifest, name, one.name, due)


def _confirm(body: Body) -> ConfirmUnchanged:
    metadata = mapping(body, "metadata")
    return ConfirmUnchanged(
        PLURAL, text(metadata, "namespace"), text(metadata, "name"), text(metadata, "resourceVersion")
    )


def _given(body: Body, one: Outlook) -> dict[str, Any]:
    """Give what the runs of a schedule are given."""
    return {**mapping(body, "spec", "parameters"), **mapping(one.entry, "parameters")}


def _scheduled(observed: ObservedDeployment, found: Sequence[Outlook], now: datetime) -> Condition | None:
    """Build the condition that says whether the schedules make runs; None where there are none."""
    body = observed.deployment
    if not mappings(body, "spec", "schedules"):
        return None
    if wrong := troubles(observed, found):
        return condition(body, SCHEDULED, wrong[0][0], " ".join(said for _, said in wrong), now)
    if not found:
        whole = value(body, "spec", "suspend") is True
        message = f"{'The Deployment' if whole else 'Every schedule'} is suspended. Set suspend to false to go on."
        return condition(body, SCHEDULED, Word.SUSPENDED, message, now)
    return condition(body, SCHEDULED, SCHEDULED, "", now)


def troubles(observed: ObservedDeployment, found: Sequence[Outlook]) -> list[tuple[Word, str]]:
    """Say in a word and a sentence why schedules make no runs, or else why these will fail."""
    wrong = [(_word(one), one.name, one.problem) for one in found if one.problem]
    if not wrong:
        wrong = [(Word.INVALID_PARAMETERS, one.name, said) for one in found if (said := _unfit(observed, one))]
    return [(word, f"Schedule {name!r}: {said}{'' if said[-1:] in '.?' else '.'}") for word, name, said in wrong]


def _word(one: Outlook) -> Word:
    return Word.RUN_REFUSED if one.is_refused else Word.INVALID_SCHEDULE


def _unfit(observed: ObservedDeployment, one: Outlook) -> str | None:
    """Tell why the runs of a schedule will fail for what it gives them."""
    if observed.flow is None or check_flow(observed.flow):
        return None
    schema = schema_of(mapping(observed.flow, "spec"))
    problem = check_parameters(name_of_flow(observed.flow), schema, _given(observed.deployment, one))
    return problem.message if problem else None


def _counts(
    observed: ObservedDeployment, made: int, now: datetime, *, is_written: bool
) -> tuple[dict[str, Any], float | None]:
    """Give the counts, if they are to be written now; else the seconds until they are."""
    body = observed.deployment
    known = moment(body, "status", "lastSucceeded")
    last = max(filter(None, (known, observed.last_success)), default=None)
    wanted: dict[str, Any] = {"active": observed.active + made}
    if last is not None and last != known:
        wanted["lastSucceeded"] = rfc3339(last)
    if "lastSucceeded" not in wanted and wanted["active"] == (integer(body, "status", "active") or 0):
        return ({**wanted, "counted": rfc3339(now)} if is_written else {}), None
    counted = moment(body, "status", "counted")
    if is_written or counted is None or not now - timedelta(seconds=COUNT_SECONDS) < counted <= now:
        return {**wanted, "counted": rfc3339(now)}, None
    return {}, COUNT_SECONDS - (now - counted).total_seconds()


def _tell(body: Body, one: Outlook) -> Sequence[Action]:
    """Tell of runs that were left out."""
    metadata = mapping(body, "metadata")
    namespace, name = text(metadata, "namespace"), text(metadata, "name")
    regarding = {"apiVersion": names.API_VERSION, "kind": "Deployment", "namespace": namespace, "name": name}
    regarding["uid"] = text(metadata, "uid")
    message = (
        f"Runs of schedule {one.name!r} are left out, at least {one.missed}: no operator was at work when they were"
        " due. missedRunPolicy and startingDeadlineSeconds decide on that; `towpath deployments backfill"
        f" {name} -n {namespace} --from TIME` makes them all the same."
    )
    event = EmitEvent(regarding, "RunsMissed", message, warning=True)
    return event, TellMissed(namespace, name, one.name, one.missed)


def _wait(one: Outlook, now: datetime) -> float | None:
    """Give the seconds until a schedule has to be looked at."""
    if one.is_refused:
        return REFUSED_SECONDS
    return (one.coming[0] - now).total_seconds() if one.coming else None


def _sooner(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)
