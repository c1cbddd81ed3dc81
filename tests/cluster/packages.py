"""Debian packages: only the missing ones, only as root, and saying so."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.locks import locked
from tests.cluster.output import say, step
from tests.cluster.settings import ClusterError
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A file that the package brings, to tell without asking dpkg whether it is there.
NODE_PACKAGES = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iptables": "/usr/sbin/iptables",
    "iproute2": "/usr/sbin/ip",
    "conntrack": "/usr/sbin/conntrack",
    "socat": "/usr/bin/socat",  # kubectl port-forward
    "catatonit": "/usr/bin/catatonit",
    "openssl": "/usr/bin/openssl",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
}
CATATONIT = Path(NODE_PACKAGES["catatonit"])
IMAGE_PACKAGES = {"buildah": "/usr/bin/buildah", "debootstrap": "/usr/sbin/debootstrap"}
POLICY = Path("/usr/sbin/policy-rc.d")  # what Debian's package scripts ask before they start a service
TOOL_PACKAGES = {"prometheus": "/usr/bin/prometheus"}


def ensure(packages: Mapping[str, str], machine_state: Path) -> None:
    """Install those of ``packages`` (name → a file it brings) that are missing; raise ClusterError if that cannot be."""
    if not _missing(packages):
        return
    with locked(machine_state / "apt.lock"):
        missing = _missing(packages)
        if not missing:
            return
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            message = (
                f"these Debian packages are missing and only root can install them by apt-get: {' '.join(missing)}"
            )
            raise ClusterError(message)
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        with step(f"installing Debian packages {' '.join(missing)}", lambda: "apt-get"), _no_services():
            run(["apt-get", "update"], env=quiet)
            run(["apt-get", "install", "--yes", "--no-install-recommends", *missing], env=quiet)
        still = _missing(packages)
        if still:
            say(f"apt-get ran, yet these bring no file where it was expected: {' '.join(still)}")


@contextmanager
def _no_services() -> Iterator[None]:
    """Let no package start its service: only the programs are wanted."""
    if POLICY.exists():  # the machine's owner has a rule already
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _missing(packages: Mapping[str, str]) -> list[str]:
    return [name for name, file in packages.items() if not os.path.exists(file)]  # noqa: PTH110
