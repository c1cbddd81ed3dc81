"""kopf at the edge: it watches our own kinds, and its handlers put what they see into the store. Only this imports it.

Only `on.event` is used: it writes nothing to the API, where kopf's other handlers each write annotations or finalizers.
A handler never touches the network and never fails on purpose, for kopf does not call it again; retrying is the work
queue's. What kopf would do for its other handlers at each event (comparing the object with its last state, cleaning up
progress) is switched off: it is half of an event's cost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import aiohttp
import kopf
import orjson

from towpath.errors import ClusterError
from towpath_operator.runtime.backoff import Backoff
from towpath_operator.runtime.resources import Resource
from towpath_operator.runtime.store import Store

log = logging.getLogger(__name__)

_EXIT_SECONDS: Final = 25  # below the pod's grace period of 30
_END_SECONDS: Final = 1.0  # for kopf to end when it does so by itself


class _NoDiffBase(kopf.DiffBaseStorage):
    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return {}

    def store(self, **_: Any) -> None:
        pass


class _NoProgress(kopf.ProgressStorage):
    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass

    def purge(self, **_: Any) -> None:
        pass

    def touch(self, **_: Any) -> None:
        pass

    def clear(self, *, essence: Any, **_: Any) -> Any:
        return essence


class _Delays:
    """Delays between attempts to reach the API server: for ever, since giving up would end the process."""

    def __iter__(self) -> Iterator[float]:
        backoff, failures = Backoff(base=0.5, cap=30.0), 0
        while True:
            failures += 1
            yield backoff.delay(failures)


def registry(store: Store, resources: Sequence[Resource]) -> kopf.OperatorRegistry:
    """Make the handlers that feed the store with these kinds."""
    made = kopf.OperatorRegistry()
    for resource in resources:
        handler = _feed(store, resource.plural)
        kopf.on.event(resource.group, resource.version, resource.plural, registry=made, id=resource.plural)(handler)
    return made


def settings() -> kopf.OperatorSettings:
    """Make kopf's settings; the reasons are in the comments, where the name does not say it."""
    made = kopf.OperatorSettings()
    made.persistence.diffbase_storage = _NoDiffBase()
    made.persistence.progress_storage = _NoProgress()
    made.peering.standalone = True
    made.scanning.disabled = (
        True  # kinds and namespaces are known: no watches on CRDs and namespaces, no rights for them
    )
    made.posting.enabled = False
    made.watching.chunk_size = 1  # its lists are only for their version: see runtime.guard
    made.watching.server_timeout = 290
    made.watching.client_timeout = 310
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 5
    made.networking.error_backoffs = _Delays()
    made.queueing.error_delays = (1, 2, 5, 10)  # kopf's own go up to ten minutes
    made.process.ultimate_exiting_timeout = _EXIT_SECONDS
    return made


async def run(
    registry: kopf.OperatorRegistry,
    server: str,
    open_session: Callable[[], aiohttp.ClientSession],
    namespaces: Sequence[str],
    *,
    ready: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Let kopf watch until it is told to stop.

    Args:
        registry: made by `registry`.
        server: URL of the API server.
        open_session: opens an HTTP session to it; called again when the API server refused one's credentials.
        namespaces: exact names; empty: the whole cluster.
        ready: set when kopf has started; from then on the process's signal handlers may be set.
        stop: set to end.

    Raises:
        ClusterError: kopf failed. It may still be there, and may not let itself be cancelled: end the process.
    """

    ending = asyncio.Event()

    async def give_session(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=server, aiohttp_session=open_session())

    async def tell_end(**_: Any) -> None:
        ending.set()

    kopf.on.login(registry=registry)(give_session)
    kopf.on.cleanup(registry=registry)(tell_end)
    end = asyncio.create_task(ending.wait())
    operator = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=settings(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            ready_flag=ready,
            stop_flag=stop,
        )
    )
    try:
        await asyncio.wait((operator, end), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((operator,), timeout=_END_SECONDS)
        if not operator.done() and stop.is_set():
            operator.cancel()  # requests of its start may still be on their way, and would be waited for
            await asyncio.wait((operator,), timeout=_END_SECONDS)
        if not operator.done():
            # One of kopf's tasks failed, and waiting for the others could take for ever: they try to log in again to a
            # session that kopf has closed.
            raise ClusterError("kopf stopped watching and did not end: see the error that it logged.")
        if not operator.cancelled() and (error := operator.exception()):
            if not stop.is_set():
                raise error
            log.debug("kopf was stopped in the middle of a request: %r", error)
    finally:
        end.cancel()


def _feed(store: Store, plural: str) -> Callable[..., Any]:
    async def feed(event: Any, **_: Any) -> None:
        # kopf parses with the standard library, which makes each key anew in each object; orjson shares them.
        body = orjson.loads(orjson.dumps(event["object"]))
        if event["type"] == "DELETED":
            metadata = body["metadata"]
            store.drop(plural, metadata["namespace"], metadata["name"], metadata["uid"])
        else:
            store.put(plural, body)

    return feed
