"""Checks from time to time that the store is true, whoever feeds it.

A watch may be open, silent and deaf, and whoever reads it may be wrong. So every kind is listed now and then (metadata
only), and

- an object that the store has and the server has not is dropped: a ghost;
- an object that is still older in the store some time after the list was missed by the watch: it is fetched, and told
  to `missed`, for a watch that misses events has to be ended by ending the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, Protocol

from towpath.errors import ClusterError
from towpath_operator.runtime.client import ApiError
from towpath_operator.runtime.listing import Lister, place_of, read
from towpath_operator.runtime.resources import Resource
from towpath_operator.runtime.store import Place, Store, version_of

log = logging.getLogger(__name__)

#: Seconds that a watch may be behind a list.
_GRACE_SECONDS: Final = 30.0


class Getter(Lister, Protocol):
    """What a sweep asks of the API; `Client` is one."""

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """Read one object."""
        ...


class Sweeper:
    """Sweeps over kinds and namespaces at intervals.

    Args:
        namespaces: those to list; (None,) for the whole cluster.
        every: seconds between sweeps.
        missed: told a kind's plural and how many of its objects the watch had missed.
    """

    def __init__(
        self,
        source: Getter,
        store: Store,
        resources: Sequence[Resource],
        namespaces: Sequence[str | None] = (None,),
        *,
        every: float = 300.0,
        missed: Callable[[str, int], None] = lambda _plural, _count: None,
    ) -> None:
        self._source = source
        self._store = store
        self._resources = resources
        self._namespaces = namespaces
        self._every = every
        self._missed = missed

    async def run(self) -> NoReturn:
        """Sweep for ever; a sweep that fails is tried again with the next."""
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.sweep()
            except ClusterError as error:
                log.warning("The sweep could not be finished: %s", error)

    async def catch_up(self) -> None:
        """Bring the store up to what the server has now, without waiting for the watches.

        Raises:
            ClusterError: the server does not say what it has.
        """
        for resource in self._resources:
            for namespace in self._namespaces:
                for _, place, _ in await self._compare(resource, namespace):
                    await self._fetch(resource, place)

    async def sweep(self) -> None:
        """Compare the store with the server once, and put right what differs."""
        behind: list[tuple[Resource, Place, int]] = []
        for resource in self._resources:
            for namespace in self._namespaces:
                behind += await self._compare(resource, namespace)
        if not behind:
            return
        await asyncio.sleep(_GRACE_SECONDS)
        missed: dict[str, int] = {}
        for resource, place, version in behind:
            if self._is_behind(resource, place, version) and await self._fetch(resource, place):
                missed[resource.plural] = missed.get(resource.plural, 0) + 1
        for plural, count in missed.items():
            log.error("The watch on %s missed %d changes.", plural, count)
            self._missed(plural, count)

    async def _compare(self, resource: Resource, namespace: str | None) -> list[tuple[Resource, Place, int]]:
        listed: dict[Place, int] = {}
        list_version = 0
        async for items, version in read(self._source, resource, namespace, metadata_only=True):
            listed.update((place_of(body), version_of(body)) for body in items)
            list_version = int(version)
        ghosts = self._store.prune(resource.plural, namespace, listed.keys(), list_version)
        if ghosts:
            log.info("%d %s were deleted while nobody watched.", ghosts, resource.plural)
        return [
            (resource, place, newest) for place, newest in listed.items() if self._is_behind(resource, place, newest)
        ]

    def _is_behind(self, resource: Resource, place: Place, version: int) -> bool:
        body = self._store.get(resource.plural, *place)
        return body is None or version_of(body) < version

    async def _fetch(self, resource: Resource, place: Place) -> bool:
        try:
            body = await self._source.get(resource, *place)
        except ApiError as error:
            if error.status == 404:  # deleted since, and the watch said so
                return False
            raise
        return self._store.put(resource.plural, body)
