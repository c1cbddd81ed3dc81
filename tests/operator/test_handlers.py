"""kopf, run for real against a server on loopback: it feeds the store, writes nothing, and its known faults are held."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration
from tests.builders import make_flow, make_flowrun
from tests.operator.runtime.api_server import ApiServer, Request, serving
from tests.operator.runtime.clock import real_time, until

from towpath_operator import handlers
from towpath_operator.kinds import BY_KOPF
from towpath_operator.runtime.client import Client
from towpath_operator.runtime.guard import Guard
from towpath_operator.runtime.listing import Filler
from towpath_operator.runtime.store import Store


@dataclass
class World:
    """A server, a store that kopf and the filler feed, and what the guard told."""

    server: ApiServer
    store: Store
    client: Client
    kopf: asyncio.Task[None]
    heard: set[tuple[str, str | None]] = field(default_factory=set)

    def lists_by_kopf(self) -> list[Request]:
        return [request for request in self.server.seen("list", "flowruns") if request.query["limit"] == "1"]

    def names(self, plural: str) -> list[str]:
        return sorted(body["metadata"]["name"] for body in self.store.all(plural))


@contextlib.asynccontextmanager
async def watching(*bodies: tuple[str, dict[str, Any]], namespaces: Sequence[str] = ()) -> AsyncIterator[World]:
    """Run kopf until the block ends; enters it when all kinds are watched."""
    async with serving() as server:
        for plural, body in bodies:
            server.put(plural, body)
        configuration = Configuration(host=server.url)
        client, store = Client(configuration), Store()
        heard: set[tuple[str, str | None]] = set()
        filler = Filler(client, store, BY_KOPF, list(namespaces) or [None])
        filling = asyncio.create_task(filler.run())
        guard = Guard(
            configuration,
            {resource.plural for resource in BY_KOPF},
            observer=lambda *_: None,
            heard=lambda *watch: heard.add(watch),
            listed=filler.listed,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(
            handlers.run(
                handlers.registry(store, BY_KOPF),
                server.url,
                lambda: client.open_session(guard),
                namespaces,
                ready=asyncio.Event(),
                stop=stop,
            )
        )
        spaces = len(namespaces) or 1
        await until(lambda: sum(request.verb == "watch" for request in server.requests) == len(BY_KOPF) * spaces)
        await filler.filled.wait()
        try:
            yield World(server, store, client, running, heard)
        finally:
            stop.set()
            await asyncio.wait([running])
            filling.cancel()
            await client.close()
        assert not [request for request in server.requests if request.verb in ("create", "patch", "delete")]


@real_time
async def test_kopf_feeds_the_store() -> None:
    """What exists, appears, changes and goes is in the store, without managedFields' weight in kopf's own caches."""
    async with watching(("flows", make_flow("f")), ("flowruns", make_flowrun("old", flow_ref="f"))) as it:
        await until(lambda: it.names("flows") == ["f"] and it.names("flowruns") == ["old"])
        run = it.server.put("flowruns", make_flowrun("new", flow_ref="f"))
        await until(lambda: it.names("flowruns") == ["new", "old"])
        changed = it.server.put("flowruns", run | {"status": {"attempt": 1}})
        await until(lambda: it.store.get("flowruns", "team-a", "new") == changed)
        it.server.delete("flowruns", "team-a", "new")
        await until(lambda: it.names("flowruns") == ["old"])
        it.server.delete("flowruns", "team-a", "old")
        await until(lambda: it.names("flowruns") == [])


@real_time
async def test_nothing_is_written_whatever_happens_to_an_object() -> None:
    """An object's whole life costs no write by kopf: no annotation, no finalizer, no Event."""
    async with watching() as it:
        for round_ in range(5):
            it.server.put("flowruns", make_flowrun("r", flow_ref="f", status={"attempt": round_}))
        await until(lambda: it.names("flowruns") == ["r"])
        it.server.delete("flowruns", "team-a", "r")
        await until(lambda: it.names("flowruns") == [])
        # `watching` counts the writes at the end


@real_time
async def test_only_the_named_namespaces_are_asked_about() -> None:
    """With namespaces set, nothing is listed, watched or stored beyond them, and no right beyond them is needed."""
    elsewhere = make_flowrun("elsewhere", flow_ref="f")
    elsewhere["metadata"]["namespace"] = "secret"
    async with watching(
        ("flowruns", make_flowrun("here", flow_ref="f")), ("flowruns", elsewhere), namespaces=["team-a", "team-b"]
    ) as it:
        await until(lambda: it.names("flowruns") == ["here"])
        await until(lambda: len(it.heard) == 2 * len(BY_KOPF))
        asked = {request.path for request in it.server.requests}
    assert all("/namespaces/team-a/" in path or "/namespaces/team-b/" in path for path in asked), asked


@real_time
async def test_a_gap_leaves_no_ghost() -> None:
    """A: what was deleted, changed and made while the watch had a gap is known after it, as it is on the server."""
    async with watching(
        ("flowruns", make_flowrun("ghost", flow_ref="f")), ("flowruns", make_flowrun("changes", flow_ref="f"))
    ) as it:
        await until(lambda: it.names("flowruns") == ["changes", "ghost"])
        it.server.end_watches_at_once = True
        it.server.end_watches()
        it.server.delete("flowruns", "team-a", "ghost")
        changed = it.server.put("flowruns", make_flowrun("changes", flow_ref="f", status={"attempt": 2}))
        it.server.put("flowruns", make_flowrun("new", flow_ref="f"))
        it.server.forget_history()
        it.server.end_watches_at_once = False
        await until(lambda: it.names("flowruns") == ["changes", "new"])
        assert it.store.get("flowruns", "team-a", "changes") == changed


@real_time
async def test_kopf_lists_nothing_but_a_version() -> None:
    """Thousands of objects cost kopf nothing at its start: it is given empty lists, and the store is filled beside it."""
    async with watching(*(("flowruns", make_flowrun(f"r{number}", flow_ref="f")) for number in range(30))) as it:
        await until(lambda: len(it.names("flowruns")) == 30)
        lists = it.server.seen("list", "flowruns")
        assert sorted(request.query["limit"] for request in lists) == ["1", "500"]


@real_time
async def test_a_server_that_ends_each_watch_is_not_hammered() -> None:
    """E: watches that end at once are taken up again a few times a second at most."""
    async with watching() as it:
        it.server.end_watches_at_once = True
        it.server.end_watches()
        before = len(it.server.seen("watch", "flowruns"))
        await asyncio.sleep(1)
        assert len(it.server.seen("watch", "flowruns")) - before < 10


@real_time
async def test_a_watch_goes_on_after_a_torn_connection() -> None:
    """G: a connection that breaks in the middle of an event costs nothing but a new one."""
    async with watching() as it:
        it.server.end_watches(torn=True)
        it.server.put("flowruns", make_flowrun("r", flow_ref="f"))
        await until(lambda: it.names("flowruns") == ["r"])
        assert len(it.lists_by_kopf()) == 1


@pytest.mark.parametrize("status", [429, 500, 503, 403])
@real_time
async def test_a_server_in_trouble_does_not_end_it(status: int) -> None:
    """D: answers that will pass are waited out."""
    async with watching() as it:
        it.server.fail("watch", "flowruns", status)
        it.server.end_watches()
        it.server.put("flowruns", make_flowrun("r", flow_ref="f"))
        await until(lambda: it.names("flowruns") == ["r"])


@real_time
async def test_an_error_on_the_watch_is_survived() -> None:
    """C: an ERROR event ends the watch and not kopf; the next goes on from where it was."""
    async with watching() as it:
        it.server.send_error("flowruns", 500)
        it.server.put("flowruns", make_flowrun("r", flow_ref="f"))
        await until(lambda: it.names("flowruns") == ["r"])
        assert len(it.lists_by_kopf()) == 1


@pytest.mark.parametrize("kind", ["event", "answer"])
@real_time
async def test_a_version_that_is_too_old_is_survived(kind: str) -> None:
    """B: after 410, as an event or as an answer, everything is listed again."""
    async with watching() as it:
        if kind == "answer":
            it.server.fail("watch", "flowruns", 410, reason="Expired")
            it.server.end_watches()
        else:
            it.server.send_error("flowruns", 410)
        await until(lambda: len(it.lists_by_kopf()) == 2)
        it.server.put("flowruns", make_flowrun("r", flow_ref="f"))
        await until(lambda: it.names("flowruns") == ["r"])


@real_time
async def test_a_list_that_expires_is_begun_again() -> None:
    """A list that took longer than the server remembers is survived too."""
    async with watching() as it:
        it.server.fail("list", "flowruns", 410, reason="Expired")
        it.server.send_error("flowruns", 410)
        await until(lambda: len(it.lists_by_kopf()) == 3)
        it.server.put("flowruns", make_flowrun("r", flow_ref="f"))
        await until(lambda: it.names("flowruns") == ["r"])


@real_time
async def test_a_stale_credential_is_replaced() -> None:
    """A 401 gets a new session instead of the end."""
    async with watching() as it:
        it.server.fail("watch", "flowruns", 401)
        it.server.end_watches()
        it.server.put("flowruns", make_flowrun("r", flow_ref="f"))
        await until(lambda: it.names("flowruns") == ["r"])


@real_time
async def test_stopping_takes_no_time() -> None:
    """Told to stop, kopf ends at once and in order."""
    async with watching() as it:
        began = time.monotonic()
    assert time.monotonic() - began < 1
    assert it.kopf.exception() is None
