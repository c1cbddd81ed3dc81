"""Health: ill when only a restart helps, ready when everything is known."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge
from tests.operator.runtime.clock import fake_time, real_time

from towpath.errors import ConfigurationError
from towpath_operator import endpoints
from towpath_operator.health import Health


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def make_health(clock: Clock | None = None, stuck: float = 0.0) -> Health:
    return Health(stale_seconds=150, stuck_seconds=lambda: stuck, clock=clock or Clock())


def test_a_process_that_has_heard_nothing_yet_is_alive() -> None:
    """An API server that is away when the operator starts is no reason to start it again."""
    clock = Clock()
    health = make_health(clock)
    clock.now += 10_000
    assert health.illness() == []


def test_a_watch_that_went_silent_is_an_illness() -> None:
    """Once a watch was heard and then was silent for too long, the probe fails and names it; any sound cures it."""
    clock = Clock()
    health = make_health(clock)
    health.heard("jobs", None)
    clock.now += 149
    health.heard("flowruns", "team-a")
    assert health.illness() == []
    clock.now += 140
    assert health.illness() == ["The watch on jobs was last heard 289 s ago."]
    health.heard("jobs", None)
    assert health.illness() == []


def test_one_namespace_does_not_speak_for_another() -> None:
    """A stale watch in one namespace is seen although that kind is heard of in another."""
    clock = Clock()
    health = make_health(clock)
    health.heard("jobs", "team-a")
    clock.now += 200
    health.heard("jobs", "team-b")
    assert health.illness() == ["The watch on jobs in team-a was last heard 200 s ago."]


def test_a_watch_that_missed_changes_is_an_illness_for_good() -> None:
    """A watch that is open and deaf has to be ended with the process, however lively it looks afterwards."""
    health = make_health()
    health.missed("flowruns", 2)
    health.missed("flowruns", 1)
    health.heard("flowruns", None)
    assert health.illness() == ["The watch on flowruns missed 3 changes."]


def test_work_that_does_not_get_done_is_an_illness_once_work_has_begun() -> None:
    """Keys that wait without any progress fail the probe, but not while the first lists are still being read."""
    health = make_health(stuck=130)
    assert health.illness() == []
    health.ready()
    assert health.illness() == ["No object was worked on to its end for 130 s, though some wait for it."]


@pytest.mark.parametrize(("late", "ill"), [(4.0, False), (6.0, True)])
@fake_time
async def test_a_loop_that_does_not_turn_is_an_illness(late: float, *, ill: bool) -> None:
    """An event loop that is late by more than a few seconds fails the probe until it has been on time for a while."""
    loop = asyncio.get_running_loop()
    drift = [0.0]
    health = Health(stale_seconds=150, stuck_seconds=lambda: 0.0, clock=lambda: loop.time() + drift[0])
    feeling = asyncio.create_task(health.feel_the_loop())
    await asyncio.sleep(3.5)
    drift[0] = late
    await asyncio.sleep(1)
    assert bool(health.illness()) is ill
    await asyncio.sleep(20)
    assert health.illness() == []
    feeling.cancel()


def test_ready_between_the_first_list_and_the_end() -> None:
    """Not ready before everything is known, and not while stopping."""
    health = make_health()
    assert health.unreadiness() == ["Starting."]
    health.ready()
    assert health.unreadiness() == []
    health.stopping()
    assert health.unreadiness() == ["Stopping."]


async def ask(port: int) -> dict[str, tuple[int, str]]:
    answers = {}
    async with aiohttp.ClientSession() as session:
        for path in ("healthz", "readyz", "metrics"):
            async with session.get(f"http://127.0.0.1:{port}/{path}") as response:
                answers[path] = (response.status, await response.text())
    return answers


@real_time
async def test_endpoints() -> None:
    """The probes answer 200 or 503 with the reasons, and Prometheus gets its text."""
    registry = CollectorRegistry()
    Gauge("answer", "The answer.", registry=registry).set(42)
    health = make_health()
    async with endpoints.serve(0, registry, health) as port:
        answers: dict[str, Any] = await ask(port)
        assert answers["healthz"] == (200, "ok\n")
        assert answers["readyz"] == (503, "Starting.\n")
        assert "answer 42.0" in answers["metrics"][1]
        health.ready()
        health.missed("jobs", 1)
        answers = await ask(port)
        assert answers["healthz"] == (503, "The watch on jobs missed 1 changes.\n")
        assert answers["readyz"] == (200, "ok\n")


@real_time
async def test_a_port_that_is_taken_is_said() -> None:
    """The error says which port, and why not."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port} cannot be listened on"):
            async with endpoints.serve(port, CollectorRegistry(), make_health()):
                pass


def test_statements_are_sentences() -> None:
    """Whatever a probe says reads as a sentence."""
    clock = Clock()
    health = make_health(clock, stuck=500)
    health.heard("jobs", None)
    clock.now += 500
    health.missed("pods", 1)
    health.ready()
    for sentence in itertools.chain(health.illness(), health.unreadiness()):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
