"""Which instance this is and where its things live.

Everything that two clones on one machine could fight over (folders, addresses, device names, cgroups) is derived from one
instance name, and the name from the clone's own path, so that nobody has to think of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = Path(__file__).resolve().parents[2]
MACHINE_STATE = Path("/var/lib/towpath-cluster")
NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?")


class ClusterError(Exception):
    """Something a person can act on; the command line prints it without a traceback."""


class ClusterUnavailable(ClusterError):
    """No cluster can be had on this machine: cluster tests skip, or fail where CI says so."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One named cluster of one clone, and its folders."""

    name: str
    repository: Path
    machine_state: Path
    cache: Path  # shared by all clones of this user

    @property
    def work(self) -> Path:
        """What people look at: kubeconfig, logs, audit log."""
        return self.repository / ".cluster" / self.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.work / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One file per component."""
        return self.work / "logs"

    @property
    def state(self) -> Path:
        """The node's own disk; kept out of the clone because paths of unix sockets must be short."""
        return self.machine_state / self.name


def instance(environ: Mapping[str, str] = os.environ, repository: Path = REPOSITORY) -> Instance:
    """Return the instance that the environment and the clone's place stand for."""
    name = environ.get("TOWPATH_CLUSTER_NAME") or default_name(repository)
    if not NAME_PATTERN.fullmatch(name):
        raise ClusterError(
            f"TOWPATH_CLUSTER_NAME is {name!r}; use at most 24 lower-case letters, digits and inner dashes."
        )
    cache_home = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Instance(name, repository, MACHINE_STATE, cache_home / "towpath" / "cluster")


def default_name(repository: Path) -> str:
    """Return a name that two clones do not share: ``towpath-`` and a short hash of the clone's path."""
    return f"towpath-{hashlib.sha256(str(repository).encode()).hexdigest()[:6]}"


def in_ci(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a missing cluster is a failure here."""
    return environ.get("CI", "").lower() in {"1", "true", "yes"}
