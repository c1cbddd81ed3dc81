"""The reflector under every fault that a watch can have, on a fake clock: the store ends as the server is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.operator.runtime.clock import fake_time

from towpath.errors import Unreachable
from towpath_operator.runtime.backoff import Backoff
from towpath_operator.runtime.client import ApiError
from towpath_operator.runtime.reflector import Reflector
from towpath_operator.runtime.resources import Resource
from towpath_operator.runtime.store import Body, Store

JOBS = Resource("batch", "v1", "jobs", "Job")
Body_ = dict[str, Any]


def make_body(name: str, version: int, uid: str = "") -> Body_:
    return {"metadata": {"namespace": "ns", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> Body_:
    return {"type": kind, "object": make_body(name, version)}


def bookmark(version: int) -> Body_:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}


def error_event(code: int) -> Body_:
    return {"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "as the test wants it"}}


@dataclass
class Script:
    """A server by script: lists and watches are answered in order; when the script is over, watches stay silent.

    An exception among a watch's events is raised there; a number is slept for, in seconds.
    """

    lists: list[Any]
    watches: list[list[Any]]
    listed: int = 0
    watched: list[str] = field(default_factory=list)
    """The versions from which watches were started."""

    async def pages(
        self, resource: Resource, namespace: str | None, *, metadata_only: bool = False
    ) -> AsyncGenerator[tuple[list[Body_], str]]:
        self.listed += 1
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        for page in [answer] if isinstance(answer, Exception) else answer:
            if isinstance(page, Exception):
                raise page
            yield page

    async def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, *, heard: Callable[[], None]
    ) -> AsyncGenerator[Body_]:
        self.watched.append(resource_version)
        if not self.watches:
            heard()
            await asyncio.Event().wait()
        for word in self.watches.pop(0):
            if isinstance(word, Exception):
                raise word
            heard()
            if isinstance(word, int | float):
                await asyncio.sleep(word)
            else:
                yield word


@contextlib.asynccontextmanager
async def reflecting(
    script: Script, store: Store, *, seconds: float, heard: Callable[[], None] = lambda: None
) -> AsyncIterator[Reflector]:
    """Run a reflector for some (fake) seconds."""
    steady = Backoff(base=0.5, cap=30.0, random=lambda: 1.0)
    reflector = Reflector(script, store, JOBS, heard=heard, backoff=steady)
    task = asyncio.create_task(reflector.run())
    await asyncio.sleep(seconds)
    assert not task.done(), "a reflector never ends"
    yield reflector
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def names_in(store: Store) -> list[str]:
    return sorted(body["metadata"]["name"] for body in store.all("jobs"))


@fake_time
async def test_lists_then_watches_from_there() -> None:
    """Everything that exists is listed page by page, then changes are taken from the list's version on."""
    script = Script(
        lists=[[([make_body("a", 5), make_body("b", 7)], "10"), ([make_body("c", 8)], "10")]],
        watches=[[event("ADDED", "d", 11), event("MODIFIED", "a", 12), event("DELETED", "b", 13), 3600]],
    )
    store = Store()
    async with reflecting(script, store, seconds=1) as reflector:
        assert reflector.synced.is_set()
        assert names_in(store) == ["a", "c", "d"]
        assert store.get("jobs", "ns", "a") == make_body("a", 12)
        assert script.watched == ["10"]


@fake_time
async def test_not_synced_before_the_last_page() -> None:
    """As long as a list is not complete, nobody is told that it were."""
    script = Script(lists=[[([make_body("a", 5)], "10"), Unreachable("gone")]], watches=[])
    async with reflecting(script, Store(), seconds=0.1) as reflector:
        assert not reflector.synced.is_set()


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param([[error_event(410)]], id="A: 410 as an event"),
        pytest.param([[ApiError(410, "Expired", "too old")]], id="B: 410 as an answer"),
    ],
)
@fake_time
async def test_what_was_deleted_in_a_gap_is_dropped(gone: list[list[Any]]) -> None:
    """After 410 everything is listed anew at once, and what was deleted meanwhile is told as deleted."""
    script = Script(
        lists=[[([make_body("a", 5), make_body("ghost", 6)], "10")], [([make_body("a", 5)], "20")]],
        watches=[*gone],
    )
    dropped: list[str] = []

    def listen(_plural: str, old: Body | None, new: Body | None) -> None:
        if new is None and old is not None:
            dropped.append(old["metadata"]["name"])

    store = Store(listener=listen)
    async with reflecting(script, store, seconds=0.1):
        assert dropped == ["ghost"]
        assert names_in(store) == ["a"]
        assert script.watched == ["10", "20"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param([error_event(500)], id="C: 500 as an event"),
        pytest.param([ApiError(500, "InternalError", "etcd")], id="D: 500 as an answer"),
        pytest.param([ApiError(429, "TooManyRequests", "slow down")], id="429"),
        pytest.param([ApiError(403, "Forbidden", "not yet")], id="403"),
        pytest.param([Unreachable("refused")], id="G: connection refused"),
        pytest.param([event("ADDED", "b", 11), Unreachable("torn")], id="torn in the middle"),
        pytest.param([event("ADDED", "b", 11)], id="F: closed after an event"),
        pytest.param([2], id="F: closed after a while"),
        pytest.param([], id="E: closed at once"),
    ],
)
@fake_time
async def test_a_watch_goes_on_where_it_was(fault: list[Any]) -> None:
    """After every fault but 410 the next watch starts from the last version seen; nothing is listed again."""
    seen = "11" if any(isinstance(word, dict) and word["type"] == "ADDED" for word in fault) else "10"
    script = Script(lists=[[([make_body("a", 5)], "10")]], watches=[fault, [event("ADDED", "c", 12), 3600]])
    store = Store()
    async with reflecting(script, store, seconds=5):
        assert script.watched == ["10", seen]
        assert script.listed == 1
        assert "c" in names_in(store)


@fake_time
async def test_bookmarks_move_the_version_on() -> None:
    """A watch that saw only bookmarks goes on after the last of them, so that 410 stays rare."""
    script = Script(lists=[[([], "10")]], watches=[[bookmark(50), bookmark(60)], [3600]])
    async with reflecting(script, Store(), seconds=1):
        assert script.watched == ["10", "60"]


@fake_time
async def test_a_long_outage_is_ridden_out() -> None:
    """However long the server is away, the reflector lives, asks now and then, and catches up when it is back."""
    away: list[Any] = [[Unreachable("away")] for _ in range(200)]
    script = Script(lists=[[([make_body("a", 5)], "10")]], watches=[*away, [event("ADDED", "b", 11), 3600]])
    store = Store()
    async with reflecting(script, store, seconds=3600):
        asked = len(script.watched)
        assert 100 < asked < 150, "half a minute apart once it has been away for a while"
        await asyncio.sleep(3600)
        assert names_in(store) == ["a", "b"]


@fake_time
async def test_a_first_list_that_fails_is_tried_again() -> None:
    """A server that is away at the start, or a list that expires, only delays the sync."""
    expired = [([make_body("a", 5)], "10"), ApiError(410, "Expired", "continue token too old")]
    script = Script(lists=[Unreachable("away"), expired, [([make_body("a", 5)], "12")]], watches=[])
    async with reflecting(script, Store(), seconds=5) as reflector:
        assert reflector.synced.is_set()
        assert script.watched == ["12"]


@pytest.mark.parametrize("word", [[], [error_event(410)]], ids=["E: closed at once", "410 for ever"])
@fake_time
async def test_a_server_that_ends_every_watch_is_not_hammered(word: list[Any]) -> None:
    """A watch that never lives makes few requests a minute, not thousands a second."""
    script = Script(lists=[[([], "10")]], watches=[list(word) for _ in range(5000)])
    async with reflecting(script, Store(), seconds=60):
        assert 5 <= len(script.watched) <= 15
        assert script.listed <= 15


@fake_time
async def test_a_version_that_cannot_be_served_is_given_up() -> None:
    """After some failures in a row the reflector lists anew: the version itself may be what the server chokes on."""
    script = Script(lists=[[([], "10")], [([], "99")]], watches=[[error_event(500)] for _ in range(5)])
    async with reflecting(script, Store(), seconds=60):
        assert script.watched[:5] == ["10"] * 5
        assert script.watched[5] == "99"


@fake_time
async def test_an_event_makes_up_for_failures() -> None:
    """Once a watch gives an event, the next failure is the first again."""
    script = Script(
        lists=[[([], "10")]],
        watches=[
            *([Unreachable("away")] for _ in range(4)),
            [event("ADDED", "a", 11), Unreachable("torn")],
            [event("ADDED", "b", 12), 3600],
        ],
    )
    store = Store()
    async with reflecting(script, store, seconds=0.5 + 1 + 2 + 4 + 0.6):
        assert names_in(store) == ["a", "b"]


@fake_time
async def test_what_was_written_during_a_list_stays() -> None:
    """An object that we created after the list began is not taken for a ghost."""
    store = Store()
    store.put("jobs", make_body("ours", 15))
    script = Script(lists=[[([], "10")]], watches=[])
    async with reflecting(script, store, seconds=1):
        assert names_in(store) == ["ours"]


@fake_time
async def test_signs_of_life_are_told() -> None:
    """Pages, events and bookmarks each count as heard."""
    heard: list[int] = []
    script = Script(lists=[[([], "10"), ([], "10")]], watches=[[event("ADDED", "a", 11), bookmark(12), 3600]])
    async with reflecting(script, Store(), seconds=1, heard=lambda: heard.append(1)):
        assert len(heard) >= 4


@fake_time
async def test_a_bug_ends_it() -> None:
    """What is not the API's fault is not retried: it ends the task, and with it the process."""
    script = Script(lists=[[([{"no": "metadata"}], "10")]], watches=[])
    with pytest.raises(KeyError):
        await Reflector(script, Store(), JOBS).run()
