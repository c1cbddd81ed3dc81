"""The operator is upgraded while runs are at work: its pods are replaced, one by one, as `helm upgrade` has it done."""

from __future__ import annotations

import secrets
import time

import pytest
from tests.e2e.operators import COMPONENT
from tests.e2e.runs import Runs, state
from tests.installation import SYSTEM
from tests.kube import Body, Kube

from towpath.states import StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

DEPLOYMENTS = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments"


def is_rolled_out(deployment: Body) -> bool:
    """Tell whether all pods are of the new template, and ready, and none of the old one is left."""
    status = deployment["status"]
    counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
    return status["observedGeneration"] == deployment["metadata"]["generation"] and counts == {
        deployment["spec"]["replicas"]
    }


def test_an_upgrade_with_runs_in_flight(runs: Runs, kube: Kube) -> None:
    """A run at work, one that is made meanwhile, and one made right afterwards: each completes in one attempt, with one Job."""
    (deployment,) = kube.items(DEPLOYMENTS, labelSelector=COMPONENT)
    path = f"{DEPLOYMENTS}/{deployment['metadata']['name']}"
    names = [runs.start("nap", {"seconds": 5})]
    runs.reached(names[0], StateType.RUNNING)

    template = {"metadata": {"annotations": {"example.com/upgraded": secrets.token_hex(4)}}}
    kube.merge(path, {"spec": {"template": template}})
    names.append(runs.create({"flow": {"image": runs.image, "command": ["true"]}}))
    deadline = time.monotonic() + 120
    while not is_rolled_out(deployment := kube.get(path)):
        assert time.monotonic() < deadline, deployment["status"]
        time.sleep(0.2)
    names.append(runs.create({"flow": {"image": runs.image, "command": ["true"]}}))

    for name in names:
        assert state(runs.ended(name))["type"] == "COMPLETED"
        assert runs.get(name)["status"]["attempt"] == 1
        assert len(runs.jobs(name)) == 1
