"""A real HTTP server on this machine that takes webhooks, refuses them, hangs, or hangs up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What was received, and how it is answered."""

    port: int = 0
    answers: list[tuple[int, dict[str, str]] | str] = field(default_factory=list)
    """For the next requests, in order: status and headers, or "hang" or "close"; then all are taken."""
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """Path, headers with names in small letters, and body."""
    came: threading.Condition = field(default_factory=threading.Condition)
    release: threading.Event = field(default_factory=threading.Event)
    """Set to let go of requests that hang."""

    @property
    def url(self) -> str:
        """Give a URL with something secret in it."""
        return f"http://127.0.0.1:{self.port}/in/t0ken"

    def json(self, number: int = -1) -> Any:
        """Give the body of a request."""
        return json.loads(self.received[number][2])

    def wait(self, count: int, seconds: float = 60) -> None:
        """Wait until so many requests have come."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.received) >= count, seconds), self.received


@contextmanager
def receiving(*answers: tuple[int, dict[str, str]] | str, address: str = "127.0.0.1") -> Iterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with receiver.came:
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append((self.path, headers, body))
                answer = receiver.answers.pop(0) if receiver.answers else (204, {})
                receiver.came.notify_all()
            if answer == "hang":
                receiver.release.wait(120)
            if isinstance(answer, str):
                self.close_connection = True
                return
            status, headers = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.release.set()
        server.shutdown()
        server.server_close()
        thread.join(30)
