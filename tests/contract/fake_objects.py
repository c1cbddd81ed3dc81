"""FlowRuns and Deployments in memory, under the rules that a flow's process meets at a real API server.

Resource versions, lists in chunks, watches with bookmarks, JSON Patch with `test`, the refusals 404, 409, 410 and 422, and
the rule that a terminal state is final. `fake_api` serves them over HTTP; unit tests use them as they are.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

Body = dict[str, Any]
KINDS = {
    "flowruns": "FlowRun",
    "deployments": "Deployment",
    "flows": "Flow",
    "queues": "Queue",
    "concurrencylimits": "ConcurrencyLimit",
}
TERMINAL = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}


class Refusal(Exception):
    """An answer other than success, as the API server words it."""

    def __init__(self, code: int, reason: str, message: str, details: Body | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
            "details": details or {},
        }


class FakeObjects:
    """Objects by kind and name, and the log of their changes that watches read."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.objects: dict[tuple[str, str, str], Body] = {}
        self.log: list[tuple[int, str, str, str, Body]] = []  # version, event, plural, namespace, object
        self.version = 1
        self.oldest = 1
        self.closing = False

    def close(self) -> None:
        """End all watches."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()

    # What a test does in the place of kubectl and the operator

    def create(self, plural: str, body: Body, namespace: str = "default") -> Body:
        """Create an object."""
        metadata = {"namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": _now(), "generation": 1}
        full = {"apiVersion": "towpath.dev/v1alpha1", "kind": KINDS[plural]} | deepcopy(body)
        full["metadata"] = metadata | full["metadata"]
        with self.changed:
            if (plural, namespace, full["metadata"]["name"]) in self.objects:
                name = full["metadata"]["name"]
                raise Refusal(409, "AlreadyExists", f'{plural}.towpath.dev "{name}" already exists', {"name": name})
            full.pop("status", None)
            return self._put("ADDED", plural, namespace, full)

    def read(self, plural: str, name: str, namespace: str = "default") -> Body:
        """Read an object."""
        with self.changed:
            body = self.objects.get((plural, namespace, name))
        if body is None:
            raise Refusal(404, "NotFound", f'{plural}.towpath.dev "{name}" not found', {"name": name})
        return deepcopy(body)

    def set_status(self, name: str, namespace: str = "default", **fields: Any) -> Body:
        """Write fields of a run's status, as the operator would."""
        with self.changed:
            body = self.read("flowruns", name, namespace)
            body["status"] = body.get("status", {}) | fields
            return self._put("MODIFIED", "flowruns", namespace, body)

    def set_spec(self, name: str, namespace: str = "default", plural: str = "flowruns", **fields: Any) -> Body:
        """Write fields of an object's spec, by default of a run's."""
        with self.changed:
            body = self.read(plural, name, namespace)
            body["spec"] |= fields
            return self._put("MODIFIED", plural, namespace, body)

    def delete(self, name: str, namespace: str = "default", plural: str = "flowruns") -> None:
        """Delete an object, by default a run."""
        with self.changed:
            self._put("DELETED", plural, namespace, self.read(plural, name, namespace))

    # What the server answers

    def patch_status(self, name: str, namespace: str, operations: list[Body]) -> Body:
        """Apply a JSON Patch to a run's status, under the rules of the resource."""
        with self.changed:
            before = self.read("flowruns", name, namespace)
            after = _patched(before, operations)
            after["spec"], after["metadata"] = before["spec"], before["metadata"]  # the subresource changes status only
            old, new = before.get("status") or {}, after.get("status") or {}
            ended = (old.get("state") or {}).get("type") in TERMINAL
            if ended and new.get("attempt", 0) <= old.get("attempt", 0) and new.get("state") != old["state"]:
                message = "Forbidden: the run has ended: its state is final within its attempt"
                cause = {"reason": "FieldValueForbidden", "message": message, "field": "status.state"}
                details = {"name": name, "group": "towpath.dev", "kind": "FlowRun", "causes": [cause]}
                raise Refusal(
                    422, "Invalid", f'FlowRun.towpath.dev "{name}" is invalid: status.state: {message}', details
                )
            return before if after == before else self._put("MODIFIED", "flowruns", namespace, after)

    def merge_spec(self, name: str, namespace: str, patch: Body, plural: str = "flowruns") -> Body:
        """Apply a merge patch to an object's spec; a resourceVersion in it says what the object must still be."""
        with self.changed:
            body = self.read(plural, name, namespace)
            version = patch.get("metadata", {}).get("resourceVersion")
            if version not in {None, body["metadata"]["resourceVersion"]}:
                raise Refusal(409, "Conflict", "the object has been modified")
            spec = body["spec"] | patch["spec"]
            body["spec"] = {key: value for key, value in spec.items() if value is not None}
            return self._put("MODIFIED", plural, namespace, body)

    def listing(self, plural: str, namespace: str, query: Mapping[str, list[str]]) -> Body:
        """Answer a list, in chunks if asked for."""
        with self.changed:
            version, _, start = (query.get("continue") or [""])[0].partition(":")
            if version and int(version) < self.oldest:
                raise Refusal(410, "Expired", "The provided continue parameter is too old")
            items = [
                deepcopy(body)
                for (kind, place, _), body in sorted(self.objects.items())
                if (kind, place) == (plural, namespace) and _selected(body, query)
            ]
            metadata = {"resourceVersion": version or str(self.version)}
            first, limit = int(start or 0), int((query.get("limit") or ["0"])[0])
            if limit and len(items) > first + limit:
                metadata["continue"] = f"{metadata['resourceVersion']}:{first + limit}"
            shown = items[first : first + limit] if limit else items
            return {
                "kind": f"{KINDS[plural]}List",
                "apiVersion": "towpath.dev/v1alpha1",
                "metadata": metadata,
                "items": shown,
            }

    def watch(
        self,
        plural: str,
        namespace: str,
        query: Mapping[str, list[str]],
        closed: Callable[[], bool] = lambda: False,
    ) -> Iterator[Body]:
        """Follow changes from a version on, until the objects or the watch are closed."""
        position = int((query.get("resourceVersion") or ["0"])[0] or 0)
        with self.changed:
            if position and position < self.oldest:
                raise Refusal(410, "Expired", f"too old resource version: {position} ({self.oldest})")
        yield {"type": "BOOKMARK", "object": {"kind": KINDS[plural], "metadata": {"resourceVersion": str(position)}}}
        while not self.closing and not closed():
            with self.changed:
                news = [entry for entry in self.log if entry[0] > position]
                if not news:
                    self.changed.wait(1)
            for version, event, kind, place, body in news:
                position = version
                if (kind, place) == (plural, namespace) and _selected(body, query):
                    yield {"type": event, "object": body}

    def _put(self, event: str, plural: str, namespace: str, body: Body) -> Body:
        """Store a change and tell the watches."""
        with self.changed:
            self.version += 1
            body["metadata"]["resourceVersion"] = str(self.version)
            key = (plural, namespace, body["metadata"]["name"])
            if event == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = body
            self.log.append((self.version, event, plural, namespace, deepcopy(body)))
            self.changed.notify_all()
            return deepcopy(body)

    def compact(self) -> None:
        """Forget all changes so far: a watch from an older version is answered with 410."""
        with self.changed:
            self.version += 1
            self.oldest = self.version
            self.log.clear()


def _selected(body: Body, query: Mapping[str, list[str]]) -> bool:
    labels = body["metadata"].get("labels") or {}
    for term in (query.get("labelSelector") or [""])[0].split(","):
        key, _, value = term.partition("=")
        if key and labels.get(key) != value:
            return False
    for term in (query.get("fieldSelector") or [""])[0].split(","):
        key, _, value = term.partition("=")
        if key and key != "metadata.name":
            raise Refusal(400, "BadRequest", f"field label not supported: {key}")
        if key and body["metadata"]["name"] != value:
            return False
    return True


def _patched(body: Body, operations: list[Body]) -> Body:
    """Apply a JSON Patch of add, remove, replace and test (RFC 6902)."""
    after = deepcopy(body)
    for operation in operations:
        *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        place: Any = after
        for step in steps:
            place = place.get(step) if isinstance(place, dict) else place[int(step)]
            if place is None:
                raise _unprocessable(operation)
        kind = operation["op"]
        if isinstance(place, list):
            place.insert(len(place) if last == "-" else int(last), operation["value"])
        elif kind == "test":
            if place.get(last) != operation["value"]:
                raise _unprocessable(operation)
        elif kind != "add" and last not in place:
            raise _unprocessable(operation)
        elif kind == "remove":
            del place[last]
        else:
            place[last] = deepcopy(operation["value"])
    return after


def _unprocessable(operation: Body) -> Refusal:
    message = f"the server rejected our request due to an error in our request: {operation['op']} {operation['path']}"
    return Refusal(422, "Invalid", message)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
