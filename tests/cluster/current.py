"""The user's own cluster: used as it is, and nothing is created, ended or loaded in its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.cluster.output import say
from tests.cluster.settings import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cluster.settings import Instance


class CurrentCluster:
    """A cluster that somebody named."""

    kind = "your own cluster"

    def __init__(self, instance: Instance, kubeconfig: str) -> None:
        """Take the kubeconfig's path as the user wrote it."""
        self.instance = instance
        self.kubeconfig = Path(kubeconfig).expanduser()

    @property
    def running(self) -> bool:
        """Tell whether the file is there; the cluster's health is its owner's matter."""
        return self.kubeconfig.exists()

    def up(self) -> None:
        """Check that the file is there."""
        if not self.running:
            raise ClusterError(f"there is no kubeconfig at {self.kubeconfig}")
        say(f"using the cluster of {self.kubeconfig}")

    def down(self) -> None:
        """Leave the cluster alone."""
        say(f"the cluster of {self.kubeconfig} is yours and stays")

    def status(self) -> list[tuple[str, str, str]]:
        """Return nothing: its components are not ours to know."""
        return []

    def restart(self, component: str) -> None:
        """Refuse."""
        self._refuse(f"restart {component}")

    def kill(self, component: str) -> None:
        """Refuse."""
        self._refuse(f"kill {component}")

    def node_command(self, command: Sequence[str]) -> list[str]:
        """Refuse."""
        self._refuse(f"run {command[0]!r} on a node")

    def images(self) -> set[str]:
        """Refuse."""
        self._refuse("look at a node's images")

    def blobs(self) -> set[str]:
        """Return nothing: archives are always whole."""
        return set()

    def load_image(self, tar: Path) -> None:
        """Refuse."""
        self._refuse(f"load {tar.name} into a node; push images to a registry that it pulls from")

    def _refuse(self, what: str) -> NoReturn:
        raise ClusterError(f"the cluster of {self.kubeconfig} is your own, so this does not {what}")
