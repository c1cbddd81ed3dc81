"""Decides about a run whose current attempt has a Job, or had one: how far it is, and whether it is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from towpath import names
from towpath.api.v1alpha1.transitions import rfc3339
from towpath.states import Reason, StateType
from towpath_operator.reconcile import ends, explaining, start
from towpath_operator.reconcile.closing import KILL_SECONDS, close, kill_pods, remove_job, stop_job
from towpath_operator.reconcile.decision import Action, ConfirmGone, ConfirmPodsEnded, ConfirmUnchanged, Decision
from towpath_operator.reconcile.observed import Body, ObservedFlowRun
from towpath_operator.reconcile.pods import (
    Abandoned,
    Ended,
    Lost,
    NoPod,
    Running,
    Stage,
    Waiting,
    flow_container,
    is_finished,
    killed_at,
    own_pods,
    owned_job,
    stage_of,
)
from towpath_operator.reconcile.reading import integer, mappings, moment, text
from towpath_operator.reconcile.resolve import terms_from_specs
from towpath_operator.reconcile.run import Run
from towpath_operator.reconcile.unheeded import unheeded
from towpath_operator.reconcile.wish import Wish
from towpath_operator.specs.revisions import ANNOTATION as REVISION
from towpath_operator.specs.terms import Terms, terms_on

#: A cancelled run whose process has ended was most likely heard already; its grace is short, for its end is bounded.
_CANCEL_REPORT_GRACE = 1.0
#: How much longer than its grace period a pod may take to go before its run counts as cancelled all the same.
_CANCEL_SLACK = 1.5
_NOT_RUNNING = frozenset({None, StateType.SCHEDULED, StateType.PENDING})


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What is known of the attempt, put together once."""

    observed: ObservedFlowRun
    run: Run
    job: Body | None
    pods: list[Body]
    stage: Stage
    terms: Terms
    wish: Wish | None
    now: datetime

    @property
    def pod_name(self) -> str:
        return text(self.pods[0], "metadata", "name") if self.pods else ""

    @property
    def cancelling(self) -> bool:
        return self.run.state is StateType.CANCELLING


def has_begun(observed: ObservedFlowRun, run: Run) -> bool:
    """Tell whether the run's current attempt has, or had, a Job."""
    if run.has_job or run.state in {StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING}:
        return True
    return owned_job(run, observed.job) is not None


def decide(observed: ObservedFlowRun, run: Run, wish: Wish | None, now: datetime) -> Decision:
    """Decide about a run that has begun its current attempt."""
    job = owned_job(run, observed.job)
    if job is not None and not run.has_job and wish is None:
        return Decision((_adopted(run, job, now),))
    pods = own_pods(run, job, observed.pods)
    terms = terms_on(job) or next((found for pod in pods if (found := terms_on(pod))), None)
    attempt = _Attempt(
        observed=observed,
        run=run,
        job=job,
        pods=pods,
        stage=stage_of(pods, now, observed.policy.stuck_seconds),
        terms=terms or terms_from_specs(observed, run),
        wish=wish,
        now=now,
    )
    match attempt.stage:
        case Ended(pod, finished):
            return _ended(attempt, pod, finished)
        case Lost(pod):
            return _over(attempt, ends.node_lost(pod), stop=True)
        case Abandoned(pod):
            return _over(attempt, ends.start_interrupted(pod), confirm=_as_seen(attempt), stop=True)
        case NoPod():
            return _without_pod(attempt)
        case _:
            return _live(attempt)


def _adopted(run: Run, job: Body, now: datetime) -> Action:
    """Write down a Job that was made before somebody was interrupted; its pod may have reported already."""
    if run.state in _NOT_RUNNING:
        flow = text(job, "metadata", "labels", names.LABEL_FLOW)
        settled = text(job, "metadata", "annotations", REVISION)
        return start.begun(run, flow, max(run.attempt, 1), now, revision=settled)
    return run.patch([{"op": "add", "path": "/status/job", "value": run.job_name}])


def _ended(attempt: _Attempt, pod: Body, finished: datetime | None) -> Decision:
    said_so = integer(flow_container(pod), "state", "terminated", "exitCode") == 0 and attempt.terms.reports_itself
    if said_so and finished is not None:  # the run's own report may still be on its way to the store
        grace = _CANCEL_REPORT_GRACE if attempt.cancelling else attempt.observed.policy.report_grace_seconds
        wait = (finished - attempt.now).total_seconds() + grace
        if 0 < wait <= grace:
            return Decision(requeue_after=wait)
    return _over(attempt, ends.of_pod(pod, attempt.job, max(attempt.run.attempt, 1), attempt.terms))


def _without_pod(attempt: _Attempt) -> Decision:
    run, job = attempt.run, attempt.job
    if job is None:
        confirm = ConfirmGone("jobs", run.namespace, run.job_name)
        return _recent(attempt) or _over(attempt, ends.job_deleted(), confirm=confirm)
    if is_finished(job):
        return _over(attempt, ends.of_job(job, attempt.terms))
    if attempt.wish is not None:
        return _cancel(attempt, attempt.wish)
    if run.state in _NOT_RUNNING:
        said = "The Job has no pod yet. If that stays, kubectl describe job says why: a quota, or an admission policy."
        return _pending(attempt, Waiting(Reason.JOB_CREATED, said))
    confirm_pods = ConfirmPodsEnded(run.namespace, run.job_name)
    return _recent(attempt) or _over(attempt, ends.pod_deleted(), confirm=confirm_pods, stop=True)


def _live(attempt: _Attempt) -> Decision:
    """Decide about an attempt whose pod waits or runs."""
    run, stage = attempt.run, attempt.stage
    if attempt.wish is not None:
        return _cancel(attempt, attempt.wish)
    if run.state in _NOT_RUNNING:
        if isinstance(stage, Waiting):
            return _pending(attempt, stage)
        if isinstance(stage, Running) and not attempt.terms.reports_itself:
            return Decision((_runs(attempt, stage),))
        if run.state is StateType.PENDING and not text(run.status, "startTime"):
            return _begins(attempt)
    if not attempt.terms.reports_itself and (told := unheeded(run, attempt.now)):
        return Decision(told)
    return _over_time(attempt)


def _runs(attempt: _Attempt, stage: Running) -> Action:
    """Say for a plain container that it runs."""
    fields = {"pod": stage.pod, "startTime": rfc3339(stage.started or attempt.now), "waitingFor": None}
    return attempt.run.becomes(StateType.RUNNING, attempt.now, message="The container runs.", fields=fields)


def _begins(attempt: _Attempt) -> Decision:
    """Wait for the first word of a process that runs, for as long as one may wait for its pod."""
    left = _pending_seconds_left(attempt)
    if left > 0:
        return _look_again(attempt, left)
    return _over(attempt, ends.never_began(attempt.terms), stop=True)


def _over_time(attempt: _Attempt) -> Decision:
    """End a run that has run for longer than its timeout; one that reports itself is given time to say so first."""
    limit, began = attempt.terms.timeout_seconds, moment(attempt.run.status, "startTime")
    if limit is None or began is None or attempt.run.state in _NOT_RUNNING:
        return _look_again(attempt)
    slack = attempt.observed.policy.timeout_slack_seconds if attempt.terms.reports_itself else 0
    left = (began - attempt.now).total_seconds() + limit + slack
    if left > 0:
        return _look_again(attempt, left)
    return _over(attempt, ends.timed_out(attempt.terms), stop=True)


def _look_again(attempt: _Attempt, *after: float) -> Decision:
    """Look again at the first of some times, in seconds from now, or when a pod that is to go should have gone."""
    due = killed_at(attempt.pods[0]) if attempt.pods else None
    if due is not None:
        after += ((due - attempt.now).total_seconds() + attempt.observed.policy.stuck_seconds,)
    return Decision(requeue_after=min(after, default=None))


def _pending(attempt: _Attempt, waiting: Waiting) -> Decision:
    """Show why the pod does not start, and give up when it has not in time; ask why, where nothing says so."""
    left = _pending_seconds_left(attempt)
    if waiting.reason is not Reason.JOB_CREATED:
        return _wait(attempt, waiting, left)
    pod, complaints = attempt.pods[0] if attempt.pods else None, attempt.observed.complaints
    waiting = explaining.explained(waiting, attempt.job, pod, complaints or {}, attempt.now)
    decision = _wait(attempt, waiting, left)
    age = attempt.terms.pending_timeout_seconds - left
    return explaining.asking(decision, age, was_asked=complaints is not None)


def _pending_seconds_left(attempt: _Attempt) -> float:
    since = moment(attempt.job, "metadata", "creationTimestamp") or attempt.run.since or attempt.now
    return (since - attempt.now).total_seconds() + attempt.terms.pending_timeout_seconds


def _wait(attempt: _Attempt, waiting: Waiting, left: float) -> Decision:
    """Say what the pod waits for, as long as it may; `left` is for how many seconds that is."""
    run, terms = attempt.run, attempt.terms
    if waiting.hopeless:
        return _over(attempt, ends.never_can_start(waiting.reason, waiting.message), stop=True)
    if left <= 0:
        waited = f"The pod did not start within pendingTimeoutSeconds, {terms.pending_timeout_seconds}."
        end = ends.never_started(waiting.reason, waiting.message, waited, may_retry=waiting.elsewhere)
        return _over(attempt, end, confirm=_as_seen(attempt) if waiting.elsewhere else None, stop=True)
    notes = [
        entry
        for entry in mappings(run.status, "history")
        if entry.get("type") == StateType.PENDING and entry.get("attempt") == run.attempt
    ]
    if waiting.reason == run.reason or len(notes) > attempt.observed.policy.pending_notes:
        return _look_again(attempt, left)
    fields = {"pod": attempt.pod_name} if attempt.pod_name else {}
    note = run.becomes(StateType.PENDING, attempt.now, reason=waiting.reason, message=waiting.message, fields=fields)
    return Decision((note,), left)


def _cancel(attempt: _Attempt, wish: Wish) -> Decision:
    """Tell the process to stop, and wait for it no longer than it was promised."""
    run, bound = attempt.run, (KILL_SECONDS if wish.is_now else attempt.terms.grace_seconds) + _CANCEL_SLACK
    killed = kill_pods(run, attempt.pods) if wish.is_now else ()
    stop: tuple[Action, ...] = (*killed, *remove_job(run, attempt.job))
    if not attempt.cancelling or (wish.is_now and run.reason != wish.reason):
        cancelling = run.becomes(StateType.CANCELLING, attempt.now, reason=wish.reason, message=wish.message)
        return Decision((*wish.confirm, cancelling, *stop), bound)
    left = ((run.since or attempt.now) - attempt.now).total_seconds() + bound
    if left <= 0:
        return _over(attempt, ends.pod_deleted())
    return Decision(stop, left)


def _recent(attempt: _Attempt) -> Decision | None:
    """Wait a moment after a change of state before believing that something is missing: the store may lag behind."""
    if attempt.wish is not None or attempt.run.since is None:
        return None
    grace = attempt.observed.policy.report_grace_seconds
    left = (attempt.run.since - attempt.now).total_seconds() + grace
    return Decision(requeue_after=left) if 0 < left <= grace else None


def _as_seen(attempt: _Attempt) -> ConfirmUnchanged | None:
    """Have the API asked whether the pod still waits, before another does its work: it may have run meanwhile."""
    if not attempt.pods:
        return None
    pod = attempt.pods[0]
    return ConfirmUnchanged("pods", attempt.run.namespace, attempt.pod_name, text(pod, "metadata", "resourceVersion"))


def _over(
    attempt: _Attempt,
    end: ends.End,
    *,
    confirm: ConfirmGone | ConfirmPodsEnded | ConfirmUnchanged | None = None,
    stop: bool = False,
) -> Decision:
    """Close the attempt; see to its Job where that will not end by itself, or must not stay."""
    run, wish = attempt.run, attempt.wish
    actions = close(
        run,
        end,
        attempt.now,
        policy=attempt.observed.policy,
        infra_retries=attempt.terms.infra_retries,
        wish=wish,
        pod=attempt.pod_name,
    )
    first = (confirm,) if confirm is not None and wish is None else ()
    if wish is not None:
        killed = kill_pods(run, attempt.pods) if wish.is_now else ()
        return Decision((*first, *actions, *killed, *remove_job(run, attempt.job)))
    return Decision((*first, *actions, *(stop_job(run, attempt.job) if stop else ())))
