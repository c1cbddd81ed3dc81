"""The operator of this checkout as a process beside the cluster, and what it takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.bench.cluster.place import Place, cpu_seconds, resident_bytes
from tests.bench.cluster.samples import Samples
from tests.cluster.settings import ClusterError

#: Who the operator is to the API server.
SERVICE_ACCOUNT: Final = "system:serviceaccount:bench-system:towpath-operator"
_START_SECONDS: Final = 120
_STOP_SECONDS: Final = 30


class Operator:
    """A process of the operator.

    Args:
        place: the cluster.
        settings: TOWPATH_OPERATOR_ variables, by the rest of their names.
    """

    def __init__(self, place: Place, **settings: object) -> None:
        self._log = place.provider.instance.logs / "operator.log"
        self._environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TOWPATH_")},
            "KUBECONFIG": str(_kubeconfig(place)),
            "TOWPATH_OPERATOR_LISTEN_PORT": "0",
            **{f"TOWPATH_OPERATOR_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._port = ""

    def start(self) -> float:
        """Start it, wait until it says that it is ready, and give the seconds that this took."""
        began = time.monotonic()
        with self._log.open("wb") as log:
            # setpriv: should the benchmark be killed, the kernel kills the operator
            command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "towpath_operator"]
            self._process = subprocess.Popen(command, env=self._environ, stdout=log, stderr=log)
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > began + _START_SECONDS:
                said = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise ClusterError(f"the operator did not become ready:\n{said}")
            time.sleep(0.05)
        return time.monotonic() - began

    def stop(self) -> None:
        """End it, as Kubernetes would."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process, self._port = None, ""

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Give the CPU time that it has taken since it began."""
        return cpu_seconds(self.pid)

    def resident_bytes(self) -> int:
        """Give the memory that it holds."""
        return resident_bytes(self.pid)

    def samples(self) -> Samples:
        """Give its metrics."""
        return Samples(self._get("metrics"))

    def _is_ready(self) -> bool:
        if not self._port:
            found = re.search(r"Listening on port (\d+)", self._log.read_text(encoding="utf-8", errors="replace"))
            self._port = found[1] if found else ""
        try:
            return bool(self._port and self._get("readyz"))
        except (urllib.error.URLError, OSError):
            return False

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=30) as answer:
            return str(answer.read().decode())


@contextmanager
def operating(place: Place, **settings: object) -> Iterator[Operator]:
    """Run an operator for a while."""
    operator = Operator(place, **settings)
    try:
        operator.start()
        yield operator
    finally:
        operator.stop()


def _kubeconfig(place: Place) -> Path:
    """Write a kubeconfig with a user of the operator's own, by which the audit log tells its writes from ours."""
    namespace, name = SERVICE_ACCOUNT.split(":")[2:]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    place.cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"bench-{name}"},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
    )
    token = place.cluster.kubectl("-n", namespace, "create", "token", name, "--duration=24h").strip()
    config = json.loads(place.cluster.kubeconfig.read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": token}
    path = place.provider.instance.work / "operator.kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    path.chmod(0o600)
    return path
