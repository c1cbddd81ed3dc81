"""Decides about a run whose current attempt has no Job yet: what it waits for, and when its Job is made."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

from towpath import limits
from towpath.limits import cut
from towpath.states import Reason, StateType
from towpath_operator.reconcile import ends, suspended, turn
from towpath_operator.reconcile.closing import end_run, stop_job
from towpath_operator.reconcile.decision import Action, ConfirmGone, ConfirmPodsEnded, CreateJob, Decision
from towpath_operator.reconcile.observed import ObservedFlowRun
from towpath_operator.reconcile.pods import is_finished, is_live, own_pods, owned_job
from towpath_operator.reconcile.problem import Problem
from towpath_operator.reconcile.reading import moment, text
from towpath_operator.reconcile.resolve import Missing, flow_of, missing_lane, resolve, terms_from_specs
from towpath_operator.reconcile.run import Run
from towpath_operator.reconcile.wish import Wish
from towpath_operator.specs.jobs import build_job
from towpath_operator.specs.resolved import ResolvedRun

#: Answers that say that the Job itself is wrong; others may be otherwise in a while.
_WRONG = frozenset({400, 422})
#: How often a Job that the API server does not allow is tried again, in seconds.
_REFUSED_SECONDS = 10.0
#: Why another attempt follows one that ended by its own report.
_AFTER_A_REPORT = frozenset({Reason.RETRY_BY_REQUEST, Reason.RESUMED})


def decide(observed: ObservedFlowRun, run: Run, wish: Wish | None, now: datetime) -> Decision:
    """Decide about a run that has not begun its current attempt."""
    decision = _decide(observed, run, wish, now)
    if decision.actions and observed.revision is None and (settled := text(run.status, "revision")):
        return dataclasses.replace(
            decision, actions=(ConfirmGone("controllerrevisions", run.namespace, settled), *decision.actions)
        )
    return decision


def _decide(observed: ObservedFlowRun, run: Run, wish: Wish | None, now: datetime) -> Decision:
    if wish is not None:
        return suspended.cancelled(observed, run, wish, now)
    if wait := _seconds_until(moment(run.status, "retryAt"), now):
        return Decision(requeue_after=wait)
    resolution, lane = resolve(observed, run), missing_lane(observed, run)
    if isinstance(resolution, Problem):
        return _fail(observed, run, resolution, now)
    if isinstance(lane, Problem):
        return _fail(observed, run, lane, now)
    scheduled = text(run.spec, "scheduledTime")
    if scheduled and moment(run.spec, "scheduledTime") is None:
        said = f"scheduledTime is {scheduled!r}, which is no time such as 2026-01-31T12:00:00Z."
        return _fail(observed, run, Problem(Reason.INVALID_SPEC, said), now)
    if wait := _seconds_until(moment(run.spec, "scheduledTime"), now):
        return _wait_for_time(observed, run, wait, now)
    if (hold := suspended.held(run, now)) is not None:
        return hold
    if isinstance(resolution, Missing):
        return _wait_for_reference(observed, run, resolution, now)
    if lane is not None:
        return _wait_for_reference(observed, run, lane, now)
    return (
        _previous_attempt(observed, run, now)
        or turn.wait(observed.turn, run, now, flow=resolution.flow)
        or _create(observed, run, resolution, now)
    )


def refused(observed: ObservedFlowRun, run: Run, status_code: int, message: str, now: datetime) -> Decision:
    """Decide about a run whose Job the API server refused."""
    if status_code in _WRONG:
        problem = Problem(Reason.INVALID_TEMPLATE, f"The API server refused the run's Job: {message}")
        return _fail(observed, run, problem, now)
    if run.reason == Reason.JOB_REFUSED:
        allowed = timedelta(seconds=terms_from_specs(observed, run).pending_timeout_seconds)
        if run.since is not None and now >= run.since + allowed:
            waited = f"The API server did not allow the Job within {allowed.total_seconds():.0f} s."
            return Decision(end_run(run, ends.never_started(Reason.JOB_REFUSED, message, waited), now))
        return Decision(requeue_after=_REFUSED_SECONDS)
    said = f"The API server does not allow the Job, and is asked again every {_REFUSED_SECONDS:.0f} s: {message}"
    pending = run.becomes(
        StateType.PENDING, now, reason=Reason.JOB_REFUSED, message=said, fields={"waitingFor": message}
    )
    return Decision((pending, run.event(Reason.JOB_REFUSED, said)), _REFUSED_SECONDS)


def begun(run: Run, flow: str, attempt: int, now: datetime, *, revision: str) -> Action:
    """Build the status patch that follows the creation of an attempt's Job, or the finding of it."""
    known = {"flow": flow, "revision": revision}
    fields = {"job": run.job_name, "waitingFor": None, "retryAt": None} | {
        key: name for key, name in known.items() if name
    }
    return run.becomes(
        StateType.PENDING,
        now,
        reason=Reason.JOB_CREATED,
        message="The Job was created; its pod has not reported yet.",
        attempt=attempt,
        fields=fields,
    )


def _create(observed: ObservedFlowRun, run: Run, resolved: ResolvedRun, now: datetime) -> Decision:
    if any(is_live(pod) for pod in own_pods(run, None, observed.pods)):
        return Decision(requeue_after=1.0)  # somebody deleted the Job before its status was written; its pod is going
    attempt = max(run.attempt, 1)
    settled = resolved.revision
    job = CreateJob(
        run.namespace,
        build_job(resolved, attempt, observed.policy),
        run.uid,
        revision=settled.manifest(run.namespace) if settled else None,
    )
    confirm = (ConfirmPodsEnded(run.namespace, run.previous_job_name),) if attempt > 1 else ()
    return Decision((*confirm, job, begun(run, resolved.flow, attempt, now, revision=settled.name if settled else "")))


def _previous_attempt(observed: ObservedFlowRun, run: Run, now: datetime) -> Decision | None:
    """Wait until nothing of the attempt before can run any more: never two live pods of one run."""
    job = owned_job(run, observed.previous_job)
    live = [pod for pod in own_pods(run, job, observed.previous_pods) if is_live(pod)]
    if not live and (job is None or is_finished(job)):
        return None
    if wait := _parting(observed, run, now):
        return Decision(requeue_after=wait)
    stop = stop_job(run, job)
    if not live:
        return Decision(stop)
    pod = live[0]
    node = text(pod, "spec", "nodeName") or "unknown"
    waiting_for = cut(
        f"the end of pod {text(pod, 'metadata', 'name')} of attempt {run.attempt - 1}", limits.WAITING_FOR
    )
    if text(run.status, "waitingFor") == waiting_for:
        return Decision(stop)
    message = (
        f"Attempt {run.attempt} starts when {waiting_for} is certain. If its node {node!r} is gone for good, delete the"
        " Node, or the pod with --force."
    )
    waiting = run.becomes(
        StateType.SCHEDULED,
        now,
        name="AwaitingRetry",
        reason=Reason.AWAITING_RETRY,
        message=message,
        fields={"waitingFor": waiting_for, "retryAt": None},
    )
    return Decision((waiting, *stop))


def _parting(observed: ObservedFlowRun, run: Run, now: datetime) -> float | None:
    """Give the seconds that the process of the attempt before has to go by itself, as it has said it does.

    It has reported how it ended; a Job that is deleted while it goes would take its log along.
    """
    if run.reason not in _AFTER_A_REPORT or run.since is None:
        return None
    return _seconds_until(run.since + timedelta(seconds=observed.policy.grace_seconds), now)


def _wait_for_time(observed: ObservedFlowRun, run: Run, wait: float, now: datetime) -> Decision:
    if run.state is StateType.SCHEDULED:
        return Decision(requeue_after=wait)
    at = text(run.spec, "scheduledTime")
    scheduled = run.becomes(
        StateType.SCHEDULED,
        now,
        reason=Reason.WAITING_FOR_TIME,
        message=f"The run starts at {at}.",
        fields={"waitingFor": f"time {at}", "flow": flow_of(observed, run) or None},
    )
    return Decision((scheduled,), wait)


def _wait_for_reference(observed: ObservedFlowRun, run: Run, missing: Missing, now: datetime) -> Decision:
    allowed = float(terms_from_specs(observed, run).pending_timeout_seconds)
    if run.state is not StateType.PENDING or run.reason != missing.reason or run.since is None:
        waiting = run.becomes(
            StateType.PENDING,
            now,
            reason=missing.reason,
            message=missing.message,
            fields={"waitingFor": missing.waiting_for, "flow": flow_of(observed, run) or None},
        )
        return Decision((waiting,), allowed)
    if wait := _seconds_until(run.since + timedelta(seconds=allowed), now):
        return Decision(requeue_after=wait)
    message = f"{missing.message} The run waited for it {allowed:.0f} s, its pendingTimeoutSeconds."
    return _fail(observed, run, Problem(missing.reason, message), now)


def _fail(observed: ObservedFlowRun, run: Run, problem: Problem, now: datetime) -> Decision:
    end = ends.End(StateType.FAILED, problem.reason, problem.message, kind="User")
    return Decision(end_run(run, end, now, flow=flow_of(observed, run)))


def _seconds_until(moment_: datetime | None, now: datetime) -> float | None:
    """Give the seconds until a time, or None if it is not ahead."""
    if moment_ is None or moment_ <= now:
        return None
    return (moment_ - now).total_seconds()
