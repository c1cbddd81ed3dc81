"""A run whose attempt has a Job: why its pod waits, how it ended, and whether another attempt follows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.builders import job_name_of, make_condition, make_flow, make_flowrun, make_job, make_pod, make_state
from tests.operator.reconcile.deciding import at, decide, kinds, state_after, status_after

from towpath_operator.reconcile.decision import ConfirmGone, ConfirmPodsEnded, Decision, DeleteJob, EmitEvent
from towpath_operator.reconcile.observed import ObservedFlowRun
from towpath_operator.specs.terms import ANNOTATION, Terms

Body = dict[str, Any]
OWN, PLAIN = Terms(), Terms(reports_itself=False)
SCHEDULED_FALSE = make_condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes are available")


def running_run(state: str = "RUNNING", since: str = at(-60), **more: Any) -> Body:
    """Build a run in its first attempt, which has a Job."""
    run = make_flowrun(state=make_state(state, since=since), attempt=1, **more)
    run["status"] |= {"job": job_name_of(run), "startTime": since} if state == "RUNNING" else {"job": job_name_of(run)}
    return run


def job_of(run: Body, terms: Terms = OWN, **more: Any) -> Body:
    """Build the Job of a run's first attempt, under given terms."""
    return make_job(run, annotations={ANNOTATION: terms.written()}, **({"created": at(-60)} | more))


def observe(run: Body, job: Body | None, *pods: Body) -> ObservedFlowRun:
    """Observe a run with its Job and pods."""
    return ObservedFlowRun(run, flow=make_flow(), job=job, pods=pods)


def report(type_: str, reason: str, attempt: int = 1, **fields: Any) -> str:
    """Write a termination message."""
    state = {"type": type_, "name": type_.capitalize(), "reason": reason, "message": "own words", "since": at(-1)}
    return json.dumps({"towpath": 1, "attempt": attempt, "state": state} | fields)


def crash(reason: str) -> Body:
    """Build the error of an infrastructure failure as the SDK reports it."""
    return {"code": reason, "kind": "Infrastructure", "message": "told to stop"}


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

    assert decide(observe(run, job, make_pod(job, waiting=waiting))) == Decision(requeue_after=540.0)
    assert decide(observe(run, job)) == Decision(requeue_after=540.0)


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
        assert decide(observe(run, job, make_pod(job, phase="Running", running=True))) == Decision()


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


# ---- ends that the run cannot tell itself


ENDS: dict[str, tuple[Terms, Mapping[str, Any], tuple[str, str], str | None, str]] = {
    # terms, pod, state and reason, kind, words
    "own words": (
        OWN,
        {"phase": "Failed", "exit_code": 1, "termination_message": report("COMPLETED", "Succeeded")},
        ("COMPLETED", "Succeeded"),
        None,
        "own words",
    ),
    "own words of a failure": (
        OWN,
        {"phase": "Failed", "exit_code": 1, "termination_message": report("FAILED", "FlowFailed")},
        ("FAILED", "FlowFailed"),
        "User",
        "own words",
    ),
    "words of another attempt": (
        OWN,
        {"phase": "Failed", "exit_code": 1, "termination_message": report("COMPLETED", "Succeeded", attempt=2)},
        ("CRASHED", "NoReport"),
        "Infrastructure",
        "code 1",
    ),
    "told to stop, by nobody knows whom": (
        OWN,
        {
            "phase": "Failed",
            "exit_code": 143,
            "termination_message": report("CRASHED", "Terminated", error=crash("Terminated")),
        },
        ("CRASHED", "Terminated"),
        "Infrastructure",
        "told to stop",
    ),
    "no report": (OWN, {"phase": "Failed", "exit_code": 7}, ("CRASHED", "NoReport"), "Infrastructure", "code 7"),
    "no report, a signal": (
        OWN,
        {"phase": "Failed", "exit_code": 139, "termination_message": "Fatal Python error"},
        ("CRASHED", "NoReport"),
        "Infrastructure",
        "139 (SIGSEGV)",
    ),
    "no report, no code": (
        OWN,
        {"phase": "Failed", "reason": "OutOfcpu", "message": "node out of cpu"},
        ("CRASHED", "Evicted"),
        "Infrastructure",
        "node out of cpu",
    ),
    "out of memory": (
        OWN,
        {"phase": "Failed", "exit_code": 137, "exit_reason": "OOMKilled"},
        ("CRASHED", "OutOfMemory"),
        "Infrastructure",
        "resources.limits.memory",
    ),
    "plain, out of memory": (
        PLAIN,
        {"phase": "Failed", "exit_code": 137, "exit_reason": "OOMKilled"},
        ("CRASHED", "OutOfMemory"),
        "Infrastructure",
        "memory",
    ),
    "evicted": (
        OWN,
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory.", "node": "n1"},
        ("CRASHED", "Evicted"),
        "Infrastructure",
        "low on resource",
    ),
    "preempted": (
        OWN,
        {
            "phase": "Failed",
            "exit_code": 143,
            "deleted": at(20),
            "conditions": [make_condition("DisruptionTarget", reason="PreemptionByScheduler", message="a higher one")],
        },
        ("CRASHED", "Evicted"),
        "Infrastructure",
        "a higher one",
    ),
    "its node drained, as it said itself": (
        OWN,
        {
            "phase": "Failed",
            "exit_code": 143,
            "deleted": at(20),
            "conditions": [make_condition("DisruptionTarget", reason="EvictionByEvictionAPI")],
            "termination_message": report("CRASHED", "Terminated", error=crash("Terminated")),
        },
        ("CRASHED", "Evicted"),
        "Infrastructure",
        "EvictionByEvictionAPI",
    ),
    "its node lost": (
        OWN,
        {"phase": "Failed", "conditions": [make_condition("DisruptionTarget", reason="DeletionByPodGC")], "node": "n1"},
        ("CRASHED", "NodeLost"),
        "Infrastructure",
        "'n1'",
    ),
    "its node shut down": (
        OWN,
        {"phase": "Failed", "reason": "Terminated", "message": "imminent node shutdown", "exit_code": 143},
        ("CRASHED", "NodeLost"),
        "Infrastructure",
        "imminent node shutdown",
    ),
    "pod deleted": (
        OWN,
        {"phase": "Failed", "exit_code": 137, "deleted": at(20)},
        ("CRASHED", "PodDeleted"),
        "Infrastructure",
        "deleted",
    ),
    "plain, pod deleted": (
        PLAIN,
        {"phase": "Failed", "exit_code": 143, "deleted": at(20)},
        ("CRASHED", "PodDeleted"),
        "Infrastructure",
        "deleted",
    ),
    "the image cannot start it": (
        OWN,
        {
            "phase": "Failed",
            "exit_code": 128,
            "exit_reason": "StartError",
            "termination_message": "exec: python: no such",
        },
        ("FAILED", "EntrypointNotFound"),
        "User",
        "exec: python: no such",
    ),
    "the image has no towpath": (
        OWN,
        {"phase": "Failed", "exit_code": 1, "termination_message": "python: No module named towpath"},
        ("FAILED", "EntrypointNotFound"),
        "User",
        "Install towpath[cluster]",
    ),
    "plain, command not found": (
        PLAIN,
        {"phase": "Failed", "exit_code": 128, "exit_reason": "StartError", "termination_message": "exec: no such file"},
        ("FAILED", "EntrypointNotFound"),
        "User",
        "command",
    ),
    "plain, done": (PLAIN, {"phase": "Succeeded", "exit_code": 0}, ("COMPLETED", "Succeeded"), None, "code 0"),
    "plain, failed": (
        PLAIN,
        {"phase": "Failed", "exit_code": 3, "termination_message": "disk is full"},
        ("FAILED", "Exited"),
        "User",
        "disk is full",
    ),
    "its template's deadline": (
        OWN,
        {"phase": "Failed", "reason": "DeadlineExceeded", "exit_code": 143},
        ("FAILED", "DeadlineExceeded"),
        "User",
        "activeDeadlineSeconds",
    ),
}


@pytest.mark.parametrize(("terms", "pod", "state", "kind", "words"), ENDS.values(), ids=list(ENDS))
def test_how_a_pod_ended(
    terms: Terms, pod: Mapping[str, Any], state: tuple[str, str], kind: str | None, words: str
) -> None:
    """Each end has its state, its reason, whose it is, and a sentence that helps."""
    run = running_run()
    job = job_of(run, Terms(reports_itself=terms.reports_itself, infra_retries=0))
    decision = decide(observe(run, job, make_pod(job, **pod)), after=10)

    assert kinds(decision) == ["PatchStatus"]
    assert state_after(run, decision) == state
    status = status_after(run, decision)
    assert words in (status["error"]["message"] if "error" in status else status["state"]["message"])
    assert status.get("error", {}).get("kind") == kind
    assert any(isinstance(action, EmitEvent) for action in decision.actions) == (kind is not None)
    assert decide(observe(run | {"status": status}, job, make_pod(job, **pod)), after=10).actions == ()


def test_a_failed_init_container_is_named() -> None:
    """The flow never started, and the message says which container is to blame."""
    run = running_run("PENDING")
    job = job_of(run, Terms(infra_retries=3))
    ended = {"terminated": {"exitCode": 2, "reason": "Error", "message": "no schema"}}
    pod = make_pod(job, phase="Failed", waiting="PodInitializing")
    pod["status"]["initContainerStatuses"] = [{"name": "migrate", "state": ended}]
    decision = decide(observe(run, job, pod))

    assert state_after(run, decision) == ("FAILED", "Exited")
    assert "'migrate'" in status_after(run, decision)["error"]["message"]


def test_the_jobs_deadline_is_the_runs_timeout() -> None:
    """If the operator was away and the Job's own deadline ended the pod, the run timed out."""
    run = running_run()
    why = make_condition("FailureTarget", reason="DeadlineExceeded")
    job = job_of(run, Terms(timeout_seconds=60), conditions=[why])
    decision = decide(observe(run, job, make_pod(job, phase="Failed", exit_code=143, deleted=at(20))), after=10)

    assert state_after(run, decision) == ("FAILED", "TimedOut")


def test_the_report_travels_with_the_termination_message() -> None:
    """Result, error and counts of a report that could not be sent are written as they are."""
    run = running_run()
    job = job_of(run)
    said = report("COMPLETED", "Succeeded", result={"inline": "42", "size": 2}, tasks={"total": 2, "completed": 2})
    decision = decide(observe(run, job, make_pod(job, phase="Failed", exit_code=1, termination_message=said)))

    status = status_after(run, decision)
    assert status["result"]["inline"] == "42"
    assert status["tasks"]["total"] == 2


@pytest.mark.parametrize(
    "said",
    [
        "",
        "not JSON",
        "[]",
        "3",
        '{"towpath": 1}',
        '{"towpath": 2, "attempt": 1, "state": {"type": "COMPLETED"}}',
        '{"towpath": 1, "attempt": 1, "state": {"type": "RUNNING"}}',
        '{"towpath": 1, "attempt": 1, "state": {"type": ["COMPLETED"]}}',
        '{"towpath": 1, "attempt": 1, "state": 1}',
        "[" * 3000,
    ],
)
def test_what_is_no_report_is_not_believed(said: str) -> None:
    """Anything a container may write is read without harm."""
    run = running_run()
    job = job_of(run, Terms(infra_retries=0))
    pod = make_pod(job, phase="Failed", exit_code=1, termination_message=said)

    assert state_after(run, decide(observe(run, job, pod))) == ("CRASHED", "NoReport")


def test_parts_of_a_report_that_the_api_server_would_refuse_are_left_out() -> None:
    """Else the end could never be written."""
    run = running_run()
    job = job_of(run)
    said = report("FAILED", "R" * 200, error={"kind": "Nobody"}, result={"inline": 3})
    decision = decide(observe(run, job, make_pod(job, phase="Failed", exit_code=1, termination_message=said)))

    status = status_after(run, decision)
    assert status["error"]["kind"] == "User"
    assert "result" not in status


def test_a_process_that_says_it_reported_is_given_a_moment() -> None:
    """Exit 0 means reported: the report may be newer than what is seen, so the end waits three seconds."""
    run = running_run()
    job = job_of(run)
    pod = make_pod(job, phase="Succeeded", exit_code=0)

    assert decide(observe(run, job, pod), after=1) == Decision(requeue_after=2.0)
    decision = decide(observe(run, job, pod), after=3)
    assert status_after(run, decision)["state"]["reason"] == "AwaitingRetry"


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

    assert decide(observe(run, job, pod)) == Decision(requeue_after=wait)


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
