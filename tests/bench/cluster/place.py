"""A cluster of the benchmark's own, with nodes that only pretend to run pods; gone when the benchmark ends.

Fake nodes are kwok's: their pods run and end by the word of an annotation, and cost the machine next to nothing, so that
two cores are enough for thousands of runs. Everything but the kubelet is real.
"""

from __future__ import annotations

import os
import shutil
import ssl
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.cluster.samples import Samples
from tests.cluster import components, settings, tools
from tests.cluster.api import Cluster
from tests.cluster.built import BuiltCluster
from tests.cluster.output import step
from tests.cluster.settings import ClusterUnavailable

ROOT: Final = Path(__file__).resolve().parents[3]
FAKE: Final = "bench.towpath.dev/fake-node"
#: Annotation of a pod: how long it runs before it succeeds, such as "1s"; without it, it runs until it is deleted.
RUNS_FOR: Final = "bench.towpath.dev/runs-for"
STOCK: Final = ""
#: Three times what stock flags allow: less than two cores can do, so that it is still the Job controller that limits.
FASTER: Final = "--kube-api-qps=60 --kube-api-burst=90"
TUNED: Final = components.TUNED_CONTROLLER_MANAGER
_NODES: Final = 4
_STAGES: Final = Path(__file__).with_name("stages.yaml")
_READY_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Place:
    """The cluster, and what is measured of its parts."""

    cluster: Cluster
    provider: BuiltCluster

    def set_controller_manager(self, flags: str) -> None:
        """See that the controller-manager runs with these flags."""
        if os.environ[components.CONTROLLER_MANAGER_FLAGS] == flags:
            return
        os.environ[components.CONTROLLER_MANAGER_FLAGS] = flags
        self.provider.restart("controller-manager")

    def cpu_seconds(self) -> Mapping[str, float]:
        """Give the CPU time that each part of the control plane has taken, by name."""
        taken = {}
        for component in components.COMPONENTS:
            if process := self.provider.node.component(component.program):
                taken[component.name] = cpu_seconds(process.pid)
        return taken

    def etcd_bytes(self) -> float:
        """Give the bytes that etcd uses for what it keeps, older revisions that were not compacted yet included."""
        with urllib.request.urlopen(f"http://{self.provider.addresses.node}:2381/metrics", timeout=10) as answer:
            return Samples(answer.read().decode()).sum("etcd_mvcc_db_total_size_in_use_in_bytes")

    def controller_manager(self) -> Samples:
        """Give the metrics of the controller-manager, its Job controller's among them."""
        address = self.provider.addresses.node
        url = f"https://{address}:10257/metrics"
        pki = self.provider.instance.state / "etc" / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            return Samples(answer.read().decode())


@contextmanager
def place(*, keep: bool = False) -> Iterator[Place]:
    """Make the cluster, and take it away again.

    Args:
        keep: use the one that an earlier run has kept, and leave it; for work on the benchmark itself.

    Raises:
        ClusterUnavailable: this is not Linux, or we are not root.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise ClusterUnavailable("the benchmark builds a cluster of its own, which takes root on Linux")
    name = f"{settings.default_name(settings.REPOSITORY)}-bench"
    provider = BuiltCluster(settings.instance({**os.environ, "TOWPATH_CLUSTER_NAME": name}))
    if not keep:
        _remove(provider)  # what a run that was killed has left
    os.environ[components.CONTROLLER_MANAGER_FLAGS] = TUNED
    try:
        provider.up()
        cluster = Cluster(provider, tools.clients(provider.instance, built=True))
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
        cluster.kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"), "--timeout=60s")
        _fake_nodes(provider, cluster)
        yield Place(cluster, provider)
    finally:
        if not keep:
            _remove(provider)


def _remove(provider: BuiltCluster) -> None:
    provider.down()
    shutil.rmtree(provider.instance.work, ignore_errors=True)


def _fake_nodes(provider: BuiltCluster, cluster: Cluster) -> None:
    program = tools.kwok(provider.instance)
    with step("fake nodes"):
        if not provider.node.component("kwok"):
            command = [str(program), f"--kubeconfig={provider.kubeconfig}", f"--config={_STAGES}"]
            managed = [f"--manage-nodes-with-label-selector={FAKE}=true", "--node-lease-duration-seconds=200"]
            # inside the node, so that whatever ends the cluster ends it too
            provider.node.spawn("kwok", [*command, *managed], {"PATH": os.environ["PATH"], "HOME": "/root"})
        cluster.apply(*[_node(f"fake-{i}") for i in range(1, _NODES + 1)])
        cluster.kubectl("wait", "node", "-l", FAKE, "--for=condition=Ready", f"--timeout={_READY_SECONDS}s")


def _node(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {FAKE: "true"}},
        "spec": {"taints": [{"key": FAKE, "value": "true", "effect": "NoSchedule"}]},
    }


def pod_template(runs_for: str | None) -> dict[str, Any]:
    """Build the part of a pod's template that takes it to the fake nodes.

    Args:
        runs_for: how long it runs, such as "1s"; None: until it is deleted.
    """
    metadata: dict[str, Any] = {"annotations": {RUNS_FOR: runs_for}} if runs_for else {}
    spec = {"nodeSelector": {FAKE: "true"}, "tolerations": [{"key": FAKE, "operator": "Exists"}]}
    return {"metadata": metadata, "spec": spec} if metadata else {"spec": spec}


def cpu_seconds(pid: int) -> float:
    """Give the CPU time that a process has taken, its ended children left out."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Give the memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024


def busy_seconds() -> float:
    """Give the CPU time that all processes of the machine have taken since it began."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _waiting, *rest = map(int, fields)
    return (user + nice + system + sum(rest[:3])) / os.sysconf("SC_CLK_TCK")
