"""A node that is switched off and on while a run is at work on it, on a real cluster: that is no fault of the flow."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster import cgroups, processes
from tests.cluster.api import Cluster
from tests.cluster.built import BuiltCluster
from tests.e2e.operators import OperatorProcess, jobs_created
from tests.e2e.runs import Runs, state
from tests.installation import ROOT
from tests.kube import Kube

from towpath.states import StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture
def runs(breakable: Cluster, breakable_kube: Kube, flows: str, tmp_path: Path) -> Iterator[Runs]:
    """Runs in a namespace of their own, with an operator of this checkout."""
    namespace = f"node-{secrets.token_hex(3)}"
    breakable.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    breakable.kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"), "--timeout=60s")
    breakable_kube.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    operator = OperatorProcess(breakable.kubeconfig, tmp_path / "operator.log", TOWPATH_OPERATOR_NAMESPACES=namespace)
    operator.start()
    try:
        yield Runs(breakable_kube, namespace, flows, "node")
    finally:
        operator.stop()
        breakable_kube.delete(f"/api/v1/namespaces/{namespace}")


def test_a_run_outlives_that_its_node_is_switched_off(runs: Runs, breakable: Cluster) -> None:
    """The kubelet invents an exit code for what nobody saw end: NodeLost, and another attempt; not FAILED."""
    script = 'test "$TOWPATH_ATTEMPT" = 2 || sleep 600'
    name = runs.create({"flow": {"image": runs.image, "command": ["sh", "-c", script]}})
    runs.reached(name, StateType.RUNNING)
    assert isinstance(breakable.provider, BuiltCluster)
    switch_off_and_on(breakable.provider)

    run = runs.ended(name)
    assert (state(run)["type"], run["status"]["attempt"]) == ("COMPLETED", 2)
    again = next(entry for entry in run["status"]["history"] if entry["name"] == "AwaitingRetry")
    assert again["reason"] == "NodeLost"
    assert sorted(jobs_created(breakable, name, runs.namespace).values()) == [1, 1]


def switch_off_and_on(provider: BuiltCluster) -> None:
    """Kill the kubelet, the container runtime and all containers, as a power cut does, and start the first two again."""
    first = provider.node.first
    assert first is not None
    inside = [pid for pid in processes.sharing_pid_namespace(first) if _is_of_the_runtime(pid)]
    for component in ("kubelet", "containerd"):
        provider.kill(component)
    for pid in (*inside, *cgroups.processes_in(provider.node.cgroup)):
        if process := processes.find(pid):
            process.send(signal.SIGKILL)
    for component in ("containerd", "kubelet"):
        provider.restart(component)


def _is_of_the_runtime(pid: int) -> bool:
    """Tell whether a process stands between the container runtime and a container, and would tell how that ended."""
    return any("containerd-shim" in word for word in processes.command_line(pid)[:1])
