"""Following the run that a process is an attempt of."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest
from tests.sdk.cluster.memory import MemoryCluster

from towpath.cluster.own_watch import OwnRunWatch, own_watch
from towpath.cluster.port import Body
from towpath.errors import PauseError, Unreachable

SECONDS = 30
Told = queue.SimpleQueue[Body | None]


@pytest.fixture
def cluster() -> Iterator[MemoryCluster]:
    """Give a cluster in memory, whose watches end with the test."""
    cluster = MemoryCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def watch(cluster: MemoryCluster) -> Iterator[OwnRunWatch]:
    """Give the watch of a run `mine`."""
    run = cluster.create_run({"metadata": {"name": "mine"}, "spec": {}})
    watch = OwnRunWatch(cluster, "mine", run["metadata"]["uid"])
    yield watch
    watch.close()


def state(body: Body | None) -> str | None:
    return None if body is None else ((body.get("status") or {}).get("state") or {}).get("type")


def test_nothing_is_asked_until_somebody_wants_to_know(cluster: MemoryCluster, watch: OwnRunWatch) -> None:
    """A watch that nobody subscribes to costs no request."""
    before = list(cluster.calls)
    assert watch.latest() is None
    assert cluster.calls == before


def test_all_who_listen_hear_of_each_change_by_one_watch(cluster: MemoryCluster, watch: OwnRunWatch) -> None:
    """Each hears what is, then what changes; one that came later too, and one that has stopped no longer."""
    first: Told = queue.SimpleQueue()
    stop = watch.subscribe(first.put)
    assert state(first.get(timeout=SECONDS)) is None
    second: Told = queue.SimpleQueue()
    watch.subscribe(second.put)
    assert second.get(timeout=SECONDS) is not None, "what is known is told at once"
    cluster.objects.set_status("mine", state={"type": "RUNNING"})
    assert (state(first.get(timeout=SECONDS)), state(second.get(timeout=SECONDS))) == ("RUNNING", "RUNNING")
    assert state(watch.latest()) == "RUNNING"
    stop()
    cluster.objects.set_status("mine", state={"type": "PAUSED"})
    assert state(second.get(timeout=SECONDS)) == "PAUSED"
    assert first.empty()
    assert cluster.calls.count("watch_runs") == 1


def test_a_run_that_is_gone_is_told_as_gone(cluster: MemoryCluster, watch: OwnRunWatch) -> None:
    """Whoever waits for something of a run that was deleted hears so."""
    told: Told = queue.SimpleQueue()
    watch.subscribe(told.put)
    assert told.get(timeout=SECONDS) is not None
    cluster.objects.delete("mine")
    assert told.get(timeout=SECONDS) is None
    assert watch.latest() is None


def test_an_api_that_was_away_is_asked_again(cluster: MemoryCluster, watch: OwnRunWatch) -> None:
    """What keeps the first list from being made is waited out."""
    cluster.fail("list_runs", Unreachable("away"), Unreachable("away"))
    told: Told = queue.SimpleQueue()
    watch.subscribe(told.put)
    assert told.get(timeout=SECONDS) is not None


def test_a_listener_that_fails_does_not_deafen_the_others(cluster: MemoryCluster, watch: OwnRunWatch) -> None:
    """One listener's mistake is logged, and the others go on hearing."""
    told: Told = queue.SimpleQueue()

    def fails(body: Body | None) -> None:
        raise ValueError("mine alone")

    watch.subscribe(fails)
    watch.subscribe(told.put)
    cluster.objects.set_status("mine", state={"type": "RUNNING"})
    while state(told.get(timeout=SECONDS)) != "RUNNING":
        pass


def test_a_process_that_is_no_runs_has_nothing_to_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a run's pod there is no such watch, in words."""
    monkeypatch.delenv("TOWPATH_RUN", raising=False)
    with pytest.raises(PauseError, match="no run's in a cluster"):
        own_watch()
