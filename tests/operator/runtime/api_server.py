"""A small Kubernetes API server on loopback that fails as it is told to.

It runs in a thread of its own, because kopf, when it ends, ends every task of its event loop that it does not know.
It knows versions as a real one does: one counter for everything, lists that carry it, watches that start after it and
remember what happened until `forget_history`. Objects are plain bodies; nothing is validated.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from tests.json_patch import PatchRefusedError, apply_patch

from towpath_operator.kinds import BY_PLURAL

Body = dict[str, Any]


@dataclass
class Request:
    """A request as it came in."""

    verb: str
    plural: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None


@dataclass
class Fault:
    """What is done to the next requests of a verb and kind instead of answering them."""

    verb: str
    plural: str
    status: int
    """HTTP status; 0: the connection is dropped."""
    times: int
    headers: dict[str, str]
    reason: str
    message: str


@dataclass
class Gate:
    """Holds answers back until it is opened."""

    loop: asyncio.AbstractEventLoop
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self) -> None:
        self.loop.call_soon_threadsafe(self.opened.set)


@dataclass
class ApiServer:
    """The server's state and the tests' handles."""

    loop: asyncio.AbstractEventLoop
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    page_size: int | None = None
    """Objects a page at most, whatever the client asks for."""
    end_watches_at_once: bool = False
    """Each watch is answered with an empty stream."""
    deaf: set[str] = field(default_factory=set)
    """Kinds whose watches are open, and say nothing."""
    _objects: dict[str, dict[tuple[str, str], Body]] = field(default_factory=dict)
    _log: list[tuple[int, str, str, Body]] = field(default_factory=list)
    _version: int = 100
    _oldest: int = 0
    _faults: list[Fault] = field(default_factory=list)
    _stream_errors: list[tuple[str, int]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _gates: dict[tuple[str, str], Gate] = field(default_factory=dict)
    _epoch: int = 0
    _torn: bool = False

    # what tests do

    def put(self, plural: str, body: Body) -> Body:
        """Create or change an object; gives it as it is kept."""
        kept = copy.deepcopy(body)
        metadata = kept["metadata"]
        place = (metadata["namespace"], metadata["name"])
        with self._lock:
            known = self._objects.setdefault(plural, {}).get(place)
            metadata["uid"] = known["metadata"]["uid"] if known else metadata.get("uid") or str(uuid.uuid4())
            self._version += 1
            metadata["resourceVersion"] = str(self._version)
            metadata.setdefault("creationTimestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
            self._objects[plural][place] = kept
            self._tell("MODIFIED" if known else "ADDED", plural, kept)
        return copy.deepcopy(kept)

    def delete(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object."""
        with self._lock:
            body = self._objects[plural].pop((namespace, name))
            self._version += 1
            body["metadata"]["resourceVersion"] = str(self._version)
            self._tell("DELETED", plural, body)

    def get(self, plural: str, namespace: str, name: str) -> Body | None:
        """Give an object."""
        return self._objects.get(plural, {}).get((namespace, name))

    def all(self, plural: str) -> list[Body]:
        """Give all objects of a kind."""
        return list(self._objects.get(plural, {}).values())

    def fail(
        self,
        verb: str,
        plural: str,
        status: int,
        *,
        times: int = 1,
        headers: dict[str, str] | None = None,
        reason: str = "",
        message: str = "as the test wants it",
    ) -> None:
        """Let the next requests of a verb and kind fail; status 0 drops the connection."""
        self._faults.append(Fault(verb, plural, status, times, headers or {}, reason, message))

    def send_error(self, plural: str, code: int) -> None:
        """Let the open watches on a kind, or the next, carry an ERROR event and end."""
        self._stream_errors.append((plural, code))
        self._wake()

    def end_watches(self, *, torn: bool = False) -> None:
        """End all open watches; torn: in the middle of a line."""
        self._epoch += 1
        self._torn = torn
        self._wake()

    def forget_history(self) -> None:
        """Answer watches that start before now with 410."""
        self._oldest = self._version

    def hold(self, verb: str, plural: str) -> Gate:
        """Let requests of a verb and kind take effect, but answer them only when the gate that is given is opened."""
        self._gates[verb, plural] = gate = Gate(self.loop)
        return gate

    def release(self) -> None:
        """Let nothing wait any more."""
        self.end_watches()
        for gate in self._gates.values():
            gate.open()

    def seen(self, verb: str, plural: str) -> list[Request]:
        """Give the requests of a verb and kind so far."""
        return [request for request in self.requests if (request.verb, request.plural) == (verb, plural)]

    # what clients see

    def _tell(self, kind: str, plural: str, body: Body) -> None:
        self._log.append((self._version, kind, plural, copy.deepcopy(body)))
        self._wake()

    def _wake(self) -> None:
        self.loop.call_soon_threadsafe(self._wake_here)

    def _wake_here(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def handle(self, http: web.Request) -> web.StreamResponse:
        """Answer any request."""
        rest = http.path.strip("/").split("/")
        if len(rest) < 4 and rest[-1] not in BY_PLURAL:
            return web.json_response(_discovery(http.path))
        rest = rest[2:] if rest[0] == "api" else rest[3:]
        namespace = None
        if rest[0] == "namespaces":
            _, namespace, *rest = rest
        plural, name = rest[0], rest[1] if len(rest) > 1 else None
        verb = _verb(http, name)
        data = await http.read()
        request = Request(
            verb, plural, http.path, dict(http.query), dict(http.headers), json.loads(data) if data else None
        )
        self.requests.append(request)
        for fault in self._faults:
            if (fault.verb, fault.plural) == (verb, plural) and fault.times:
                fault.times -= 1
                if not fault.status:
                    assert http.transport is not None
                    http.transport.abort()
                    return web.Response()
                return _status(fault.status, fault.reason, fault.message, fault.headers)
        if verb == "list":
            with self._lock:
                return self._list(request, namespace)
        if verb == "watch":
            return await self._watch(http, request, namespace)
        assert namespace
        with self._lock:
            answer = self._one(request, namespace, name)
        if gate := self._gates.get((verb, plural)):
            await gate.opened.wait()
        return answer

    def _one(self, request: Request, namespace: str, name: str | None) -> web.Response:
        plural, body = request.plural, request.body
        name = name or body["metadata"]["name"]
        known = self.get(plural, namespace, name)
        match request.verb:
            case "create" if known:
                return _status(409, "AlreadyExists", f"{plural} {name!r} already exists")
            case "create":
                body["metadata"]["namespace"] = namespace
                return web.json_response(self.put(plural, body), status=201)
            case _ if known is None:
                return _status(404, "NotFound", f"{plural} {name!r} not found")
            case "patch":
                try:
                    return web.json_response(self.put(plural, apply_patch(known, body)))
                except PatchRefusedError as error:
                    return _status(422, "Invalid", str(error))
            case "delete":
                if body["preconditions"]["uid"] != known["metadata"]["uid"]:
                    return _status(409, "Conflict", "the UID in the precondition does not match")
                if (
                    body["preconditions"].get("resourceVersion", known["metadata"]["resourceVersion"])
                    != known["metadata"]["resourceVersion"]
                ):
                    return _status(409, "Conflict", "the ResourceVersion in the precondition does not match")
                if known["metadata"].get("finalizers"):
                    going = known["metadata"] | {"deletionTimestamp": "2026-03-01T12:00:00Z"}
                    return web.json_response(self.put(plural, known | {"metadata": going}))
                self.delete(plural, namespace, name)
                return web.json_response({"kind": "Status", "status": "Success"})
            case _:
                return web.json_response(known)

    def _list(self, request: Request, namespace: str | None) -> web.Response:
        found = [
            body
            for (space, _), body in sorted(self._objects.get(request.plural, {}).items())
            if namespace in (None, space)
        ]
        for selector in filter(None, request.query.get("labelSelector", "").split(",")):
            key, value = selector.split("=")
            found = [body for body in found if body["metadata"].get("labels", {}).get(key) == value]
        start = int(request.query.get("continue", 0))
        size = min(int(request.query.get("limit", 10_000)), self.page_size or 10_000)
        metadata = {"resourceVersion": str(self._version)}
        if start + size < len(found):
            metadata["continue"] = str(start + size)
        items = found[start : start + size]
        if "PartialObjectMetadataList" in request.headers["Accept"]:
            items = [{"metadata": body["metadata"]} for body in items]
        return web.json_response({"kind": "List", "metadata": metadata, "items": items})

    async def _watch(self, http: web.Request, request: Request, namespace: str | None) -> web.StreamResponse:
        since, epoch, told = int(request.query["resourceVersion"]), self._epoch, 0
        response = web.StreamResponse()
        await response.prepare(http)
        if since < self._oldest:
            await _send(response, "ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
            return response
        while not self.end_watches_at_once and self._epoch == epoch:
            changed = self._changed
            if request.plural in self.deaf:
                await changed.wait()
                continue
            for index, (plural, code) in enumerate(self._stream_errors):
                if plural == request.plural:
                    del self._stream_errors[index]
                    await _send(response, "ERROR", {"kind": "Status", "code": code, "message": "as the test wants it"})
                    return response
            while told < len(self._log):
                version, kind, plural, body = self._log[told]
                told += 1
                if version > since and plural == request.plural and namespace in (None, body["metadata"]["namespace"]):
                    await _send(response, kind, body)
            await changed.wait()
        if self._torn:
            await response.write(b'{"type": "MODIF')
            assert http.transport is not None
            http.transport.abort()
        return response


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[ApiServer]:
    """Run a server as long as the block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ApiServer(loop)
    runner = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_start(server), loop))
    try:
        yield server
    finally:
        server.release()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(runner.cleanup(), loop))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(server: ApiServer) -> web.AppRunner:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner


def _verb(http: web.Request, name: str | None) -> str:
    if http.method == "GET":
        return "watch" if "watch" in http.query else "get" if name else "list"
    return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}[http.method]


async def _send(response: web.StreamResponse, kind: str, body: Body) -> None:
    with contextlib.suppress(ConnectionError):
        await response.write(json.dumps({"type": kind, "object": body}, separators=(",", ":")).encode() + b"\n")


def _status(code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code, headers=headers)


def _discovery(path: str) -> Body:
    """Answer what kopf asks at its start: which groups, versions and kinds there are."""
    ours = [resource for resource in BY_PLURAL.values() if resource.group == "towpath.dev"]
    version = {"groupVersion": "towpath.dev/v1alpha1", "version": "v1alpha1"}
    crds = {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"}
    known: dict[str, Body] = {
        "/api": {"versions": ["v1"]},
        "/api/v1": {"resources": [_api_resource("namespaces", "Namespace", namespaced=False)]},
        "/apis": {
            "groups": [
                {"name": "towpath.dev", "preferredVersion": version, "versions": [version]},
                {"name": "apiextensions.k8s.io", "preferredVersion": crds, "versions": [crds]},
            ]
        },
        "/apis/towpath.dev/v1alpha1": {"resources": [_api_resource(kind.plural, kind.kind) for kind in ours]},
        "/apis/apiextensions.k8s.io/v1": {
            "resources": [_api_resource("customresourcedefinitions", "CustomResourceDefinition", namespaced=False)]
        },
    }
    return known[path]


def _api_resource(plural: str, kind: str, *, namespaced: bool = True) -> Body:
    return {
        "name": plural,
        "singularName": kind.lower(),
        "kind": kind,
        "namespaced": namespaced,
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    }
