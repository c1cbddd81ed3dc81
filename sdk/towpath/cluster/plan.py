"""Requests to the Kubernetes API as values, and what its answers mean. Pure: `http` sends them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from towpath.cluster.port import Body, Event, EventType, Expired, Selector
from towpath.errors import ClusterError, Conflict, NotFound, Refused, Unreachable
from towpath.names import GROUP, VERSION

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"
#: Objects in one answer to a list; the rest follows by its `continue` token.
CHUNK: Final = 500
#: The server ends a watch in order after this long; a little longer without a word means that the connection is dead.
WATCH_SECONDS: Final = 240
_RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
_ERRORS: Final[dict[int, type[ClusterError]]] = {404: NotFound, 409: Conflict, 410: Expired}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent."""

    method: str
    path: str
    aim: str
    """What it is meant to do, to complete "The Kubernetes API could not …"."""
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer other than success."""

    status: int
    """HTTP code; 0 if there was no answer at all."""
    error: ClusterError
    retried: bool
    """Whether the same request may succeed if sent again."""
    retry_after_seconds: float = 0.0
    """How long the server asks to wait."""


def collection(plural: str, namespace: str) -> str:
    """Give the path of a kind's objects in a namespace."""
    return f"/apis/{GROUP}/{VERSION}/namespaces/{quote(namespace, safe='')}/{plural}"


def create(plural: str, namespace: str, manifest: Body) -> Request:
    """Plan to create an object under the name in its manifest."""
    aim = f"create {_kind(plural)} {manifest['metadata']['name']!r} in namespace {namespace!r}"
    return Request("POST", collection(plural, namespace), aim, body=_json(manifest))


def get(plural: str, namespace: str, name: str) -> Request:
    """Plan to read an object."""
    return Request("GET", _object(plural, namespace, name), f"read {_kind(plural)} {name!r} in namespace {namespace!r}")


def patch_status(plural: str, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]) -> Request:
    """Plan to change an object's status by a JSON Patch."""
    aim = f"write the status of {_kind(plural)} {name!r} in namespace {namespace!r}"
    path = _object(plural, namespace, name) + "/status"
    return Request(
        "PATCH", path, aim, body=_json([dict(operation) for operation in operations]), content_type=JSON_PATCH
    )


def listing(plural: str, namespace: str, selector: Selector, continue_token: str = "") -> Request:
    """Plan to read a chunk of a list; the first without a token, each next with the one before's."""
    query = [*_selection(selector), ("limit", str(CHUNK))]
    if continue_token:
        query.append(("continue", continue_token))
    return Request("GET", collection(plural, namespace), f"list {plural} in namespace {namespace!r}", tuple(query))


def watch(plural: str, namespace: str, selector: Selector, resource_version: str) -> Request:
    """Plan to follow objects from a resource version on."""
    query = (
        *_selection(selector),
        ("watch", "1"),
        ("allowWatchBookmarks", "true"),
        ("resourceVersion", resource_version),
        ("timeoutSeconds", str(WATCH_SECONDS)),
    )
    return Request("GET", collection(plural, namespace), f"watch {plural} in namespace {namespace!r}", query)


def failure(request: Request, status: int, body: bytes, retry_after: str | None = None) -> Failure:
    """Read an answer that is not a success.

    Args:
        request: what was asked.
        status: HTTP code of the answer, 300 or above.
        body: a Status object as JSON, or whatever a proxy in between says.
        retry_after: value of the header; seconds, as Kubernetes writes it (dates are left alone).
    """
    answer = _status(body)
    said = str(answer.get("message") or body[:200].decode(errors="replace").strip() or "no reason given").rstrip(".")
    kind = _ERRORS.get(status)
    # a new object, and no AlreadyExists: others have counted against the same quota in this moment
    retried = status in _RETRIED or (request.method == "POST" and status == 409 and answer.get("reason") == "Conflict")
    if retried:
        kind = Unreachable
    elif status == 422 and request.content_type == JSON_PATCH and not _names_fields(answer):
        kind = Conflict  # a `test` operation failed: validation would name the fields
    error = (kind or Refused)(f"The Kubernetes API could not {request.aim}: {status}, {said}.{_cure(status, said)}")
    seconds = float(retry_after) if retry_after and retry_after.strip().isdigit() else 0.0
    return Failure(status, error, retried, seconds)


def event(request: Request, line: str) -> Event:
    """Read a line of a watch; raises Expired or Unreachable for an error in the stream, or a line that was cut off."""
    try:
        parsed = json.loads(line)
        type_, subject = parsed["type"], parsed["object"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable(f"The Kubernetes API could not {request.aim}: the stream broke off within a line.") from error
    if type_ in EventType.__members__:
        return Event(EventType(type_), subject)
    code = subject.get("code", 0) if isinstance(subject, dict) else 0
    message = subject.get("message", "no reason given") if isinstance(subject, dict) else "no reason given"
    kind = Expired if code == 410 else Unreachable
    raise kind(f"The Kubernetes API could not {request.aim}: {code}, {message}.")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _object(plural: str, namespace: str, name: str) -> str:
    return f"{collection(plural, namespace)}/{quote(name, safe='')}"


def _kind(plural: str) -> str:
    return {"flowruns": "FlowRun", "deployments": "Deployment"}[plural]


def _selection(selector: Selector) -> list[tuple[str, str]]:
    query = []
    if selector.labels:
        query.append(("labelSelector", ",".join(f"{key}={value}" for key, value in sorted(selector.labels.items()))))
    if selector.name:
        query.append(("fieldSelector", f"metadata.name={selector.name}"))
    return query


def _status(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _names_fields(answer: Mapping[str, Any]) -> bool:
    causes = (answer.get("details") or {}).get("causes") or ()
    return any("field" in cause for cause in causes)


def _cure(status: int, said: str) -> str:
    if status == 401:
        return " The credentials are missing, wrong or expired."
    if status == 403:
        return " Whoever asks needs a role for it, in that namespace."
    if status == 404 and "could not find the requested resource" in said:
        return " Install Towpath's CRDs first: they come with its Helm chart."
    return ""
