"""Brings the store in line with complete lists."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NoReturn, Protocol

from towpath.errors import ClusterError
from towpath_operator.runtime.backoff import Backoff
from towpath_operator.runtime.client import ApiError
from towpath_operator.runtime.resources import Resource
from towpath_operator.runtime.store import Place, Store

log = logging.getLogger(__name__)

Page = tuple[list[dict[str, Any]], str]
"""Some objects of a list, and the resourceVersion that the whole list shares."""


class Lister(Protocol):
    """What can list; `Client` is one."""

    def pages(self, resource: Resource, namespace: str | None, *, metadata_only: bool = False) -> AsyncGenerator[Page]:
        """List, page by page."""
        ...


async def fill(
    lister: Lister, store: Store, resource: Resource, namespace: str | None, *, heard: Callable[[], None] = lambda: None
) -> str:
    """Put everything that exists into the store, drop from it what does not, and give the list's resourceVersion.

    Raises:
        ClusterError: the list could not be had; what came of it stays in the store, nothing is dropped.
    """
    listed: set[Place] = set()
    list_version = "0"
    async for items, version in read(lister, resource, namespace):
        heard()
        for body in items:
            store.put(resource.plural, body)
            listed.add(place_of(body))
        list_version = version
    store.prune(resource.plural, namespace, listed, int(list_version))
    return list_version


async def read(
    lister: Lister, resource: Resource, namespace: str | None, *, metadata_only: bool = False
) -> AsyncGenerator[Page]:
    """Give the pages of a list; one that expired while it was read is an error like any other: to be tried again."""
    async with contextlib.aclosing(lister.pages(resource, namespace, metadata_only=metadata_only)) as pages:
        try:
            async for page in pages:
                yield page
        except ApiError as error:
            if error.status == 410:
                raise ClusterError(f"The list of {resource.plural} expired while it was read: {error}") from error
            raise


def place_of(body: dict[str, Any]) -> Place:
    """Give an object's namespace and name."""
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


class Filler:
    """Fills the store whenever a framework has listed: its watch tells what comes after, this what was before.

    Args:
        namespaces: those that the framework watches; (None,) for the whole cluster.
    """

    def __init__(
        self,
        lister: Lister,
        store: Store,
        resources: Sequence[Resource],
        namespaces: Sequence[str | None] = (None,),
        *,
        backoff: Backoff = Backoff(base=0.5, cap=30.0),  # noqa: B008 - frozen
    ) -> None:
        self.filled = asyncio.Event()
        """Set once every kind has been listed everywhere."""
        self._lister = lister
        self._store = store
        self._resources = {resource.plural: resource for resource in resources}
        self._missing = {(resource.plural, namespace) for resource in resources for namespace in namespaces}
        self._wanted: asyncio.Queue[tuple[str, str | None]] = asyncio.Queue()
        self._backoff = backoff

    def listed(self, plural: str, namespace: str | None) -> None:
        """Note that the framework has listed a kind."""
        self._wanted.put_nowait((plural, namespace))

    async def run(self) -> NoReturn:
        """Fill for ever, as often as it takes."""
        failures = 0
        while True:
            plural, namespace = await self._wanted.get()
            try:
                await fill(self._lister, self._store, self._resources[plural], namespace)
            except ClusterError as error:
                failures += 1
                log.warning("The %s cannot be listed: %s", plural, error)
                self._wanted.put_nowait((plural, namespace))
                await asyncio.sleep(self._backoff.delay(failures))
                continue
            failures = 0
            self._missing.discard((plural, namespace))
            if not self._missing:
                self.filled.set()
