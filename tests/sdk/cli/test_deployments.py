"""Deployments of both places: what is served on this machine, and what is in a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.contract.fake_objects import FakeObjects
from tests.sdk.cli.fake_sender import FakeSender
from tests.sdk.cli.flows_to_run import child
from tests.sdk.cluster.memory import MemoryCluster

from towpath.cli import deployments as command
from towpath.cli.__main__ import main
from towpath.cli.deployments_in_cluster import ClusterDeployments
from towpath.cli.deployments_locally import LocalDeployments
from towpath.cli.exits import Exit
from towpath.cli.locally import LocalRuns
from towpath.cli.port import Taken, Wanted
from towpath.cluster.console import Console
from towpath.errors import Conflict, NotFound, Refused
from towpath.history import open_history
from towpath.serving.book import Book
from towpath.serving.calling import Caller

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2099, 1, 1, tzinfo=UTC)
FLOW = "/apis/towpath.dev/v1alpha1/namespaces/default/flows/etl"
SCHEMA = {"properties": {"n": {"type": "integer"}, "label": {"type": "string"}}, "required": ["n"]}


class Cluster:
    """A namespace with one deployment, of the flow `etl`."""

    def __init__(self) -> None:
        self.objects, self.sender = FakeObjects(), FakeSender()
        self.memory = MemoryCluster(self.objects)
        spec = {"flowRef": "etl", "parameters": {"n": 1}, "tags": ["a"]}
        self.objects.create("deployments", {"metadata": {"name": "nightly"}, "spec": spec})
        schema = {**SCHEMA, "additionalProperties": False}
        self.sender.tell("GET", FLOW, {"spec": {"name": "load", "parameters": schema}})
        self.deployments = ClusterDeployments(self.memory, Console(self.sender, "default"), "-n default")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give the namespace, which commands mean too."""
    made = Cluster()

    @contextmanager
    def meant(_: object) -> Iterator[ClusterDeployments]:
        yield made.deployments

    monkeypatch.setattr(command, "deployments_meant", meant)
    yield made
    made.objects.close()


def test_deployments_of_a_cluster_are_listed(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """Until the operator has looked at one, nobody knows whether it can be run."""
    (found,) = cluster.deployments.list()
    assert (found.name, found.flow, found.parameters, found.tags) == ("nightly", "etl", {"n": 1}, ("a",))
    assert (found.ready, found.created is not None) == (None, True)
    assert main(["deployments", "ls", "-n", "default"]) == Exit.OK
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["nightly", "etl", "?", "n=1"]


def test_a_deployment_that_is_not_there_lists_those_that_are(cluster: Cluster) -> None:
    """Before a run is made."""
    with pytest.raises(NotFound, match=r"There is no deployment 'weekly' in namespace 'default'\. There are 'nightly'"):
        cluster.deployments.takes("weekly")


def test_what_a_run_takes_is_read_from_deployment_and_flow(cluster: Cluster) -> None:
    """Who may not read them is not kept from running: the run itself will tell."""
    taken = cluster.deployments.takes("nightly")
    assert (taken.flow, set(taken.preset)) == ("load", {"n"})
    assert taken.schema is not None
    for refusal in (Refused("no"), NotFound("none")):
        cluster.sender.answers[f"GET {FLOW}"] = refusal
        assert cluster.deployments.takes("nightly") == Taken(flow="nightly")


def test_a_run_is_made_as_it_is_wanted(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts are read as the flow takes them; name, tags and time come along; its name is what is printed."""
    typed = ["-p", "label=5", "--name", "mine", "--tag", "b", "--at", "2099-01-01T00:00:00Z"]
    assert main(["deployments", "run", "nightly", "-n", "default", *typed]) == Exit.OK
    name = capsys.readouterr().out.strip()
    assert name.startswith("mine-")
    spec = cluster.objects.read("flowruns", name)["spec"]
    assert (spec["deploymentRef"], spec["parameters"], spec["tags"]) == ("nightly", {"label": "5"}, ["b"])
    assert datetime.fromisoformat(spec["scheduledTime"]) == LATER


def test_wrong_names_make_no_run(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """They are refused before anything is created."""
    assert main(["deployments", "run", "nightly", "-n", "default", "-p", "m=1"]) == Exit.USAGE
    assert "Wrong parameters for flow 'load': m=1 is not a parameter of the flow." in capsys.readouterr().err
    assert "create_run" not in cluster.memory.calls


def test_a_deployment_of_a_cluster_is_shown_and_paused(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """With its schedules and coming runs; a pause is its `spec.suspend`, which a resume takes away."""
    schedules = [
        {"name": "early", "cron": "0 2 * * *", "timezone": "Europe/Berlin"},
        {"name": "s", "intervalSeconds": 9},
    ]
    spec = {"flowRef": "etl", "schedules": schedules}
    status = {
        "nextRuns": [{"time": "2026-01-02T01:00:00Z", "schedule": "early"}],
        "schedules": [{"name": "s", "problem": "P"}],
    }
    whole = {"metadata": {"name": "weekly"}, "spec": spec, "status": status}
    cluster.objects.create("deployments", whole)
    assert main(["deployments", "inspect", "weekly", "-n", "default", "--json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert [one["says"] for one in found["schedules"]] == ["cron '0 2 * * *' (Europe/Berlin)", "every 9 s"]
    assert found["takes"]["required"] == ["n"]
    path = "/apis/towpath.dev/v1alpha1/namespaces/default/deployments/weekly"
    cluster.sender.tell("PATCH", path, {**whole, "spec": spec | {"suspend": True}})
    assert main(["deployments", "pause", "weekly", "-n", "default"]) == Exit.OK
    assert capsys.readouterr().out == "The schedules of weekly are paused.\n"
    assert main(["deployments", "resume", "weekly", "-n", "default", "--json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["schedules"][1]["problem"], found["next_runs"]) == ("P", ["2026-01-02T01:00:00+00:00"])
    assert [request.body for request in cluster.sender.requests if request.method == "PATCH"] == [
        b'{"spec":{"suspend":true}}',
        b'{"spec":{"suspend":null}}',
    ]
    with pytest.raises(NotFound, match=r"There is no deployment 'daily' .* There are 'nightly', 'weekly'"):
        cluster.deployments.pause("daily", True)


class Machine:
    """A history with a deployment that this process serves."""

    def __init__(self, file: Path) -> None:
        self.book = Book(file)
        self.deployment = child.to_deployment("nightly", parameters={"n": 1}, tags=["a"])
        self.book.open(self.deployment, self.book.alive.announce(), NOW)
        self.history = open_history(file)
        self.deployments = LocalDeployments(self.book, Caller(file), LocalRuns(self.history, cancel=lambda _: False))

    def close(self) -> None:
        """Let go of the file."""
        self.history.close()
        self.book.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Give this machine."""
    made = Machine(tmp_path / "history.db")
    yield made
    made.close()


def test_what_is_served_here_is_listed(machine: Machine) -> None:
    """By its whole name, with whether it is served at present."""
    (found,) = machine.deployments.list()
    assert (found.name, found.flow, found.parameters, found.tags) == ("child/nightly", "child", {"n": 1}, ("a",))
    assert (found.ready, found.message) == (True, None)
    machine.book.stop(["child/nightly"], machine.book.deployments()[0].server, NOW, pauses=True)
    (found,) = machine.deployments.list()
    assert (found.ready, found.message) == (False, "not served at present: its runs wait")


@pytest.mark.parametrize("name", ["nightly", "child/nightly"])
def test_a_run_of_what_is_served_waits_for_its_server(machine: Machine, name: str) -> None:
    """It is in the history at once, with the deployment's parameters under those that were given."""
    taken = machine.deployments.takes(name)
    assert taken == Taken(flow="child", schema=child.parameter_schema(), preset=frozenset({"n"}))
    made = machine.deployments.run(
        Wanted(deployment=name, parameters={"m": 2}, at=LATER, run_name="mine", tags=frozenset({"b"}))
    )
    assert (made.name, made.flow, made.state.type, made.parent_id) == ("mine", "child", "SCHEDULED", None)
    assert (made.parameters, made.tags) == ({"n": 1, "m": 2}, ("a", "b"))
    assert machine.deployments.runs.get("mine") == made


def test_what_is_not_served_here_says_what_is(tmp_path: Path, machine: Machine) -> None:
    """And where else one may look."""
    with pytest.raises(NotFound, match=r"'weekly' on this machine\. There are 'child/nightly'\. --cluster looks"):
        machine.deployments.takes("weekly")
    with Book(tmp_path / "other.db") as book:
        nobody: Any = LocalDeployments(book, None, machine.deployments.runs)
        assert nobody.list() == []
        with pytest.raises(NotFound, match="There are none"):
            nobody.takes("nightly")


def test_a_pause_of_what_is_served_here_is_its_servers_to_see(machine: Machine) -> None:
    """It is in the book; what is not served has nothing to pause."""
    assert machine.deployments.pause("nightly", True).paused
    assert machine.book.deployments("nightly")[0].is_paused
    assert not machine.deployments.pause("child/nightly", False).paused
    shown = machine.deployments.get("nightly")
    assert (shown.takes, shown.schedules) == (child.parameter_schema(), ())
    machine.book.stop(["child/nightly"], machine.book.deployments()[0].server, NOW, pauses=True)
    for paused in (True, False):
        with pytest.raises(Conflict, match="is not served at present"):
            machine.deployments.pause("nightly", paused)
