"""The Kubernetes API as the operator's own code uses it: raw JSON in, parsed JSON out, every request counted.

`kubernetes.aio` loads the configuration; the requests are sent by aiohttp, as it would send them, without what it does
on the way: typed models cost ten times what parsing costs, and nothing here would look at them.

Failures are not retried here (the work queue and the reflectors do that, each with their own back-off), but for one: an
API server that says when to come again (429 or 503 with Retry-After) is taken at its word a few times.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from towpath.errors import ClusterError, Unreachable
from towpath_operator.runtime.resources import Resource

Observer: TypeAlias = Callable[[str, str, str, float], None]
"""Told of every request: verb, plural, status code ("error": no answer), seconds until the answer was there."""

#: Verbs as Kubernetes calls them: HTTP method and content type of the body.
_HTTP: Final = {
    "get": ("GET", None),
    "list": ("GET", None),
    "watch": ("GET", None),
    "create": ("POST", "application/json"),
    "patch": ("PATCH", "application/json-patch+json"),
    "delete": ("DELETE", "application/json"),
}
_USER_AGENT: Final = "towpath-operator"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_REQUEST: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
#: A server sends a bookmark about once a minute: a watch that is silent for longer is taken up anew.
_WATCH: Final = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=75)
#: The server ends each watch after about this many seconds: a second net below the read timeout.
_WATCH_SECONDS: Final = 290
_BUFFER: Final = 2**21  # bytes: a page of a list is larger than aiohttp reads at a time
_PATIENCE: Final = 3  # how often Retry-After is obeyed in one request
_LONGEST_WAIT: Final = 10.0  # seconds of it


class ApiError(ClusterError):
    """The API server's refusal: its status code, its reason in one word, its sentence."""

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class FencedError(ClusterError):
    """The write was not sent: another replica may be at work."""


@dataclass(frozen=True, slots=True)
class _Request:
    verb: str
    plural: str
    path: str
    body: Any = None
    accept: str = "application/json"
    limits: aiohttp.ClientTimeout = _REQUEST


class Client:
    """Sends requests for objects of any kind.

    Args:
        configuration: where the API server is and who we are, as loaded by `kubernetes.aio.config`.
        observer: told of every request.
        may_write: asked before each write; where it says no, the write is not sent and `FencedError` is raised.
    """

    def __init__(
        self,
        configuration: Configuration,
        observer: Observer = lambda _verb, _plural, _code, _seconds: None,
        *,
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self._configuration = configuration
        self._may_write = may_write
        self._tls = RESTClientObject(configuration).ssl_context
        self._session: aiohttp.ClientSession | None = None
        self._observer = observer

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def open_session(self, *middlewares: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        """Open a session to the same API server for a framework that sends its own requests; the caller closes it.

        Args:
            middlewares: see every request of the session; one has to add the credentials.
        """
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
            proxy=self._configuration.proxy,
            trust_env=_has_proxy_in_environment(self._configuration.host),
            middlewares=middlewares,
            headers={"User-Agent": _USER_AGENT},
            read_bufsize=_BUFFER,
        )

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """Read one object."""
        return await self._ask(_Request("get", resource.plural, resource.path(namespace, name)))

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; a field that the API does not know is an error, so that no typo is silently dropped."""
        return await self._ask(
            _Request("create", resource.plural, resource.path(namespace) + "?fieldValidation=Strict", body)
        )

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Sequence[Mapping[str, Any]],
        subresource: str | None = None,
    ) -> dict[str, Any]:
        """Apply a JSON Patch to an object, or to a subresource of it such as its status."""
        path = resource.path(namespace, name, subresource)
        return await self._ask(_Request("patch", resource.plural, path, list(patch)))

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str | None = None,
        grace_seconds: int | None = None,
    ) -> dict[str, Any]:
        """Delete exactly this object, what it owns in the background; give the API server's answer.

        Args:
            uid: of the object.
            resource_version: the version that is meant, if no other is.
            grace_seconds: of a pod, how long its processes may take; None: as long as it was promised.

        Raises:
            ApiError: among others 409, if the object is another one by that name, or has changed.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {}),
        } | ({} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds})
        return await self._ask(_Request("delete", resource.plural, resource.path(namespace, name), options))

    async def pages(
        self, resource: Resource, namespace: str | None, *, size: int = 500, metadata_only: bool = False
    ) -> AsyncGenerator[tuple[list[dict[str, Any]], str]]:
        """List objects, page by page: each page's objects, and the resourceVersion that the whole list shares.

        Raises:
            ApiError: among others 410, when the list took so long that the server forgot its version: start again.
        """
        query = {"limit": str(size)}
        if resource.label_selector:
            query["labelSelector"] = resource.label_selector
        if resource.field_selector:
            query["fieldSelector"] = resource.field_selector
        accept = _METADATA_ONLY if metadata_only else "application/json"
        while True:
            path = f"{resource.path(namespace)}?{urlencode(query)}"
            page = await self._ask(_Request("list", resource.plural, path, accept=accept))
            yield page.get("items") or [], page["metadata"]["resourceVersion"]
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, *, heard: Callable[[], None]
    ) -> AsyncGenerator[dict[str, Any]]:
        """Give the events of a watch until the server ends it.

        Args:
            resource_version: where to start: that of a list, or of the last event.
            heard: called whenever the server gave a sign of life.

        Raises:
            ApiError: the server refused the watch; 410: the version is too old.
            Unreachable: no connection, or a silence longer than a server keeps.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        if resource.label_selector:
            query["labelSelector"] = resource.label_selector
        path = f"{resource.path(namespace)}?{urlencode(query)}"
        response = await self._send(_Request("watch", resource.plural, path, limits=_WATCH))
        try:
            heard()
            rest = b""
            async for chunk in response.content.iter_any():
                heard()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield orjson.loads(line)
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise Unreachable(f"The watch on {resource.plural} broke off: {error!r}.") from error
        finally:
            response.close()

    async def _ask(self, request: _Request) -> dict[str, Any]:
        response = await self._send(request)
        try:
            answer: dict[str, Any] = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise Unreachable(f"The answer to {request.verb} {request.path} could not be read: {error!r}.") from error
        return answer

    async def _send(self, request: _Request) -> aiohttp.ClientResponse:
        patience = _PATIENCE
        while True:
            try:
                return await self._send_once(request)
            except ApiError as error:
                if not patience or error.retry_after is None or error.retry_after > _LONGEST_WAIT:
                    raise
                patience -= 1
                await asyncio.sleep(error.retry_after)

    async def _send_once(self, request: _Request) -> aiohttp.ClientResponse:
        method, content_type = _HTTP[request.verb]
        if method != "GET" and not self._may_write():
            raise FencedError(
                f"{request.verb} {request.path} was not sent: this replica may not hold the Lease any more."
            )
        headers = {"Accept": request.accept}
        if content_type:
            headers["Content-Type"] = content_type
        began, code = time.monotonic(), "error"
        try:
            token = await self._configuration.get_api_key_with_prefix("BearerToken")
            if token:
                headers["Authorization"] = token
            url = self._configuration.host + request.path
            if self._session is None:
                self._session = self.open_session()
            response = await self._session.request(
                method,
                url,
                headers=headers,
                data=None if request.body is None else orjson.dumps(request.body),
                timeout=request.limits,
                server_hostname=self._configuration.tls_server_name,
                proxy_headers=self._configuration.proxy_headers,
            )
            code = str(response.status)
            if response.status >= 400:
                raise _refusal(response, await response.read())
            return response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"The API server gave no answer to {request.verb} {request.path}: {error!r}.") from error
        finally:
            self._observer(request.verb, request.plural, code, time.monotonic() - began)


def _has_proxy_in_environment(url: str) -> bool:
    """Tell whether the environment names a proxy for a URL; aiohttp would look at each request, in threads."""
    parts = urlsplit(url)
    return parts.scheme in getproxies() and not proxy_bypass(parts.netloc)


def _refusal(response: aiohttp.ClientResponse, data: bytes) -> ApiError:
    """Make an error of an answer that is a Kubernetes Status, or of whatever a proxy on the way made of it."""
    try:
        status = orjson.loads(data)
        reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    except (orjson.JSONDecodeError, AttributeError):
        reason, message = "", data[:200].decode(errors="replace")
    header = response.headers.get("Retry-After", "")
    retry_after = float(header) if header.isdigit() and response.status in (429, 503) else None
    return ApiError(response.status, reason, message or str(response.reason), retry_after=retry_after)
