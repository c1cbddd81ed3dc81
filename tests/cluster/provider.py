"""Where the cluster comes from: the ways to have one behind one interface, and the order in which they are tried.

1. The cluster that somebody named: ``TOWPATH_TEST_KUBECONFIG``, or ``CLUSTER=current``. A cluster that nobody named is
   never touched.
2. kind or k3d, when a Docker engine answers.
3. One built on this machine, for root on Linux.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Protocol

from tests.cluster.built import BuiltCluster
from tests.cluster.current import CurrentCluster
from tests.cluster.engine import EngineCluster, engine_program
from tests.cluster.settings import ClusterUnavailable, Instance, instance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Provider(Protocol):
    """One way to have a cluster. Every method may be called again after an interruption anywhere."""

    @property
    def kind(self) -> str:
        """Say in a few words which way it is."""
        ...

    @property
    def instance(self) -> Instance:
        """The instance that it was made for."""
        ...

    @property
    def running(self) -> bool:
        """Tell whether the cluster is there."""
        ...

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; a file only while the cluster is there."""
        ...

    def up(self) -> None:
        """Make the cluster, or mend it, and return when it is usable."""
        ...

    def down(self) -> None:
        """Remove what ``up`` made."""
        ...

    def status(self) -> list[tuple[str, str, str]]:
        """Return rows of component, pid, health."""
        ...

    def restart(self, component: str) -> None:
        """End a component the hard way, start it again and return when it is healthy."""
        ...

    def kill(self, component: str) -> None:
        """End a component the hard way and leave it down."""
        ...

    def node_command(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs ``command`` in the node's network."""
        ...

    def images(self) -> set[str]:
        """Return the names of all images on the node."""
        ...

    def blobs(self) -> set[str]:
        """Return the SHA-256 of parts of images that an archive for the node need not contain."""
        ...

    def load_image(self, tar: Path) -> None:
        """Put the images of a ``docker save`` or OCI archive on the node."""
        ...


def choose(environ: Mapping[str, str] = os.environ) -> Provider:
    """Return the way to use; raise ClusterUnavailable with one line when there is none."""
    here = instance(environ)
    if named := environ.get("TOWPATH_TEST_KUBECONFIG"):
        return CurrentCluster(here, named)
    if environ.get("CLUSTER") == "current":
        return CurrentCluster(here, environ.get("KUBECONFIG") or "~/.kube/config")
    built = BuiltCluster(here)
    if built.running:  # an engine that came later does not change which cluster this clone has
        return built
    if program := engine_program():
        return EngineCluster(here, program)
    if sys.platform == "linux" and os.geteuid() == 0:
        return built
    message = (
        "no cluster can be had here: name one by TOWPATH_TEST_KUBECONFIG, install kind or k3d beside a Docker engine, "
        "or be root on Linux"
    )
    raise ClusterUnavailable(message)
