"""Brings the store in line with a complete list of one kind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

from towpath.errors import ClusterError
from towpath_operator.runtime.client import ApiError
from towpath_operator.runtime.resources import Resource
from towpath_operator.runtime.store import Place, Store

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
