"""The store as observing sees it: look-ups that tell the truth, and bodies without weight."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.builders import NAMESPACE, make_deployment, make_flow, make_flowrun, make_job, make_pod, make_state

from towpath_operator import observe
from towpath_operator.reconcile import flowrun
from towpath_operator.runtime.store import Store
from towpath_operator.view import INDEXES, StoreView, lean, says_the_same

NOON = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


def view_of(*bodies: tuple[str, dict[str, Any]], leaned: bool = True) -> StoreView:
    store = Store(INDEXES, lean=lean) if leaned else Store(INDEXES)
    for plural, body in bodies:
        store.put(plural, body)
    return StoreView(store)


def names_of(bodies: Any) -> list[str]:
    return sorted(body["metadata"]["name"] for body in bodies)


def _newer(body: dict[str, Any], *path: str, value: object = None) -> dict[str, Any]:
    """Give the next version of an object, with something else at a path."""
    changed = copy.deepcopy(body)
    changed["metadata"]["resourceVersion"] = str(int(body["metadata"]["resourceVersion"]) + 1)
    if path:
        *parents, last = path
        at = changed
        for key in parents:
            at = at.setdefault(key, {})
        at[last] = value
    return changed


@pytest.mark.parametrize(
    ("plural", "path", "value", "expected"),
    [
        pytest.param("jobs", (), None, True, id="only a newer version"),
        pytest.param("jobs", ("status", "active"), 1, True, id="a Job counts its pods"),
        pytest.param("jobs", ("status", "uncountedTerminatedPods"), {"succeeded": ["u"]}, True, id="and those it will"),
        pytest.param(
            "jobs", ("status", "conditions"), [{"type": "Complete", "status": "True"}], False, id="a Job ends"
        ),
        pytest.param("jobs", ("metadata", "deletionTimestamp"), "2026-03-01T12:00:00Z", False, id="a Job goes"),
        pytest.param("pods", ("metadata", "finalizers"), [], True, id="the Job has counted the pod"),
        pytest.param("pods", ("status", "podIP"), "10.0.0.1", True, id="the pod has an address"),
        pytest.param("pods", ("status", "phase"), "Running", False, id="the pod runs"),
        pytest.param("pods", ("spec", "nodeName"), "n1", False, id="the pod has a node"),
        pytest.param("flowruns", ("status", "tasks"), {"total": 1}, True, id="a run counts its tasks"),
        pytest.param("flowruns", ("spec", "cancel"), True, False, id="a run is cancelled"),
    ],
)
def test_changes_that_no_decision_looks_at_say_nothing(
    plural: str, path: tuple[str, ...], value: object, expected: bool
) -> None:
    """Who is told of a change can tell whether it is one for decisions; most of a Job's are not."""
    run = make_flowrun("r", status={"attempt": 1})
    body = {"flowruns": run, "jobs": make_job(run), "pods": make_pod(make_job(run))}[plural]
    old, new = lean(plural, body), lean(plural, _newer(body, *path, value=value))
    assert says_the_same(old, new) is expected
    assert not says_the_same(None, new)
    assert not says_the_same(old, None)


def test_pods_of_a_job() -> None:
    """Pods are found by their Job's label, in their namespace only."""
    job = make_job(make_flowrun("r"))
    elsewhere = make_pod(job, name="elsewhere")
    elsewhere["metadata"] |= {"namespace": "other", "uid": "x"}
    view = view_of(
        ("pods", make_pod(job, name="mine")),
        ("pods", make_pod(make_job(make_flowrun("other")), name="others")),
        ("pods", elsewhere),
        ("pods", make_pod(name="without-a-job")),
    )
    assert names_of(view.pods_of_job(NAMESPACE, job["metadata"]["name"])) == ["mine"]
    assert names_of(view.pods_of_job(NAMESPACE, "unknown")) == []


def test_children_of_a_run() -> None:
    """Children are found by the UID that they name as their parent's."""
    parent = make_flowrun("parent")
    view = view_of(("flowruns", parent), ("flowruns", make_flowrun("child", parent=parent)))
    assert names_of(view.children_of_run(parent["metadata"]["uid"])) == ["child"]


def test_runs_that_wait() -> None:
    """Runs are found by what they wait for as long as they do, and a Deployment's runs by the Deployment."""
    ended = make_flowrun("ended", flow_ref="f", status={"state": make_state("COMPLETED")})
    view = view_of(
        ("flowruns", make_flowrun("waits", flow_ref="f")),
        ("flowruns", make_flowrun("deployed", deployment_ref="d")),
        ("flowruns", ended),
    )
    assert names_of(view.runs_waiting_for("flows", NAMESPACE, "f")) == ["waits"]
    assert names_of(view.runs_waiting_for("deployments", NAMESPACE, "d")) == ["deployed"]
    assert names_of(view.runs_waiting_for("flows", "other", "f")) == []


def test_deployments_of_a_flow() -> None:
    """Deployments are found by the Flow that they name."""
    view = view_of(
        ("deployments", make_deployment("d", flow_ref="f")), ("deployments", make_deployment("e", flow_ref="g"))
    )
    assert names_of(view.deployments_of_flow(NAMESPACE, "f")) == ["d"]


def test_lean_bodies_lack_what_weighs() -> None:
    """Managed fields, kubectl's copy of the object, results and a pod's containers are not kept; the original stays whole."""
    run = make_flowrun("r", flow_ref="f", status={"result": {"inline": "x" * 1000}, "attempt": 1})
    run["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    run["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "stays"}
    original = copy.deepcopy(run)
    kept = lean("flowruns", run)
    assert run == original
    assert kept["status"] == {"attempt": 1}
    assert kept["metadata"]["annotations"] == {"mine": "stays"}
    assert "managedFields" not in kept["metadata"]
    job = lean("jobs", make_job(run, active=1, spec={"template": {"spec": {}}}))
    assert "template" not in job["spec"]
    assert "active" not in job["status"]
    pod = lean("pods", make_pod(make_job(run), node="n1"))
    assert pod["spec"]["nodeName"] == "n1"
    assert "containers" not in pod["spec"]


def cases() -> list[Any]:
    """Runs at each step of their way, with what belongs to them."""
    flow = make_flow("f")
    new = make_flowrun("r", flow_ref="f")
    parent = make_flowrun(
        "p", flow_ref="f", status={"state": make_state("RUNNING"), "attempt": 1, "result": {"inline": "1"}}
    )
    child = make_flowrun("r", flow_ref="f", parent=parent)
    known = {"attempt": 1, "flow": "f"}

    def at(state: str, reason: str | None = None, **status: Any) -> dict[str, Any]:
        return make_flowrun("r", flow_ref="f", status={"state": make_state(state, reason=reason), **known, **status})

    job = make_job(new)
    pending, running = (
        at("PENDING", "JobCreated", job=job["metadata"]["name"]),
        at("RUNNING", job=job["metadata"]["name"]),
    )
    ended = at("COMPLETED", job=job["metadata"]["name"], result={"inline": "42"}, completionTime="2026-03-01T12:00:00Z")
    pods = {
        "waiting": make_pod(job, phase="Pending", waiting="ImagePullBackOff"),
        "running": make_pod(job, phase="Running", running=True, node="n1"),
        "failed": make_pod(job, phase="Failed", exit_code=1, node="n1"),
        "killed": make_pod(job, phase="Failed", exit_code=137, exit_reason="OOMKilled", node="n1"),
        "evicted": make_pod(job, phase="Failed", reason="Evicted", message="disk", node="n1"),
        "reported": make_pod(job, phase="Succeeded", exit_code=0, termination_message="{}"),
    }
    found = [pytest.param([flow], new, id="new"), pytest.param([flow, parent], child, id="child")]
    found += [
        pytest.param([flow, job, pod], run, id=f"{run['status']['state']['type']}-{name}")
        for run in (pending, running, ended)
        for name, pod in pods.items()
    ]
    return found


@pytest.mark.parametrize(("around", "run"), cases())
def test_decisions_are_the_same_on_lean_bodies(around: list[dict[str, Any]], run: dict[str, Any]) -> None:
    """Nothing that the store leaves out would have changed a decision."""
    plurals = {"Flow": "flows", "FlowRun": "flowruns", "Job": "jobs", "Pod": "pods"}
    bodies = [(plurals[body["kind"]], body) for body in (*around, run)]
    decisions = [
        flowrun.decide(observed, NOON)
        for leaned in (True, False)
        if (observed := observe.flowrun(view_of(*bodies, leaned=leaned), NAMESPACE, "r"))
    ]
    assert len(decisions) == 2
    assert decisions[0] == decisions[1]
    assert decisions[0].bug is None
