"""Waiting for the ends of many runs with one watch."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest
from tests.sdk.cluster.memory import MemoryCluster

from towpath.cluster.ends import End, Ends
from towpath.cluster.port import Body, Selector
from towpath.errors import ClusterError, Refused, Unreachable

DONE = {"type": "COMPLETED", "name": "Completed"}
CHILDREN = Selector(labels={"parent": "top"})


@pytest.fixture
def cluster() -> Iterator[MemoryCluster]:
    """Give a cluster in memory, whose watches end with the test."""
    cluster = MemoryCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def ends(cluster: MemoryCluster) -> Iterator[Ends]:
    """Give what waits for the children of `top`."""
    ends = Ends(cluster, CHILDREN, wait=lambda _: None)
    yield ends
    ends.close(ClusterError("the test is over"))


def child(cluster: MemoryCluster, name: str) -> Body:
    return cluster.create_run({"metadata": {"name": name, "labels": {"parent": "top"}}, "spec": {}})


def expect(ends: Ends, run: Body) -> queue.SimpleQueue[End]:
    told: queue.SimpleQueue[End] = queue.SimpleQueue()
    ends.expect(run, told.put)
    return told


def body(end: End) -> Body:
    assert isinstance(end, dict)
    return end


def test_one_watch_serves_all_runs(cluster: MemoryCluster, ends: Ends) -> None:
    """However many runs are waited for, there is one list and one watch, and each wait gets its own run's end."""
    waits = {name: expect(ends, child(cluster, name)) for name in ("a", "b", "c")}
    for name in ("c", "a", "b"):
        cluster.objects.set_status(name, state=DONE)
    assert {name: body(wait.get(timeout=10))["metadata"]["name"] for name, wait in waits.items()} == {
        "a": "a",
        "b": "b",
        "c": "c",
    }
    assert (cluster.calls.count("list_runs"), cluster.calls.count("watch_runs")) == (1, 1)


def test_no_watch_is_opened_before_it_is_needed(cluster: MemoryCluster, ends: Ends) -> None:
    """A run that calls nothing costs nothing."""
    child(cluster, "a")
    assert cluster.calls == ["create_run"]


def test_a_state_that_is_no_end_ends_no_wait(cluster: MemoryCluster, ends: Ends) -> None:
    """RUNNING, or waiting for another attempt, is not what was asked for."""
    wait = expect(ends, child(cluster, "a"))
    cluster.objects.set_status("a", state={"type": "RUNNING"})
    cluster.objects.set_status("a", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, attempt=2)
    cluster.objects.set_status("a", state=DONE)
    assert body(wait.get(timeout=10))["status"]["state"] == DONE
    assert wait.empty()


def test_a_run_that_ended_before_anybody_asked_is_read(cluster: MemoryCluster, ends: Ends) -> None:
    """An end that the watch has told already is not lost on who asks later."""
    run = child(cluster, "fast")
    cluster.objects.set_status("fast", state=DONE)
    first = expect(ends, child(cluster, "slow"))
    cluster.objects.set_status("slow", state=DONE)
    first.get(timeout=10)  # the watch is past the end of `fast` now
    assert body(expect(ends, run).get(timeout=10))["metadata"]["name"] == "fast"


def test_the_same_run_may_be_waited_for_twice(cluster: MemoryCluster, ends: Ends) -> None:
    """Two waits for one run both get its end, whether they came before it or after."""
    run = child(cluster, "a")
    first, second = expect(ends, run), expect(ends, run)
    cluster.objects.set_status("a", state=DONE)
    first.get(timeout=10)
    second.get(timeout=10)
    assert body(expect(ends, run).get(timeout=10))["status"]["state"] == DONE


def test_a_deleted_run_ends_the_wait_with_nothing(cluster: MemoryCluster, ends: Ends) -> None:
    """Whoever waits for a run that somebody deletes is told so."""
    wait = expect(ends, child(cluster, "a"))
    cluster.objects.delete("a")
    assert wait.get(timeout=10) is None


def test_closing_ends_every_wait(cluster: MemoryCluster, ends: Ends) -> None:
    """A process that is told to stop does not hang on its children, neither on those it waits for nor on later ones."""
    wait = expect(ends, child(cluster, "a"))
    ends.close(ClusterError("stopping"))
    assert str(wait.get(timeout=10)) == "stopping"
    assert str(expect(ends, child(cluster, "b")).get(timeout=10)) == "stopping"


def test_an_api_that_forbids_watching_ends_every_wait(cluster: MemoryCluster, ends: Ends) -> None:
    """A missing role is an error for whoever waits, not a silent wait for ever."""
    cluster.fail("list_runs", *[Refused("no role")] * 20)
    assert isinstance(expect(ends, child(cluster, "a")).get(timeout=10), Refused)


def test_an_end_during_a_disconnection_is_not_missed(cluster: MemoryCluster, ends: Ends) -> None:
    """A watch that breaks is opened again from where it was."""
    cluster.fail("watch_runs", Unreachable("away"))
    wait = expect(ends, child(cluster, "a"))
    cluster.objects.set_status("a", state=DONE)
    assert body(wait.get(timeout=10))["status"]["state"] == DONE
