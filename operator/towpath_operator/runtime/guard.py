"""Stands between a framework that watches and the API server: credentials, counting, signs of life, and a brake.

kopf sends its own requests, drops bookmarks before any handler sees them, and takes up a watch that the server ends at
once as fast as it can, thousands of times a second. It dies of an error event on a watch and of a 410 as an answer, and
then hangs. It spends a worker and a memory on each object that it lists, 12 kB and half a millisecond, and never says
what a list lacks. It spends as much on each event, though most of them tell only what we have just written. This
middleware of its HTTP session gives what is missing:

- each piece of a watch is noted as a sign of life;
- a list is told, so that it can be read by somebody who also sees what is gone, and reaches kopf empty: a version to
  start a watch from is all that kopf needs;
- an event that is no news reaches kopf as a bookmark, which tells it the version and nothing else;
- watches that follow each other too fast are slowed down;
- those faults become what kopf survives: the end of a watch, or the one kind of 410 after which it lists again;
- each request has a credential that is fresh.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any, Final, cast

import aiohttp
import orjson
from kubernetes.aio.client.configuration import Configuration

from towpath_operator.runtime.backoff import Backoff
from towpath_operator.runtime.client import Observer

log = logging.getLogger(__name__)

_TOO_SOON_SECONDS: Final = 1.0
#: After so many error events in a row the version may be what the server cannot serve: have everything listed.
_RELIST_AFTER: Final = 5
#: What a server says on a watch from a version that it has forgotten.
_EXPIRED: Final = b'{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"reason":"Expired"}}\n'
#: How events begin that tell of an object as it is now.
_CHANGES: Final = (b'{"type":"ADDED"', b'{"type":"MODIFIED"')
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
        listed: told a kind's plural and the namespace when the framework has listed: its watch begins there.
        is_news: asked about a kind's plural and an object that appeared or changed whether anybody needs to hear of it.
    """

    def __init__(
        self,
        configuration: Configuration,
        plurals: Collection[str],
        *,
        observer: Observer,
        heard: Callable[[str, str | None], None],
        listed: Callable[[str, str | None], None],
        is_news: Callable[[str, Mapping[str, Any]], bool] = lambda _plural, _body: True,
        backoff: Backoff = Backoff(base=0.2, cap=30.0),  # noqa: B008 - frozen
    ) -> None:
        self._configuration = configuration
        self._plurals = frozenset(plurals)
        self._observer = observer
        self._heard = heard
        self._listed = listed
        self._is_news = is_news
        self._backoff = backoff
        self._errors: dict[str, int] = {}  # error events in a row, by path
        self._last_watch: dict[str, tuple[float, int]] = {}  # by path: when it began, how often in a row too soon

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request on, as aiohttp asks of a middleware."""
        verb, plural, namespace = classify(request.method, request.url.path, watching="watch" in request.url.query)
        if self._configuration.tls_server_name:
            request.server_hostname = self._configuration.tls_server_name
        if verb == "watch":
            await self._brake(request.url.path)
        refused = 0
        while True:
            token = await self._configuration.get_api_key_with_prefix("BearerToken")
            if token:
                request.headers["Authorization"] = token
            began, code = time.monotonic(), "error"
            try:
                response = await handler(request)
                code = str(response.status)
            finally:
                self._observer(verb, plural or "discovery", code, time.monotonic() - began)
            if response.status != 401:
                break
            # kopf would close this session under all its other watches, which some of them do not survive. A credential
            # that is being rotated is good again soon; the request's own timeout ends the waiting.
            response.release()
            refused += 1
            await asyncio.sleep(self._backoff.delay(refused))
        if plural in self._plurals and response.status < 400:
            self._heard(plural, namespace)
            if verb == "list":
                response.content = cast("aiohttp.StreamReader", _Emptied(response.content))
                self._listed(plural, namespace)
        if response.status == 410 and verb == "list":
            response.release()
            raise aiohttp.ClientPayloadError(f"The list of {plural} expired while it was read.")  # kopf lists again
        if verb == "watch" and response.status in (200, 410):
            stream = _Overheard(
                response,
                request.url.path,
                self._errors,
                heard=lambda: self._heard(plural, namespace),
                is_news=lambda body: self._is_news(plural, body),
            )
            response.content, response.status = cast("aiohttp.StreamReader", stream), 200
        return response

    async def _brake(self, path: str) -> None:
        clock = asyncio.get_running_loop().time
        last, in_a_row = self._last_watch.get(path, (-_TOO_SOON_SECONDS, 0))
        in_a_row = in_a_row + 1 if clock() - last < _TOO_SOON_SECONDS else 0
        if in_a_row > 1:  # once in a while a watch is short, and that is nobody's fault
            await asyncio.sleep(self._backoff.delay(in_a_row - 1))
        self._last_watch[path] = (clock(), in_a_row)


class _Emptied:
    """A list's stream that gives the list without its objects."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        found = orjson.loads(await self._stream.read())
        return orjson.dumps({**found, "metadata": {**found["metadata"], "continue": ""}, "items": []})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # all else of it is the stream


class _Overheard:
    """A watch's stream that tells when something came, and carries only news, and no error that nobody survives."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        path: str,
        errors: dict[str, int],
        *,
        heard: Callable[[], None],
        is_news: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self._stream = response.content
        self._refused = response.status == 410
        self._path = path
        self._errors = errors
        self._heard = heard
        self._is_news = is_news

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        if self._refused:
            yield _EXPIRED
            return
        rest = b""
        async for chunk in self._stream.iter_chunked(size):
            self._heard()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b'{"type":"ERROR"'):
                    yield self._survivable(line)
                    return
                self._errors.pop(self._path, None)
                yield self._told(line) + b"\n"

    def _told(self, line: bytes) -> bytes:
        if not line.startswith(_CHANGES):
            return line
        body = orjson.loads(line)["object"]
        if self._is_news(body):
            return line
        version = {"resourceVersion": body["metadata"]["resourceVersion"]}
        return orjson.dumps({"type": "BOOKMARK", "object": {"metadata": version}})

    def _survivable(self, line: bytes) -> bytes:
        status = orjson.loads(line)["object"]
        if status.get("code") == 410:
            return line + b"\n"
        log.warning("The server broke off the watch on %s: %s", self._path, status.get("message"))
        errors = self._errors[self._path] = self._errors.get(self._path, 0) + 1
        return b"" if errors % _RELIST_AFTER else _EXPIRED

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # all else of it is the stream
