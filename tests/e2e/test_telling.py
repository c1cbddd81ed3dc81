"""What a run in a cluster tells, and is told: artifacts and events in its log, variables and secrets by reference."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.cluster.api import Cluster
from tests.e2e.runs import Runs, result, state

pytestmark = pytest.mark.cluster

PASSWORD, TOKEN = "s3cr3t-hunter2", "t0k3n"
TEMPLATE = {
    "spec": {
        "containers": [
            {
                "name": "flow",
                "env": [
                    {
                        "name": "TOWPATH_SECRET_TOKEN",
                        "valueFrom": {"secretKeyRef": {"name": "telling", "key": "token"}},
                    }
                ],
                "envFrom": [{"configMapRef": {"name": "some-other", "optional": True}}],
                "volumeMounts": [
                    {"name": "warehouse", "mountPath": "/etc/towpath/secrets/warehouse", "readOnly": True}
                ],
            }
        ],
        "volumes": [{"name": "warehouse", "secret": {"secretName": "telling"}}],
    }
}


@pytest.fixture
def given(runs: Runs) -> Iterator[None]:
    """The namespace's variables, and a Secret."""
    core = "/api/v1"
    variables = {"metadata": {"name": "towpath-variables"}, "data": {"my-batch": "500", "region": "eu-north"}}
    secret = {"metadata": {"name": "telling"}, "stringData": {"password": PASSWORD, "token": TOKEN}}
    runs.kube.create(runs.path("configmaps", group=core), {"apiVersion": "v1", "kind": "ConfigMap", **variables})
    runs.kube.create(runs.path("secrets", group=core), {"apiVersion": "v1", "kind": "Secret", **secret})
    yield
    runs.kube.delete(runs.path("configmaps", "towpath-variables", group=core))
    runs.kube.delete(runs.path("secrets", "telling", group=core))


@pytest.mark.parametrize("in_processes", [False, True], ids=["threads", "processes"])
@pytest.mark.usefixtures("given")
def test_a_run_tells_and_is_told(runs: Runs, cluster: Cluster, in_processes: bool) -> None:
    """It reads variables and secrets without being allowed to ask for them; each artifact and event is a line."""
    run = runs.ended(runs.start("tell", {"in_processes": in_processes}, template=TEMPLATE))
    assert state(run)["type"] == "COMPLETED", state(run)
    assert result(run) == {
        "batch": 500,
        "region": "eu-north",
        "missing": "default",
        "characters": [len(PASSWORD), len(TOKEN)],
        "shown": "********",
    }

    name = run["metadata"]["name"]
    (pod,) = runs.pods(name)
    path = runs.path("pods", pod["metadata"]["name"], group="/api/v1")
    runs.kube.wait(path, lambda seen: seen is not None and seen["status"]["phase"] == "Succeeded", 60, "the pod's end")
    log = cluster.kubectl("logs", "-n", runs.namespace, pod["metadata"]["name"])
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    artifacts = {line["artifact"]["key"]: line for line in lines if "artifact" in line}
    assert {key: line["artifact"]["data"] for key, line in artifacts.items()} == {
        "report": "# All well",
        "part-0": [{"n": 0}],
        "part-1": [{"n": 1}],
    }
    assert artifacts["report"]["run"] == name
    assert artifacts["part-0"]["task_run"].startswith("part-")
    events = [line["event"] for line in lines if "event" in line]
    assert sorted(event["payload"]["n"] for event in events) == [0, 1]

    (job,) = runs.jobs(name)
    for written in (log, json.dumps(job), json.dumps(pod), json.dumps(run)):
        assert PASSWORD not in written
        assert TOKEN not in written


def test_a_run_needs_no_variables(runs: Runs) -> None:
    """A namespace without the ConfigMap runs flows as ever."""
    assert result(runs.ended(runs.start("add", {"x": 1}))) == 2
