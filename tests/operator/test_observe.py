"""What is read out of the store for a decision, and whom a change concerns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from tests.builders import (
    NAMESPACE,
    job_name_of,
    make_deployment,
    make_flow,
    make_flowrun,
    make_job,
    make_metadata,
    make_pod,
)

from towpath_operator import observe
from towpath_operator.observe import Key
from towpath_operator.reconcile.policy import Policy
from towpath_operator.reconcile.verdicts import GOES, Turn

Body = dict[str, Any]


class Bodies:
    """A View over a few bodies."""

    def __init__(self, **bodies: list[Body]) -> None:
        self.bodies = bodies

    def get(self, plural: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        found = (b for b in self.bodies.get(plural, ()) if b["metadata"]["namespace"] == namespace)
        return next((b for b in found if b["metadata"]["name"] == name), None)

    def turn(self, namespace: str, name: str) -> Turn:
        return GOES

    def grants(self, namespace: str, name: str) -> None:
        return None

    def pods_of_job(self, namespace: str, job_name: str) -> list[Body]:
        pods = self.bodies.get("pods", ())
        return [pod for pod in pods if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == job_name]

    def children_of_run(self, uid: str) -> list[Body]:
        return [run for run in self.bodies.get("flowruns", ()) if run["spec"].get("parent", {}).get("uid") == uid]

    def runs_waiting_for(self, plural: str, namespace: str, name: str) -> list[Body]:
        runs = self.bodies.get("flowruns", ())
        return [run for run in runs if observe.waits_for(run) == (plural, namespace, name)]

    def deployments_of_flow(self, namespace: str, name: str) -> list[Body]:
        return [each for each in self.bodies.get("deployments", ()) if each["spec"]["flowRef"] == name]

    def live_runs_of_deployment(self, namespace: str, name: str) -> int:
        keys = [observe.live_run_of(run) for run in self.bodies.get("flowruns", ())]
        return keys.count(Key("deployments", namespace, name))

    def last_success(self, namespace: str, name: str) -> datetime | None:
        return None


def test_a_run_is_seen_with_all_that_it_depends_on() -> None:
    """Flow through the Deployment, parent, Job and pods of its attempt and of the one before; nothing of others."""
    parent = make_flowrun("top")
    run = make_flowrun(deployment_ref="nightly", parent=parent, state="RUNNING", attempt=2)
    jobs = [make_job(run, attempt=attempt) for attempt in (1, 2, 3)]
    pods = [make_pod(job) for job in jobs]
    flow, deployment = make_flow("etl"), make_deployment("nightly", flow_ref="etl")
    view = Bodies(flowruns=[parent, run], flows=[flow, make_flow()], deployments=[deployment], jobs=jobs, pods=pods)
    policy = Policy(infra_retries=9)

    seen = observe.flowrun(view, NAMESPACE, "run-1", policy)

    assert seen is not None
    assert (seen.run, seen.flow, seen.deployment, seen.parent) == (run, flow, deployment, parent)
    assert (seen.job, seen.pods) == (jobs[1], (pods[1],))
    assert (seen.previous_job, seen.previous_pods) == (jobs[0], (pods[0],))
    assert seen.policy is policy


def test_a_run_is_seen_with_the_queue_and_the_limits_that_it_is_under() -> None:
    """Its own queue before its Deployment's, the limits of both; None stands for one that does not exist."""
    run = make_flowrun(deployment_ref="nightly", spec={"limits": ["gone", "db"], "queue": "own"})
    deployment = make_deployment("nightly", spec={"limits": ["db"], "queue": "theirs"})
    queue, limit = ({"metadata": make_metadata(kind, name)} for kind, name in (("Queue", "own"), ("Limit", "db")))
    view = Bodies(flowruns=[run], deployments=[deployment], queues=[queue], concurrencylimits=[limit])

    seen = observe.flowrun(view, NAMESPACE, "run-1")

    assert seen is not None
    assert seen.queue == queue
    assert dict(seen.limits) == {"db": limit, "gone": None}


@pytest.mark.parametrize("plural", ["queues", "concurrencylimits"])
def test_queues_and_limits_concern_themselves(plural: str) -> None:
    """Whose turn it is because of them is for the lanes to say."""
    body = {"metadata": make_metadata("Any", "lane")}
    assert observe.affected_by(Bodies(), plural, body) == (Key(plural, NAMESPACE, "lane"),)
    assert observe.affected_by(Bodies(), plural, body, deleted=True) == ()


def test_a_new_run_is_seen_with_the_job_of_its_first_attempt() -> None:
    """So that a Job made before a restart is found by its name."""
    run = make_flowrun()
    job = make_job(run)
    seen = observe.flowrun(Bodies(flowruns=[run], jobs=[job]), NAMESPACE, "run-1")

    assert seen is not None
    assert (seen.job, seen.previous_job) == (job, None)
    assert job["metadata"]["name"] == job_name_of(run, 1)


def test_what_is_gone_is_not_seen() -> None:
    """None: there is nothing to decide."""
    nothing = Bodies()

    assert observe.flowrun(nothing, NAMESPACE, "run-1") is None
    assert observe.flow(nothing, NAMESPACE, "main") is None
    assert observe.deployment(nothing, NAMESPACE, "nightly") is None


def test_a_deployment_is_seen_with_its_flow() -> None:
    """And without, if there is none."""
    deployment = make_deployment("nightly")
    for flows, named in (([make_flow()], make_flow()), ([], None)):
        seen = observe.deployment(Bodies(deployments=[deployment], flows=flows), NAMESPACE, "nightly")
        assert seen is not None
        assert seen.flow == named
    flow = observe.flow(Bodies(flows=[make_flow()]), NAMESPACE, "main")
    assert flow is not None
    assert flow.flow == make_flow()


@pytest.mark.parametrize(
    ("run", "waits_for"),
    [
        (make_flowrun(), Key("flows", NAMESPACE, "main")),
        (make_flowrun(deployment_ref="d"), Key("deployments", NAMESPACE, "d")),
        (make_flowrun(state="PENDING", attempt=1, job="j"), None),
        (make_flowrun(state="SCHEDULED", attempt=2), Key("flows", NAMESPACE, "main")),
        (make_flowrun(state="FAILED"), None),
        (make_flowrun(flow={"image": "i"}), None),
    ],
    ids=["flow", "deployment", "has its job", "awaits its retry", "ended", "inline"],
)
def test_what_a_run_waits_for(run: Body, waits_for: Key | None) -> None:
    """Only a run that has yet to get a Job cares about its Flow or Deployment."""
    assert observe.waits_for(run) == waits_for


def runs(*names: str) -> set[Key]:
    """Give the keys of runs."""
    return {Key("flowruns", NAMESPACE, name) for name in names}


PARENT = make_flowrun("top", state="RUNNING", attempt=1)
CHILDREN = [make_flowrun(name, parent=PARENT) for name in ("a", "b")]


@pytest.mark.parametrize(
    ("body", "deleted", "expected"),
    [
        (PARENT, False, {"top"}),
        (PARENT, True, {"a", "b"}),
        (PARENT | {"spec": PARENT["spec"] | {"cancel": True}}, False, {"top", "a", "b"}),
        (make_flowrun("top", state="CANCELLING"), False, {"top", "a", "b"}),
        (make_flowrun("top", state="FAILED"), False, {"top", "a", "b"}),
        (make_flowrun("top", state="RUNNING", deleted="2026-03-01T12:00:00Z"), False, {"top", "a", "b"}),
    ],
    ids=["goes on", "is gone", "is to be cancelled", "is being cancelled", "ended", "is being deleted"],
)
def test_a_run_concerns_its_children_when_it_ends(body: Body, deleted: bool, expected: set[str]) -> None:
    """And only then: a parent of a thousand children reports its progress for the price of one."""
    view = Bodies(flowruns=[PARENT, *CHILDREN])

    assert set(observe.affected_by(view, "flowruns", body, deleted=deleted)) == runs(*expected)


def test_jobs_and_pods_concern_their_run() -> None:
    """By label; what has none concerns nobody."""
    job = make_job(make_flowrun("x"))

    assert set(observe.affected_by(Bodies(), "jobs", job)) == runs("x")
    assert set(observe.affected_by(Bodies(), "pods", make_pod(job), deleted=True)) == runs("x")
    assert observe.affected_by(Bodies(), "pods", make_pod()) == ()


def test_flows_and_deployments_concern_what_waits_for_them() -> None:
    """A Flow also concerns its Deployments, and the runs that wait for those."""
    waiting, by_deployment = make_flowrun("a"), make_flowrun("b", deployment_ref="main-nightly")
    others = [make_flowrun("c", flow_ref="other"), make_flowrun("d", state="COMPLETED")]
    view = Bodies(flowruns=[waiting, by_deployment, *others], deployments=[make_deployment()])
    deployment = Key("deployments", NAMESPACE, "main-nightly")

    concerned = {Key("flows", NAMESPACE, "main"), deployment} | runs("a", "b")
    assert set(observe.affected_by(view, "flows", make_flow())) == concerned
    assert set(observe.affected_by(view, "flows", make_flow(), deleted=True)) == concerned - {
        Key("flows", NAMESPACE, "main")
    }
    assert set(observe.affected_by(view, "deployments", make_deployment())) == {deployment} | runs("b")


def test_other_kinds_concern_nobody() -> None:
    """Whatever else a store may hold."""
    assert observe.affected_by(Bodies(), "events", {"metadata": {"name": "x"}}) == ()
