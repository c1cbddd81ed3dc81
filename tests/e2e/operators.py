"""Operators run from this checkout against the real API server, so that a test can kill and freeze them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
from tests.cluster.api import Cluster
from tests.e2e.runs import NAMESPACE
from tests.installation import SYSTEM
from tests.kube import Kube

COMPONENT = "app.kubernetes.io/component=operator"


class OperatorProcess:
    """One operator process at a time.

    Args:
        kubeconfig: how it reaches the API server.
        log: where it writes to.
        environ: further settings.
    """

    def __init__(self, kubeconfig: Path, log: Path, **environ: str) -> None:
        self.kubeconfig, self.log, self.environ = kubeconfig, log, environ
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it and wait until it has seen everything."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environ = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "TOWPATH_OPERATOR_NAMESPACES": NAMESPACE,
            "TOWPATH_OPERATOR_LISTEN_PORT": str(self.port),
            **self.environ,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "towpath_operator"], env=environ, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/readyz").is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"The operator was not ready within 30 s:\n{self.log.read_text()[-3000:]}")

    def metrics(self) -> str:
        """Read its metrics."""
        return httpx.get(f"http://127.0.0.1:{self.port}/metrics").text

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it, as a lost machine does."""
        self.send(signal.SIGKILL)

    def stop(self) -> None:
        """End it, however it stands."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()


def scale_installed(kube: Kube, replicas: int) -> None:
    """Have so many replicas of the installed operator; none is left, or all are ready, when this returns."""
    path = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments"
    (deployment,) = kube.items(path, labelSelector=COMPONENT)
    scale = f"{path}/{deployment['metadata']['name']}"
    pods = [pod["metadata"]["name"] for pod in kube.items(f"/api/v1/namespaces/{SYSTEM}/pods", labelSelector=COMPONENT)]
    kube.merge(scale, {"spec": {"replicas": replicas}})
    for pod in pods if not replicas else ():
        kube.wait(f"/api/v1/namespaces/{SYSTEM}/pods/{pod}", lambda body: body is None, 60, "its end")
    if replicas:
        kube.wait(
            scale,
            lambda body: bool(body and body["status"].get("readyReplicas") == replicas),
            90,
            f"{replicas} ready replicas",
        )


def jobs_created(cluster: Cluster, run: str, namespace: str = NAMESPACE) -> Counter[str]:
    """Count the Jobs that the API server created for a run over its whole history, by name, from the audit log."""
    created = re.compile(
        rf'"verb":"create".*"resource":"jobs","namespace":"{namespace}","name":"({run}-[^"]*)".*"code":201'
    )
    return Counter(found[1] for line in cluster.audit_log.read_text().splitlines() if (found := created.search(line)))
