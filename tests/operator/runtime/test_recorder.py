"""Events for people: sent in the background, not repeated, never in the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.operator.runtime.clock import fake_time

from towpath.errors import ClusterError, Unreachable
from towpath_operator.kinds import EVENTS
from towpath_operator.runtime.client import Client
from towpath_operator.runtime.recorder import EventRecorder
from towpath_operator.runtime.resources import Resource

RUN = {"apiVersion": "towpath.dev/v1alpha1", "kind": "FlowRun", "namespace": "team-a", "name": "r", "uid": "u1"}


class Api(Client):
    """Keeps what is created, or fails."""

    def __init__(self, error: ClusterError | None = None) -> None:
        self.made: list[dict[str, Any]] = []
        self.error = error

    async def create(self, resource: Resource, namespace: str, body: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        assert (resource, namespace) == (EVENTS, "team-a")
        self.made.append(body)
        return body


@contextlib.asynccontextmanager
async def recording(api: Api) -> AsyncIterator[EventRecorder]:
    loop = asyncio.get_running_loop()
    recorder = EventRecorder(api, EVENTS, "towpath-operator", clock=lambda: 1_772_366_400 + loop.time())
    task = asyncio.create_task(recorder.run())
    yield recorder
    await asyncio.sleep(1)
    assert not task.done()
    task.cancel()


@fake_time
async def test_an_event_says_who_what_and_why() -> None:
    """An Event is about the object, of the type that was meant, with reason, message, time and speaker."""
    api = Api()
    async with recording(api) as recorder:
        recorder.record(RUN, "OutOfMemory", "It was killed. " + "x" * 2000, warning=True)
    [event] = api.made
    assert event["involvedObject"] == RUN
    assert (event["type"], event["reason"], event["source"]) == (
        "Warning",
        "OutOfMemory",
        {"component": "towpath-operator"},
    )
    assert len(event["message"]) == 1024
    assert event["metadata"]["name"].startswith("r.")
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-03-01T12:16:40Z"


@fake_time
async def test_the_same_words_are_said_once() -> None:
    """A repeated reconcile does not repeat its Event; other words, another object, or half an hour later is another."""
    api = Api()
    async with recording(api) as recorder:
        for _ in range(3):
            recorder.record(RUN, "Unschedulable", "0/3 nodes")
        recorder.record(RUN, "Unschedulable", "0/4 nodes")
        recorder.record(RUN | {"uid": "u2"}, "Unschedulable", "0/3 nodes")
        await asyncio.sleep(3600)
        recorder.record(RUN, "Unschedulable", "0/3 nodes")
    assert len(api.made) == 4
    assert len({event["metadata"]["name"] for event in api.made}) == 4


@pytest.mark.parametrize("error", [Unreachable("away"), ClusterError("no")], ids=["away", "refused"])
@fake_time
async def test_what_cannot_be_sent_is_let_go(error: ClusterError) -> None:
    """A failing API server costs Events, nothing else."""
    api = Api(error)
    async with recording(api) as recorder:
        recorder.record(RUN, "JobCreated", "words")
        await asyncio.sleep(1)
        api.error = None
        recorder.record(RUN, "JobCreated", "other words")
    assert [event["message"] for event in api.made] == ["other words"]


@fake_time
async def test_a_flood_is_cut_off() -> None:
    """When more is said than can be sent, the rest is dropped instead of kept."""
    api = Api()
    async with recording(api) as recorder:
        for number in range(10_000):
            recorder.record(RUN, "JobCreated", str(number))
    assert len(api.made) == 256
