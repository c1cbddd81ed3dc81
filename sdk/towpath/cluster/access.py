"""How to reach an API server and who asks: what a pod's credentials or a kubeconfig come down to."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from towpath.errors import ConfigurationError
from towpath.names import CREDENTIALS_DIR

#: Where the pod's own service account is mounted unless the pod opts out; a run's pod has `CREDENTIALS_DIR` instead.
SERVICE_ACCOUNT_DIR: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


class Tokens(Protocol):
    """Where the bearer token of each request comes from."""

    def current(self) -> str:
        """Give the token to send now; empty for none."""
        ...

    def renew(self) -> bool:
        """Get another token after the server refused the current one; False if there is no other."""
        ...


@dataclass(frozen=True, slots=True)
class FixedToken:
    """A token that never changes."""

    token: str = ""

    def current(self) -> str:
        """Give the token."""
        return self.token

    def renew(self) -> bool:
        """There is no other."""
        return False

    def __repr__(self) -> str:  # never the token itself: objects end up in logs and tracebacks
        return "FixedToken(…)"


@dataclass(frozen=True, slots=True)
class FileToken:
    """A token that the kubelet writes anew before it expires; read for each request, as there are few."""

    path: Path

    def current(self) -> str:
        """Read the token."""
        try:
            return self.path.read_text().strip()
        except OSError as error:
            raise ConfigurationError(f"The API token {str(self.path)!r} cannot be read: {error.strerror}.") from error

    def renew(self) -> bool:
        """The file is read each time anyway."""
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """Everything needed to open connections to an API server."""

    server: str
    namespace: str
    tokens: Tokens
    tls: ssl.SSLContext | None = None  # None: plain HTTP
    server_name: str | None = None  # name to verify the certificate against, if it is not the server's address
    proxy: str | None = None
    environment_proxies: bool = False  # whether HTTPS_PROXY and the like count; never for an address inside the cluster


def in_pod(environment: Mapping[str, str], namespace: str | None = None) -> Access | None:
    """Give the access that this process's pod has; None if it runs in no pod, or in one without credentials.

    Args:
        environment: the process's environment.
        namespace: overrides the pod's own.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    folder = next((f for f in map(Path, (CREDENTIALS_DIR, SERVICE_ACCOUNT_DIR)) if (f / "token").exists()), None)
    if not host or folder is None:
        return None
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=namespace or (folder / "namespace").read_text().strip(),
        tokens=FileToken(folder / "token"),
        tls=ssl.create_default_context(cafile=os.fspath(folder / "ca.crt")),
    )
