"""Stands between a framework that watches and the API server: credentials, counting, signs of life, and a brake.

kopf sends its own requests, drops bookmarks before any handler sees them, and takes up a watch that the server ends at
once as fast as it can, thousands of times a second. This middleware of its HTTP session gives what is missing: it notes
each piece of a watch as a sign of life, tells of each new list (one after the first means a gap in the watch), slows
down watches that follow each other too fast, and adds a credential that is fresh for each request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, Final, cast

import aiohttp
from kubernetes.aio.client.configuration import Configuration

from towpath_operator.runtime.backoff import Backoff
from towpath_operator.runtime.client import Observer

_TOO_SOON_SECONDS: Final = 1.0
_METHOD_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def classify(method: str, path: str, *, watching: bool) -> tuple[str, str, str | None]:
    """Give the verb, as Kubernetes calls it, the plural and the namespace (None: all) that a request is for.

    A request for anything but objects, such as the discovery of kinds, is ("get", "", None).

    Args:
        path: such as `/apis/towpath.dev/v1alpha1/namespaces/team-a/flowruns`.
        watching: whether the query asks for a watch.
    """
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = None
    if len(rest) > 2 and rest[0] == "namespaces":
        _, namespace, *rest = rest
    if not rest:
        return "get", "", None
    if method == "GET":
        verb = "watch" if watching else "list" if len(rest) == 1 else "get"
    else:
        verb = _METHOD_VERBS.get(method, method.lower())
    return verb, rest[0], namespace


class Guard:
    """Middleware of one HTTP session.

    Args:
        configuration: gives the credentials of each request.
        plurals: the kinds whose signs of life matter.
        observer: told of every request.
        heard: told a kind's plural and the namespace (None: all) at each sign of life of a list or watch.
        listed: told a kind's plural when a list of it begins.
    """

    def __init__(
        self,
        configuration: Configuration,
        plurals: Collection[str],
        *,
        observer: Observer,
        heard: Callable[[str, str | None], None],
        listed: Callable[[str], None],
        backoff: Backoff = Backoff(base=0.2, cap=30.0),  # noqa: B008 - frozen
    ) -> None:
        self._configuration = configuration
        self._plurals = frozenset(plurals)
        self._observer = observer
        self._heard = heard
        self._listed = listed
        self._backoff = backoff
        self._last_watch: dict[str, tuple[float, int]] = {}  # by path: when it began, how often in a row too soon

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request on, as aiohttp asks of a middleware."""
        verb, plural, namespace = classify(request.method, request.url.path, watching="watch" in request.url.query)
        token = await self._configuration.get_api_key_with_prefix("BearerToken")
        if token:
            request.headers["Authorization"] = token
        if self._configuration.tls_server_name:
            request.server_hostname = self._configuration.tls_server_name
        if verb == "watch":
            await self._brake(request.url.path)
        began, code = time.monotonic(), "error"
        try:
            response = await handler(request)
            code = str(response.status)
        finally:
            self._observer(verb, plural or "discovery", code, time.monotonic() - began)
        if response.status < 400 and plural in self._plurals:
            self._heard(plural, namespace)
            if verb == "watch":
                response.content = cast(
                    "aiohttp.StreamReader", _Overheard(response.content, lambda: self._heard(plural, namespace))
                )
            elif verb == "list" and "continue" not in request.url.query:
                self._listed(plural)
        return response

    async def _brake(self, path: str) -> None:
        clock = asyncio.get_running_loop().time
        last, in_a_row = self._last_watch.get(path, (-_TOO_SOON_SECONDS, 0))
        in_a_row = in_a_row + 1 if clock() - last < _TOO_SOON_SECONDS else 0
        if in_a_row > 1:  # once in a while a watch is short, and that is nobody's fault
            await asyncio.sleep(self._backoff.delay(in_a_row - 1))
        self._last_watch[path] = (clock(), in_a_row)


class _Overheard:
    """A response's stream that tells when something came; in all else it is the stream."""

    def __init__(self, stream: aiohttp.StreamReader, heard: Callable[[], None]) -> None:
        self._stream = stream
        self._heard = heard

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for chunk in self._stream.iter_chunked(size):
            self._heard()
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
