"""An operator that is killed at any step of a run's way: exactly one Job per attempt, and the right end.

The operator under test is a real one, run from this checkout against the real API server through a proxy that kills it
at a chosen write; the installed one is away meanwhile.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.cluster.api import Cluster
from tests.e2e.killing_proxy import KillingProxy, Moment
from tests.e2e.runs import NAMESPACE, Runs, result, state
from tests.installation import SYSTEM, Installation
from tests.kube import Kube

from towpath.states import StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

OPERATOR = "app.kubernetes.io/component=operator"


class Operator:
    """One operator process at a time, from this checkout, that talks through the proxy."""

    def __init__(self, proxy: KillingProxy, folder: Path) -> None:
        self.kubeconfig = folder / "kubeconfig"
        self.log = folder / "operator.log"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "proxy",
                    "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{proxy.port}"}}],
                    "users": [{"name": "nobody", "user": {}}],
                    "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
                }
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it has seen everything."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environ = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "TOWPATH_OPERATOR_NAMESPACES": NAMESPACE,
            "TOWPATH_OPERATOR_LISTEN_PORT": str(port),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "towpath_operator"], env=environ, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"The operator was not ready within 30 s:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """Kill it, as a lost machine does."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        """End it, however it stands."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()


@pytest.fixture(scope="module")
def installed_operator_away(kube: Kube, towpath: Installation) -> Iterator[None]:
    """No operator in the cluster but the one under test."""
    path = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments"
    (deployment,) = kube.items(path, labelSelector=OPERATOR)
    scale = f"{path}/{deployment['metadata']['name']}"
    pods = [pod["metadata"]["name"] for pod in kube.items(f"/api/v1/namespaces/{SYSTEM}/pods", labelSelector=OPERATOR)]
    kube.merge(scale, {"spec": {"replicas": 0}})
    for pod in pods:
        kube.wait(f"/api/v1/namespaces/{SYSTEM}/pods/{pod}", lambda body: body is None, 60, "its end")
    yield
    kube.merge(scale, {"spec": {"replicas": 1}})
    kube.wait(scale, lambda body: bool(body and body["status"].get("readyReplicas")), 90, "a ready replica")


@pytest.fixture
def proxy(kube: Kube, installed_operator_away: None) -> Iterator[KillingProxy]:
    """The proxy that kills."""
    with KillingProxy(kube) as running:
        yield running


@pytest.fixture
def operator(proxy: KillingProxy, tmp_path: Path) -> Iterator[Operator]:
    """The operator under test, running."""
    own = Operator(proxy, tmp_path)
    own.start()
    yield own
    own.stop()


def jobs_created(cluster: Cluster, run: str) -> Counter[str]:
    """Count the Jobs that the API server created for a run over its whole history, by name, from the audit log."""
    created = re.compile(
        rf'"verb":"create".*"resource":"jobs","namespace":"{NAMESPACE}","name":"({run}-[^"]*)".*"code":201'
    )
    return Counter(found[1] for line in cluster.audit_log.read_text().splitlines() if (found := created.search(line)))


def kill_and_recover(proxy: KillingProxy, operator: Operator, timeout: float = 60) -> None:
    """Wait for the armed kill, then start the operator again."""
    assert proxy.killed.wait(timeout), f"the write never came; seen: {proxy.writes}"
    operator.stop()
    operator.start()


SIMPLE = [(1, "before"), (1, "after"), (2, "before"), (2, "after")]
RETRY = [(3, "before"), (3, "after"), (4, "before"), (4, "after"), (5, "before"), (5, "after")]
CANCEL = [(1, "before"), (1, "after"), (2, "before"), (2, "after")]


def ids(points: list[tuple[int, Moment]]) -> list[str]:
    """Name the moments."""
    return [f"{moment}-write-{nth}" for nth, moment in points]


@pytest.mark.parametrize(("nth", "moment"), SIMPLE, ids=ids(SIMPLE))  # type: ignore[arg-type]
def test_killed_while_a_run_starts(
    runs: Runs, cluster: Cluster, proxy: KillingProxy, operator: Operator, nth: int, moment: Moment
) -> None:
    """Around the creation of the Job, and around the status that tells of it."""
    proxy.arm(nth, moment, operator.kill)
    name = runs.start("add", {"x": 1})
    kill_and_recover(proxy, operator)

    run = runs.ended(name)

    assert (state(run)["type"], result(run), run["status"]["attempt"]) == ("COMPLETED", 2, 1)
    assert list(jobs_created(cluster, name).values()) == [1]
    assert [entry["type"] for entry in run["status"]["history"]] == ["PENDING", "RUNNING", "COMPLETED"]


@pytest.mark.parametrize(("nth", "moment"), RETRY, ids=ids(RETRY))  # type: ignore[arg-type]
def test_killed_while_an_attempt_follows_another(
    runs: Runs, cluster: Cluster, proxy: KillingProxy, operator: Operator, nth: int, moment: Moment
) -> None:
    """Around the end of the first attempt, the second one's Job, and its status."""
    proxy.arm(nth, moment, operator.kill)
    name = runs.start("vanish_once")
    kill_and_recover(proxy, operator)

    run = runs.ended(name)

    assert (state(run)["type"], result(run), run["status"]["attempt"]) == ("COMPLETED", 2, 2)
    assert sorted(jobs_created(cluster, name).values()) == [1, 1]


@pytest.mark.parametrize(("nth", "moment"), CANCEL, ids=ids(CANCEL))  # type: ignore[arg-type]
def test_killed_while_a_run_is_cancelled(
    runs: Runs, cluster: Cluster, proxy: KillingProxy, operator: Operator, nth: int, moment: Moment
) -> None:
    """Around CANCELLING and the deletion of the Job."""
    name = runs.start("nap", {"seconds": 300})
    runs.reached(name, StateType.RUNNING)
    proxy.arm(nth, moment, operator.kill)
    runs.cancel(name)
    kill_and_recover(proxy, operator)

    run = runs.ended(name)

    assert state(run)["type"] == "CANCELLED"
    assert list(jobs_created(cluster, name).values()) == [1]
    for pod in runs.pods(name):
        runs.gone(runs.path("pods", pod["metadata"]["name"], group="/api/v1"))


def test_killed_while_a_run_runs_and_ends(
    runs: Runs, cluster: Cluster, proxy: KillingProxy, operator: Operator
) -> None:
    """A run that ends while no operator is there needs none; what came meanwhile is picked up."""
    ending, meanwhile = runs.start("nap", {"seconds": 3}), f"{runs.prefix}-later"
    runs.reached(ending, StateType.RUNNING)
    operator.kill()
    operator.stop()
    runs.create({"flow": {"image": runs.image, "entrypoint": "flows.py:add"}, "parameters": {"x": 1}}, meanwhile)

    assert result(runs.ended(ending)) == "awake"
    operator.start()

    assert result(runs.ended(meanwhile)) == 2
    assert list(jobs_created(cluster, ending).values()) == [1]


def nothing_moves(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Tell whether an object was left alone."""
    return bool(before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"])


def test_a_restart_leaves_finished_runs_alone(runs: Runs, operator: Operator) -> None:
    """Seeing everything anew is no reason to write anything."""
    name = runs.start("add", {"x": 1})
    done = runs.ended(name)

    operator.stop()
    operator.start()
    other = runs.ended(runs.start("add", {"x": 2}))

    assert result(other) == 3
    assert nothing_moves(done, runs.get(name))
