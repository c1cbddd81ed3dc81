"""The adapter: sends what `plan` planned over httpx, tries again what is worth it, and keeps its connections open."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from itertools import count
from types import TracebackType
from typing import Any, Final, Self

import httpx

from towpath.cluster import plan
from towpath.cluster.access import Access
from towpath.cluster.backoff import Backoff
from towpath.cluster.port import Body, Event, Expired, Listing, Selector
from towpath.errors import ClusterError, Unreachable

PATIENCE_SECONDS: Final = 30.0
_BACKOFF: Final = Backoff()
_TIMEOUT: Final = httpx.Timeout(15.0, connect=5.0)
#: The server sends a bookmark about once a minute: a watch that is silent for longer has lost its server.
_WATCH_TIMEOUT: Final = httpx.Timeout(15.0, connect=5.0, read=90.0)


class HttpCluster:
    """A cluster over HTTP; one instance may serve any number of threads."""

    def __init__(
        self,
        access: Access,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        backoff: Backoff = _BACKOFF,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.namespace = access.namespace
        self._access = access
        self._patience_seconds = patience_seconds
        self._backoff = backoff
        self._sleep, self._monotonic, self._chance = sleep, monotonic, chance
        self._http = httpx.Client(
            base_url=access.server,
            verify=access.tls if access.tls is not None else False,  # False: there is nothing to verify over plain HTTP
            proxy=access.proxy,
            trust_env=access.environment_proxies and access.proxy is None,
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=4, keepalive_expiry=None),
        )
        self._extensions = {"sni_hostname": access.server_name} if access.server_name else {}

    def with_patience(self, seconds: float) -> HttpCluster:
        """Give the same cluster, over the same connections, that keeps trying for so long."""
        other = copy(self)
        other._patience_seconds = seconds  # noqa: SLF001 its own
        return other

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def create_run(self, manifest: Body) -> Body:
        """Create a FlowRun."""
        return self._send(plan.create("flowruns", self.namespace, manifest))

    def get_run(self, name: str) -> Body:
        """Read a FlowRun."""
        return self._send(plan.get("flowruns", self.namespace, name))

    def patch_status(self, name: str, operations: Sequence[Mapping[str, Any]]) -> Body:
        """Apply a JSON Patch to a FlowRun's status."""
        return self._send(plan.patch_status("flowruns", self.namespace, name, operations))

    def list_runs(self, selector: Selector) -> Listing:
        """Read all FlowRuns that the selector takes."""
        return self._list("flowruns", selector)

    def watch_runs(self, selector: Selector, resource_version: str) -> HttpWatch:
        """Follow the FlowRuns that the selector takes."""
        request = plan.watch("flowruns", self.namespace, selector, resource_version)
        return HttpWatch(self._http, self._build(request, _WATCH_TIMEOUT), request)

    def get_deployment(self, name: str) -> Body:
        """Read a Deployment of Towpath's own kind."""
        return self._send(plan.get("deployments", self.namespace, name))

    def list_deployments(self) -> Listing:
        """Read all Deployments of Towpath's own kind."""
        return self._list("deployments", Selector())

    def list_limits(self) -> Listing:
        """Read all ConcurrencyLimits."""
        return self._list("concurrencylimits", Selector())

    def send(self, request: plan.Request) -> dict[str, Any]:
        """Send a request that somebody else has planned, such as `console`."""
        return self._send(request)

    @contextlib.contextmanager
    def lines(self, request: plan.Request) -> Iterator[Iterator[str]]:
        """Send a request and give its answer line by line, as it comes; raises Unreachable where it breaks off."""
        try:
            response = self._http.send(self._build(request, _WATCH_TIMEOUT), stream=True)
            try:
                if not response.is_success:
                    raise plan.failure(request, response.status_code, response.read()).error
                yield _lines(request, response)
            finally:
                response.close()
        except httpx.TransportError as error:
            raise _no_answer(request, error) from error

    def _list(self, plural: str, selector: Selector) -> Listing:
        items: list[Body] = []
        token = ""
        while True:
            try:
                answer = self._send(plan.listing(plural, self.namespace, selector, token))
            except Expired:
                if not token:
                    raise
                items, token = [], ""  # the list grew too old while it was read: from the start
                continue
            items += answer["items"]
            token = answer["metadata"].get("continue") or ""
            if not token:
                return Listing(tuple(items), answer["metadata"]["resourceVersion"])

    def _build(self, request: plan.Request, timeout: httpx.Timeout = _TIMEOUT) -> httpx.Request:
        headers = {"Accept": plan.JSON}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if token := self._access.tokens.current():
            headers["Authorization"] = f"Bearer {token}"
        return self._http.build_request(
            request.method,
            request.path,
            params=list(request.query),
            content=request.body,
            headers=headers,
            timeout=timeout,
            extensions=self._extensions,
        )

    def _send(self, request: plan.Request) -> dict[str, Any]:
        """Send until there is an answer that trying again would not change, or patience ends."""
        until = self._monotonic() + self._patience_seconds
        renewed = False
        for failures in count():
            answer, failed = self._try(request)
            if failed is None:
                return answer
            if failed.status == 401 and not renewed:
                renewed = self._access.tokens.renew()
                if renewed:
                    continue
            delay = max(failed.retry_after_seconds, self._backoff.delay(failures, self._chance()))
            if not failed.retried or self._monotonic() + delay > until:
                raise failed.error
            self._sleep(delay)
        raise AssertionError("unreachable")

    def _try(self, request: plan.Request) -> tuple[dict[str, Any], plan.Failure | None]:
        try:
            response = self._http.send(self._build(request))
            if response.is_success:
                return response.json(), None
        except httpx.TransportError as error:
            return {}, plan.Failure(0, _no_answer(request, error), retried=not _distrusted(error))
        except ValueError as error:
            return {}, plan.Failure(0, _no_answer(request, error), retried=False)
        return {}, plan.failure(request, response.status_code, response.content, response.headers.get("Retry-After"))


class HttpWatch:
    """An open watch over one connection of its own."""

    def __init__(self, http: httpx.Client, built: httpx.Request, request: plan.Request) -> None:
        self._http, self._built, self._request = http, built, request
        self._response: httpx.Response | None = None
        self._closed = False

    def __enter__(self) -> Self:
        try:
            self._response = self._http.send(self._built, stream=True)
            if not self._response.is_success:
                self._response.read()
        except httpx.TransportError as error:
            raise _no_answer(self._request, error) from error
        if not self._response.is_success:
            headers = self._response.headers
            raise plan.failure(
                self._request, self._response.status_code, self._response.content, headers.get("Retry-After")
            ).error
        if self._closed:
            self.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            self._response.close()

    def __iter__(self) -> Iterator[Event]:
        """Give events until the server or `close` ends the watch."""
        assert self._response is not None, "enter the watch first"
        try:
            for line in self._response.iter_lines():
                if line.strip():
                    yield plan.event(self._request, line)
        except (httpx.TransportError, httpx.StreamError, ClusterError) as error:
            if self._closed:
                return
            if isinstance(error, ClusterError):
                raise
            raise _no_answer(self._request, error) from error

    def close(self) -> None:
        """End the watch from any thread: whoever reads it sees the end of the stream at once."""
        self._closed = True
        if self._response is None:
            return  # not open yet: entering looks at the flag
        stream = self._response.extensions.get("network_stream")
        sock = stream.get_extra_info("socket") if stream is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):  # it has ended already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, whose goodbye is for the reading thread


def _lines(request: plan.Request, response: httpx.Response) -> Iterator[str]:
    """Split at line feeds only: a line of a log may hold what Unicode takes for a line's end as well."""
    rest = b""
    try:
        for chunk in response.iter_bytes():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
    except (httpx.TransportError, httpx.StreamError) as error:
        raise _no_answer(request, error) from error
    if rest:
        yield rest.decode(errors="replace")


def _distrusted(error: BaseException) -> bool:
    """Tell whether a connection failed because the server's certificate is not trusted: no second try mends that."""
    while error.__context__ is not None:
        error = error.__context__
    return isinstance(error, ssl.SSLCertVerificationError)


def _no_answer(request: plan.Request, error: Exception) -> Unreachable:
    said = str(error) or type(error).__name__
    return Unreachable(
        f"The Kubernetes API could not be asked to {request.aim}: {said}. Is it up, and can it be reached from here?"
    )
