"""Flows called in flows: each a run with a Job of its own, with values, exceptions and ends that reach the parent."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.e2e.runs import Runs, result, state

from towpath.states import StateType

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("function", ["sum_of_doubles", "async_sum"])
def test_children_run_side_by_side_and_give_their_values_back(runs: Runs, function: str) -> None:
    """Three children on three Jobs of their own, owned by the parent, from a sync and from an async flow."""
    run = runs.ended(runs.start(function, {"n": 3}))

    assert result(run) == 0 + 2 + 4
    children = runs.children(run["metadata"]["name"])
    assert len(children) == 3
    assert len({child["status"]["job"] for child in children}) == 3
    assert {child["metadata"]["ownerReferences"][0]["uid"] for child in children} == {run["metadata"]["uid"]}
    assert run["status"]["children"]["completed"] == 3


def test_the_parent_sees_the_childs_own_exception(runs: Runs) -> None:
    """A child's exception arrives as it was raised: it can be caught by its class, or ends the parent with its words."""
    careful, careless = runs.start("careful_shop", {"item": "tea"}), runs.start("careless_shop", {"item": "milk"})

    assert result(runs.ended(careful)) == "sorry: no tea left"
    failed = runs.ended(careless)
    assert (state(failed)["type"], failed["status"]["error"]["type"].rpartition(".")[2]) == ("FAILED", "OutOfStock")
    assert "no milk left" in state(failed)["message"]


def test_cancelling_a_parent_cancels_its_whole_tree(runs: Runs) -> None:
    """`spec.cancel` on the top run ends every run below it as CANCELLED, and no pod is left."""
    top = runs.start("tower", {"height": 2, "seconds": 300})
    middle = runs.wait_children(top, 1, StateType.RUNNING)[0]["metadata"]["name"]
    bottom = runs.wait_children(middle, 1, StateType.RUNNING)[0]["metadata"]["name"]

    runs.cancel(top)

    for name in (top, middle, bottom):
        assert state(runs.ended(name, timeout=60))["type"] == "CANCELLED", name
    for name in (top, middle, bottom):
        for pod in runs.pods(name):
            runs.gone(runs.path("pods", pod["metadata"]["name"], group="/api/v1"))
    assert state(runs.get(top))["reason"] == "CancelledByRequest"
    assert state(runs.get(bottom))["reason"] == "ParentEnded"


def test_a_flow_that_refuses_to_stop_is_cancelled_all_the_same(runs: Runs) -> None:
    """The grace period bounds a cancel, whatever the code does, and no process of it is left."""
    short = {"spec": {"terminationGracePeriodSeconds": 3}}
    ways = ("swallows what is raised", "is deaf", "never comes back from C", "leaves processes", "leaves threads")
    names = [runs.start("stubborn", {"how": how}, template=short) for how in ways]
    names.append(runs.start("stubborn_coroutine", template=short))
    for name in names:
        runs.reached(name, StateType.RUNNING, 120)
    for name in names:
        runs.cancel(name)

    for name in names:
        run = runs.ended(name)
        told, ended = (datetime.fromisoformat(entry["at"]) for entry in run["status"]["history"][-2:])
        assert state(run)["type"] == "CANCELLED"
        assert (ended - told).total_seconds() < 3 + 15
        runs.no_pod_lives(name)


def test_deleting_a_parent_leaves_nothing_behind(runs: Runs) -> None:
    """`kubectl delete` of a run with running children removes runs, Jobs and pods of the whole tree."""
    top = runs.start("dormitory", {"sleepers": 2, "seconds": 300})
    children = [child["metadata"]["name"] for child in runs.wait_children(top, 2, StateType.RUNNING)]
    pods = [pod["metadata"]["name"] for name in (top, *children) for pod in runs.pods(name)]
    assert len(pods) == 3

    runs.kube.delete(runs.path("flowruns", top), propagationPolicy="Background")

    for name in (top, *children):
        runs.gone(runs.path("flowruns", name))
    for pod in pods:
        runs.gone(runs.path("pods", pod, group="/api/v1"))
    assert all(not runs.jobs(name) for name in (top, *children))


def test_a_killed_child_is_tried_again_and_the_parent_gets_its_value(runs: Runs) -> None:
    """A child whose pod is killed is an infrastructure failure: a new attempt, a new Job, and the parent never notices."""
    top = runs.start("dormitory", {"sleepers": 1, "seconds": 8})
    child = runs.wait_children(top, 1, StateType.RUNNING)[0]["metadata"]["name"]
    (pod,) = runs.pods(child)

    runs.kube.delete(runs.path("pods", pod["metadata"]["name"], group="/api/v1"), gracePeriodSeconds="0")

    assert result(runs.ended(top, timeout=120)) == ["awake"]
    assert runs.get(child)["status"]["attempt"] == 2
    assert len(runs.children(top)) == 1


def test_a_run_cannot_write_another_runs_status(runs: Runs) -> None:
    """A pod's token is good for its own run only: the API server answers 403 to anything else."""
    other = runs.start("nap", {"seconds": 60})
    runs.reached(other, StateType.RUNNING)

    meddler = runs.ended(runs.start("meddle", {"with_run": other}))

    assert result(meddler) == 403
    assert "waitingFor" not in runs.get(other)["status"]
