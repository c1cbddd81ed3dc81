"""Keeps the store true to the API server for one kind: list, watch, and find out what was missed.

A watch can end in many ways: by the server's timeout, by a dropped connection, in silence, with "410 Gone" as an event
or as an answer, with an error event, with 5xx. After all of them the watch goes on from the last version seen, except
after 410, when the missed events cannot be had any more: then everything is listed again, and what is no longer there
is dropped from the store as if its deletion had been seen. Without that, a Job deleted in the gap would run for ever in
our memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final, NoReturn, Protocol

from towpath.errors import ClusterError, Unreachable
from towpath_operator.runtime.backoff import Backoff
from towpath_operator.runtime.client import ApiError
from towpath_operator.runtime.listing import Lister, fill
from towpath_operator.runtime.resources import Resource
from towpath_operator.runtime.store import Store

log = logging.getLogger(__name__)

#: A watch that ends sooner without an event has failed, whatever the server says: without a pause it would spin.
_TOO_SHORT_SECONDS: Final = 1.0
#: After so many failures in a row the version may be what the server cannot serve: list again.
_RELIST_AFTER: Final = 5


class Source(Lister, Protocol):
    """What a reflector asks of the API; `Client` is one."""

    def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, *, heard: Callable[[], None]
    ) -> AsyncGenerator[dict[str, Any]]:
        """Give events until the watch ends."""
        ...


class _ExpiredError(Exception):
    """The version is too old: list again."""


class Reflector:
    """One kind, in one namespace or (None) in all.

    Args:
        heard: called at each sign of life of the list or watch.
        backoff: delays between attempts that fail.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        resource: Resource,
        namespace: str | None = None,
        *,
        heard: Callable[[], None] = lambda: None,
        backoff: Backoff = Backoff(base=0.5, cap=30.0),  # noqa: B008 - frozen
    ) -> None:
        self.synced = asyncio.Event()
        """Set once everything that exists has been listed."""
        self._source = source
        self._store = store
        self._resource = resource
        self._namespace = namespace
        self._heard = heard
        self._backoff = backoff
        self._version = ""  # where the next watch starts; empty: list first
        self._failures = 0

    async def run(self) -> NoReturn:
        """List and watch for ever; returns never, raises only what is a bug."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except _ExpiredError:
                log.info("The watch on %s fell too far behind; listing again.", self._resource.plural)
                self._version = ""
                self._failures += 1
                if self._failures == 1:
                    continue  # an everyday event; only a server that says so again and again is left in peace
            except ClusterError as error:
                self._failures += 1
                log.warning("Watching %s failed (%d in a row): %s", self._resource.plural, self._failures, error)
                if self._failures % _RELIST_AFTER == 0 and not isinstance(error, Unreachable):
                    self._version = ""
            if self._failures:
                await asyncio.sleep(self._backoff.delay(self._failures))

    async def _list(self) -> None:
        self._version = await fill(self._source, self._store, self._resource, self._namespace, heard=self._heard)
        self.synced.set()

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        began, events = clock(), 0
        try:
            stream = self._source.watch(self._resource, self._namespace, self._version, heard=self._heard)
            async with contextlib.aclosing(stream) as stream:
                async for event in stream:
                    self._take(event)
                    events += 1
                    self._failures = 0
        except ApiError as error:
            if error.status == 410:
                raise _ExpiredError from error
            raise
        if not events and clock() - began < _TOO_SHORT_SECONDS:
            raise ClusterError(f"The server ended the watch on {self._resource.plural} at once, without an event.")
        self._failures = 0

    def _take(self, event: Mapping[str, Any]) -> None:
        kind, body = event["type"], event["object"]
        if kind == "ERROR":
            if body.get("code") == 410:
                raise _ExpiredError
            raise ClusterError(f"The server broke off the watch on {self._resource.plural}: {body.get('message')!r}.")
        metadata = body["metadata"]
        if kind in ("ADDED", "MODIFIED"):
            self._store.put(self._resource.plural, body)
        elif kind == "DELETED":
            self._store.drop(self._resource.plural, metadata["namespace"], metadata["name"], metadata["uid"])
        self._version = metadata["resourceVersion"]  # also of a BOOKMARK, which says nothing else
