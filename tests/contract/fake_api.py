"""A small Kubernetes API on loopback: `fake_objects` over real HTTP, with faults that a test asks for.

    with FakeApi() as api:
        api.faults.answer("PATCH", 429, headers={"Retry-After": "0"})   # the next PATCH
        api.faults.cut_watch(after=1)                                   # the next watch, in the middle of its second line

The contract suite runs against it and against a real API server, which keeps it honest.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.contract.fake_objects import KINDS, Body, FakeObjects, Refusal

GROUP = "/apis/towpath.dev/v1alpha1/namespaces/"


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


class FakeApi(FakeObjects):
    """The server; `url` is its address, `requests` what was asked of it."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.faults = Faults()
        self.requests: list[tuple[str, str, Body | list[Body] | None]] = []
        self.tokens: list[str] = []
        self.connections: set[tuple[str, int]] = set()
        api = self

        class Handler(_Handler):
            fake = api

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, method: str, end: str = "") -> int:
        """Count the requests of a method whose path, without its query, ends so."""
        return sum(m == method and urlsplit(p).path.endswith(end) for m, p, _ in self.requests)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up, or do not trust the certificate; anything else is the fake's own fault."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fake: FakeApi

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PATCH(self) -> None:
        self._handle("PATCH")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def _handle(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        sent = json.loads(self.rfile.read(length)) if length else None
        self.fake.requests.append((method, self.path, sent))
        self.fake.tokens.append(self.headers.get("Authorization", ""))
        self.fake.connections.add(self.client_address)
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
        if method == "PATCH" and not subresource:
            assert self.headers["Content-Type"] == "application/merge-patch+json"
            return 200, self.fake.merge_spec(name, namespace, sent, plural)
        if method == "PATCH":
            assert self.headers["Content-Type"] == "application/json-patch+json"
            assert subresource == "status"
            return 200, self.fake.patch_status(name, namespace, sent)
        if method == "DELETE":
            self.fake.delete(name, namespace, plural)
            return 200, {"kind": "Status", "status": "Success"}
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
