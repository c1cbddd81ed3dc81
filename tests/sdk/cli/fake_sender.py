"""What sends the console's requests, in memory: it notes them, and answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from towpath.cluster.plan import Request
from towpath.errors import NotFound

Answer = Mapping[str, Any] | Exception | Callable[[Request], Mapping[str, Any]]


class FakeSender:
    """Answers by method and path; what nobody has told it about is not found."""

    def __init__(self, **answers: Answer) -> None:
        self.answers: dict[str, Answer] = dict(answers)
        self.logs: dict[str, list[list[str | Exception]]] = {}
        """By pod: for each time that its log is asked for, the lines, or what breaks the stream off."""
        self.requests: list[Request] = []

    def tell(self, method: str, path: str, answer: Answer) -> None:
        """Say what the answer to a request is."""
        self.answers[f"{method} {path}"] = answer

    def send(self, request: Request) -> dict[str, Any]:
        """Note a request and answer it."""
        self.requests.append(request)
        answer = self.answers.get(f"{request.method} {request.path}")
        if answer is None:
            raise NotFound(f"The Kubernetes API could not {request.aim}: 404, not found.")
        if isinstance(answer, Exception):
            raise answer
        return dict(answer(request) if callable(answer) else answer)

    @contextmanager
    def lines(self, request: Request) -> Iterator[Iterator[str]]:
        """Note a request for a log and give the lines that are next."""
        self.requests.append(request)
        pod = request.path.split("/")[-2]
        if not self.logs.get(pod):
            raise NotFound(f"The Kubernetes API could not {request.aim}: 404, not found.")
        yield _lines(self.logs[pod].pop(0))

    def asked(self) -> list[str]:
        """Give the requests, each as method and path."""
        return [f"{request.method} {request.path}" for request in self.requests]


def sent(request: Request) -> Any:
    """Read what a request carries."""
    return json.loads(request.body or b"null")


def listed(*items: Mapping[str, Any], more: str = "") -> dict[str, Any]:
    """Build the answer to a list."""
    return {"items": list(items), "metadata": {"continue": more} if more else {}}


def _lines(lines: list[str | Exception]) -> Iterator[str]:
    for line in lines:
        if isinstance(line, Exception):
            raise line
        yield line
