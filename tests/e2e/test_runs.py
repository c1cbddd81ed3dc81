"""What a run does on a real cluster: its states, its Job, its result, its end."""

from __future__ import annotations

import pytest
from tests.e2e.runs import Runs, result, state
from tests.kube import TOWPATH

from towpath.states import StateType

pytestmark = pytest.mark.cluster


def test_a_run_goes_from_pending_to_completed_with_its_result(runs: Runs) -> None:
    """An inline flow runs in one Job of one pod and leaves its result, its history and a true condition."""
    run = runs.ended(runs.start("add", {"x": "41"}))

    assert state(run)["type"] == "COMPLETED"
    assert result(run) == 42
    assert [entry["type"] for entry in run["status"]["history"]] == ["PENDING", "RUNNING", "COMPLETED"]
    assert [(c["type"], c["status"]) for c in run["status"]["conditions"]] == [("Succeeded", "True")]
    (job,) = runs.jobs(run["metadata"]["name"])
    assert job["metadata"]["name"] == run["status"]["job"]
    assert job["metadata"]["ownerReferences"][0]["uid"] == run["metadata"]["uid"]


def test_a_flow_and_a_deployment_are_run_by_reference(runs: Runs) -> None:
    """A run by deploymentRef takes the flow's code, the deployment's parameters, and its own over them."""
    name = runs.prefix
    runs.kube.create(
        runs.path("flows"),
        {
            "apiVersion": "towpath.dev/v1alpha1",
            "kind": "Flow",
            "metadata": {"name": name},
            "spec": {"image": runs.image, "entrypoint": "flows.py:add"},
        },
    )
    runs.kube.create(
        runs.path("deployments"),
        {
            "apiVersion": "towpath.dev/v1alpha1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"flowRef": name, "parameters": {"x": 1, "y": 10}},
        },
    )
    try:
        by_flow = runs.create({"flowRef": name, "parameters": {"x": 5}})
        by_deployment = runs.create({"deploymentRef": name, "parameters": {"x": 2}})
        caller = runs.start("orders", {"deployment": name})

        assert result(runs.ended(by_flow)) == 6
        assert result(runs.ended(by_deployment)) == 12
        assert result(runs.ended(caller)) == 50
        (child,) = runs.children(caller)
        assert child["spec"]["deploymentRef"] == name
    finally:
        runs.kube.delete(runs.path("deployments", name))
        runs.kube.delete(runs.path("flows", name))


def test_a_flow_applied_after_its_run_is_waited_for(runs: Runs) -> None:
    """The order of `kubectl apply` is free: a run whose Flow comes later says so, and then runs."""
    waiting = runs.create({"flowRef": runs.prefix, "parameters": {"x": 1}})
    pending = runs.reached(waiting, StateType.PENDING)
    assert state(pending)["reason"] == "FlowNotFound"
    assert runs.prefix in state(pending)["message"]

    runs.kube.create(
        runs.path("flows"),
        {
            "apiVersion": "towpath.dev/v1alpha1",
            "kind": "Flow",
            "metadata": {"name": runs.prefix},
            "spec": {"image": runs.image, "entrypoint": "flows.py:add"},
        },
    )
    try:
        assert result(runs.ended(waiting)) == 2
    finally:
        runs.kube.delete(runs.path("flows", runs.prefix))


def test_a_plain_container_is_a_flow_too(runs: Runs) -> None:
    """Any command runs without the SDK: exit 0 is COMPLETED, another FAILED with the code and the end of its log."""
    good = runs.create({"flow": {"image": runs.image, "command": ["sh", "-c", "echo fine"]}})
    bad = runs.create({"flow": {"image": runs.image, "command": ["sh", "-c", "echo disk is full >&2; exit 3"]}})

    assert state(runs.ended(good))["type"] == "COMPLETED"
    failed = runs.ended(bad)
    assert (state(failed)["type"], state(failed)["reason"]) == ("FAILED", "Exited")
    assert "3" in state(failed)["message"]
    assert "disk is full" in failed["status"]["error"]["message"]
    assert failed["status"]["error"]["kind"] == "User"


def test_a_failing_flow_says_what_was_raised(runs: Runs) -> None:
    """FAILED with the exception's class, message and traceback; no infrastructure retry."""
    run = runs.ended(runs.start("sell", {"item": "tea"}))

    assert (state(run)["type"], state(run)["reason"]) == ("FAILED", "FlowFailed")
    assert "no tea left" in state(run)["message"]
    error = run["status"]["error"]
    assert error["kind"] == "User"
    assert error["type"].endswith("OutOfStock")
    assert "flows.py" in error["traceback"]
    assert run["status"]["attempt"] == 1


def test_a_tasks_retries_stay_inside_the_run(runs: Runs) -> None:
    """A task that fails twice is retried in the same pod, and the run counts its tasks."""
    run = runs.ended(runs.start("lucky"))

    assert (result(run), run["status"]["attempt"]) == (3, 1)
    assert run["status"]["tasks"]["total"] == 1


def test_a_result_that_does_not_fit_says_what_to_set(runs: Runs) -> None:
    """12 KiB travel inline; a larger result fails the run with the size, the limit and the setting."""
    small = runs.start("letter", {"size": 12_000})
    large = runs.start("letter", {"size": 20_000})

    assert len(result(runs.ended(small))) == 12_000
    failed = runs.ended(large)
    assert state(failed)["reason"] == "ResultTooLarge"
    assert "result_storage" in state(failed)["message"]


def test_kubectl_shows_what_matters(runs: Runs) -> None:
    """A run can be selected by its state, and its columns are worth reading."""
    run = runs.ended(runs.start("add", {"x": 1}))

    selected = runs.kube.items(runs.path("flowruns"), fieldSelector="status.state.type=COMPLETED")
    assert run["metadata"]["name"] in [item["metadata"]["name"] for item in selected]
    table = runs.kube.http.get(
        runs.path("flowruns", run["metadata"]["name"]),
        headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
    ).json()
    row = dict(zip([column["name"] for column in table["columnDefinitions"]], table["rows"][0]["cells"], strict=True))
    assert (row["Flow"], row["State"]) == ("add", "Completed")
    assert TOWPATH
