"""The middleware between kopf's session and the API server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
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
    listed: list[tuple[str, str | None]] = field(default_factory=list)


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
            listed=lambda *list_: notes.listed.append(list_),
            is_news=lambda _plural, body: body["metadata"]["name"] != "stale",
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
async def test_a_list_is_told_and_empty() -> None:
    """A list is told when it succeeds, and comes without objects and further pages: its version is what it is for."""
    async with guarded() as (server, session, notes):
        for name in ("a", "b"):
            server.put("flowruns", {"metadata": {"namespace": "ns", "name": name}})
        server.fail("list", "flowruns", 500)
        for path in (RUNS, RUNS + "?limit=1", RUNS.replace("flowruns", "namespaces/ns/flowruns")):
            async with session.get(server.url + path) as response:
                answer = await response.json()
        assert answer == {"kind": "List", "metadata": {"resourceVersion": "102", "continue": ""}, "items": []}
    assert notes.listed == notes.heard == [("flowruns", None), ("flowruns", "ns")]


@real_time
async def test_a_list_that_expired_is_a_broken_answer() -> None:
    """410 to a list becomes an error after which kopf lists again, where the answer itself would end it."""
    async with guarded() as (server, session, _):
        server.fail("list", "flowruns", 410)
        with pytest.raises(aiohttp.ClientPayloadError, match="expired"):
            await session.get(server.url + RUNS)


@pytest.mark.parametrize("kind", ["answer", "event", "others"])
@real_time
async def test_a_watch_carries_only_what_is_survived(kind: str) -> None:
    """410 comes as the event that kopf knows, as it is or made from an answer; another error is the end of the watch."""
    async with guarded(Backoff(base=0.001, cap=0.001)) as (server, session, _):
        if kind == "answer":
            server.fail("watch", "flowruns", 410)
        else:
            server.send_error("flowruns", 410 if kind == "event" else 500)
        async with session.get(server.url + RUNS + "?watch=true&resourceVersion=100") as response:
            assert response.status == 200
            text = b"".join([piece async for piece in response.content.iter_chunked(1024)])
    assert (b'"code":410' in text) == (kind != "others")
    assert text.count(b"\n") == (kind != "others")


@real_time
async def test_errors_without_end_become_a_new_list() -> None:
    """When watches from a version keep breaking off, the version is given up after some."""
    async with guarded(Backoff(base=0.001, cap=0.001)) as (server, session, _):
        texts = []
        for _ in range(6):
            server.send_error("flowruns", 500)
            async with session.get(server.url + RUNS + "?watch=true&resourceVersion=100") as response:
                texts.append(b"".join([piece async for piece in response.content.iter_chunked(1024)]))
    assert [b"410" in text for text in texts] == [False, False, False, False, True, False]


@pytest.mark.parametrize("path", [RUNS, RUNS + "?watch=true&resourceVersion=100", "/apis/towpath.dev/v1alpha1/flows"])
@real_time
async def test_a_refused_credential_is_tried_again(path: str) -> None:
    """401 never reaches the framework: the request is sent again with what the credential is by then."""
    async with guarded(Backoff(base=0.001, cap=0.001)) as (server, session, notes):
        for plural in ("flows", "flowruns"):
            for verb in ("list", "watch"):
                server.fail(verb, plural, 401, times=2)
        async with session.get(server.url + path) as response:
            assert response.status == 200
        assert [code for _, _, code in notes.observed] == ["401", "401", "200"]


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
async def test_what_is_no_news_comes_as_a_bookmark() -> None:
    """An event that tells nothing new costs its reader nothing but its version; a deletion is always told."""
    async with (
        guarded() as (server, session, _),
        session.get(server.url + RUNS + "?watch=true&resourceVersion=100") as response,
    ):
        for name in ("stale", "new"):
            server.put("flowruns", {"metadata": {"namespace": "ns", "name": name}})
        server.delete("flowruns", "ns", "stale")
        text, pieces = b"", response.content.iter_chunked(1024)
        while text.count(b"\n") < 3:
            text += await anext(pieces)
        server.end_watches()
    stale, new, deleted = map(json.loads, text.splitlines())
    assert stale == {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "101"}}}
    assert (new["type"], new["object"]["metadata"]["name"]) == ("ADDED", "new")
    assert (deleted["type"], deleted["object"]["metadata"]["name"]) == ("DELETED", "stale")


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

        began = time.monotonic()
        hammering = asyncio.create_task(hammer())
        await until(lambda: len(server.seen("watch", "flowruns")) == 5)
        hammering.cancel()
        assert time.monotonic() - began >= 0.05 + 0.1 + 0.2, "the first two come at once"


@real_time
async def test_a_watch_that_broke_off_once_is_taken_up_at_once() -> None:
    """One short watch now and then is not slowed down."""
    async with guarded(Backoff(base=60.0, cap=60.0)) as (server, session, notes):
        server.end_watches_at_once = True
        for _ in range(2):
            async with session.get(server.url + RUNS + "?watch=true&resourceVersion=100") as response:
                await response.read()
        await until(lambda: len(notes.heard) >= 2)
