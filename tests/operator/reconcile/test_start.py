"""A run before its attempt has a Job: what it is to run, what it waits for, and how its Job is made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.builders import job_name_of, make_deployment, make_flow, make_flowrun, make_job, make_pod
from tests.operator.reconcile.deciding import at, decide, kinds, now, state_after, status_after

from towpath import names
from towpath_operator.reconcile import flowrun
from towpath_operator.reconcile.decision import ConfirmPodsEnded, CreateJob, Decision, DeleteJob, EmitEvent
from towpath_operator.reconcile.observed import ObservedFlowRun
from towpath_operator.reconcile.policy import Policy

SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}
INLINE = {"image": "inline:1", "entrypoint": "flows.py:sum_all"}


def created(decision: Decision) -> dict[str, Any]:
    """Give the Job that a decision makes."""
    (job,) = (action.manifest for action in decision.actions if isinstance(action, CreateJob))
    return dict(job)


def environment(decision: Decision) -> dict[str, str]:
    """Give the environment of the flow's container in the Job that a decision makes."""
    (container,) = created(decision)["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"]}


def test_a_new_run_gets_its_job_first_and_then_its_status() -> None:
    """A kill between the two leaves a Job that is found by its name, never a status that lies."""
    run = make_flowrun()
    decision = decide(ObservedFlowRun(run, flow=make_flow()))

    assert kinds(decision) == ["CreateJob", "PatchStatus"]
    assert created(decision)["metadata"]["name"] == job_name_of(run)
    status = status_after(run, decision)
    assert (status["attempt"], status["job"], status["flow"]) == (1, job_name_of(run), "main")
    assert state_after(run, decision) == ("PENDING", "JobCreated")


@pytest.mark.parametrize(
    ("status", "state", "writes"),
    [
        ({}, ("PENDING", "JobCreated"), 1),
        (
            {"attempt": 2, "state": {"type": "SCHEDULED", "name": "AwaitingRetry", "since": at(-9)}},
            ("PENDING", "JobCreated"),
            2,
        ),
        ({"attempt": 1, "state": {"type": "RUNNING", "name": "Running", "since": at(-9)}}, ("RUNNING", ""), 1),
    ],
    ids=["first attempt", "second attempt", "its pod was quicker"],
)
def test_a_job_whose_status_was_never_written_is_found_again(
    status: dict[str, Any], state: tuple[str, str], writes: int
) -> None:
    """After a restart between Job and status, the Job is written down and no second one is made."""
    attempt = status.get("attempt", 1)
    run = make_flowrun(status=status or None)
    decision = decide(ObservedFlowRun(run, flow=make_flow(), job=make_job(run, attempt=attempt)))

    assert kinds(decision) == ["PatchStatus"]
    assert state_after(run, decision) == state
    after = status_after(run, decision)
    assert (after["job"], after["attempt"]) == (job_name_of(run, attempt), attempt)


def test_a_job_of_somebody_else_by_that_name_is_not_taken_for_the_runs_own() -> None:
    """Creating it is tried, and the API server's answer decides."""
    run = make_flowrun()
    stranger = make_job(name=job_name_of(run))

    assert kinds(decide(ObservedFlowRun(run, flow=make_flow(), job=stranger))) == ["CreateJob", "PatchStatus"]


def test_a_pod_left_by_a_job_deleted_before_its_status_is_waited_for() -> None:
    """Never two live pods, even where nothing was written yet."""
    run = make_flowrun()
    pod = make_pod(make_job(run), phase="Running", running=True, deleted=at(20))
    decision = decide(ObservedFlowRun(run, flow=make_flow(), pods=(pod,)))

    assert decision == Decision(requeue_after=1.0)


def test_the_most_specific_word_counts() -> None:
    """Flow, deployment and run are merged, later ones over earlier, parameters by name."""
    flow = make_flow(spec={"timeoutSeconds": 10, "retries": 1, "infraRetries": 1, "template": _labelled("a", "b", "c")})
    deployment = make_deployment(
        parameters={"x": 1, "y": 1},
        spec={
            "timeoutSeconds": 20,
            "retries": 2,
            "tags": ["nightly", "eu"],
            "resultStorage": "s3://one",
            "template": _labelled("b", "c"),
        },
    )
    run = make_flowrun(
        deployment_ref="main-nightly",
        parameters={"y": 2},
        spec={"retries": 0, "tags": ["eu", "mine"], "resultStorage": "s3://two", "template": _labelled("c")},
    )
    decision = decide(ObservedFlowRun(run, flow=flow, deployment=deployment))

    told = environment(decision)
    assert json.loads(told[names.ENV_PARAMETERS]) == {"x": 1, "y": 2}
    assert json.loads(told[names.ENV_TAGS]) == ["nightly", "eu", "mine"]
    assert (told[names.ENV_TIMEOUT_SECONDS], told[names.ENV_RETRIES]) == ("20", "0")
    assert (told[names.ENV_RESULT_STORAGE], told[names.ENV_DEPLOYMENT]) == ("s3://two", "main-nightly")
    labels = created(decision)["spec"]["template"]["metadata"]["labels"]
    assert (labels["a"], labels["b"], labels["c"]) == ("abc", "bc", "c")


def _labelled(*keys: str) -> dict[str, Any]:
    return {"metadata": {"labels": dict.fromkeys(keys, "".join(keys))}}


@pytest.mark.parametrize(
    ("flow", "name"),
    [
        (INLINE, "sum-all"),
        (INLINE | {"name": "chosen"}, "chosen"),
        ({"image": "i", "entrypoint": "pkg.mod:Class.method"}, "method"),
        ({"image": "reg:5000/team/Tool:2@sha256:1", "command": ["x"]}, "tool"),
    ],
    ids=["function", "name", "method", "image"],
)
def test_an_inline_flow_is_named_after_its_code(flow: dict[str, Any], name: str) -> None:
    """Names of flows are labels of metrics, so there is always one, and it fits."""
    run = make_flowrun(flow=flow)

    assert status_after(run, decide(ObservedFlowRun(run)))["flow"] == name


def test_a_child_knows_its_place_in_the_tree() -> None:
    """Parent, root and depth go to the process and onto Job and pod."""
    top = make_flowrun("top", state="RUNNING", attempt=1)
    middle = make_flowrun("middle", parent=top, state="RUNNING", attempt=1, labels={names.LABEL_ROOT_RUN: "top"})
    bottom = make_flowrun("bottom", parent=middle, flow=INLINE)
    decision = decide(ObservedFlowRun(bottom, parent=middle))

    told = environment(decision)
    assert (told[names.ENV_PARENT], told[names.ENV_ROOT_RUN], told[names.ENV_DEPTH]) == ("middle", "top", "2")
    assert created(decision)["metadata"]["labels"][names.LABEL_PARENT] == "middle"


@pytest.mark.parametrize(
    ("run", "deployment", "reason", "words"),
    [
        (make_flowrun(flow_ref="etl"), None, "FlowNotFound", "no Flow 'etl'"),
        (make_flowrun(deployment_ref="d"), None, "DeploymentNotFound", "no Deployment 'd'"),
        (
            make_flowrun(deployment_ref="d"),
            make_deployment("d", flow_ref="etl"),
            "FlowNotFound",
            "Deployment 'd' names",
        ),
    ],
    ids=["flow", "deployment", "the deployment's flow"],
)
def test_what_is_not_there_yet_is_waited_for(
    run: dict[str, Any], deployment: dict[str, Any] | None, reason: str, words: str
) -> None:
    """The order of apply is free: one write says what is missing, none follows, and after a while the run FAILED."""
    first = decide(ObservedFlowRun(run, deployment=deployment))
    assert state_after(run, first) == ("PENDING", reason)
    assert first.requeue_after == 600
    waiting = run | {"status": status_after(run, first)}
    assert words in waiting["status"]["state"]["message"]
    assert "attempt" not in waiting["status"]
    assert waiting["status"]["waitingFor"]

    assert decide(ObservedFlowRun(waiting, deployment=deployment), after=100) == Decision(requeue_after=500)

    last = decide(ObservedFlowRun(waiting, deployment=deployment), after=600)
    assert state_after(waiting, last) == ("FAILED", reason)
    failed = status_after(waiting, last)
    assert (failed["error"]["kind"], failed["error"]["code"]) == ("User", reason)
    assert "waitingFor" not in failed


def test_how_long_a_run_waits_is_its_own_to_say() -> None:
    """pendingTimeoutSeconds counts for what a run needs before its pod, too."""
    run = make_flowrun(spec={"pendingTimeoutSeconds": 7})

    assert decide(ObservedFlowRun(run)).requeue_after == 7


def test_a_flow_that_came_later_is_run() -> None:
    """A run that waited for its Flow goes on as if it had always been there."""
    waiting = make_flowrun(state={"type": "PENDING", "name": "Pending", "reason": "FlowNotFound", "since": at(-5)})

    decision = decide(
        ObservedFlowRun(waiting | {"status": waiting["status"] | {"waitingFor": "Flow main"}}, flow=make_flow())
    )

    assert kinds(decision) == ["CreateJob", "PatchStatus"]


@pytest.mark.parametrize(
    ("run", "flow", "reason", "words"),
    [
        (
            make_flowrun(parameters={"x": "many"}),
            make_flow(spec={"parameters": SCHEMA}),
            "InvalidParameters",
            "x='many'",
        ),
        (
            make_flowrun(parameters={"z": 1}),
            make_flow(spec={"parameters": SCHEMA}),
            "InvalidParameters",
            "x is missing",
        ),
        (make_flowrun(), make_flow(spec={"parameters": {"type": "whole"}}), "InvalidSchema", "'whole'"),
        (make_flowrun(parameters={"x": "a" * 11_000}), make_flow(), "InvalidParameters", "11008 bytes"),
        (
            make_flowrun(spec={"template": {"spec": {"hostNetwork": True}}}),
            make_flow(),
            "InvalidTemplate",
            "hostNetwork",
        ),
        (make_flowrun(), make_flow(spec={"template": {"spec": {"hostPID": True}}}), "InvalidTemplate", "hostPID"),
        (make_flowrun(spec={"flow": INLINE}), make_flow(), "InvalidSpec", "exactly one"),
        (make_flowrun(), make_flow(command=["x"], spec={"entrypoint": "a:b"}), "InvalidSpec", "exactly one"),
        (make_flowrun(), make_flow(spec={"image": None}), "InvalidSpec", "image"),
        (make_flowrun(spec={"scheduledTime": "tomorrow"}), make_flow(), "InvalidSpec", "'tomorrow'"),
        (make_flowrun(spec={"parent": {"depth": 21}, "onParentEnd": "Orphan"}), make_flow(), "InvalidSpec", "21 deep"),
    ],
    ids=[
        "parameters",
        "missing and unknown",
        "schema",
        "too large",
        "run's template",
        "flow's template",
        "two references",
        "two codes",
        "no image",
        "no time",
        "too deep",
    ],
)
def test_what_cannot_be_run_fails_before_any_job(
    run: dict[str, Any], flow: dict[str, Any], reason: str, words: str
) -> None:
    """FAILED, the author's to mend, with what is wrong and its value; no Job, and an Event for `kubectl describe`."""
    decision = decide(ObservedFlowRun(run, flow=flow))

    assert kinds(decision) == ["PatchStatus"]
    assert state_after(run, decision) == ("FAILED", reason)
    status = status_after(run, decision)
    assert words in status["error"]["message"]
    assert status["error"]["kind"] == "User"
    assert status["flow"] in {"main", "sum-all"}
    (event,) = (action for action in decision.actions if isinstance(action, EmitEvent))
    assert event.reason == reason


def test_a_scheduled_run_waits_for_its_time() -> None:
    """One write says when it starts; nothing is made before, whether its Flow is there or not; then it starts."""
    run = make_flowrun(spec={"scheduledTime": at(3600)})
    for flow in (None, make_flow()):
        decision = decide(ObservedFlowRun(run, flow=flow))
        assert state_after(run, decision) == ("SCHEDULED", "WaitingForTime")
        assert decision.requeue_after == 3600
    waiting = run | {"status": status_after(run, decision)}

    assert decide(ObservedFlowRun(waiting, flow=make_flow()), after=3599) == Decision(requeue_after=1.0)
    assert kinds(decide(ObservedFlowRun(waiting, flow=make_flow()), after=3600)) == ["CreateJob", "PatchStatus"]
    begun = status_after(waiting, decide(ObservedFlowRun(waiting, flow=make_flow()), after=3600))
    assert "waitingFor" not in begun


def test_a_scheduled_run_with_wrong_parameters_fails_at_once() -> None:
    """Nobody should learn at midnight what could be known at noon."""
    run = make_flowrun(parameters={"x": "many"}, spec={"scheduledTime": at(3600)})

    assert state_after(run, decide(ObservedFlowRun(run, flow=make_flow(spec={"parameters": SCHEMA})))) == (
        "FAILED",
        "InvalidParameters",
    )


def _awaiting(**status: Any) -> dict[str, Any]:
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "reason": "AwaitingRetry", "since": at(-5)}
    return make_flowrun(state=state, attempt=2, status={"infraFailures": 1} | status)


def test_the_next_attempt_waits_for_its_back_off() -> None:
    """retryAt is honoured, without a write."""
    run = _awaiting(retryAt=at(5))

    assert decide(ObservedFlowRun(run, flow=make_flow()), after=2) == Decision(requeue_after=3.0)


def test_the_next_attempt_has_a_job_of_its_own() -> None:
    """Attempt 2 makes Job 2, after the API itself has said that no pod of Job 1 is live."""
    run = _awaiting(retryAt=at(-1))
    over = make_job(run, attempt=1, conditions=["Failed"])
    decision = decide(ObservedFlowRun(run, flow=make_flow(), previous_job=over))

    assert kinds(decision) == ["ConfirmPodsEnded", "CreateJob", "PatchStatus"]
    assert decision.actions[0] == ConfirmPodsEnded(run["metadata"]["namespace"], job_name_of(run, 1))
    status = status_after(run, decision)
    assert (status["attempt"], status["job"]) == (2, job_name_of(run, 2))
    assert "retryAt" not in status


def test_the_next_attempt_waits_for_the_last_pod_and_says_so_once() -> None:
    """A pod on a lost node may still run: the run says what it waits for and what would help, in one write."""
    run = _awaiting(retryAt=at(-1))
    job = make_job(run, attempt=1)
    pod = make_pod(job, phase="Running", running=True, node="n7", deleted=at(-60))
    observed = ObservedFlowRun(run, flow=make_flow(), previous_job=job, previous_pods=(pod,))

    decision = decide(observed)
    assert kinds(decision) == ["PatchStatus", "DeleteJob"]
    status = status_after(run, decision)
    assert state_after(run, decision) == ("SCHEDULED", "AwaitingRetry")
    assert "n7" in status["state"]["message"]
    again = ObservedFlowRun(run | {"status": status}, flow=make_flow(), previous_pods=(pod,))
    assert decide(again) == Decision()


def test_the_next_attempt_ends_an_unfinished_last_job_first() -> None:
    """A Job that is not over could still make a pod."""
    run = _awaiting(retryAt=at(-1))
    job = make_job(run, attempt=1)
    decision = decide(ObservedFlowRun(run, flow=make_flow(), previous_job=job))

    assert decision.actions == (
        DeleteJob(run["metadata"]["namespace"], job["metadata"]["name"], job["metadata"]["uid"]),
    )


@pytest.mark.parametrize("status_code", [400, 422])
def test_a_job_that_the_api_server_finds_invalid_fails_the_run(status_code: int) -> None:
    """The API server's own words say what is wrong with the template."""
    run = make_flowrun()
    decision = flowrun.job_refused(ObservedFlowRun(run, flow=make_flow()), status_code, 'unknown field "imagee"', now)

    assert state_after(run, decision) == ("FAILED", "InvalidTemplate")
    assert 'unknown field "imagee"' in status_after(run, decision)["error"]["message"]


def test_a_job_that_is_not_allowed_now_is_tried_again_until_the_pending_timeout() -> None:
    """A quota may have room again: one write, a try every ten seconds, and an end."""
    run = make_flowrun()
    observed = ObservedFlowRun(run, flow=make_flow(), policy=Policy(pending_timeout_seconds=60))
    first = flowrun.job_refused(observed, 403, "exceeded quota: jobs", now)
    assert (state_after(run, first), first.requeue_after) == (("PENDING", "JobRefused"), 10)
    waiting = run | {"status": status_after(run, first)}
    assert "exceeded quota: jobs" in waiting["status"]["state"]["message"]
    observed = ObservedFlowRun(waiting, flow=make_flow(), policy=Policy(pending_timeout_seconds=60))

    assert kinds(decide(observed, after=10)) == ["CreateJob", "PatchStatus"]
    later = now.fromisoformat(at(10))
    assert flowrun.job_refused(observed, 403, "exceeded quota: jobs", later) == Decision(requeue_after=10)
    last = flowrun.job_refused(observed, 403, "exceeded quota: jobs", now.fromisoformat(at(60)))
    assert state_after(waiting, last) == ("CRASHED", "PendingTimeout")
    assert status_after(waiting, last)["error"]["code"] == "JobRefused"


def test_a_run_that_is_being_deleted_is_left_alone() -> None:
    """What it owns is collected with it."""
    assert decide(ObservedFlowRun(make_flowrun(deleted=at(0)), flow=make_flow())) == Decision()
