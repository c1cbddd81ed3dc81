"""The middleware between kopf's session and the API server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from kubernetes.aio.client.configuration import Configuration
from tests.operator.runtime.api_server import ApiServer, serving
from tests.operator.runtime.clock import real_time, until

from towpath_operator.runtime.backoff import Backoff
from towpath_operator.runtime.client import Client
from towpath_operator.runtime.guard import Guard, classify

RUNS = "/apis/towpath.dev/v1alpha1/flowruns"


@pytest.mark.parametrize(
    ("method", "path", "watching", "expected"),
    [
        ("GET", "/apis/towpath.dev/v1alpha1/flowruns", False, ("list", "flowruns", None)),
        ("GET", "/apis/towpath.dev/v1alpha1/flowruns", True, ("watch", "flowruns", None)),
        ("GET", "/apis/towpath.dev/v1alpha1/namespaces/ns/flowruns", True, ("watch", "flowruns", "ns")),
        ("GET", "/apis/towpath.dev/v1alpha1/namespaces/ns/flowruns/r", False, ("get", "flowruns", "ns")),
        ("PATCH", "/apis/towpath.dev/v1alpha1/namespaces/ns/flowruns/r/status", False, ("patch", "flowruns", "ns")),
        ("POST", "/api/v1/namespaces/ns/events", False, ("create", "events", "ns")),
        ("GET", "/api/v1/namespaces", False, ("list", "namespaces", None)),
        ("GET", "/api/v1/namespaces/ns", False, ("get", "namespaces", None)),
        ("GET", "/apis/towpath.dev/v1alpha1", False, ("get", "", None)),
        ("GET", "/apis", False, ("get", "", None)),
        ("GET", "/api", False, ("get", "", None)),
    ],
)
def test_requests_are_classified(
    method: str, path: str, *, watching: bool, expected: tuple[str, str, str | None]
) -> None:
    """Verb, kind and namespace are read off a request as Kubernetes means them; discovery is of no kind."""
    assert classify(method, path, watching=watching) == expected


@dataclass
class Notes:
    """What a guard told."""

    observed: list[tuple[str, str, str]] = field(default_factory=list)
    heard: list[tuple[str, str | None]] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def guarded(backoff: Backoff | None = None) -> AsyncIterator[tuple[ApiServer, aiohttp.ClientSession, Notes]]:
    async with serving() as server:
        configuration = Configuration(host=server.url, api_key={"BearerToken": "Bearer secret"})
        client, notes = Client(configuration), Notes()
        guard = Guard(
            configuration,
            {"flowruns"},
            observer=lambda verb, plural, code, _seconds: notes.observed.append((verb, plural, code)),
            heard=lambda plural, namespace: notes.heard.append((plural, namespace)),
            listed=notes.listed.append,
            backoff=backoff or Backoff(base=0.2, cap=30.0),
        )
        async with client.open_session(guard) as session:
            yield server, session, notes
        await client.close()


@real_time
async def test_each_request_is_counted_and_carries_credentials() -> None:
    """Whatever a framework asks is seen in the metrics, and sent with our token."""
    async with guarded() as (server, session, notes):
        async with session.get(server.url + RUNS) as response:
            assert response.status == 200
        async with session.get(server.url + "/apis/towpath.dev/v1alpha1") as response:
            assert response.status == 200
        [listed] = server.requests
    assert listed.headers["Authorization"] == "Bearer secret"
    assert notes.observed == [("list", "flowruns", "200"), ("get", "discovery", "200")]


@real_time
async def test_a_list_is_told_once() -> None:
    """A list is told when it begins, not with each of its pages, and not when it fails."""
    async with guarded() as (server, session, notes):
        server.fail("list", "flowruns", 500)
        for query in ("", "?limit=1", "?limit=1&continue=1"):
            async with session.get(server.url + RUNS + query):
                pass
    assert notes.listed == ["flowruns"]
    assert notes.heard == [("flowruns", None)] * 2


@real_time
async def test_each_piece_of_a_watch_is_heard() -> None:
    """The beginning of a watch and all that comes on it count as signs of life; the stream is as it was."""
    async with guarded() as (server, session, notes):
        path = "/apis/towpath.dev/v1alpha1/namespaces/ns/flowruns?watch=true&resourceVersion=100"
        async with session.get(server.url + path) as response:
            assert notes.heard == [("flowruns", "ns")]
            server.put("flowruns", {"metadata": {"namespace": "ns", "name": "r"}})
            pieces = response.content.iter_chunked(1024)
            assert b"ADDED" in await anext(pieces)
            assert notes.heard == [("flowruns", "ns")] * 2
            server.end_watches()
            assert [piece async for piece in pieces] == []


@real_time
async def test_other_kinds_are_not_heard() -> None:
    """Signs of life of kinds that nobody asked about are not told."""
    async with guarded() as (server, session, notes), session.get(server.url + "/apis/towpath.dev/v1alpha1/flows"):
        pass
    assert (notes.heard, notes.listed) == ([], [])


@real_time
async def test_watches_that_follow_each_other_too_fast_are_slowed_down() -> None:
    """A framework that takes up an ended watch again and again is held back, longer each time."""
    async with guarded(Backoff(base=0.05, cap=30.0, random=lambda: 1.0)) as (server, session, _):
        server.end_watches_at_once = True

        async def hammer() -> None:
            while True:
                async with session.get(server.url + RUNS + "?watch=true&resourceVersion=100") as response:
                    await response.read()

        hammering = asyncio.create_task(hammer())
        await asyncio.sleep(0.5)
        hammering.cancel()
        assert 3 <= len(server.seen("watch", "flowruns")) <= 7, "0, 0, 50, 100, 200, 400 ms apart"


@real_time
async def test_a_watch_that_broke_off_once_is_taken_up_at_once() -> None:
    """One short watch now and then is not slowed down."""
    async with guarded(Backoff(base=60.0, cap=60.0)) as (server, session, notes):
        server.end_watches_at_once = True
        for _ in range(2):
            async with session.get(server.url + RUNS + "?watch=true&resourceVersion=100") as response:
                await response.read()
        await until(lambda: len(notes.heard) >= 2)
