"""Images without an image builder: one static program becomes a ``docker save`` archive.

The two images that every node needs, the pod sandbox and CoreDNS, are a single file each; no registry has to be asked.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_DATE = "1970-01-01T00:00:00Z"


def write_image(target: Path, reference: str, program: Path, entrypoint: list[str], user: str = "65532") -> None:
    """Write an image that holds ``program`` at ``/<its name>`` and starts ``entrypoint``."""
    layer_bytes = io.BytesIO()
    with tarfile.open(fileobj=layer_bytes, mode="w") as layer:
        entry = tarfile.TarInfo(program.name)
        entry.mode = 0o755
        data = program.read_bytes()
        entry.size = len(data)
        layer.addfile(entry, io.BytesIO(data))
    layer_tar = layer_bytes.getvalue()
    config = json.dumps(
        {
            "architecture": _architecture(),
            "os": "linux",
            "created": _DATE,
            "config": {"Entrypoint": entrypoint, "User": user, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer_tar).hexdigest()}"]},
            "history": [{"created": _DATE, "created_by": program.name}],
        },
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(target, "w") as archive:
        for name, content in (("layer.tar", layer_tar), ("config.json", config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
