"""Slots of limits for code in pods, on a real cluster: never two in one, none left over, and a rate kept."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.runs import Runs, result
from tests.kube import Body, Kube

from towpath.states import StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

Limit = Callable[..., str]


@pytest.fixture
def limit(runs: Runs, kube: Kube) -> Iterator[Limit]:
    """Make a ConcurrencyLimit of any spec; gives its name."""
    made: list[str] = []

    def make(**spec: object) -> str:
        name = f"slots-{secrets.token_hex(3)}"
        body = {"apiVersion": "towpath.dev/v1alpha1", "kind": "ConcurrencyLimit", "metadata": {"name": name}}
        kube.create(runs.path("concurrencylimits"), body | {"spec": spec})
        made.append(name)
        return name

    yield make
    for name in made:
        kube.delete(runs.path("concurrencylimits", name))


def spans(*ended: Body) -> list[list[float]]:
    """Give when code of runs was inside, in order."""
    assert all(run["status"]["state"]["type"] == "COMPLETED" for run in ended), [run["status"] for run in ended]
    return sorted(span for run in ended for span in result(run))


def test_code_of_two_runs_is_never_inside_at_once(runs: Runs, limit: Limit) -> None:
    """Blocks, and tagged tasks in processes, each keep to a limit of one; a rate is kept; nothing is left in a status."""
    one, rate = limit(limit=1), limit(limit=2, slotDecayPerSecond="5")
    limit(limit=1, tag="e2e-slots")
    blocks = [runs.start("guarded", {"limit": one, "times": 3, "seconds": 0.2}) for _ in range(2)]
    tasks = [runs.start("tagged", {"times": 3}) for _ in range(2)]
    paced = runs.start("paced", {"limit": rate, "times": 6})
    for names, count in ((blocks, 6), (tasks, 6)):
        inside = spans(*map(runs.ended, names))
        assert len(inside) == count
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(inside)), inside
    assert result(runs.ended(paced)) >= (6 - 2) / 5 - 0.05
    for name in (*blocks, *tasks, paced):
        assert not runs.get(name)["status"].keys() & {"slotsWanted", "slotsGranted"}


def test_a_killed_pod_leaves_its_slots_to_who_waits(runs: Runs, limit: Limit, kube: Kube) -> None:
    """As soon as its pod is known to be gone; the run that waits says so meanwhile."""
    one = limit(limit=1)
    flow = {"infraRetries": 0}
    holder = runs.start("guarded", {"limit": one, "times": 1, "seconds": 600}, flow=flow)
    kube.wait(
        runs.path("flowruns", holder),
        lambda run: run is not None and bool((run.get("status") or {}).get("slotsGranted")),
        120,
        "a slot",
    )
    waiting = runs.start("guarded", {"limit": one, "times": 1, "seconds": 0})
    kube.wait(
        runs.path("flowruns", waiting),
        lambda run: run is not None and bool((run.get("status") or {}).get("slotsWanted")),
        120,
        "a wish",
    )
    assert "slotsGranted" not in runs.get(waiting)["status"]
    for pod in runs.pods(holder):
        kube.call("DELETE", runs.path("pods", pod["metadata"]["name"], group="/api/v1"), gracePeriodSeconds="0")
    runs.reached(holder, StateType.CRASHED)
    assert len(spans(runs.ended(waiting, 60))) == 1
