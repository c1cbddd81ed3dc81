"""Sweeps on a fake clock: ghosts go, missed changes are fetched and told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from tests.operator.runtime.clock import fake_time

from towpath.errors import Unreachable
from towpath_operator.runtime.client import ApiError
from towpath_operator.runtime.resources import Resource
from towpath_operator.runtime.store import Store
from towpath_operator.runtime.sweeper import Sweeper

RUNS = Resource("towpath.dev", "v1alpha1", "flowruns", "FlowRun")


def make_body(name: str, version: int, uid: str = "") -> dict[str, Any]:
    metadata = {"namespace": "ns", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"version": version}}


@dataclass
class Server:
    """What the API server has, and how it was asked."""

    version: int
    objects: dict[str, dict[str, Any]]
    failing: int = 0
    lists: list[float] = field(default_factory=list)
    metadata_only: bool = True

    async def pages(
        self, resource: Resource, namespace: str | None, *, metadata_only: bool = False
    ) -> AsyncGenerator[tuple[list[dict[str, Any]], str]]:
        self.lists.append(asyncio.get_running_loop().time())
        self.metadata_only &= metadata_only
        if self.failing:
            self.failing -= 1
            raise Unreachable("away")
        yield [{"metadata": body["metadata"]} for body in self.objects.values()], str(self.version)

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        if name not in self.objects:
            raise ApiError(404, "NotFound", name)
        return self.objects[name]


def server(version: int, *bodies: dict[str, Any]) -> Server:
    return Server(version, {body["metadata"]["name"]: body for body in bodies})


@fake_time
async def test_ghosts_are_dropped() -> None:
    """What the server no longer has is dropped from the store; what came after the list stays."""
    store = Store()
    for body in (make_body("a", 5), make_body("ghost", 6), make_body("new", 25)):
        store.put("flowruns", body)
    api = server(20, make_body("a", 5))
    await Sweeper(api, store, [RUNS]).sweep()
    assert sorted(body["metadata"]["name"] for body in store.all("flowruns")) == ["a", "new"]
    assert api.metadata_only, "bodies are not asked for"


@fake_time
async def test_a_watch_that_is_only_slow_is_left_alone() -> None:
    """A change that the watch tells within the grace is nobody's fault, and is not fetched."""
    store, missed = Store(), []
    store.put("flowruns", make_body("a", 5))
    sweeper = Sweeper(server(20, make_body("a", 15)), store, [RUNS], missed=lambda *told: missed.append(told))
    sweep = asyncio.create_task(sweeper.sweep())
    await asyncio.sleep(20)
    store.put("flowruns", make_body("a", 15))
    await sweep
    assert missed == []


@fake_time
async def test_missed_changes_are_fetched_and_told() -> None:
    """Objects that are still older, or unknown, after the grace are read from the server, and counted by kind."""
    store, missed = Store(), []
    store.put("flowruns", make_body("a", 5))
    store.put("flowruns", make_body("again", 6, uid="first"))
    api = server(20, make_body("a", 15), make_body("b", 16), make_body("again", 17, uid="second"))
    await Sweeper(api, store, [RUNS], missed=lambda *told: missed.append(told)).sweep()
    assert missed == [("flowruns", 3)]
    assert {body["metadata"]["name"]: body["spec"]["version"] for body in store.all("flowruns")} == {
        "a": 15,
        "b": 16,
        "again": 17,
    }


@fake_time
async def test_what_was_deleted_within_the_grace_was_not_missed() -> None:
    """An object that was listed and is gone by the time it is looked at is no sign of a deaf watch."""
    store, missed = Store(), []
    api = server(20, make_body("short-lived", 15))
    sweep = asyncio.create_task(Sweeper(api, store, [RUNS], missed=lambda *told: missed.append(told)).sweep())
    await asyncio.sleep(1)
    api.objects.clear()
    await sweep
    assert missed == []


@fake_time
async def test_who_begins_to_work_catches_up_at_once() -> None:
    """What is gone is dropped and what has changed is fetched, without any grace; no watch is blamed for being late."""
    store, missed = Store(), []
    for body in (make_body("a", 5), make_body("ghost", 6)):
        store.put("flowruns", body)
    api = server(20, make_body("a", 15), make_body("b", 16))
    began = asyncio.get_running_loop().time()
    await Sweeper(api, store, [RUNS], missed=lambda *told: missed.append(told)).catch_up()
    assert {body["metadata"]["name"]: body["spec"]["version"] for body in store.all("flowruns")} == {"a": 15, "b": 16}
    assert missed == []
    assert asyncio.get_running_loop().time() == began


@fake_time
async def test_sweeps_come_at_intervals() -> None:
    """A sweep comes every so often; one that fails leaves it to the next."""
    api = server(20)
    api.failing = 1
    began = asyncio.get_running_loop().time()
    task = asyncio.create_task(Sweeper(api, Store(), [RUNS], every=300).run())
    await asyncio.sleep(910)
    task.cancel()
    assert [round(at - began) for at in api.lists] == [300, 600, 900]
