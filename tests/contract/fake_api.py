"""A small Kubernetes API on loopback: FlowRuns and Deployments of Towpath, kept in memory and served over real HTTP.

It knows what a flow's process meets: resource versions, lists in chunks, watches with bookmarks, JSON Patch with `test`,
the refusals 404, 409, 410 and 422, and the rule that a terminal state is final. The contract suite runs against it and
against a real API server, which keeps it honest. Faults are injected by the test:

    with FakeApi() as api:
        api.faults.answer("PATCH", 429, headers={"Retry-After": "0"})   # the next PATCH
        api.faults.cut_watches(after=1)                                 # each open watch, after its next event
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

Body = dict[str, Any]
GROUP = "/apis/towpath.dev/v1alpha1/namespaces/"
KINDS = {"flowruns": "FlowRun", "deployments": "Deployment", "flows": "Flow"}
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


@dataclass
class Fault:
    """An answer given instead of the real one."""

    method: str
    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    after: bool = False  # the request takes effect, only its answer is lost


class Faults:
    """What goes wrong, in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._answers: list[Fault] = []
        self.watch_errors: list[Body] = []
        self.watch_cuts: list[int] = []

    def answer(
        self, method: str, code: int, *, headers: Mapping[str, str] | None = None, times: int = 1, path: str = ""
    ) -> None:
        """Answer the next requests of a method with a code; 0 hangs up without an answer."""
        with self._guard:
            self._answers += [Fault(method, code, headers or {}, path)] * times

    def lose_answer(self, method: str) -> None:
        """Let the next request of a method take effect, and hang up instead of answering."""
        with self._guard:
            self._answers.append(Fault(method, 0, after=True))

    def error_in_watch(self, code: int) -> None:
        """Send an error event as the next watch's first line."""
        self.watch_errors.append(Refusal(code, "Expired", "too old resource version").body)

    def cut_watch(self, after: int) -> None:
        """Hang up on the next watch in the middle of a line, after so many whole ones."""
        self.watch_cuts.append(after)

    def take(self, method: str, path: str) -> Fault | None:
        """Give the fault that this request meets."""
        with self._guard:
            for fault in self._answers:
                if fault.method == method and fault.path in path:
                    self._answers.remove(fault)
                    return fault
        return None


class Store:
    """Objects by kind and name, and the log of their changes that watches read."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.objects: dict[tuple[str, str, str], Body] = {}
        self.log: list[tuple[int, str, str, str, Body]] = []  # version, event, plural, namespace, object
        self.version = 1
        self.oldest = 1

    def put(self, event: str, plural: str, namespace: str, body: Body) -> Body:
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


class FakeApi:
    """The server; `url` is its address, `requests` what was asked of it."""

    def __init__(self) -> None:
        self.store = Store()
        self.faults = Faults()
        self.requests: list[tuple[str, str, Body | list[Body] | None]] = []
        self.tokens: list[str] = []
        self.closing = False
        api = self

        class Handler(_Handler):
            fake = api

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing = True
        with self.store.changed:
            self.store.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, method: str, end: str = "") -> int:
        """Count the requests of a method whose path, without its query, ends so."""
        return sum(m == method and urlsplit(p).path.endswith(end) for m, p, _ in self.requests)

    # What a test does in the place of kubectl and the operator

    def create(self, plural: str, body: Body, namespace: str = "default") -> Body:
        """Create an object."""
        metadata = {"namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": _now(), "generation": 1}
        full = {"apiVersion": "towpath.dev/v1alpha1", "kind": KINDS[plural]} | deepcopy(body)
        full["metadata"] = metadata | full["metadata"]
        with self.store.changed:
            if (plural, namespace, full["metadata"]["name"]) in self.store.objects:
                name = full["metadata"]["name"]
                raise Refusal(409, "AlreadyExists", f'{plural}.towpath.dev "{name}" already exists', {"name": name})
            full.pop("status", None)
            return self.store.put("ADDED", plural, namespace, full)

    def read(self, plural: str, name: str, namespace: str = "default") -> Body:
        """Read an object."""
        with self.store.changed:
            body = self.store.objects.get((plural, namespace, name))
        if body is None:
            raise Refusal(404, "NotFound", f'{plural}.towpath.dev "{name}" not found', {"name": name})
        return deepcopy(body)

    def set_status(self, name: str, namespace: str = "default", **fields: Any) -> Body:
        """Write fields of a run's status, as the operator would."""
        with self.store.changed:
            body = self.read("flowruns", name, namespace)
            body["status"] = body.get("status", {}) | fields
            return self.store.put("MODIFIED", "flowruns", namespace, body)

    def set_spec(self, name: str, namespace: str = "default", **fields: Any) -> Body:
        """Write fields of a run's spec."""
        with self.store.changed:
            body = self.read("flowruns", name, namespace)
            body["spec"] |= fields
            return self.store.put("MODIFIED", "flowruns", namespace, body)

    def delete(self, name: str, namespace: str = "default") -> None:
        """Delete a run."""
        with self.store.changed:
            self.store.put("DELETED", "flowruns", namespace, self.read("flowruns", name, namespace))

    # What the server answers

    def patch_status(self, name: str, namespace: str, operations: list[Body]) -> Body:
        """Apply a JSON Patch to a run's status, under the rules of the resource."""
        with self.store.changed:
            before = self.read("flowruns", name, namespace)
            after = _patched(before, operations)
            after["spec"], after["metadata"] = before["spec"], before["metadata"]  # the subresource changes status only
            old, new = before.get("status") or {}, after.get("status") or {}
            ended = (old.get("state") or {}).get("type") in TERMINAL
            if ended and new.get("attempt", 0) <= old.get("attempt", 0) and new.get("state") != old["state"]:
                message = "a terminal state is final within its attempt"
                cause = {"reason": "FieldValueInvalid", "message": message, "field": "status"}
                details = {"name": name, "group": "towpath.dev", "kind": "FlowRun", "causes": [cause]}
                raise Refusal(422, "Invalid", f'FlowRun.towpath.dev "{name}" is invalid: status: {message}', details)
            return before if after == before else self.store.put("MODIFIED", "flowruns", namespace, after)

    def listing(self, plural: str, namespace: str, query: Mapping[str, list[str]]) -> Body:
        """Answer a list, in chunks if asked for."""
        with self.store.changed:
            version, _, start = (query.get("continue") or [""])[0].partition(":")
            if version and int(version) < self.store.oldest:
                raise Refusal(410, "Expired", "The provided continue parameter is too old")
            items = [
                deepcopy(body)
                for (kind, place, _), body in sorted(self.store.objects.items())
                if (kind, place) == (plural, namespace) and _selected(body, query)
            ]
            metadata = {"resourceVersion": version or str(self.store.version)}
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

    def watch(self, plural: str, namespace: str, query: Mapping[str, list[str]]) -> Iterator[Body]:
        """Follow changes from a version on; ends when the server closes."""
        position = int((query.get("resourceVersion") or ["0"])[0] or 0)
        with self.store.changed:
            if position and position < self.store.oldest:
                raise Refusal(410, "Expired", f"too old resource version: {position} ({self.store.oldest})")
        yield {"type": "BOOKMARK", "object": {"kind": KINDS[plural], "metadata": {"resourceVersion": str(position)}}}
        while not self.closing:
            with self.store.changed:
                news = [entry for entry in self.store.log if entry[0] > position]
                if not news:
                    self.store.changed.wait(1)
            for version, event, kind, place, body in news:
                position = version
                if (kind, place) == (plural, namespace) and _selected(body, query):
                    yield {"type": event, "object": body}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeApi

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PATCH(self) -> None:
        self._handle("PATCH")

    def _handle(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        sent = json.loads(self.rfile.read(length)) if length else None
        self.fake.requests.append((method, self.path, sent))
        self.fake.tokens.append(self.headers.get("Authorization", ""))
        fault = self.fake.faults.take(method, self.path)
        try:
            if fault is not None and not fault.after:
                if fault.code == 0:
                    self.close_connection = True
                    return
                self._answer(fault.code, Refusal(fault.code, "Injected", "injected by the test").body, fault.headers)
                return
            answer = self._do(method, sent)
            if answer is not None:
                if fault is not None:
                    self.close_connection = True
                    return
                self._answer(*answer)
        except Refusal as refusal:
            self._answer(refusal.code, refusal.body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _do(self, method: str, sent: Any) -> tuple[int, Body] | None:
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        namespace, plural, name, subresource = _parts(address.path)
        if method == "POST":
            return 201, self.fake.create(plural, sent, namespace)
        if method == "PATCH":
            assert self.headers["Content-Type"] == "application/json-patch+json"
            assert subresource == "status"
            return 200, self.fake.patch_status(name, namespace, sent)
        if name:
            return 200, self.fake.read(plural, name, namespace)
        if (query.get("watch") or ["0"])[0] != "1":
            return 200, self.fake.listing(plural, namespace, query)
        self._stream(self.fake.watch(plural, namespace, query))
        return None

    def _answer(self, code: int, body: Body, headers: Mapping[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, events: Iterator[Body]) -> None:
        first = next(events)  # a refusal comes before the answer has begun
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        faults = self.fake.faults
        if faults.watch_errors:
            self._chunk(json.dumps({"type": "ERROR", "object": faults.watch_errors.pop(0)}).encode() + b"\n")
            self._chunk(b"")
            return
        left = faults.watch_cuts.pop(0) if faults.watch_cuts else None
        self._chunk(json.dumps(first).encode() + b"\n")
        for event in events:
            line = json.dumps(event).encode() + b"\n"
            if left is not None and left == 0:
                self._chunk(line[: len(line) // 2])
                self.close_connection = True
                return
            left = None if left is None else left - 1
            self._chunk(line)
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


def _parts(path: str) -> tuple[str, str, str, str]:
    if not path.startswith(GROUP):
        raise Refusal(404, "NotFound", "the server could not find the requested resource")
    parts = [unquote(part) for part in path.removeprefix(GROUP).split("/")]
    namespace, plural, name, subresource = (*parts, "", "")[:4]
    if plural not in KINDS:
        raise Refusal(404, "NotFound", "the server could not find the requested resource")
    return namespace, plural, name, subresource


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
        elif kind == "test" and place.get(last) != operation["value"]:
            raise _unprocessable(operation)
        elif kind in ("remove", "replace") and last not in place:
            raise _unprocessable(operation)
        elif kind == "remove":
            del place[last]
        elif kind in ("add", "replace"):
            place[last] = deepcopy(operation["value"])
    return after


def _unprocessable(operation: Body) -> Refusal:
    message = f"the server rejected our request due to an error in our request: {operation['op']} {operation['path']}"
    return Refusal(422, "Invalid", message)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
