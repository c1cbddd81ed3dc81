"""What tests use: ``cluster()`` gives the clone's cluster, and its methods are kubectl, helm and the node's network."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster import image_builds, project_images, tools
from tests.cluster.built import BuiltCluster
from tests.cluster.provider import Provider, choose
from tests.cluster.settings import ClusterError, ClusterUnavailable
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Cluster", "ClusterError", "ClusterUnavailable", "cluster"]

COMMAND_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that is up."""

    provider: Provider
    bin: Path  # kubectl, helm, prometheus, promtool

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.provider.kubeconfig

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.provider.instance.name

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, a JSON object a line; there is one only on a built cluster."""
        return self.provider.instance.work / "audit.log"

    @property
    def environ(self) -> dict[str, str]:
        """The environment for programs that find the cluster and its tools by themselves."""
        path = f"{self.bin}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:
        """Return what kubectl prints; raise ClusterError with its message when it fails (unless ``check`` is off)."""
        command = [str(self.bin / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        return run(command, stdin=input, check=check, timeout_seconds=COMMAND_SECONDS).stdout

    def get(self, *arguments: str) -> Any:
        """Return ``kubectl get … -o json`` as Python."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects server-side."""
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=manifest)

    def helm(self, *arguments: str, check: bool = True) -> str:
        """Return what helm prints; raise ClusterError with its message when it fails (unless ``check`` is off)."""
        command = [str(self.bin / "helm"), "--kubeconfig", str(self.kubeconfig), *arguments]
        return run(command, check=check, timeout_seconds=COMMAND_SECONDS).stdout

    def exec_node(self, *command: str, check: bool = True) -> str:
        """Return what a command prints that runs in the node's network, from where pods and services are reached."""
        return run(self.provider.node_command(command), check=check, timeout_seconds=COMMAND_SECONDS).stdout

    def popen_node(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command that stays, such as a Prometheus, in the node's network; the caller ends it."""
        return subprocess.Popen(self.provider.node_command(command), **options)

    def restart(self, component: str) -> None:
        """End a component as a crash would, start it again and return when it is healthy."""
        self.provider.restart(component)

    def kill(self, component: str) -> None:
        """End a component as a crash would and leave it down."""
        self.provider.kill(component)

    def images(self, targets: Iterable[str] = project_images.TARGETS, tag: str | None = None) -> str:
        """Build and load the project's images when they are not there yet; return their tag."""
        return project_images.ensure(self.provider, tuple(targets), tag)

    def build_image(
        self, reference: str, dockerfile: Path, context: Path, build_args: Mapping[str, str] | None = None
    ) -> None:
        """Build an image of a test's own and load it."""
        image_builds.build_and_load(self.provider, reference, dockerfile, context, build_args or {})


def cluster(*, start: bool = True) -> Cluster:
    """Return the clone's cluster, made first when it is not up and ``start`` is on.

    Raises ClusterUnavailable when none can be had on this machine (skip then, or fail where CI=true), ClusterError when
    it should be there but something is wrong.
    """
    provider = choose()
    if start:
        provider.up()
    elif not provider.running:
        raise ClusterUnavailable(
            f"cluster {provider.instance.name!r} is not up; start it with: python3 -m tests.cluster up"
        )
    return Cluster(provider, tools.clients(provider.instance, built=isinstance(provider, BuiltCluster)))
