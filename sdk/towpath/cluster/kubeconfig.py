"""Reads a kubeconfig as kubectl does: several files merged, the context's cluster and user, files or data in place.

What cannot be used is named together with where it was looked for. Nothing read here is ever logged.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from towpath.cluster.access import Access, FixedToken, Tokens
from towpath.errors import ConfigurationError

_FILES: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_RENEWED_EARLY_SECONDS: Final = 60.0
Section = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """What the files say, merged; paths in it are absolute."""

    source: str
    current_context: str
    contexts: Mapping[str, Section]
    clusters: Mapping[str, Section]
    users: Mapping[str, Section] = field(repr=False)  # they hold secrets


def paths(environment: Mapping[str, str]) -> list[Path]:
    """Give the files that kubectl would read: those in KUBECONFIG, else the one in the home folder."""
    named = [Path(part).expanduser() for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return named or [Path(environment.get("HOME") or Path.home()) / ".kube" / "config"]


def read(files: list[Path]) -> Kubeconfig | None:
    """Read and merge kubeconfig files; of entries with the same name the first wins; None if there is no file."""
    import yaml

    existing = [file for file in files if file.is_file()]
    if not existing:
        return None
    sections: dict[str, dict[str, Section]] = {"contexts": {}, "clusters": {}, "users": {}}
    current = ""
    for file in existing:
        try:
            content = yaml.safe_load(file.read_text()) or {}
            current = current or content.get("current-context") or ""
            for plural, found in sections.items():
                for entry in content.get(plural) or ():
                    found.setdefault(entry["name"], _absolute(entry.get(plural[:-1]) or {}, file.parent))
        except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"The kubeconfig {str(file)!r} cannot be read ({type(error).__name__}): see `kubectl config view`."
            ) from error
    return Kubeconfig(
        os.pathsep.join(map(str, existing)), current, sections["contexts"], sections["clusters"], sections["users"]
    )


def access(config: Kubeconfig, context: str | None = None, namespace: str | None = None) -> Access:
    """Come to terms with a cluster: find the context's server and user, and load certificates and token.

    Args:
        config: made by `read`.
        context: name of the context; the current one if None.
        namespace: overrides the context's own.
    """
    chosen = context or config.current_context
    if not chosen:
        raise ConfigurationError(
            f"The kubeconfig {config.source!r} has no current context: `kubectl config use-context NAME` sets one."
        )
    place = _entry(config, config.contexts, "context", chosen)
    cluster = _entry(config, config.clusters, "cluster", place.get("cluster", ""))
    user = _entry(config, config.users, "user", place.get("user", "")) if place.get("user") else {}
    server = str(cluster.get("server") or "").rstrip("/")
    if not server:
        raise ConfigurationError(
            f"The cluster {place.get('cluster')!r} in the kubeconfig {config.source!r} has no `server`."
        )
    tokens, certificate = _identity(config, place.get("user", ""), user)
    return Access(
        server=server,
        namespace=namespace or place.get("namespace") or "default",
        tokens=tokens,
        tls=_tls(config, cluster, certificate) if server.startswith("https:") else None,
        server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
        environment_proxies=True,
    )


def _absolute(section: Section, folder: Path) -> Section:
    return {key: str(folder / Path(value).expanduser()) if key in _FILES else value for key, value in section.items()}


def _entry(config: Kubeconfig, entries: Mapping[str, Section], kind: str, name: str) -> Section:
    if name not in entries:
        have = ", ".join(map(repr, sorted(entries))) or "none"
        raise ConfigurationError(f"The kubeconfig {config.source!r} has no {kind} {name!r}; it has {have}.")
    return entries[name]


def _identity(config: Kubeconfig, name: str, user: Section) -> tuple[Tokens, bytes | None]:
    """Give the user's tokens, and its client certificate with key (PEM) if it has one."""
    if "exec" in user:
        plugin = ExecTokens(user["exec"])
        plugin.current()  # a plugin may give a certificate, which has to be there before the first connection
        return plugin, plugin.certificate
    for unusable in ("auth-provider", "username"):
        if unusable in user:
            raise ConfigurationError(
                f"The user {name!r} in the kubeconfig {config.source!r} signs in by {unusable!r}, which Kubernetes no"
                " longer knows: use a token, a client certificate or an exec plugin."
            )
    certificate, key = _pem(config, user, "client-certificate"), _pem(config, user, "client-key")
    if (certificate is None) != (key is None):
        raise ConfigurationError(
            f"The user {name!r} in the kubeconfig {config.source!r} has only one of"
            " client-certificate and client-key: it needs both."
        )
    token = user.get("token") or (Path(user["tokenFile"]).read_text().strip() if user.get("tokenFile") else "")
    return FixedToken(token), certificate + b"\n" + key if certificate and key else None


def _pem(config: Kubeconfig, section: Section, key: str) -> bytes | None:
    try:
        if section.get(f"{key}-data"):
            return base64.b64decode(section[f"{key}-data"], validate=True)
        return Path(section[key]).read_bytes() if section.get(key) else None
    except (OSError, binascii.Error) as error:
        where = f"`{key}-data`" if section.get(f"{key}-data") else f"file {section[key]!r}"
        raise ConfigurationError(f"The {where} of the kubeconfig {config.source!r} cannot be read: {error}.") from error


def _tls(config: Kubeconfig, cluster: Section, certificate: bytes | None) -> ssl.SSLContext:
    authority = _pem(config, cluster, "certificate-authority")
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        with (
            tempfile.NamedTemporaryFile() as both
        ):  # readable by its owner only; ssl takes certificates from files alone
            both.write(certificate)
            both.flush()
            context.load_cert_chain(both.name)
    return context


class ExecTokens:
    """Tokens from a credential plugin such as `aws eks get-token`, run when there is none or it is about to expire."""

    def __init__(self, plugin: Section, *, now: Callable[[], float] = time.time) -> None:
        self._plugin = plugin
        self._now = now
        self._token: str | None = None
        self._expires = float("inf")
        self.certificate: bytes | None = None
        """Client certificate and key (PEM), if the plugin gave one."""

    def current(self) -> str:
        """Give the token, from the plugin if need be; empty if the plugin signs in by certificate."""
        if self._token is None or self._now() > self._expires - _RENEWED_EARLY_SECONDS:
            self._run()
        return self._token or ""

    def renew(self) -> bool:
        """Run the plugin again."""
        self._run()
        return True

    def _run(self) -> None:
        command = [str(self._plugin.get("command", "")), *map(str, self._plugin.get("args") or ())]
        info = {"apiVersion": self._plugin.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
        extra = {entry["name"]: entry["value"] for entry in self._plugin.get("env") or ()}
        environment = os.environ | extra | {"KUBERNETES_EXEC_INFO": json.dumps(info)}
        try:
            # The plugin's own words go to the terminal, where it may ask to sign in; its output holds the secret.
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=60, check=True)
            status = json.loads(done.stdout)["status"]
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
            hint = self._plugin.get("installHint") or "try the command by hand."
            kind = type(error).__name__  # not its text, which may hold what the plugin printed
            raise ConfigurationError(
                f"The kubeconfig's credential plugin {command[0]!r} gave no credentials ({kind}): {hint}"
            ) from None
        self._token = status.get("token") or ""
        expires = status.get("expirationTimestamp")
        self._expires = datetime.fromisoformat(expires).timestamp() if expires else float("inf")
        if status.get("clientCertificateData") and status.get("clientKeyData"):
            self.certificate = f"{status['clientCertificateData']}\n{status['clientKeyData']}".encode()
