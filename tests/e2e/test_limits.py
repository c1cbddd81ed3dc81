"""Runs take their turn: real Jobs, a real API server, and an operator that is killed in the middle of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.api import Cluster
from tests.e2e.operators import OperatorProcess, jobs_created
from tests.e2e.runs import Runs, state
from tests.kube import Body, Kube

from towpath.states import StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(420)]

#: How long a hand-over may take on a machine that has other things to do; it takes milliseconds as a rule.
HAND_OVER = timedelta(seconds=10)
GOES_AT_ONCE = ["sh", "-c", "trap 'exit 0' TERM; sleep 300 & wait"]


@pytest.fixture
def operator(cluster: Cluster, installed_operator_away: None, tmp_path: Path) -> Iterator[OperatorProcess]:
    """The operator under test, running."""
    own = OperatorProcess(cluster.kubeconfig, tmp_path / "operator.log")
    own.start()
    yield own
    own.stop()


class Lanes:
    """Queues, limits and Deployments of one test."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.made: list[str] = []

    def make(self, kind: str, plural: str, spec: Body) -> str:
        """Make an object; give its name."""
        name = f"{self.runs.prefix}-{kind.lower()}"
        body = {"apiVersion": "towpath.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.runs.kube.create(self.runs.path(plural), body)
        self.made.append(self.runs.path(plural, name))
        return name


@pytest.fixture
def lanes(runs: Runs, kube: Kube) -> Iterator[Lanes]:
    """The test's own queues, limits and Deployments; deleted afterwards."""
    own = Lanes(runs)
    yield own
    for path in own.made:
        kube.delete(path)


def began(run: Body) -> datetime:
    """Give the moment at which a run had its turn."""
    at: str = next(entry["at"] for entry in run["status"]["history"] if entry.get("reason") == "JobCreated")
    return datetime.fromisoformat(at)


def ended(run: Body) -> datetime:
    """Give the moment at which a run was seen to have ended."""
    return datetime.fromisoformat(state(run)["since"])


def waits(runs: Runs, kube: Kube, name: str) -> Body:
    """Wait until a run says that it waits for its turn; give it."""
    body = kube.wait(
        runs.path("flowruns", name),
        lambda run: bool(run and state(run).get("name") == "AwaitingConcurrencySlot"),
        60,
        "waiting for its turn",
    )
    assert body is not None
    return body


def test_a_queue_is_never_overfull_though_the_operator_is_killed(
    runs: Runs, kube: Kube, cluster: Cluster, operator: OperatorProcess, lanes: Lanes
) -> None:
    """Two at once of eight, the urgent one first, and each hand-over prompt; each with one Job."""
    queue = lanes.make("Queue", "queues", {"limit": 2, "suspend": True})
    plain: dict[str, Any] = {"flow": {"image": runs.image, "command": ["sleep", "0.5"]}, "queue": queue}
    made = [runs.create(plain | {"priority": 9 if number == 7 else 0}) for number in range(8)]
    for name in made:
        waits(runs, kube, name)
    assert all(not runs.jobs(name) for name in made)

    kube.merge(runs.path("queues", queue), {"spec": {"suspend": False}})
    urgent = runs.ended(made[7])
    operator.kill()
    operator.stop()
    operator.start()
    restarted = datetime.now(ended(urgent).tzinfo)
    found = [runs.ended(name) for name in made]

    for run in found:
        assert state(run)["type"] == "COMPLETED"
        assert list(jobs_created(cluster, run["metadata"]["name"]).values()) == [1]
        at_once = [other for other in found if began(other) <= began(run) < ended(other)]
        assert len(at_once) <= 2, [other["metadata"]["name"] for other in at_once]
    order = sorted(found, key=began)
    assert urgent["metadata"]["name"] in [run["metadata"]["name"] for run in order[:2]]
    for position, run in enumerate(order[2:], start=2):
        free_since = max(restarted, sorted(map(ended, order[:position]))[position - 2])
        assert began(run) - free_since < HAND_OVER


def test_the_new_run_takes_the_place_of_the_old_one(
    runs: Runs, kube: Kube, operator: OperatorProcess, lanes: Lanes
) -> None:
    """CancelRunning: the old one is told to end, and the new one begins when it has."""
    flow = lanes.make("Flow", "flows", {"image": runs.image, "command": GOES_AT_ONCE})
    concurrency = {"limit": 1, "onConflict": "CancelRunning"}
    deployment = lanes.make("Deployment", "deployments", {"flowRef": flow, "concurrency": concurrency})
    old = runs.create({"deploymentRef": deployment})
    runs.reached(old, StateType.RUNNING)
    new = runs.create({"deploymentRef": deployment})
    runs.reached(new, StateType.RUNNING, timeout=90)

    superseded = runs.ended(old)
    assert (state(superseded)["type"], state(superseded)["reason"]) == ("CANCELLED", "Superseded")
    assert f"Run {new!r} takes its place" in state(superseded)["message"]
    assert began(runs.get(new)) >= ended(superseded)


def test_runs_with_a_tag_share_a_limit(runs: Runs, kube: Kube, operator: OperatorProcess, lanes: Lanes) -> None:
    """Nobody names it; whoever is cancelled while he waits is over at once, and the next moves up."""
    tag = runs.prefix
    limit = lanes.make("ConcurrencyLimit", "concurrencylimits", {"limit": 1, "tag": tag, "appliesTo": "Runs"})
    plain: dict[str, Any] = {"flow": {"image": runs.image, "command": GOES_AT_ONCE}, "tags": [tag]}
    first = runs.create(plain)
    runs.reached(first, StateType.RUNNING)
    second, third = runs.create(plain), runs.create(plain)
    for name in (second, third):
        assert f"ConcurrencyLimit {limit}" in waits(runs, kube, name)["status"]["waitingFor"]
    runs.cancel(second)
    assert state(runs.ended(second, timeout=30))["reason"] == "CancelledByRequest"
    runs.cancel(first)
    runs.reached(third, StateType.RUNNING, timeout=90)
