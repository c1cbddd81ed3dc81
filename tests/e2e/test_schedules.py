"""Schedules on the real cluster: every tick exactly once, whatever becomes of the operators, and runs that run.

The operators under test are run from this checkout; the installed one is away meanwhile. Ticks are counted in the API
server's audit log, over their whole history. Most of them are of a Flow that does not exist: their runs wait for it, and
cost no pods.
"""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.api import Cluster
from tests.e2e.killing_proxy import KillingProxy
from tests.e2e.operators import OperatorProcess
from tests.e2e.runs import NAMESPACE, Runs, result, state
from tests.e2e.test_operator_killed import kill_and_recover, proxy_kubeconfig
from tests.kube import Body, Kube

from towpath import names
from towpath.cli.__main__ import main
from towpath.states import StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

EVERY_TWO_SECONDS: Body = {"name": "ticks", "intervalSeconds": 2}


class Deployments:
    """The Deployments of one test."""

    def __init__(self, kube: Kube, runs: Runs) -> None:
        self.kube, self.runs = kube, runs
        self.made: list[str] = []

    def path(self, name: str = "") -> str:
        """Give the path of a Deployment, or of all."""
        return self.runs.path("deployments", name)

    def apply(self, *schedules: Body, flow: str = "there-is-none", **spec: Any) -> str:
        """Create a Deployment; give its name."""
        name = f"{self.runs.prefix}-d{len(self.made)}"
        body = {"flowRef": flow, "schedules": list(schedules), **spec}
        whole = {"apiVersion": names.API_VERSION, "kind": "Deployment", "metadata": {"name": name}, "spec": body}
        self.kube.create(self.path(), whole)
        self.made.append(name)
        return name

    def edit(self, name: str, **spec: Any) -> None:
        """Change fields of a Deployment's spec."""
        self.kube.merge(self.path(name), {"spec": spec})

    def wait(self, name: str, until: Callable[[Body], object], what: str) -> Body:
        """Wait until something is so of a Deployment's status; give that."""
        found = self.kube.wait(self.path(name), lambda one: bool(one and until(one.get("status") or {})), 120, what)
        assert found
        return found["status"]  # type: ignore[no-any-return]

    def ticks(self, name: str) -> list[datetime]:
        """Give the times of the runs that a Deployment's schedules have made, in order."""
        found = self.kube.items(self.runs.path("flowruns"), labelSelector=f"{names.LABEL_DEPLOYMENT}={name}")
        return sorted(datetime.fromisoformat(run["spec"]["scheduledTime"]) for run in found)

    def wait_ticks(self, name: str, count: int) -> list[datetime]:
        """Wait until a Deployment has made so many runs."""
        deadline = time.monotonic() + 120
        while len(found := self.ticks(name)) < count:
            assert time.monotonic() < deadline, f"{name} has made {len(found)} runs, not {count}"
            time.sleep(0.2)
        return found

    def stop(self, name: str) -> list[datetime]:
        """Suspend a Deployment, wait until that is seen to, and give the ticks that it has had."""
        self.edit(name, suspend=True)
        self.wait(name, lambda status: condition(status) == "Suspended", "the end of its schedules")
        return self.ticks(name)

    def clean(self) -> None:
        """Delete them all, with their runs."""
        for name in self.made:
            self.kube.delete(self.path(name))
            self.kube.delete(self.runs.path("flowruns"), labelSelector=f"{names.LABEL_DEPLOYMENT}={name}")


def condition(status: Body) -> str:
    """Give the reason of the condition Scheduled."""
    return next((one["reason"] for one in status.get("conditions", ()) if one["type"] == "Scheduled"), "")


def runs_created(cluster: Cluster, deployment: str) -> Counter[str]:
    """Count how often the API server created each run of a Deployment over its whole history, from the audit log."""
    created = re.compile(
        rf'"verb":"create".*"resource":"flowruns","namespace":"{NAMESPACE}","name":"({deployment}-[^"]*)".*"code":201'
    )
    return Counter(found[1] for line in cluster.audit_log.read_text().splitlines() if (found := created.search(line)))


def assert_none_lost_none_doubled(cluster: Cluster, deployment: str, ticks: list[datetime]) -> None:
    """Check that ticks follow each other every two seconds, and that each run was created once."""
    step = timedelta(seconds=2)
    assert ticks == [ticks[0] + number * step for number in range(len(ticks))]
    created = runs_created(cluster, deployment)
    assert set(created.values()) == {1}
    assert len(created) == len(ticks)


@pytest.fixture
def deployments(kube: Kube, runs: Runs) -> Iterator[Deployments]:
    """The test's own Deployments."""
    own = Deployments(kube, runs)
    yield own
    own.clean()


@pytest.fixture
def operator_of(
    cluster: Cluster, installed_operator_away: None, tmp_path: Path
) -> Iterator[Callable[[], OperatorProcess]]:
    """Start operators from this checkout."""
    operators: list[OperatorProcess] = []

    def start() -> OperatorProcess:
        operators.append(OperatorProcess(Path(cluster.kubeconfig), tmp_path / f"operator-{len(operators)}.log"))
        operators[-1].start()
        return operators[-1]

    yield start
    for operator in operators:
        operator.stop()


@pytest.fixture
def proxy(kube: Kube, installed_operator_away: None) -> Iterator[KillingProxy]:
    """The proxy that kills."""
    with KillingProxy(kube) as running:
        yield running


def test_an_operator_that_is_killed_at_any_write_of_a_tick(
    deployments: Deployments, cluster: Cluster, proxy: KillingProxy, tmp_path: Path
) -> None:
    """Before and after each write while a schedule is due every two seconds: no tick is lost, none has two runs."""
    operator = OperatorProcess(proxy_kubeconfig(proxy, tmp_path), tmp_path / "operator.log")
    operator.start()
    try:
        name = deployments.apply(EVERY_TWO_SECONDS, missedRunPolicy="All")
        deployments.wait_ticks(name, 1)
        for nth in (1, 2, 3):
            for moment in ("before", "after"):
                proxy.arm(nth, moment, operator.kill)  # type: ignore[arg-type]
                kill_and_recover(proxy, operator)
        deployments.wait_ticks(name, len(deployments.ticks(name)) + 2)
        ticks = deployments.stop(name)
    finally:
        operator.stop()

    assert_none_lost_none_doubled(cluster, name, ticks)


def test_two_operators_and_one_that_was_frozen(
    deployments: Deployments, cluster: Cluster, operator_of: Callable[[], OperatorProcess]
) -> None:
    """Both work, one is frozen and goes on with what it knew, the other is killed: still each tick once."""
    first, second = operator_of(), operator_of()
    name = deployments.apply(EVERY_TWO_SECONDS, missedRunPolicy="All")
    deployments.wait_ticks(name, 3)
    first.send(signal.SIGSTOP)
    deployments.wait_ticks(name, len(deployments.ticks(name)) + 3)
    first.send(signal.SIGCONT)
    deployments.wait_ticks(name, len(deployments.ticks(name)) + 2)
    second.kill()
    deployments.wait_ticks(name, len(deployments.ticks(name)) + 3)
    ticks = deployments.stop(name)

    assert_none_lost_none_doubled(cluster, name, ticks)


def test_an_edit_takes_effect_at_once(deployments: Deployments, operator_of: Callable[[], OperatorProcess]) -> None:
    """A schedule that is due in a year is due now; a wrong one says so and leaves the other alone; none has a past."""
    operator_of()
    name = deployments.apply({"name": "rare", "cron": "0 0 1 1 *"}, missedRunPolicy="All")
    status = deployments.wait(name, lambda status: status.get("nextRuns"), "a next run")
    assert [one["schedule"] for one in status["nextRuns"]] == ["rare"] * 5
    assert "01-01T00:00:00Z" in status["nextRuns"][0]["time"]

    wrong = {"name": "rare", "cron": "0 25 * * *"}
    deployments.edit(name, schedules=[wrong, EVERY_TWO_SECONDS])
    status = deployments.wait(name, lambda status: condition(status) == "InvalidSchedule", "trouble with the cron")
    assert "its hour '25' is not 0-23" in str(status["conditions"])
    ticks = deployments.wait_ticks(name, 2)
    deployments.edit(name, schedules=[{"name": "ticks", "cron": "0 0 1 1 *"}])
    deployments.wait(name, lambda status: condition(status) == "Scheduled", "good schedules")
    made = deployments.ticks(name)
    assert made[: len(ticks)] == ticks
    assert all(later - earlier == timedelta(seconds=2) for earlier, later in pairwise(made))


def test_a_scheduled_run_runs_as_the_deployment_said_when_it_was_made(
    deployments: Deployments, runs: Runs, kube: Kube, operator_of: Callable[[], OperatorProcess]
) -> None:
    """Parameters of Deployment and schedule; an edit, and the Deployment's end, leave a run that runs alone."""
    operator_of()
    schema = {"type": "object", "properties": {"seconds": {"type": "number"}}, "required": ["seconds"]}
    flow = {"image": runs.image, "entrypoint": "flows.py:nap", "parameters": schema}
    metadata = {"name": f"{runs.prefix}-nap"}
    whole = {"apiVersion": names.API_VERSION, "kind": "Flow", "metadata": metadata, "spec": flow}
    kube.create(runs.path("flows"), whole)
    soon = {"name": "once", "intervalSeconds": 86_400 * 365, "anchor": in_seconds(10)}
    name = deployments.apply(soon | {"parameters": {"seconds": 8}}, flow=metadata["name"], parameters={"seconds": 900})
    deployments.wait_ticks(name, 1)
    (run,) = kube.items(runs.path("flowruns"), labelSelector=f"{names.LABEL_DEPLOYMENT}={name}")
    runs.started.append(run["metadata"]["name"])
    runs.reached(run["metadata"]["name"], StateType.RUNNING, 120)
    status = deployments.wait(name, lambda status: status.get("active") == 1, "its run")
    assert status["lastScheduled"] == run["spec"]["scheduledTime"]

    deployments.edit(name, parameters={"seconds": "soon"}, schedules=[soon | {"parameters": None}])
    deployments.wait(name, lambda status: condition(status) == "InvalidParameters", "trouble with the parameters")
    ended = runs.ended(run["metadata"]["name"])
    assert (state(ended)["type"], result(ended)) == ("COMPLETED", "awake")
    status = deployments.wait(name, lambda status: status.get("active") == 0, "the end of its run")
    assert datetime.fromisoformat(status["lastSucceeded"]) == datetime.fromisoformat(ended["status"]["completionTime"])
    kube.delete(deployments.path(name))
    runs.gone(deployments.path(name))
    assert runs.get(run["metadata"]["name"])
    kube.delete(runs.path("flows", metadata["name"]))


def in_seconds(seconds: float) -> str:
    """Give a time that is to come."""
    return (datetime.now().astimezone() + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def test_a_gap_is_filled_by_hand(
    deployments: Deployments, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`towpath deployments backfill` makes what a schedule has not made, under the names that it would have had."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    name = deployments.apply({"name": "hourly", "cron": "0 * * * *"}, suspend=True)
    typed = ["deployments", "backfill", name, "-n", NAMESPACE, "--from", "2026-03-01T00:00+00:00"]
    assert main([*typed, "--to", "2026-03-01T02:00+00:00"]) == 0
    assert main([*typed, "--to", "2026-03-01T03:30+00:00"]) == 0

    out, err = capsys.readouterr()
    assert err == "3 runs made.\n1 run made. 3 runs were there already.\n"
    assert [one.hour for one in deployments.ticks(name)] == [0, 1, 2, 3]
    assert sorted(out.split()) == sorted(runs_created(cluster, name))
