"""A cluster by kind or k3d, where a Docker engine answers: what most people have on their desks."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.cluster.locks import locked
from tests.cluster.output import say, step
from tests.cluster.settings import ClusterError
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cluster.settings import Instance

ANSWER_SECONDS = 5.0


def engine_program() -> str | None:
    """Return ``kind`` or ``k3d`` when it is installed and a Docker engine answers."""
    program = next((name for name in ("kind", "k3d") if shutil.which(name)), None)
    if not program or not shutil.which("docker"):
        return None
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode else program


class EngineCluster:
    """One cluster of kind or k3d; its node is a container."""

    def __init__(self, instance: Instance, program: str) -> None:
        """Name the program; nothing is started."""
        self.instance = instance
        self.kubeconfig = instance.kubeconfig
        self.kind = program

    @property
    def _node(self) -> str:
        name = self.instance.name
        return f"{name}-control-plane" if self.kind == "kind" else f"k3d-{name}-server-0"

    @property
    def running(self) -> bool:
        """Tell whether the node's container runs."""
        shown = run(["docker", "inspect", "--format", "{{.State.Running}}", self._node], check=False)
        return shown.stdout.strip() == "true" and self.kubeconfig.exists()

    def up(self) -> None:
        """Create the cluster when its node is not running, and wait for the node and cluster DNS."""
        name, file = self.instance.name, str(self.kubeconfig)
        self.instance.logs.mkdir(parents=True, exist_ok=True)
        with locked(self.instance.work / "lock"):
            if not self.running:
                with step(f"{self.kind}: creating cluster {name}", lambda: "still going on"):
                    self._delete()
                    if self.kind == "kind":
                        run(["kind", "create", "cluster", "--name", name, "--kubeconfig", file, "--wait", "180s"])
                    else:
                        create = ["k3d", "cluster", "create", name, "--wait", "--timeout", "180s"]
                        run([*create, "--kubeconfig-update-default=false", "--k3s-arg", "--disable=traefik@server:0"])
                        self.kubeconfig.write_text(run(["k3d", "kubeconfig", "get", name]).stdout)
                        self.kubeconfig.chmod(0o600)
            base = ["kubectl", "--kubeconfig", file]
            run([*base, "wait", "--for=condition=Ready", "node", "--all", "--timeout=120s"])
            run([*base, "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s"])
            run([*base, "wait", "--for=create", "-n", "default", "serviceaccount/default", "--timeout=60s"])

    def down(self) -> None:
        """Delete the cluster."""
        self._delete()
        self.kubeconfig.unlink(missing_ok=True)
        say(f"cluster {self.instance.name} is gone")

    def _delete(self) -> None:
        if self.kind == "kind":
            run(
                ["kind", "delete", "cluster", "--name", self.instance.name, "--kubeconfig", self.kubeconfig],
                check=False,
            )
        else:
            run(["k3d", "cluster", "delete", self.instance.name], check=False)

    def status(self) -> list[tuple[str, str, str]]:
        """Return the node's container."""
        return [(self._node, "-", "ok" if self.running else "down")]

    def restart(self, component: str) -> None:
        """End a component; the node's own kubelet and init bring it back."""
        self.kill(component)

    def kill(self, component: str) -> None:
        """End a component in the node's container; its supervisor starts it again."""
        program = (
            component
            if component in {"etcd", "kubelet", "containerd", "kube-proxy", "coredns"}
            else f"kube-{component}"
        )
        if self.kind == "k3d" and component != "coredns":
            raise ClusterError("k3s is one process, so its components cannot be ended one by one")
        run(["docker", "exec", self._node, "pkill", "-9", "-x", program[:15]], check=False)

    def node_command(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs ``command`` in the node's container."""
        return ["docker", "exec", "-i", self._node, *command]

    def images(self) -> set[str]:
        """Return the names of all images on the node."""
        return set(run(["docker", "exec", self._node, "ctr", "-n", "k8s.io", "images", "list", "-q"]).stdout.split())

    def blobs(self) -> set[str]:
        """Return nothing: archives are always whole."""
        return set()

    def load_image(self, tar: Path) -> None:
        """Put the images of an archive on the node."""
        name = self.instance.name
        if self.kind == "kind":
            run(["kind", "load", "image-archive", tar, "--name", name])
        else:
            run(["k3d", "image", "import", tar, "--cluster", name])
