"""Certificates for tests, as the chart makes them: signed by themselves, no authority, good for one name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.cluster.settings import in_ci


def make_certificate(folder: Path, *hosts: str, days: int = 2) -> str:
    """Write tls.crt and tls.key; give the certificate as text.

    Args:
        folder: made if it is not there; what is in it is replaced.
        hosts: such as `DNS:localhost` or `IP:127.0.0.1`.
        days: how long it is good for.
    """
    if shutil.which("openssl") is None:
        (pytest.fail if in_ci() else pytest.skip)("openssl is not here, and signs the certificates of these tests")
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / "new"
    fresh.mkdir()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", str(days), "-subj", "/CN=towpath", "-addext", f"subjectAltName={','.join(hosts)}"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", str(fresh / "tls.key"), "-out", str(fresh / "tls.crt")),
        ],
        check=True,
        capture_output=True,
    )
    for name in ("tls.key", "tls.crt"):
        (fresh / name).replace(folder / name)
    fresh.rmdir()
    return (folder / "tls.crt").read_text()
