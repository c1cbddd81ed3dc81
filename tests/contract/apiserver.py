"""The real API server that contract tests talk to."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.api import Cluster
from tests.kube import TOWPATH, Kube

CRDS = Path(__file__).resolve().parents[2] / "crds"


@dataclass(frozen=True, slots=True)
class ApiServer:
    """An API server with this checkout's CRDs, and a namespace that is this session's own."""

    cluster: Cluster
    kube: Kube
    namespace: str

    def path(self, plural: str, name: str = "", *, group: str = TOWPATH) -> str:
        """Give the path of a collection in the namespace, or of an object in it."""
        return f"{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")


@contextmanager
def prepared(cluster: Cluster) -> Iterator[ApiServer]:
    """Bring this checkout's CRDs into a cluster and make a namespace there, which is removed afterwards."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    cluster.kubectl("wait", "--for=condition=Established", "-f", str(CRDS))
    kube, namespace = Kube(cluster.kubeconfig), f"towpath-contract-{secrets.token_hex(3)}"
    kube.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    try:
        yield ApiServer(cluster, kube, namespace)
    finally:
        kube.delete(f"/api/v1/namespaces/{namespace}")
        kube.http.close()
