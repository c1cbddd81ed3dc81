"""What is kept of a run's first attempt, who names it, and when it goes: decisions, case by case."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.builders import make_deployment, make_flow, make_flowrun, make_job, make_metadata, make_state
from tests.operator.reconcile.deciding import at, decide, kinds, now, state_after, status_after

from towpath_operator.reconcile import revision
from towpath_operator.reconcile.decision import CreateJob, Decision, DeleteRevision, PatchRevision
from towpath_operator.reconcile.observed import ObservedFlowRun, ObservedRevision
from towpath_operator.specs.revisions import ANNOTATION, UNUSED_SINCE, Revision, revision_in

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
FLOW = make_flow(spec={"parameters": SCHEMA, "description": "Adds.", "retries": 2})
DEPLOYMENT = make_deployment(parameters={"x": 1}, spec={"schedules": [{"name": "a", "cron": "@daily"}], "tags": ["t"]})
AWAITING = {"attempt": 2, "state": make_state("SCHEDULED", name="AwaitingRetry", since=at(-9)), "infraFailures": 1}


def job_in(decision: Decision) -> CreateJob:
    """Give the action of a decision that makes a Job."""
    (job,) = (action for action in decision.actions if isinstance(action, CreateJob))
    return job


def settled(flow: dict[str, Any] = FLOW, deployment: dict[str, Any] | None = DEPLOYMENT) -> Revision:
    """Give what is kept of a run that begins now."""
    found = Revision.of("main", flow=flow["spec"], deployment=(deployment or {}).get("spec", {}), queue={})
    assert found is not None
    return found


def environment(decision: Decision) -> dict[str, str]:
    """Give the environment of the flow's container."""
    (container,) = job_in(decision).manifest["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"]}


def test_the_first_attempt_brings_along_what_it_was_made_of() -> None:
    """The Job says which revision it was made of, so does the run's status, and the revision comes with the Job."""
    run = make_flowrun(deployment_ref="main-nightly")
    decision = decide(ObservedFlowRun(run, flow=FLOW, deployment=DEPLOYMENT))

    made = job_in(decision)
    assert made.revision == settled().manifest(run["metadata"]["namespace"])
    assert made.manifest["metadata"]["annotations"][ANNOTATION] == settled().name
    assert status_after(run, decision)["revision"] == settled().name
    assert kinds(decision) == ["CreateJob", "PatchStatus"]


@pytest.mark.parametrize("gone", [False, True], ids=["changed", "deleted"])
def test_a_later_attempt_is_made_of_what_the_first_was(gone: bool) -> None:
    """Image, parameters of the Deployment, retries and tags are those of the first attempt."""
    run = make_flowrun(deployment_ref="main-nightly", status=AWAITING | {"revision": settled().name})
    flow = None if gone else make_flow(image="other:2", spec={"parameters": {"required": ["y"]}, "retries": 9})
    deployment = None if gone else make_deployment(parameters={"x": 2, "z": 3}, spec={"tags": ["other"]})
    decision = decide(ObservedFlowRun(run, flow=flow, deployment=deployment, revision=settled()))

    told = environment(decision)
    assert told["TOWPATH_IMAGE"] == FLOW["spec"]["image"]
    assert json.loads(told["TOWPATH_PARAMETERS"]) == {"x": 1}
    assert (told["TOWPATH_RETRIES"], told["TOWPATH_TAGS"]) == ("2", '["t"]')
    assert state_after(run, decision) == ("PENDING", "JobCreated")


def test_a_job_that_is_found_says_what_it_was_made_of() -> None:
    """An operator that was killed between Job and status names the revision of the Job, not that of today's Flow."""
    run = make_flowrun()
    job = make_job(run, annotations={ANNOTATION: "main-0123456789abcdef"})
    decision = decide(ObservedFlowRun(run, flow=FLOW, job=job))
    assert status_after(run, decision)["revision"] == "main-0123456789abcdef"


def test_a_run_that_says_it_all_itself_keeps_nothing() -> None:
    """A child, which brings its flow along in a spec that never changes, costs no revision."""
    run = make_flowrun(flow={"image": "a:1", "entrypoint": "a:b"})
    decision = decide(ObservedFlowRun(run))
    assert job_in(decision).revision is None
    assert "revision" not in status_after(run, decision)


def test_what_is_missing_is_confirmed_before_the_flow_of_today_is_taken() -> None:
    """A revision that the store does not have may be there all the same: the API server is asked first."""
    run = make_flowrun(parameters={"x": 1}, status=AWAITING | {"revision": "main-0123456789abcdef"})
    decision = decide(ObservedFlowRun(run, flow=FLOW))
    assert kinds(decision)[0] == "ConfirmGone"
    assert status_after(run, decision)["revision"] == settled(deployment=None).name


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"description": "Adds up."}, True),
        ({"parameters": {}}, True),
        ({"image": "b:2"}, False),
        ({"retries": 3}, False),
        ({"template": {"metadata": {"labels": {"a": "b"}}}}, False),
        ({"a-field-of-tomorrow": 1}, False),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_only_what_a_job_is_made_of_makes_another_revision(change: dict[str, Any], same: bool) -> None:
    """A new description or schedule costs nothing; whatever is not known to be without effect is kept."""
    changed = settled(FLOW | {"spec": FLOW["spec"] | change})
    assert (changed.name == settled().name) is same


def test_a_new_schedule_makes_no_other_revision() -> None:
    """When runs are made, and how many at once, is nothing of a Job."""
    other = DEPLOYMENT["spec"] | {"schedules": [], "suspend": True, "concurrency": {"limit": 1}, "priority": 3}
    assert settled(deployment=DEPLOYMENT | {"spec": other}) == settled()


def test_what_was_kept_is_read_again() -> None:
    """The name is that of the content, so another content has another name; what has another shape is nobody's word."""
    manifest = settled().manifest("team-a")
    assert revision_in(json.loads(json.dumps(manifest))) == settled()
    assert len(manifest["metadata"]["name"]) <= 57
    made_up = manifest | {"data": manifest["data"] | {"flow": {"image": "evil:1"}}}
    read = revision_in(made_up)
    assert read
    assert read.name != settled().name
    for odd in (manifest | {"data": None}, manifest | {"data": {"name": 1}}, {"data": {"flow": 1}}, {}, None):
        assert revision_in(odd) is None


def kept(since: float | None = None, **more: Any) -> dict[str, Any]:
    """Build the ControllerRevision as the API has it, marked as unused since so many seconds from now."""
    annotations = {"somebody": "else's"} | ({} if since is None else {UNUSED_SINCE: at(since)})
    metadata = make_metadata("ControllerRevision", settled().name, annotations=annotations, **more)
    return settled().manifest("team-a") | {"metadata": metadata}


def test_one_that_no_run_names_is_marked_before_it_goes() -> None:
    """Within an hour somebody who is about to name it has named it; what others wrote on it stays."""
    marking = revision.decide(ObservedRevision(kept()), now)
    (mark,) = marking.actions
    assert isinstance(mark, PatchRevision)
    (change,) = mark.patch
    assert change["value"].keys() == {"somebody", UNUSED_SINCE}
    assert marking.requeue_after == 3600
    waiting = revision.decide(ObservedRevision(kept(since=-600)), now)
    assert (waiting.actions, waiting.requeue_after) == ((), 3000)
    (removal,) = revision.decide(ObservedRevision(kept(since=-3600)), now).actions
    assert isinstance(removal, DeleteRevision)
    assert (removal.uid, removal.resource_version) == (kept()["metadata"]["uid"], "1")


def test_one_that_was_just_made_is_left_alone() -> None:
    """The run that it was made for is about to name it: a mark would be written, and taken away again by the next."""
    new = ObservedRevision(kept(created=at(-20)))
    assert revision.decide(new, now) == Decision(requeue_after=40)
    assert revision.decide(ObservedRevision(kept(created=at(-60))), now).actions


@pytest.mark.parametrize(
    "observed",
    [
        ObservedRevision(kept(), runs=1),
        ObservedRevision(kept(since=-9000), runs=1),
        ObservedRevision(kept(since=-9000, deleted=at(-1))),
    ],
    ids=["named", "named again", "going"],
)
def test_one_that_a_run_names_stays(observed: ObservedRevision) -> None:
    """As long as a run that names it is there, whether it has ended or not: it may be tried again."""
    assert revision.decide(observed, now) == Decision()


@pytest.mark.parametrize("flow", [None, {"image": "a:1", "entrypoint": "a:b"}], ids=["of a Flow", "of its own"])
def test_the_template_of_the_queue_is_kept_too(flow: dict[str, Any] | None) -> None:
    """A Queue whose template changes, or that goes, changes no run that has begun in it."""

    def queue(label: str) -> dict[str, Any]:
        return {"metadata": {"name": "q"}, "spec": {"limit": 3, "template": {"metadata": {"labels": {"of": label}}}}}

    spec = {"queue": "q"}
    run = make_flowrun(flow=flow, parameters={"x": 1}, spec=spec)
    first = decide(ObservedFlowRun(run, flow=None if flow else FLOW, queue=queue("first")))
    kept = revision_in(job_in(first).revision)
    assert kept
    assert dict(kept.queue) == {"template": queue("first")["spec"]["template"]}
    later = make_flowrun(flow=flow, parameters={"x": 1}, spec=spec, status=AWAITING | {"revision": kept.name})
    for now_there in (queue("second"), None):
        again = decide(ObservedFlowRun(later, queue=now_there, revision=kept))
        assert job_in(again).manifest["spec"]["template"]["metadata"]["labels"]["of"] == "first"
        assert status_after(later, again)["revision"] == kept.name
