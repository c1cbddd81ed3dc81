"""Reading Events for runs that wait: one list for all who ask, seldom, and never a reason to stop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from kubernetes.aio.client.configuration import Configuration
from tests.builders import NAMESPACE
from tests.operator.runtime.api_server import ApiServer, serving
from tests.operator.runtime.clock import real_time

from towpath_operator.complaints import Complaints
from towpath_operator.runtime.client import Client


class Clock:
    """Seconds that pass when told to, and with each list."""

    def __init__(self, list_takes: float) -> None:
        self.now, self.list_takes = 0.0, list_takes

    def __call__(self) -> float:
        self.now += self.list_takes / 2
        return self.now


@contextlib.asynccontextmanager
async def asking(list_takes: float = 0.0) -> AsyncIterator[tuple[ApiServer, Complaints, Clock]]:
    clock = Clock(list_takes)
    async with serving() as server:
        client = Client(Configuration(host=server.url))
        try:
            yield server, Complaints(client, clock=clock), clock
        finally:
            await client.close()


def event(name: str, reason: str, message: str, about: str, at: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": name},
        "reason": reason,
        "message": message,
        "involvedObject": {"kind": "Job", "uid": about},
        "lastTimestamp": at,
    }


@real_time
async def test_the_last_complaint_about_each_is_known() -> None:
    """Events that explain no wait are left out; of several about the same, the last one counts."""
    async with asking() as (server, complaints, _):
        server.put("events", event("a", "FailedCreate", "old", "job-1", "2026-03-01T12:00:00Z"))
        server.put("events", event("b", "FailedCreate", "new", "job-1", "2026-03-01T12:00:09Z"))
        server.put("events", event("c", "FailedCreate", "older", "job-1", "2026-03-01T11:00:00Z"))
        server.put("events", event("d", "Unhealthy", "no wait", "job-2", "2026-03-01T12:00:00Z"))
        found = await complaints.of(NAMESPACE)
        assert {uid: one.message for uid, one in found.items()} == {"job-1": "new"}


@real_time
async def test_one_list_serves_all_for_a_while() -> None:
    """Five seconds at least, and twenty times what it took: ten thousand Events do not become a burden."""
    async with asking() as (server, complaints, clock):
        await complaints.of(NAMESPACE)
        clock.now += 4
        await complaints.of(NAMESPACE)
        assert len(server.seen("list", "events")) == 1
        clock.now += 2
        await complaints.of(NAMESPACE)
        assert len(server.seen("list", "events")) == 2
    async with asking(list_takes=2) as (server, complaints, clock):
        await complaints.of(NAMESPACE)
        clock.now += 15
        await complaints.of(NAMESPACE)
        assert len(server.seen("list", "events")) == 1
        clock.now += 6
        await complaints.of(NAMESPACE)
        assert len(server.seen("list", "events")) == 2


@real_time
async def test_what_cannot_be_read_is_none() -> None:
    """A role without the right to list Events costs the explanation, and a warning now and then."""
    async with asking() as (server, complaints, clock):
        server.fail("list", "events", 403)
        assert await complaints.of(NAMESPACE) == {}
        clock.now += 200
        assert await complaints.of(NAMESPACE) == {}
        assert len(server.seen("list", "events")) == 1
