"""Runs that wait for somebody, as the operator decides about them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.builders import job_name_of, make_flow, make_flowrun, make_job, make_pod, make_state
from tests.operator.reconcile.attempts import PLAIN, job_of
from tests.operator.reconcile.attempts import observe as observe_attempt
from tests.operator.reconcile.deciding import Body, at, decide, kinds, state_after, status_after

from towpath import limits, names
from towpath_operator.reconcile.decision import CreateJob, EmitEvent
from towpath_operator.reconcile.observed import ObservedFlowRun

WANTED = {
    "type": "object",
    "title": "Approval",
    "properties": {"granted": {"type": "boolean"}, "by": {"type": "string"}},
    "required": ["granted"],
    "additionalProperties": False,
}
PAUSE = {"key": "1", "wanted": json.dumps(WANTED)}


def suspended(pause: Body | None = PAUSE, **spec: Any) -> Body:
    """Build a run in its second attempt that is suspended."""
    run = make_flowrun(state=make_state("PAUSED", since=at(-60), name="Suspended"), attempt=2, spec=spec)
    run["status"] |= {"job": "job-2", "startTime": at(-90), "infraFailures": 1}
    if pause is not None:
        run["status"]["pause"] = dict(pause)
    return run


def observe(run: Body, **more: Any) -> ObservedFlowRun:
    return ObservedFlowRun(run, **({"flow": make_flow()} | more))


def answered(given: Any, pause: Body = PAUSE, **more: Any) -> Body:
    return suspended(pause, answers=[{"pause": "0", "input": {"x": 1}}, {"pause": "1", "input": given}], **more)


@pytest.mark.parametrize("pause", [PAUSE, None], ids=["its code asks", "it was asked to"])
def test_a_suspended_run_is_left_alone(pause: Body | None) -> None:
    """Nothing is done about it for as long as nobody wants anything, whatever became of its Job."""
    run = suspended(pause, suspend=pause is None)
    assert decide(observe(run)).actions == ()


def test_an_answer_that_fits_begins_the_next_attempt() -> None:
    """Same run, attempt + 1, without the old one's Job and pause; what it counts against infraRetries stays."""
    run = answered({"granted": "true"})
    decision = decide(observe(run))
    status = status_after(run, decision)
    assert kinds(decision) == ["PatchStatus"]
    assert (status["state"]["type"], status["state"]["name"], status["state"]["reason"]) == (
        "SCHEDULED",
        "Resuming",
        "Resumed",
    )
    assert (status["attempt"], status["infraFailures"]) == (3, 1)
    assert {"job", "pause", "startTime"}.isdisjoint(status)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"granted": "perhaps"}, "granted='perhaps' must be true or false. It takes by, granted."),
        ({"by": "ada"}, "granted is missing"),
        ({"granted": True, "who": 1}, "who=1 is not a field of it"),
        ({"granted": True, "by": "x" * limits.ANSWERS_BYTES}, f"{limits.ANSWERS_BYTES} fit"),
    ],
    ids=["wrong type", "missing", "unknown", "too large"],
)
def test_an_answer_that_does_not_fit_is_refused_once(given: Body, why: str) -> None:
    """The run waits on, its status says why, and the same answer is not looked at again; another one is."""
    run = answered(given)
    decision = decide(observe(run))
    status = status_after(run, decision)
    assert status["state"] == run["status"]["state"]
    assert why in status["pause"]["refused"]
    assert status["pause"]["refusedInput"] == names.input_digest(given)

    refused = {**run, "status": status}
    assert decide(observe(refused)).actions == ()
    refused["spec"] = {**run["spec"], "answers": [{"pause": "1", "input": {"granted": True}}]}
    assert state_after(refused, decide(observe(refused))) == ("SCHEDULED", "Resumed")


def test_input_that_nobody_wants_is_refused() -> None:
    """A pause without input is answered without."""
    run = answered({"granted": True}, pause={"key": "1"})
    assert "waits for no input" in status_after(run, decide(observe(run)))["pause"]["refused"]
    plain = suspended({"key": "1"}, answers=[{"pause": "1"}])
    assert state_after(plain, decide(observe(plain))) == ("SCHEDULED", "Resumed")


def test_an_answer_to_another_pause_changes_nothing() -> None:
    """Each pause of the code is answered by its key."""
    assert decide(observe(suspended(answers=[{"pause": "2", "input": {"granted": True}}]))).actions == ()


def test_a_wish_that_is_taken_back_begins_the_next_attempt() -> None:
    """What was suspended by spec.suspend waits for nothing else."""
    run = suspended(None, suspend=False)
    assert state_after(run, decide(observe(run))) == ("SCHEDULED", "Resumed")


def test_nobody_resumes_a_run_after_its_time() -> None:
    """It is looked at when its time is over, and has FAILED then, although an answer came later."""
    pause = PAUSE | {"until": at(30)}
    assert decide(observe(suspended(pause))).requeue_after == 30
    run = answered({"granted": True}, pause)
    status = status_after(run, decide(observe(run), after=30))
    assert (status["state"]["type"], status["state"]["reason"]) == ("FAILED", "TimedOut")
    assert "nobody resumed it until" in status["error"]["message"]
    assert "pause" not in status


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({"cancel": True}, "CancelledByRequest"), ({"cancel": True, "cancelMode": "Now"}, "CancelledNow")],
    ids=["graceful", "now"],
)
def test_a_suspended_run_is_cancelled_at_once(spec: Body, reason: str) -> None:
    """There is nothing to wait for."""
    run = suspended(**spec)
    assert state_after(run, decide(observe(run))) == ("CANCELLED", reason)


def test_a_suspended_run_ends_with_its_parent() -> None:
    """As onParentEnd says; a parent that is suspended itself has not ended."""
    parent = make_flowrun("parent", state=make_state("FAILED"))
    run = suspended(parent={"name": "parent", "uid": parent["metadata"]["uid"]})
    assert state_after(run, decide(observe(run, parent=parent))) == ("CANCELLED", "ParentEnded")
    waiting = make_flowrun("parent", state=make_state("PAUSED", name="Suspended"))
    assert decide(observe(run, parent=waiting)).actions == ()


def test_a_process_that_said_that_it_goes_and_stays_is_stopped() -> None:
    """After its grace period; until then its Job, and with it its log, is left alone."""
    run = suspended()
    run["status"]["state"]["since"] = at(-10)
    job = make_job(run, attempt=2)
    decision = decide(observe(run, job=job))
    assert (decision.actions, decision.requeue_after) == ((), 20)
    assert kinds(decide(observe(run, job=job), after=20)) == ["DeleteJob"]


def test_a_run_that_is_to_wait_before_it_begins_has_no_job() -> None:
    """It says what holds it, once; and goes on when nothing does."""
    run = make_flowrun(spec={"suspend": True})
    decision = decide(observe(run))
    status = status_after(run, decision)
    assert (status["state"]["type"], status["state"]["name"]) == ("SCHEDULED", "Suspended")
    assert (status["state"]["reason"], status["waitingFor"]) == ("SuspendedByRequest", "spec.suspend")
    held = {**run, "status": status}
    assert decide(observe(held)).actions == ()
    held["spec"] = {**run["spec"], "suspend": False}
    assert kinds(decide(observe(held))) == ["CreateJob", "PatchStatus"]
    cancelled = {**held, "spec": {**run["spec"], "cancel": True}}
    assert state_after(cancelled, decide(observe(cancelled))) == ("CANCELLED", "CancelledByRequest")


@pytest.mark.parametrize("reason", ["Resumed", "RetryByRequest"])
def test_an_attempt_that_said_how_it_ended_has_time_to_go(reason: str) -> None:
    """The next one waits for it, and its Job is deleted only when it does not go: its log would go along."""
    run = make_flowrun(state=make_state("SCHEDULED", since=at(-1), reason=reason), attempt=3)
    job = make_job(run, attempt=2)
    pod = make_pod(job, phase="Running")
    observed = observe(run, previous_job=job, previous_pods=(pod,))
    decision = decide(observed)
    assert (decision.actions, decision.requeue_after) == ((), 29)
    assert "DeleteJob" in kinds(decide(observed, after=29))


def test_a_plain_container_at_work_says_once_that_it_cannot_wait() -> None:
    """By a condition and an Event; it runs on, and the condition goes with the wish."""
    run = make_flowrun(state=make_state("RUNNING", since=at(-60)), attempt=1, spec={"suspend": True})
    run["status"] |= {"job": job_name_of(run), "startTime": at(-60)}
    job = job_of(run, PLAIN)
    pod = make_pod(job, phase="Running")
    decision = decide(observe_attempt(run, job, pod))
    (event,) = [action for action in decision.actions if isinstance(action, EmitEvent)]
    assert "cannot be paused or suspended" in event.message
    status = status_after(run, decision)
    assert ("Pausable", "False", "PlainContainer") in [
        (c["type"], c["status"], c["reason"]) for c in status["conditions"]
    ]
    told = {**run, "status": status}
    assert decide(observe_attempt(told, job, pod)).actions == ()
    told["spec"] = {**run["spec"], "suspend": False}
    after = status_after(told, decide(observe_attempt(told, job, pod)))
    assert [c["type"] for c in after["conditions"] if c["type"] == "Pausable"] == []


def test_the_job_of_the_next_attempt_has_a_name_of_its_own() -> None:
    """So it is made once, whoever decides."""
    run = make_flowrun(state=make_state("SCHEDULED", since=at(-60), name="Resuming", reason="Resumed"), attempt=3)
    (job,) = [action for action in decide(observe(run)).actions if isinstance(action, CreateJob)]
    assert job.manifest["metadata"]["name"].endswith("-3")
