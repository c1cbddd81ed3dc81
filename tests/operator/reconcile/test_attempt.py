"""A run whose attempt has a Job: why its pod waits, how it ended, and whether another attempt follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.builders import job_name_of, make_condition, make_flow, make_job, make_pod
from tests.operator.reconcile.attempts import OWN, PLAIN, job_of, observe, report, running_run
from tests.operator.reconcile.deciding import Body, at, decide, kinds, state_after, status_after

from towpath_operator.reconcile.decision import ConfirmGone, ConfirmPodsEnded, Decision, DeleteJob
from towpath_operator.reconcile.observed import ObservedFlowRun
from towpath_operator.specs.terms import ANNOTATION, Terms

SCHEDULED_FALSE = make_condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes are available")


# ---- waiting for the pod


@pytest.mark.parametrize(
    ("pod", "reason", "words"),
    [
        ({"conditions": [SCHEDULED_FALSE]}, "Unschedulable", "0/3 nodes"),
        ({"waiting": "ErrImagePull"}, "ImagePullFailed", "registry.test/flows:1"),
        ({"waiting": "ImagePullBackOff"}, "ImagePullFailed", "imagePullSecrets"),
        ({"waiting": "CreateContainerConfigError"}, "ContainerConfigError", "CreateContainerConfigError"),
        ({"waiting": "CreateContainerError"}, "ContainerConfigError", "flow"),
        ({"waiting": "CrashLoopBackOff", "container": "side"}, "ContainerConfigError", "side"),
    ],
    ids=["unschedulable", "pull", "pull again", "config", "create", "sidecar"],
)
def test_why_a_pod_waits_is_shown_once(pod: Mapping[str, Any], reason: str, words: str) -> None:
    """PENDING says why, in one write; the same reason again is no news; nothing ends before the deadline."""
    run = running_run("PENDING")
    job = job_of(run)
    waiting = make_pod(job, **pod)
    decision = decide(observe(run, job, waiting))

    assert kinds(decision) == ["PatchStatus"]
    assert state_after(run, decision) == ("PENDING", reason)
    status = status_after(run, decision)
    assert words in status["state"]["message"]
    assert status["pod"] == waiting["metadata"]["name"]
    assert decide(observe(run | {"status": status}, job, waiting)) == Decision(requeue_after=540.0)


@pytest.mark.parametrize("waiting", ["ContainerCreating", "PodInitializing", None])
def test_a_pod_that_starts_is_no_news(waiting: str | None) -> None:
    """The way of a healthy run costs no write for its pod."""
    run = running_run("PENDING")
    run["status"]["state"]["reason"] = "JobCreated"
    job = job_of(run)

    for observed in (observe(run, job, make_pod(job, waiting=waiting)), observe(run, job)):
        assert decide(observed).actions == ()


def test_a_pod_that_flaps_costs_few_writes() -> None:
    """After a few different reasons within an attempt none is written any more."""
    run = running_run("PENDING")
    job = job_of(run)
    pods = [make_pod(job, waiting="ErrImagePull"), make_pod(job, conditions=[SCHEDULED_FALSE])]
    writes = 0
    for turn in range(20):
        decision = decide(observe(run, job, pods[turn % 2]))
        writes += len(kinds(decision))
        run = run | {"status": status_after(run, decision)}

    assert writes <= 5


@pytest.mark.parametrize(
    ("pod", "code"),
    [
        ({"waiting": "ImagePullBackOff"}, "ImagePullFailed"),
        ({"conditions": [SCHEDULED_FALSE]}, "Unschedulable"),
        ({"waiting": "ContainerCreating"}, "PendingTimeout"),
        (None, "PendingTimeout"),
    ],
    ids=["image", "node", "slow", "no pod"],
)
def test_waiting_has_an_end(pod: Mapping[str, Any] | None, code: str) -> None:
    """After pendingTimeoutSeconds from the Job's making the run CRASHED with the last reason, and the Job goes."""
    run = running_run("PENDING")
    job = job_of(run, Terms(pending_timeout_seconds=90))
    decision = decide(observe(run, job, *([] if pod is None else [make_pod(job, **pod)])), after=30)

    assert kinds(decision) == ["PatchStatus", "DeleteJob"]
    assert state_after(run, decision) == ("CRASHED", "PendingTimeout")
    error = status_after(run, decision)["error"]
    assert (error["code"], error["kind"]) == (code, "Infrastructure")
    assert "90" in error["message"]


def test_an_image_with_an_impossible_name_is_not_waited_for() -> None:
    """What can never work ends at once."""
    run = running_run("PENDING")
    job = job_of(run)
    decision = decide(observe(run, job, make_pod(job, waiting="InvalidImageName")))

    assert kinds(decision) == ["PatchStatus", "DeleteJob"]
    assert status_after(run, decision)["error"]["code"] == "ImagePullFailed"


# ---- running


def test_a_run_that_reports_itself_is_left_to_it() -> None:
    """The operator writes nothing while the pod runs: RUNNING is the pod's own word."""
    for state in ("PENDING", "RUNNING"):
        run = running_run(state)
        job = job_of(run)
        assert decide(observe(run, job, make_pod(job, phase="Running", running=True))).actions == ()


def test_a_process_that_never_comes_to_its_flow_is_given_up() -> None:
    """Its container runs, and what it imports hangs: PENDING has a deadline for it too, and its Job goes."""
    run = running_run("PENDING")
    job = job_of(run, Terms(pending_timeout_seconds=100))
    observed = observe(run, job, make_pod(job, phase="Running", running=True))
    assert decide(observed) == Decision(requeue_after=40.0)
    late = decide(observed, after=40)
    assert kinds(late) == ["PatchStatus", "DeleteJob"]
    assert state_after(run, late) == ("CRASHED", "PendingTimeout")
    assert "import within the flow" in status_after(run, late)["error"]["message"]


def test_a_plain_container_is_spoken_for() -> None:
    """The operator writes RUNNING with pod and start for a container that knows nothing of Towpath."""
    run = running_run("PENDING")
    job = job_of(run, PLAIN)
    pod = make_pod(job, phase="Running", running=True)
    decision = decide(observe(run, job, pod))

    assert state_after(run, decision) == ("RUNNING", "")
    status = status_after(run, decision)
    assert (status["pod"], status["startTime"]) == (pod["metadata"]["name"], at(0).replace("Z", ".000000Z"))
    assert decide(observe(run | {"status": status}, job, pod)) == Decision()


@pytest.mark.parametrize(("terms", "slack"), [(OWN, 15), (PLAIN, 0)], ids=["reports itself", "plain"])
def test_a_run_over_its_timeout_is_ended(terms: Terms, slack: int) -> None:
    """FAILED as TimedOut, the author's; one that reports itself is given time to say so first."""
    run = running_run(since=at(-60))
    job = job_of(run, Terms(reports_itself=terms.reports_itself, timeout_seconds=100))
    observed = observe(run, job, make_pod(job, phase="Running", running=True))

    assert decide(observed) == Decision(requeue_after=40.0 + slack)
    decision = decide(observed, after=40 + slack)
    assert kinds(decision) == ["PatchStatus", "DeleteJob"]
    assert state_after(run, decision) == ("FAILED", "TimedOut")
    status = status_after(run, decision)
    assert (status["state"]["name"], status["error"]["kind"]) == ("TimedOut", "User")


def test_a_changed_flow_does_not_change_a_running_run() -> None:
    """The terms are those under which the Job was made."""
    run = running_run()
    job = job_of(run, Terms(timeout_seconds=1000))
    pod = make_pod(job, phase="Running", running=True)
    changed = ObservedFlowRun(run, flow=make_flow(spec={"timeoutSeconds": 1}), job=job, pods=(pod,))

    assert decide(changed) == Decision(requeue_after=955.0)


# ---- what vanished


def test_a_deleted_job_is_believed_only_if_the_api_says_so() -> None:
    """The store may lag behind: the API is asked before an attempt is given up for lost."""
    run = running_run()
    decision = decide(observe(run, None))

    assert kinds(decision) == ["ConfirmGone", "PatchStatus"]
    assert decision.actions[0] == ConfirmGone("jobs", run["metadata"]["namespace"], job_name_of(run))
    assert "JobDeleted" in status_after(run, decision)["state"]["message"]


def test_a_job_that_is_not_seen_yet_is_given_a_moment() -> None:
    """Right after PENDING was written, nobody is asked."""
    assert decide(observe(running_run("PENDING", since=at(-1)), None)) == Decision(requeue_after=2.0)


def test_a_deleted_job_ends_when_its_pod_has() -> None:
    """While the pod is still going, nothing is concluded; then the Job's deletion is the reason."""
    run = running_run()
    job = job_of(run, Terms(infra_retries=0))
    going = make_pod(job, phase="Running", running=True, deleted=at(20))
    assert decide(observe(run, None, going)) == Decision(requeue_after=35.0)

    terms = job["metadata"]["annotations"]
    gone = make_pod(job, phase="Failed", exit_code=137, deleted=at(20), annotations=terms)
    decision = decide(observe(run, None, gone), after=20)
    assert state_after(run, decision) == ("CRASHED", "JobDeleted")


def test_a_vanished_pod_is_believed_only_if_the_api_says_so() -> None:
    """RUNNING, and no pod, and the Job not over: the API is asked; the Job must not make another pod."""
    run = running_run()
    job = job_of(run)
    decision = decide(observe(run, job))

    assert kinds(decision) == ["ConfirmPodsEnded", "PatchStatus", "DeleteJob"]
    assert decision.actions[0] == ConfirmPodsEnded(run["metadata"]["namespace"], job_name_of(run))
    assert decide(observe(running_run(since=at(-1)), job)) == Decision(requeue_after=2.0)


@pytest.mark.parametrize(
    ("terms", "condition", "state"),
    [
        (OWN, make_condition("Failed", reason="BackoffLimitExceeded"), ("CRASHED", "PodDeleted")),
        (OWN, make_condition("Complete"), ("CRASHED", "PodDeleted")),
        (PLAIN, make_condition("Complete"), ("COMPLETED", "Succeeded")),
        (OWN, make_condition("Failed", reason="DeadlineExceeded"), ("FAILED", "TimedOut")),
    ],
    ids=["failed", "complete, unreported", "plain, complete", "deadline"],
)
def test_a_finished_job_without_a_pod_tells_the_end(terms: Terms, condition: Body, state: tuple[str, str]) -> None:
    """Pods may be collected before anybody looked."""
    run = running_run()
    job = job_of(run, Terms(terms.reports_itself, timeout_seconds=600, infra_retries=0), conditions=[condition])

    assert state_after(run, decide(observe(run, job))) == state


@pytest.mark.parametrize(
    "pod",
    [
        {"phase": "Unknown"},
        {"phase": "Running", "running": True, "reason": "NodeLost"},
        {"phase": "Running", "running": True, "deleted": at(-15)},
    ],
    ids=["unknown", "said so", "should be gone"],
)
def test_a_pod_that_cannot_be_asked_any_more_is_lost(pod: Mapping[str, Any]) -> None:
    """The attempt is over, its Job goes, and the next waits until the pod is surely gone."""
    run = running_run()
    job = job_of(run)
    decision = decide(observe(run, job, make_pod(job, node="n1", **pod)))

    assert kinds(decision) == ["PatchStatus", "DeleteJob"]
    assert "NodeLost" in status_after(run, decision)["state"]["message"]


def test_a_pod_that_only_carries_the_labels_is_not_believed() -> None:
    """Anybody can label a pod: it must be owned by the Job, and be the run's."""
    run = running_run()
    job = job_of(run)
    forged = make_pod(job, phase="Failed", exit_code=1, termination_message=report("COMPLETED", "Succeeded"))
    forged["metadata"]["ownerReferences"] = []
    other = make_pod(job, phase="Failed", exit_code=1, labels={"batch.kubernetes.io/job-name": job["metadata"]["name"]})

    decision = decide(observe(running_run(since=at(-1)), job, forged, other))
    assert decision == Decision(requeue_after=2.0)


# ---- the next attempt


def test_an_infrastructure_failure_becomes_the_next_attempt_in_one_patch() -> None:
    """Attempt, state, time and count change together: from then on the old pod cannot write any more."""
    run = running_run(status={"pod": "p", "tasks": {"total": 3}, "waitingFor": "x"})
    job = job_of(run)
    decision = decide(observe(run, job, make_pod(job, phase="Failed", exit_code=7)))

    assert kinds(decision) == ["PatchStatus"]
    assert state_after(run, decision) == ("SCHEDULED", "AwaitingRetry")
    status = status_after(run, decision)
    assert (status["attempt"], status["infraFailures"]) == (2, 1)
    assert status["retryAt"] == at(5).replace("Z", ".000000Z")
    assert not status.keys() & {"job", "pod", "startTime", "tasks", "error", "waitingFor", "completionTime"}
    assert "NoReport" in status["state"]["message"]


@pytest.mark.parametrize(("failures", "delay"), [(0, 5), (1, 10), (2, 20), (5, 160), (6, 300), (90, 300)], ids=str)
def test_the_back_off_doubles_up_to_a_bound(failures: int, delay: int) -> None:
    """5 s, 10 s, 20 s … 300 s."""
    run = running_run(status={"infraFailures": failures})
    job = job_of(run, Terms(infra_retries=100))
    decision = decide(observe(run, job, make_pod(job, phase="Failed", exit_code=7)))

    assert status_after(run, decision)["retryAt"] == at(delay).replace("Z", ".000000Z")


def test_there_are_as_many_attempts_as_promised() -> None:
    """When infraRetries are used up, the run CRASHED with the last reason."""
    run = running_run(status={"infraFailures": 2})
    job = job_of(run, Terms(infra_retries=2))

    assert state_after(run, decide(observe(run, job, make_pod(job, phase="Failed", exit_code=7)))) == (
        "CRASHED",
        "NoReport",
    )


def test_a_job_that_is_lost_with_its_terms_is_judged_by_the_specs() -> None:
    """With Job and pod gone, what the flow says now has to do."""
    run = running_run(flow={"image": "i", "command": ["x"], "infraRetries": 0})

    assert state_after(run, decide(observe(run, None))) == ("CRASHED", "JobDeleted")


def test_a_junk_annotation_is_no_terms() -> None:
    """Whoever writes on a Job cannot break the operator with it."""
    run = running_run()
    for junk in ("", "3", "{", '{"pending_timeout_seconds": "x"}', '{"what": 1}'):
        job = make_job(run, annotations={ANNOTATION: junk})
        assert decide(observe(run, job, make_pod(job, phase="Running", running=True))) == Decision()


@pytest.mark.parametrize(
    ("state", "timeout", "deleted", "wait"),
    [("RUNNING", None, 10, 25), ("RUNNING", 600, 10, 25), ("RUNNING", 60, 10, 15), ("PENDING", None, 10, 25)],
    ids=["running", "long before its timeout", "just before its timeout", "pending"],
)
def test_a_dying_pod_is_looked_at_again_when_it_should_be_gone(
    state: str, timeout: int | None, deleted: int, wait: float
) -> None:
    """Even if no event ever comes, and whatever else is waited for."""
    run = running_run(state)
    run["status"]["state"]["reason"] = "JobCreated"
    job = job_of(run, Terms(timeout_seconds=timeout))
    pod = make_pod(job, phase="Running", running=state == "RUNNING", deleted=at(deleted))

    decision = decide(observe(run, job, pod))
    assert (decision.actions, decision.requeue_after) == ((), wait)


def test_of_two_pods_the_newer_counts() -> None:
    """A Job controller that lost sight of a pod may have made another."""
    run = running_run()
    job = job_of(run)
    old = make_pod(job, name="a", phase="Failed", exit_code=1, created=at(-50))
    new = make_pod(job, name="b", phase="Running", running=True, created=at(-5))

    assert decide(observe(run, job, old, new)) == Decision()


def test_deleting_names_the_job_by_its_uid() -> None:
    """A Job of the same name that somebody made meanwhile is not ours to delete."""
    run = running_run()
    job = job_of(run)
    decision = decide(observe(run, job, make_pod(job, phase="Unknown")))

    assert DeleteJob(run["metadata"]["namespace"], job_name_of(run), job["metadata"]["uid"]) in decision.actions
