"""Disks that are full, or that nobody may write to, for the administrator neither: in a mount namespace of a process's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_NAMESPACE = ["unshare", "--map-root-user", "--mount"]
#: Exit code of a shell that could not mount what it was to.
_NO_MOUNT = 77


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
    if shutil.which(_NAMESPACE[0]) is None:
        pytest.skip("There is no command that makes a mount namespace.")
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
    shell = f'{{ {mount}; }} || exit {_NO_MOUNT}; printf "mounted\\n"; exec "$0" -c "$1"'
    command = [*_NAMESPACE, "sh", "-c", shell, sys.executable, code]
    done = subprocess.run(command, check=False, env=environment, cwd="/", text=True, capture_output=True, timeout=250)
    mounted, _, out = done.stdout.partition("\n")
    if mounted != "mounted":
        pytest.skip(f"Nothing can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return out, done.stderr
