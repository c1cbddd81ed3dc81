"""Image archives, written without an image builder.

The two images that every node needs, the pod sandbox and CoreDNS, are a single static program each: a ``docker save``
archive of one layer, and no registry has to be asked. And several images from a builder become one OCI archive that holds
the layers they share once.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

SHA256_DIGITS = 64
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
            _add(archive, name, content)


def write_oci(target: Path, images: Mapping[str, Path], without: AbstractSet[str] = frozenset()) -> None:
    """Write images (name → folder in the format of skopeo's ``dir:``) as one OCI archive.

    Blobs whose SHA-256 is in ``without`` are left out: the reader has them.
    """
    manifests = []
    written = set(without)
    with tarfile.open(target, "w") as archive:
        for reference, folder in images.items():
            manifest = (folder / "manifest.json").read_bytes()
            digest = hashlib.sha256(manifest).hexdigest()
            manifests.append(
                {
                    "mediaType": json.loads(manifest)["mediaType"],
                    "digest": f"sha256:{digest}",
                    "size": len(manifest),
                    "annotations": {
                        "io.containerd.image.name": reference,
                        "org.opencontainers.image.ref.name": reference,
                    },
                },
            )
            _add(archive, f"blobs/sha256/{digest}", manifest)
            for blob in folder.iterdir():
                if len(blob.name) == SHA256_DIGITS and blob.name not in written:
                    written.add(blob.name)
                    archive.add(blob, f"blobs/sha256/{blob.name}")
        _add(archive, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
