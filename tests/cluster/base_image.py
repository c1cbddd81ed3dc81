"""A stand-in for the Dockerfile's base image, made from Debian packages where no image registry is to be had.

It gets the very name that the Dockerfile asks for, in the cache's own image store only: the Dockerfile stays an ordinary
one, and nothing else on the machine sees the stand-in.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.output import step
from tests.cluster.settings import REPOSITORY
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cluster.settings import Instance

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
NEEDLESS = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
)
DOCKERFILE = f"""\
FROM scratch
COPY . /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
LABEL towpath.dev/stand-in="{hashlib.sha256(f"{SUITE}{PACKAGES}{NEEDLESS}".encode()).hexdigest()[:12]}"
"""


def reference() -> str:
    """Return the name of the base image that the project's Dockerfile asks for."""
    found = re.search(r"^ARG BASE=(\S+)", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    assert found, "the Dockerfile has no ARG BASE"
    return found[1]


def ensure(buildah: Sequence[str], instance: Instance) -> None:
    """Make the stand-in when the image store does not have it."""
    label = DOCKERFILE.rpartition('stand-in="')[2].strip().rstrip('"')
    shown = run([*buildah, "images", "--quiet", "--filter", f"label=towpath.dev/stand-in={label}"], check=False)
    if shown.stdout.strip():
        return
    instance.cache.mkdir(parents=True, exist_ok=True)
    for left in instance.cache.glob("base-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=instance.cache, prefix="base-") as folder:
        root = Path(folder) / "root"
        with step(f"making a base image from Debian {SUITE} (once; 1 to 3 minutes)", lambda: _last_line(Path(folder))):
            log = Path(folder) / "debootstrap.log"
            alone = ["unshare", "--mount", "--propagation", "private"]  # it mounts, and may be interrupted
            run([*alone, "debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root], log=log)
            for path in NEEDLESS:
                shutil.rmtree(root / path, ignore_errors=True)
            (Path(folder) / "Dockerfile").write_text(DOCKERFILE)
            file = str(Path(folder) / "Dockerfile")
            run([*buildah, "build", "--isolation=chroot", "--file", file, "--tag", reference(), root])


def _last_line(folder: Path) -> str:
    log = folder / "debootstrap.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1].removeprefix("I: ") if lines else "starting"
