"""Both places that runs can be in, under one suite: a namespace of a cluster, and the history of this machine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from tests.contract.fake_objects import FakeObjects
from tests.sdk.cli.fake_sender import FakeSender, sent
from tests.sdk.cluster.memory import MemoryCluster
from tests.sdk.history.notebook import flow_note

from towpath import names
from towpath.cli.exits import Exit, exit_of
from towpath.cli.in_cluster import ClusterRuns
from towpath.cli.locally import LocalRuns
from towpath.cli.port import Query, Runs
from towpath.cluster.console import Console
from towpath.cluster.plan import Request
from towpath.errors import TowpathError
from towpath.history import open_history
from towpath.history.writer import Writer
from towpath.states import StateType

NOW = datetime.now(UTC)


class Place(Protocol):
    """Somewhere with runs, as a test sets it up."""

    runs: Runs

    def add(self, name: str, state: str, *, flow: str = "etl", parent: str | None = None) -> None:
        """Add a run, newer than all before."""

    def change(self, name: str, state: str) -> None:
        """Bring a run into another state."""


class InCluster:
    """A namespace in memory."""

    def __init__(self) -> None:
        self.objects = FakeObjects()
        self.sender = FakeSender()
        self.runs: Runs = ClusterRuns(MemoryCluster(self.objects), Console(self.sender, "default"), "-n default")
        self._count = 0

    def add(self, name: str, state: str, *, flow: str = "etl", parent: str | None = None) -> None:
        """Create a FlowRun."""
        self._count += 1
        created = (NOW - timedelta(hours=1) + timedelta(minutes=self._count)).isoformat()
        metadata = {"name": name, "creationTimestamp": created, "labels": {}}
        spec = {"flowRef": flow, "parameters": {"name": name}}
        if parent:
            above = self.objects.read("flowruns", parent)
            root = above["metadata"]["labels"].get(names.LABEL_ROOT_RUN, parent)
            metadata["labels"] = {names.LABEL_ROOT_RUN: root, names.LABEL_PARENT: parent}
            spec["parent"] = {"name": parent, "uid": above["metadata"]["uid"]}
        self.objects.create("flowruns", {"metadata": metadata, "spec": spec})
        self.change(name, state)
        path = f"/apis/towpath.dev/v1alpha1/namespaces/default/flowruns/{name}"
        self.sender.tell("PATCH", path, lambda request: self.objects.set_spec(name, **sent(request)["spec"]))
        self.sender.tell("DELETE", path, self._deleted)

    def change(self, name: str, state: str) -> None:
        """Write a status, as operator and pod do."""
        told = {"type": state, "name": state.capitalize(), "since": NOW.isoformat()}
        self.objects.set_status(name, state=told, startTime=NOW.isoformat())

    def _deleted(self, request: Request) -> dict[str, str]:
        self.objects.delete(request.path.rpartition("/")[2])
        return {}


class OnThisMachine:
    """A history in a file."""

    def __init__(self, file: Path) -> None:
        self.writer = Writer(file, pytest.fail)
        self.writer.thread.start()
        self.writer.flush(10)
        self.cancelled: list[str] = []  # runs of served deployments that were asked to end
        self.served: set[str] = set()
        self.runs: Runs = LocalRuns(open_history(file), cancel=self._cancel, sleep=lambda _: time.sleep(0.01))
        self._roots: dict[str, str] = {}
        self._at = NOW.timestamp() - 3600

    def add(self, name: str, state: str, *, flow: str = "etl", parent: str | None = None) -> None:
        """Note a run's first state, and the one that it is in."""
        self._roots[name] = self._roots[parent] if parent else name
        self._at = time.time() if name == "newcomer" else self._at + 60
        facts = {"flow": flow, "parent_id": parent, "root_id": self._roots[name], "depth": int(parent is not None)}
        facts["parameters"] = f'{{"name": "{name}"}}'
        self.writer.notes.put(flow_note(StateType.RUNNING, self._at, id=name, name=name, **facts))
        self.change(name, state)

    def _cancel(self, run_id: str) -> bool:
        self.cancelled += [run_id] if run_id in self.served else []
        return run_id in self.served

    def change(self, name: str, state: str) -> None:
        """Note a state."""
        if state != "RUNNING":
            self.writer.notes.put(flow_note(StateType(state), self._at, first=False, id=name, name=name))
        self.writer.flush(10)


@pytest.fixture(params=["in a cluster", "on this machine"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Give a place with a tree of runs and two runs beside it."""
    made: Place = InCluster() if request.param == "in a cluster" else OnThisMachine(tmp_path / "history.db")
    made.add("witty-otter", "COMPLETED", flow="report")
    made.add("witty-heron", "FAILED")
    made.add("top", "RUNNING")
    made.add("child-a", "COMPLETED", flow="load", parent="top")
    made.add("child-b", "RUNNING", flow="load", parent="top")
    made.add("grandchild", "RUNNING", flow="page", parent="child-b")
    yield made
    made.runs.close()
    if isinstance(made, OnThisMachine):
        made.writer.flush(10, stop=True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(Query(), "top witty-heron witty-otter", id="those that none has called"),
        pytest.param(Query(limit=2), "top witty-heron", id="the newest"),
        pytest.param(Query(children=True, limit=3), "grandchild child-b child-a", id="all"),
        pytest.param(Query(flow="etl"), "top witty-heron", id="of a flow"),
        pytest.param(
            Query(states=frozenset({StateType.FAILED, StateType.COMPLETED})), "witty-heron witty-otter", id="in states"
        ),
        pytest.param(Query(children=True, flow="load", states=frozenset({StateType.RUNNING})), "child-b", id="of all"),
        pytest.param(Query(since=NOW - timedelta(minutes=57.5)), "top", id="since a time"),
        pytest.param(Query(since=NOW), "", id="none"),
    ],
)
def test_runs_are_listed_the_newest_first(place: Place, query: Query, expected: str) -> None:
    """Each filter narrows the list down; runs that others called come along only if they are asked for."""
    assert [run.name for run in place.runs.list(query)] == expected.split()


@pytest.mark.parametrize("which", ["witty-o", "witty-otter"])
def test_a_run_is_found_by_what_people_type(place: Place, which: str) -> None:
    """Its name, or as much of it as fits one run only."""
    run = place.runs.get(which)
    assert (run.name, run.flow, run.state.type) == ("witty-otter", "report", StateType.COMPLETED)
    assert run.parameters == {"name": "witty-otter"}
    assert place.runs.get(run.id, whole=True) == run


def test_a_child_names_its_parent(place: Place) -> None:
    """Who called it is known by name and by id."""
    child = place.runs.get("grandchild")
    assert (child.parent, child.parent_id) == ("child-b", place.runs.get("child-b").id)
    assert place.runs.get("top").parent is None


@pytest.mark.parametrize(("which", "whole"), [("nobody", False), ("witty", False), ("witty-o", True), ("", True)])
def test_what_fits_no_run_or_several_is_not_found(place: Place, which: str, whole: bool) -> None:
    """Nothing is guessed; where something will be lost, the whole name is needed. The exit code is that for not found."""
    with pytest.raises(TowpathError) as refused:
        place.runs.get(which, whole=whole)
    assert exit_of(refused.value) is Exit.NOT_FOUND


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("top", {"top", "child-a", "child-b", "grandchild"}),
        ("child-b", {"child-b", "grandchild"}),
        ("child-a", {"child-a"}),
    ],
)
def test_a_tree_is_a_run_with_all_below_it(place: Place, name: str, members: set[str]) -> None:
    """Also one that is not at the top has its own tree."""
    assert {run.name for run in place.runs.tree(place.runs.get(name))} == members


def test_a_run_is_followed_with_those_below_it_until_it_has_ended(place: Place) -> None:
    """What is there comes first, then each change; strangers never; the run's own end is the last word."""
    told: list[tuple[str, str]] = []
    steps = iter(
        [("grandchild", "COMPLETED"), ("child-b", "COMPLETED"), ("witty-heron", "COMPLETED"), ("top", "COMPLETED")]
    )
    for run in place.runs.follow(place.runs.get("top"), 0.03):
        if run is not None:
            told.append((run.name, run.state.name))
        elif step := next(steps, None):
            place.change(*step)
    assert {name for name, _ in told} == {"top", "child-a", "child-b", "grandchild"}
    assert {("top", "Running"), ("child-a", "Completed"), ("grandchild", "Running")} <= set(told)
    assert {("grandchild", "Completed"), ("child-b", "Completed"), ("top", "Completed")} <= set(told)
    assert next(steps, None) is None


def test_a_run_that_has_ended_is_told_once_and_that_is_all(place: Place) -> None:
    """Nobody waits for what is over."""
    told = [run for run in place.runs.follow(place.runs.get("witty-otter"), 5) if run is not None]
    assert {run.name for run in told} == {"witty-otter"}


def test_all_runs_are_followed_without_an_end(place: Place) -> None:
    """Runs that go on are told, one that begins while one looks as well, and how each goes on; not what is over."""
    followed = place.runs.follow(None, 0.03)
    first = set()
    while (run := next(followed)) is not None:
        first.add(run.name)
    assert first == {"top", "child-b", "grandchild"}
    place.change("grandchild", "COMPLETED")
    place.add("newcomer", "RUNNING")
    expected = {("grandchild", "Completed"), ("newcomer", "Running")}
    told = set()
    for run in itertools.islice(followed, 200):
        told |= {(run.name, run.state.name)} if run is not None else set()
        if expected <= told:
            break
    followed.close()  # type: ignore[attr-defined]
    assert expected <= told
    assert {name for name, _ in told} == {"grandchild", "newcomer"}


def test_a_run_that_goes_on_is_not_deleted_by_mistake(place: Place) -> None:
    """Deleting it is refused, with the code for what cannot be done now, and nothing is deleted."""
    with pytest.raises(TowpathError) as refused:
        place.runs.delete(place.runs.get("top"), force=False)
    assert exit_of(refused.value) is Exit.CONFLICT
    assert place.runs.get("top").name == "top"


def test_a_run_that_has_ended_is_deleted(place: Place) -> None:
    """It is gone then."""
    place.runs.delete(place.runs.get("witty-heron"), force=False)
    with pytest.raises(TowpathError):
        place.runs.get("witty-heron")


def test_a_run_that_has_ended_cannot_be_cancelled(place: Place) -> None:
    """The sentence says how it ended."""
    with pytest.raises(TowpathError, match="'witty-otter' cannot be cancelled: it has ended, Completed") as refused:
        place.runs.cancel(place.runs.get("witty-otter"))
    assert exit_of(refused.value) is Exit.CONFLICT


def test_a_run_in_a_cluster_is_tried_again_by_a_wish() -> None:
    """It names the attempt in which the run has ended; what cannot be tried again is refused, and nothing written."""
    place = InCluster()
    place.add("bad", "FAILED")
    place.add("top", "FAILED")
    place.add("child", "CRASHED", parent="top")
    place.add("good", "COMPLETED")
    place.add("goes-on", "RUNNING")
    assert isinstance(place.runs, ClusterRuns)
    for name, words in (
        ("good", "has completed, so there is nothing to try again"),
        ("goes-on", r"goes on \(Running\)"),
        ("child", "was called by 'top', which has ended: try that again, towpath runs retry top"),
    ):
        with pytest.raises(TowpathError, match=words) as refused:
            place.runs.retry(place.runs.get(name))
        assert exit_of(refused.value) is Exit.CONFLICT
        assert "retryAfterAttempt" not in place.objects.read("flowruns", name)["spec"]
    place.runs.retry(place.runs.get("bad"))
    assert place.objects.read("flowruns", "bad")["spec"]["retryAfterAttempt"] == (place.runs.get("bad").attempt or 0)
    place.objects.close()


def test_a_run_in_a_cluster_is_cancelled_by_a_wish_and_deleted_by_force() -> None:
    """The wish is written into the spec and the operator does the rest; --force deletes what goes on."""
    place = InCluster()
    place.add("top", "RUNNING")
    place.runs.cancel(place.runs.get("top"))
    assert place.objects.read("flowruns", "top")["spec"]["cancel"] is True
    place.runs.delete(place.runs.get("top"), force=True)
    assert place.runs.list(Query(children=True)) == []
    place.objects.close()


def test_a_run_on_this_machine_is_ended_where_it_runs(tmp_path: Path) -> None:
    """What was called in a process ends with its caller only, which the sentence names; --force kills nobody."""
    place = OnThisMachine(tmp_path / "history.db")
    place.add("top", "RUNNING")
    place.add("child", "RUNNING", parent="top")
    with pytest.raises(TowpathError, match=r"cannot be cancelled alone: .* towpath runs cancel top"):
        place.runs.cancel(place.runs.get("child"))
    with pytest.raises(TowpathError, match="it has ended meanwhile"):
        place.runs.cancel(place.runs.get("top"))
    with pytest.raises(TowpathError, match="has ended"):
        place.runs.delete(place.runs.get("top"), force=True)
    place.served.add("top")
    place.runs.cancel(place.runs.get("top"))
    assert place.cancelled == ["top"]
    place.runs.close()
    place.writer.flush(10, stop=True)


def test_a_run_that_is_deleted_while_it_is_watched_says_so() -> None:
    """The watch ends with a sentence instead of waiting for ever."""
    place = InCluster()
    place.add("top", "RUNNING")
    followed = place.runs.follow(place.runs.get("top"), 0.03)
    while next(followed) is not None:
        pass
    place.objects.delete("top")
    with pytest.raises(TowpathError, match="'top' was deleted while it was watched"):
        next(followed)
    place.objects.close()
