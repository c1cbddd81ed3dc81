"""How an attempt is brought to its end: the run's end, or the step to the next attempt, and what happens to the Job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from towpath.api.v1alpha1.transitions import rfc3339
from towpath.states import Reason, StateType
from towpath_operator.reconcile.decision import Action, DeleteJob, KillPod, TellRetry
from towpath_operator.reconcile.ends import End
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.pods import is_deleting, is_finished, is_live, own_pods, owned_job
from towpath_operator.reconcile.policy import Policy
from towpath_operator.reconcile.reading import integer, text
from towpath_operator.reconcile.run import COUNTS, Run
from towpath_operator.reconcile.wish import Wish

#: Grace period of a pod that is killed. The least with which the API server keeps the pod until its process is gone.
KILL_SECONDS: Final = 1


def close(
    run: Run, end: End, now: datetime, *, policy: Policy, infra_retries: int, wish: Wish | None, pod: str = ""
) -> tuple[Action, ...]:
    """Build the actions that follow the end of an attempt.

    Args:
        run: the run.
        end: how the attempt ended.
        now: the time.
        policy: for the back-off.
        infra_retries: how many new attempts the run may have.
        wish: if the run was to be cancelled, an end that the cancel may have caused is the cancel's.
        pod: name of the attempt's pod, if known.
    """
    if wish is not None and (end.stopped_from_outside or end.type is StateType.CRASHED):
        return (*wish.confirm, _cancelled(run, wish, now, pod))
    failures = integer(run.status, "infraFailures") or 0
    if wish is None and end.may_retry and failures < infra_retries:
        return _next_attempt(run, end, now, policy=policy, failures=failures, infra_retries=infra_retries)
    return end_run(run, end, now, pod=pod)


def end_run(run: Run, end: End, now: datetime, *, flow: str = "", pod: str = "") -> tuple[Action, ...]:
    """Build the actions that end a run for good."""
    known = {key: name for key, name in (("flow", flow), ("pod", pod)) if name}
    ended = run.becomes(
        end.type,
        now,
        reason=end.reason,
        message=end.message,
        name=end.name,
        fields={"waitingFor": None, "retryAt": None} | known | dict(end.fields) | {"error": end.error()},
    )
    if end.kind is None:
        return (ended,)
    return ended, run.event(end.reason, end.message)


def stop_job(run: Run, job: Body | None) -> tuple[DeleteJob, ...]:
    """Build the action that ends a Job and its pods, if it is the run's and not over already."""
    mine = owned_job(run, job)
    return () if mine is None or is_finished(mine) else remove_job(run, mine)


def remove_job(run: Run, job: Body | None) -> tuple[DeleteJob, ...]:
    """Build the action that removes a Job, finished or not, if it is the run's and not on its way out."""
    mine = owned_job(run, job)
    if mine is None or is_deleting(mine):
        return ()
    return (DeleteJob(run.namespace, text(mine, "metadata", "name"), text(mine, "metadata", "uid")),)


def kill_pods(run: Run, pods: Sequence[Body]) -> tuple[KillPod, ...]:
    """Build the actions that end what a run's pods are at without a grace period, but for those that go so already.

    They come before the Job is deleted: its pods would be told to go with the grace period that they were promised, and
    a kubelet that has begun to wait for that does not shorten it.
    """
    return tuple(
        KillPod(run.namespace, text(pod, "metadata", "name"), text(pod, "metadata", "uid"))
        for pod in own_pods(run, None, pods)
        if is_live(pod) and not _is_killed(pod)
    )


def _is_killed(pod: Body) -> bool:
    grace = integer(pod, "metadata", "deletionGracePeriodSeconds")
    return is_deleting(pod) and grace is not None and grace <= KILL_SECONDS


def _next_attempt(
    run: Run, end: End, now: datetime, *, policy: Policy, failures: int, infra_retries: int
) -> tuple[Action, ...]:
    delay = min(policy.retry_base_seconds * 2.0 ** min(failures, 30), policy.retry_cap_seconds)
    retry_at = rfc3339(now + timedelta(seconds=delay))
    attempt = max(run.attempt, 1)
    message = (
        f"Attempt {attempt + 1} follows at {retry_at} (infrastructure retry {failures + 1} of {infra_retries})."
        f" Attempt {attempt} ended as {end.reason}: {end.message}"
    )
    bumped = run.becomes(
        StateType.SCHEDULED,
        now,
        name="AwaitingRetry",
        reason=Reason.AWAITING_RETRY,
        message=message,
        attempt=attempt + 1,
        fields=dict.fromkeys(COUNTS) | {"retryAt": retry_at, "infraFailures": failures + 1},
        because=end.reason,
    )
    return bumped, TellRetry(run.namespace, run.name, end.reason), run.event(end.reason, message)


def _cancelled(run: Run, wish: Wish, now: datetime, pod: str) -> Action:
    known = {"pod": pod} if pod else {}
    return run.becomes(
        StateType.CANCELLED,
        now,
        reason=wish.reason,
        message=wish.message,
        fields={"waitingFor": None, "retryAt": None, "error": None} | known,
    )
