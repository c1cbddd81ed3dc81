"""Runs that have ended go: by count, by time, with all below them, and not while they are needed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.runs import Runs, state
from tests.kube import Body

from towpath import names
from towpath.states import StateType

pytestmark = pytest.mark.cluster


def apply_deployment(runs: Runs, **spec: Any) -> str:
    """Make a Flow whose runs end at once, and a Deployment of it; give their name."""
    name = f"{runs.prefix}-d"
    flow = {"image": runs.image, "command": ["true"]}
    for kind, plural, whole in (("Flow", "flows", flow), ("Deployment", "deployments", {"flowRef": name, **spec})):
        body = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": whole}
        runs.kube.create(runs.path(plural), body)
    return name


def test_a_deployment_keeps_as_many_as_it_says(runs: Runs) -> None:
    """The older run goes, and its Job with it; the Deployment goes on telling of its last success. A kept one is sent away."""
    deployment = apply_deployment(runs, history={"succeeded": 1})
    try:
        first = runs.ended(runs.create({"deploymentRef": deployment}))
        second = runs.ended(runs.create({"deploymentRef": deployment}))
        assert {state(run)["type"] for run in (first, second)} == {"COMPLETED"}
        runs.gone(runs.path("flowruns", first["metadata"]["name"]))
        runs.gone(runs.path("jobs", first["status"]["job"], group="/apis/batch/v1"))
        assert state(runs.get(second["metadata"]["name"]))["type"] == "COMPLETED"
        assert runs.kube.get(runs.path("deployments", deployment))["status"]["lastSucceeded"]

        sent_away = runs.path("flowruns", second["metadata"]["name"])
        runs.kube.merge(sent_away, {"spec": {"ttlSecondsAfterFinished": 0}})
        runs.gone(sent_away)
    finally:
        for plural in ("deployments", "flows"):
            runs.kube.delete(runs.path(plural, deployment))


def test_a_run_goes_with_what_it_called_once_all_of_that_has_ended(runs: Runs) -> None:
    """Its ttl is over at once; it stays for a child that lives, and takes it along when that has ended."""
    parent = runs.create({"flow": {"image": runs.image, "command": ["sleep", "3"]}, "ttlSecondsAfterFinished": 0})
    uid = runs.get(parent)["metadata"]["uid"]
    child = f"{parent}-child"
    owner = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "name": parent, "uid": uid}
    body: Body = {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "metadata": {"name": child, "ownerReferences": [owner]},
        "spec": {
            "flow": {"image": runs.image, "command": ["true"]},
            "scheduledTime": "2999-01-01T00:00:00Z",
            "parent": {"name": parent, "uid": uid},
            "onParentEnd": "Orphan",
        },
    }
    runs.kube.create(runs.path("flowruns"), body)
    runs.reached(child, StateType.SCHEDULED)
    ended = runs.ended(parent)
    assert state(ended)["type"] == "COMPLETED"

    runs.cancel(child)

    runs.gone(runs.path("flowruns", parent))
    runs.gone(runs.path("flowruns", child))
