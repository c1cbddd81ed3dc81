"""The proxy that makes trouble, before a server that does as it is told."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.chaos.proxy import Fault, Proxy, Trouble


class Server:
    """An API server that answers everything with an object, and watches with an event whenever it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.tell = threading.Semaphore(0)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self) -> None:
                outer.asked.append((self.command, self.path, dict(self.headers)))
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(200)
                if "watch=1" not in self.path:
                    body = json.dumps({"kind": "Thing", "padding": "x" * 1000}).encode()
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                self.send_header("Connection", "close")
                self.end_headers()
                with contextlib.suppress(OSError):
                    while outer.tell.acquire(timeout=60):
                        self.wfile.write(b'{"type": "ADDED", "object": {}}\n')
                        self.wfile.flush()

            do_GET = do_POST = do_PATCH = do_DELETE = do_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server behind the proxy."""
    own = Server()
    yield own
    own.http.shutdown()
    own.http.server_close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy with two seats."""
    kube = SimpleNamespace(server=server.url, tls=False)
    with Proxy(kube, ("first", "second"), "system:serviceaccount:ns:operator", seed=1) as running:  # type: ignore[arg-type]
        yield running


def call(proxy: Proxy, method: str = "GET", path: str = "/api/v1/pods", seat: str = "first") -> httpx.Response:
    """Ask for something as an operator."""
    return httpx.request(method, f"http://127.0.0.1:{proxy.seats[seat].port}{path}", timeout=60)


def trouble(proxy: Proxy, *faults: Fault, seats: tuple[str, ...] = ()) -> None:
    """Make trouble for every request, and wait until it has begun."""
    proxy.trouble(Trouble(faults, 1.0), *seats)
    begun = threading.Event()
    proxy._loop.call_soon_threadsafe(begun.set)
    assert begun.wait(30)


def test_without_trouble_everything_goes_through(server: Server, proxy: Proxy) -> None:
    """As the identity that the chart gives, and marked with who sent it and when."""
    assert call(proxy, "PATCH", seat="second").json()["kind"] == "Thing"
    ((method, path, headers),) = server.asked
    assert (method, path) == ("PATCH", "/api/v1/pods")
    assert headers["Impersonate-User"] == "system:serviceaccount:ns:operator"
    assert headers["User-Agent"].startswith("operator=second sent=")


def test_what_is_held_up_is_marked_with_when_it_was_sent(server: Server, proxy: Proxy) -> None:
    """And not with when it was let go: its sender may have lost the Lease by then."""
    trouble(proxy, Fault.DELAY)
    assert call(proxy, "PATCH").is_success
    answered = time.time()
    ((_, _, headers),) = server.asked
    assert answered - float(headers["User-Agent"].partition("sent=")[2]) > 0.19


REFUSALS = [
    pytest.param(Fault.TOO_MANY, "GET", 429, 0, id="429"),
    pytest.param(Fault.ERROR, "POST", 500, 0, id="500"),
    pytest.param(Fault.LOST_ANSWER, "POST", 500, 1, id="500 after it was done"),
    pytest.param(Fault.CONFLICT, "PATCH", 409, 0, id="409"),
    pytest.param(Fault.CONFLICT, "GET", 200, 1, id="no 409 for reads"),
    pytest.param(Fault.LOST_ANSWER, "GET", 200, 1, id="no lost answers for reads"),
]


@pytest.mark.parametrize(("fault", "method", "status", "forwarded"), REFUSALS)
def test_refusals(server: Server, proxy: Proxy, fault: Fault, method: str, status: int, forwarded: int) -> None:
    """Each looks as the API server's own, and is carried out or not."""
    trouble(proxy, fault)
    answer = call(proxy, method)
    assert answer.status_code == status
    assert len(server.asked) == forwarded
    if status != 200:
        assert answer.json()["kind"] == "Status"
        assert proxy.done[fault] == 1
    assert ("Retry-After" in answer.headers) is (status == 429)


def test_one_operator_is_cut_off(server: Server, proxy: Proxy) -> None:
    """And only that one; when the trouble is over it is heard again."""
    trouble(proxy, Fault.CUT, seats=("first",))
    with pytest.raises(httpx.HTTPError):
        call(proxy)
    assert call(proxy, seat="second").is_success
    trouble(proxy)
    assert call(proxy).is_success


def test_half_an_answer(proxy: Proxy) -> None:
    """A list that ends in the middle is no list."""
    trouble(proxy, Fault.HALF_ANSWER)
    with pytest.raises(httpx.HTTPError):
        call(proxy)


@contextlib.contextmanager
def watching(server: Server, proxy: Proxy) -> Iterator[Iterator[str]]:
    """Watch, and give the lines that come after the first."""
    url = f"http://127.0.0.1:{proxy.seats['first'].port}/api/v1/pods?watch=1"
    with httpx.stream("GET", url, timeout=60) as stream:
        lines = stream.iter_lines()
        server.tell.release()
        assert json.loads(next(lines))["type"] == "ADDED"
        yield lines


def test_watches_are_dropped(server: Server, proxy: Proxy) -> None:
    """In the middle, without a word."""
    with watching(server, proxy) as lines:
        trouble(proxy, Fault.DROPPED_WATCH)
        with pytest.raises(httpx.HTTPError):
            next(lines)


def test_a_version_that_is_too_old(server: Server, proxy: Proxy) -> None:
    """As an event in a watch that is open, and as an answer to one that begins."""
    with watching(server, proxy) as lines:
        trouble(proxy, Fault.GONE_EVENT)
        event = json.loads(next(lines))
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    trouble(proxy, Fault.GONE)
    assert call(proxy, path="/api/v1/pods?watch=1").status_code == 410


def test_a_watch_that_is_silent(server: Server, proxy: Proxy) -> None:
    """Nothing comes any more, though things happen; with the end of the trouble it is cut, and can be taken up anew."""
    with watching(server, proxy) as lines:
        trouble(proxy, Fault.SILENT_WATCH)
        server.tell.release()
        trouble(proxy)
        with pytest.raises(httpx.HTTPError):
            next(lines)


@pytest.mark.parametrize(("moment", "forwarded"), [("before", 1), ("after", 2)])
def test_a_kill_at_a_write(server: Server, proxy: Proxy, moment: Any, forwarded: int) -> None:
    """Before the second write is carried out, or after; reads, Leases and Events do not count."""
    killed = threading.Event()
    proxy.arm("first", 2, moment, killed.set)
    for method, path in (("GET", "/x"), ("POST", "/leases"), ("POST", "/events"), ("POST", "/x"), ("GET", "/x")):
        assert call(proxy, method, path).is_success
    assert not killed.is_set()
    server.asked.clear()
    server.asked.append(("POST", "/x", {}))
    with pytest.raises(httpx.HTTPError):
        call(proxy, "PATCH", "/x")
    assert killed.is_set()
    assert len(server.asked) == forwarded
    assert call(proxy, "PATCH", "/x").is_success
