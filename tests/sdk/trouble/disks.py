"""Disks that are full, or that nobody may write to, for the administrator neither: in a mount namespace of a process's own."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from tests.sdk.history.notebook import finish

_NAMESPACE = ["unshare", "--map-root-user", "--mount"]


@cache
def _can_mount() -> bool:
    try:
        return subprocess.run([*_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode == 0
    except FileNotFoundError:
        return False


def on_small_disk(code: str, at: Path, size_kib: int, files: int = 10_000) -> tuple[str, str]:
    """Run a script with an empty disk at a folder; gives what it wrote to stdout and stderr.

    Args:
        code: of the script.
        at: the folder; it is the script's home.
        size_kib: of the disk.
        files: how many files and folders it has room for.
    """
    return _run(f'mount -t tmpfs -o size={size_kib}k,nr_inodes={files} none "{at}"', code, at)


def on_read_only_disk(code: str, at: Path) -> tuple[str, str]:
    """Run a script with a folder, and what is in it, as it is on a read-only disk."""
    return _run(f'mount --bind "{at}" "{at}" && mount -o remount,ro,bind "{at}"', code, at)


def _run(mount: str, code: str, home: Path) -> tuple[str, str]:
    if not _can_mount():
        pytest.skip("No mount namespace can be had here.")
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
    command = [*_NAMESPACE, "sh", "-c", f'{mount} && exec "$0" -c "$1"', sys.executable, code]
    return finish(
        subprocess.Popen(command, env=environment, cwd="/", text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    )
