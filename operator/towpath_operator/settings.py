"""What can be set from outside: environment variables, read once, checked, and documented in docs/reference."""

from __future__ import annotations

import dataclasses
import difflib
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from towpath.errors import ConfigurationError
from towpath_operator.reconcile.policy import DEFAULT, Policy

PREFIX: Final = "TOWPATH_OPERATOR_"
#: What Kubernetes puts into a pod's environment for a Service whose name begins like our prefix.
_SERVICE_LINK: Final = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT$|_PORT_\d+_")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LEVELS: Final = ("debug", "info", "warning", "error")


def _whole(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not minimum <= number <= maximum:
            raise ValueError
        return number

    parse.__doc__ = f"a whole number from {minimum} to {maximum}"
    return parse


def _name(text: str) -> str:
    """the name of a Kubernetes object: lower-case letters, digits, '-' and '.'"""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", text):
        raise ValueError
    return text


def _lease(text: str) -> str:
    """a namespace and the name of a Lease with '/' between them, or nothing"""
    namespace, slash, name = text.partition("/")
    if text and not (slash and _NAMESPACE.fullmatch(namespace) and _name(name)):
        raise ValueError
    return text


def _line(text: str) -> str:
    """a text without line breaks, of at most 128 characters"""
    if not text.isprintable() or len(text) > 128:
        raise ValueError
    return text


def _namespaces(text: str) -> tuple[str, ...]:
    """names of namespaces with commas between them, or nothing for the whole cluster"""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not all(_NAMESPACE.fullmatch(name) for name in found):
        raise ValueError
    return found


def _hosts(text: str) -> tuple[str, ...]:
    """names of hosts with commas between them, `*.example.com` for all below a name, or nothing for all"""
    found = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    if not all(re.fullmatch(r"(\*\.)?[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", host) for host in found):
        raise ValueError
    return found


def _level(text: str) -> str:
    """one of debug, info, warning, error"""
    if text.lower() not in _LEVELS:
        raise ValueError
    return text.lower()


def _setting(default: Any, parse: Callable[[str], Any], meaning: str) -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings; each is the environment variable TOWPATH_OPERATOR_ plus its name in capitals."""

    namespaces: tuple[str, ...] = _setting(
        (), _namespaces, "Namespaces to work in; the operator needs no rights beyond them. Empty: the whole cluster."
    )
    log_level: str = _setting("info", _level, "Least severe messages to log.")
    listen_port: int = _setting(8080, _whole(0, 65_535), "TCP port of /metrics, /healthz and /readyz.")
    workers: int = _setting(32, _whole(1, 256), "Objects that are worked on at the same time.")
    runner_service_account: str = _setting(
        DEFAULT.service_account, _name, "Service account of runs' pods, unless a template names another."
    )
    job_ttl_seconds: int = _setting(
        DEFAULT.job_ttl_seconds, _whole(0, 31_536_000), "How long a Job stays after its run's end was written."
    )
    run_ttl_seconds: int = _setting(
        DEFAULT.run_ttl_seconds,
        _whole(0, 315_360_000),
        "How long a FlowRun stays after its end, unless it or its Deployment says otherwise. 0: for ever.",
    )
    pending_timeout_seconds: int = _setting(
        DEFAULT.pending_timeout_seconds,
        _whole(1, 31_536_000),
        "How long an attempt may wait for its pod to run, unless a spec says otherwise.",
    )
    infra_retries: int = _setting(
        DEFAULT.infra_retries,
        _whole(0, 100),
        "New attempts after infrastructure failures, unless a spec says otherwise.",
    )
    webhook_hosts: tuple[str, ...] = _setting(
        (), _hosts, "Hosts that automations may send to; `*.example.com` stands for all below a name. Empty: all."
    )
    stale_seconds: int = _setting(150, _whole(80, 3600), "Silence of a watch after which /healthz fails.")
    sweep_seconds: int = _setting(
        300, _whole(10, 86_400), "Time between checks of everything known against what the API server has."
    )
    drain_seconds: int = _setting(
        10, _whole(0, 600), "How long work in hand may take after SIGTERM; set it below the pod's grace period."
    )
    admission_certificate: str = _setting(
        "",
        _line,
        "Folder with tls.crt and tls.key, with which the admission webhook answers the API server. Empty: no webhook.",
    )
    admission_port: int = _setting(9443, _whole(0, 65_535), "TCP port of the admission webhook.")
    lease: str = _setting(
        "",
        _lease,
        "Lease by which replicas agree who works, as namespace/name. Empty: this operator works without asking, and"
        " must be the only one.",
    )
    identity: str = _setting(
        "", _line, "What this replica is called in the Lease; no other that lives may be. Empty: the host's name."
    )

    @property
    def policy(self) -> Policy:
        """Give the settings that decisions depend on."""
        return Policy(
            service_account=self.runner_service_account,
            job_ttl_seconds=self.job_ttl_seconds,
            run_ttl_seconds=self.run_ttl_seconds,
            pending_timeout_seconds=self.pending_timeout_seconds,
            infra_retries=self.infra_retries,
        )


def variable(field: str) -> str:
    """Give the environment variable of a setting."""
    return PREFIX + field.upper()


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        ConfigurationError: a variable has a value that cannot be, or a name that no setting has.
    """
    fields = {variable(field.name): field for field in dataclasses.fields(Settings)}
    for name in environ:
        if name.startswith(PREFIX) and name not in fields and not _SERVICE_LINK.search(name):
            known = sorted(field.removeprefix(PREFIX) for field in fields)
            close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
            hint = (
                f"Did you mean {PREFIX}{close[0]}?" if close else f"Known are {PREFIX} and one of {', '.join(known)}."
            )
            raise ConfigurationError(f"There is no setting {name}. {hint}")
    values = {}
    for name, field in fields.items():
        if name not in environ:
            continue
        parse = field.metadata["parse"]
        try:
            values[field.name] = parse(environ[name].strip())
        except ValueError:
            raise ConfigurationError(f"{name} is {environ[name]!r}, but must be {parse.__doc__}.") from None
    return Settings(**values)


def describe() -> str:
    """Give every setting with its meaning and default, as text."""
    lines = ["environment variables:"]
    for field in dataclasses.fields(Settings):
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        lines += [
            f"  {variable(field.name)}",
            *textwrap.wrap(
                f"{field.metadata['meaning']} Default: {'empty' if default == '' else default}.",
                100,
                initial_indent=" " * 6,
                subsequent_indent=" " * 6,
            ),
        ]
    return "\n".join(lines)
