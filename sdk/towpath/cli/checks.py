"""What `towpath doctor` looks at, and what helps where something is wrong."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.errors import ClusterError, ConfigurationError, HistoryError, NotFound, Refused

if TYPE_CHECKING:
    from towpath.cluster.console import Console

#: The first Kubernetes that holds all rules of the resources.
_OLDEST_KUBERNETES: Final = (1, 31)
_RUNNER: Final = "towpath-runner"
_NEEDED: Final = ("pydantic", "cloudpickle")
_FOR_CLUSTERS: Final = ("httpx", "PyYAML")
#: What can be done, and what has to be allowed for it: verb, resource, group.
_RIGHTS: Final[tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...]] = (
    ("see runs", tuple((verb, "flowruns", names.GROUP) for verb in ("get", "list", "watch"))),
    ("see flows and deployments", tuple(("list", kind, names.GROUP) for kind in ("flows", "deployments"))),
    ("start runs", (("create", "flowruns", names.GROUP), ("get", "deployments", names.GROUP))),
    ("cancel runs", (("patch", "flowruns", names.GROUP),)),
    ("delete runs", (("delete", "flowruns", names.GROUP),)),
    ("read logs", (("list", "pods", ""), ("get", "pods/log", ""))),
    (
        "deploy",
        tuple((verb, kind, names.GROUP) for kind in ("flows", "deployments") for verb in ("create", "patch", "get")),
    ),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found."""

    check: str
    passed: bool | None
    """None: it could not be made, or does not apply."""
    said: str
    cure: str | None = None


def on_this_machine(*, with_cluster: bool) -> Iterator[Finding]:
    """Check what runs on this machine need.

    Args:
        with_cluster: whether a cluster is meant to be talked to.
    """
    yield Finding("Python", True, f"{platform.python_implementation()} {platform.python_version()}")
    yield _packages("Packages", _NEEDED, "pip install --upgrade towpath", needed=True)
    yield _packages("Packages for clusters", _FOR_CLUSTERS, "pip install 'towpath[cluster]'", needed=with_cluster)
    yield _packages("Packages for a live tree", ("rich",), "pip install 'towpath[rich]'", needed=False)
    yield _settings()
    yield _history()


def in_cluster(console: Console) -> Iterator[Finding]:
    """Check what runs in a cluster need, in the console's namespace."""
    try:
        yield _kubernetes(console.version())
    except ClusterError as error:
        yield Finding("Kubernetes", False, str(error), "Compare `kubectl version`, which asks the same server.")
        return
    yield _tried("Resources", lambda: _resources(console.schemas()))
    yield _tried("Operator", lambda: _operator(console))
    yield _tried(f"Namespace {console.namespace}", lambda: _namespace(console))
    for aim, needs in _RIGHTS:
        yield _tried(f"You may {aim}", lambda aim=aim, needs=needs: _right(console, aim, needs))  # type: ignore[misc]


def field_paths(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, at: str = "") -> set[str]:
    """List the fields of a JSON or OpenAPI schema, nested ones by their paths."""
    whole = schema if root is None else root
    if reference := schema.get("$ref"):
        definition = whole.get("$defs", {}).get(str(reference).rpartition("/")[2], {})
        return field_paths(definition, whole, at)
    found: set[str] = set()
    for name, part in (schema.get("properties") or {}).items():
        found |= {f"{at}{name}"} | field_paths(part, whole, f"{at}{name}.")
    for member in schema.get("anyOf") or schema.get("allOf") or ():
        found |= field_paths(member, whole, at)
    if isinstance(schema.get("items"), Mapping):
        found |= field_paths(schema["items"], whole, at)
    return found


def _packages(check: str, packages: Sequence[str], cure: str, *, needed: bool) -> Finding:
    versions = {name: _version(name) for name in packages}
    absent = [name for name, version in versions.items() if version is None]
    if not absent:
        return Finding(check, True, ", ".join(f"{name} {version}" for name, version in versions.items()))
    return Finding(check, False if needed else None, f"{' and '.join(absent)} not installed", cure)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _settings() -> Finding:
    from towpath.cli.config import look

    found = list(look())
    problems = [one.problem for one in found if one.problem]
    if problems:
        return Finding("Settings", False, " ".join(problems), "`towpath config` shows all of them.")
    changed = [f"{one.name}={one.value}" for one in found if one.source == "environment"]
    return Finding("Settings", True, ", ".join(changed) or "all as by default")


def _history() -> Finding:
    from towpath.history import open_history
    from towpath.history.place import ENV_HISTORY, ENV_HOME, history_file

    file = history_file()
    if file is None:
        return Finding("History", None, f"{ENV_HISTORY} is off: runs on this machine are not recorded")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
        with open_history() as history:
            history.runs(limit=1)
    except OSError as error:
        cure = f"Name a folder that can be written in {ENV_HOME}, or a file in {ENV_HISTORY}."
        return Finding("History", False, f"{str(file.parent)!r} cannot be written: {error.strerror}", cure)
    except HistoryError as error:
        return Finding("History", False, str(error), f"Name another file in {ENV_HISTORY}.")
    return Finding("History", True, str(file))


def _kubernetes(version: str) -> Finding:
    parts = version.lstrip("v").split(".")
    if tuple(int("".join(filter(str.isdigit, part)) or 0) for part in parts[:2]) >= _OLDEST_KUBERNETES:
        return Finding("Kubernetes", True, version)
    oldest = ".".join(map(str, _OLDEST_KUBERNETES))
    return Finding("Kubernetes", False, version, f"Towpath needs {oldest} or newer.")


def _resources(schemas: Mapping[str, Mapping[str, Any]] | None) -> Finding:
    from towpath.api.v1alpha1 import KINDS

    kinds = {kind.__name__: kind for kind in KINDS}
    apply = "kubectl apply --server-side --force-conflicts -f helm/towpath/crds/"
    absent = [name for name in kinds if name not in (schemas or {})]
    if schemas is None or absent:
        return Finding("Resources", False, f"{', '.join(absent)} of {names.API_VERSION} not installed", apply)
    lacking, unknown = [], []
    for name, kind in kinds.items():
        ours = {path for path in field_paths(kind.model_json_schema(by_alias=True)) if _is_own(path)}
        theirs = {path for path in field_paths(schemas[name]) if _is_own(path)}
        lacking += [f"{name} {path}" for path in sorted(ours - theirs)]
        unknown += [f"{name} {path}" for path in sorted(theirs - ours)]
    if lacking:
        return Finding("Resources", False, f"the cluster's are older than this Towpath: no {_few(lacking)}", apply)
    if unknown:
        said = f"the cluster's are newer than this Towpath, which does not know {_few(unknown)}"
        return Finding("Resources", False, said, "pip install --upgrade towpath")
    return Finding("Resources", True, f"{', '.join(kinds)} of {names.API_VERSION}")


def _is_own(path: str) -> bool:
    return path.startswith(("spec.", "status."))


def _few(items: Sequence[str], most: int = 3) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def _operator(console: Console) -> Finding:
    found = console.operators()
    if not found:
        cure = "Install it: helm install towpath helm/towpath --namespace towpath-system --create-namespace"
        return Finding("Operator", False, "there is none in this cluster: runs stay where they are", cure)
    ready = [one for one in found if (one.get("status") or {}).get("availableReplicas")]
    if ready:
        return Finding("Operator", True, ", ".join(map(_where, ready)))
    namespace = found[0]["metadata"]["namespace"]
    cure = f"kubectl -n {namespace} describe pods -l app.kubernetes.io/component=operator"
    return Finding("Operator", False, f"{_where(found[0])} is not ready: runs stay where they are", cure)


def _where(deployment: Mapping[str, Any]) -> str:
    metadata_ = deployment["metadata"]
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return f"{metadata_['namespace']}/{metadata_['name']} ({image})"


def _namespace(console: Console) -> Finding:
    check = f"Namespace {console.namespace}"
    try:
        console.service_account(_RUNNER)
    except NotFound:
        cure = f"Add {console.namespace!r} to the chart's runnerNamespaces, as docs/install.md has it under Namespaces."
        return Finding(check, False, f"no service account {_RUNNER!r}: pods of runs cannot start here", cure)
    return Finding(check, True, f"ready for runs: it has the service account {_RUNNER!r}")


def _right(console: Console, aim: str, needs: Sequence[tuple[str, str, str]]) -> Finding:
    refused = [(verb, kind) for verb, kind, group in needs if not console.may(verb, kind, group=group)]
    check = f"You may {aim}"
    if not refused:
        return Finding(check, True, "")
    lacking = ", ".join(f"{verb} {kind}" for verb, kind in refused)
    cure = f"Ask for a Role in namespace {console.namespace!r} that allows: {lacking}."
    return Finding(check, False, f"not allowed: {lacking}", cure)


def _tried(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Refused:
        return Finding(check, None, "you are not allowed to look")
    except (ClusterError, ConfigurationError) as error:
        return Finding(check, False, str(error))
