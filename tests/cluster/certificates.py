"""The cluster's own certificate authority, and what it signs.

Clients verify here as they do anywhere else, so a client that forgets the authority fails here first. OpenSSL's command
does the work, as the standard library cannot sign.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster.shell import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.addresses import Addresses

DAYS = "3650"

_CONFIG = """\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth,serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate speaks for."""

    file: str
    name: str
    group: str | None = None
    hosts: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The subject in OpenSSL's notation, where a slash in a value is escaped."""
        return (f"/O={self.group}" if self.group else "") + f"/CN={self.name}"


def identities(addresses: Addresses, node: str) -> list[Identity]:
    """Return all who need a certificate; user and group names are those that Kubernetes' default RBAC roles expect."""
    service = ["kubernetes", "default", "svc", "cluster", "local"]
    api_names = tuple(f"DNS:{'.'.join(service[:length])}" for length in (1, 2, 3, 5))
    here = ("DNS:localhost", f"DNS:{node}", "IP:127.0.0.1", f"IP:{addresses.node}")
    return [
        Identity("apiserver", "kube-apiserver", hosts=(*here, *api_names, f"IP:{addresses.api}")),
        Identity("node", f"system:node:{node}", "system:nodes", here),
        Identity("admin", "cluster-admin", "system:masters"),
        Identity("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        Identity("front-proxy-client", "front-proxy-client"),
        Identity("controller-manager", "system:kube-controller-manager"),
        Identity("scheduler", "system:kube-scheduler"),
        Identity("kube-proxy", "system:kube-proxy"),
    ]


def write(folder: Path, addresses: Addresses, node: str) -> None:
    """Write the authority, all certificates with their keys, and the key that signs service account tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    config = folder / "openssl.cnf"
    config.write_text(_CONFIG)
    common: list[str | Path] = ["openssl", "req", "-x509", "-config", config, "-nodes", "-days", DAYS]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    authority: list[str | Path] = [
        "-keyout",
        folder / "ca.key",
        "-out",
        folder / "ca.crt",
        "-subj",
        "/CN=towpath-cluster",
    ]
    run([*common, *key, "-extensions", "authority", *authority])
    run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", folder / "sa.key"])
    run(["openssl", "pkey", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"])

    def sign(who: Identity) -> None:
        signed: list[str | Path] = [
            "-CA",
            folder / "ca.crt",
            "-CAkey",
            folder / "ca.key",
            "-extensions",
            "leaf",
            "-subj",
            who.subject,
        ]
        hosts = ["-addext", f"subjectAltName={','.join(who.hosts)}"] if who.hosts else []
        files: list[str | Path] = ["-keyout", folder / f"{who.file}.key", "-out", folder / f"{who.file}.crt"]
        run([*common, *key, *signed, *hosts, *files])

    with ThreadPoolExecutor() as pool:
        list(pool.map(sign, identities(addresses, node)))
