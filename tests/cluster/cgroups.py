"""The cgroup under which a node keeps its pods, on machines with cgroup v1 and v2 alike.

A cgroup of its own, because a kubelet removes whatever it does not know below its root: two instances would end each
other's pods.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
REMOVE_SECONDS = 10.0


def _unified() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    """Return the one tree of v2, or the tree of each v1 controller."""
    if _unified():
        return [ROOT]
    return [folder for folder in ROOT.iterdir() if folder.is_dir() and not folder.is_symlink()]


def make_cgroup(name: str) -> None:
    """Make the cgroup with all controllers that the machine has."""
    if _unified():
        available = (ROOT / "cgroup.controllers").read_text().split()
        for controller in available:
            with suppress(OSError):  # one that the machine's own manager keeps for itself
                (ROOT / "cgroup.subtree_control").write_text(f"+{controller}")
    for hierarchy in _hierarchies():
        folder = hierarchy / name
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # v1: empty at birth, and then no process may enter
            if (hierarchy / setting).exists():
                (folder / setting).write_text((hierarchy / setting).read_text())


def remove_cgroup(name: str) -> None:
    """Remove the cgroup and all below it; its processes have ended, but the kernel may take a moment to notice."""
    deadline = time.monotonic() + REMOVE_SECONDS
    for hierarchy in _hierarchies():
        top = hierarchy / name
        while top.exists():
            below = sorted((path for path in top.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
            for folder in [*below, top]:
                with suppress(OSError):
                    folder.rmdir()
            if top.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"cgroup {top} still has processes")
                time.sleep(0.05)


def processes_in(name: str) -> dict[int, str]:
    """Return the processes of all containers below a cgroup: by pid, the path of the container's own cgroup."""
    found = {}
    for hierarchy in _hierarchies():
        for folder, _, files in os.walk(hierarchy / name):  # which bears with folders that go while it walks
            with suppress(OSError):  # its container has ended
                if "cgroup.procs" in files:
                    pids = (Path(folder) / "cgroup.procs").read_text().split()
                    found |= dict.fromkeys(map(int, pids), str(Path(folder).relative_to(hierarchy)))
    return found
