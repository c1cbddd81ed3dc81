"""Two operators and one Lease: one works, the other goes on when the first is killed, frozen or stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.api import Cluster
from tests.e2e.operators import OperatorProcess, jobs_created
from tests.e2e.runs import NAMESPACE, Runs, result, state
from tests.kube import Kube

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
#: Seconds after which another works, as the reference page promises, and the process's own time to start a Job.
PROMISED = 15.0


@pytest.fixture
def replicas(
    kube: Kube, cluster: Cluster, installed_operator_away: None, tmp_path: Path
) -> Iterator[dict[str, OperatorProcess]]:
    """Give two operators by their names, the first of which has begun first."""
    lease = "operators-under-test"
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": lease}}
    kube.create(LEASES, body)  # one that is missing is left alone for a while
    own = {
        name: OperatorProcess(
            cluster.kubeconfig,
            tmp_path / f"{name}.log",
            TOWPATH_OPERATOR_LEASE=f"{NAMESPACE}/{lease}",
            TOWPATH_OPERATOR_IDENTITY=name,
        )
        for name in ("first", "second")
    }
    for operator in own.values():
        operator.start()
    kube.wait(f"{LEASES}/{lease}", lambda body: bool(body and body["spec"].get("holderIdentity")), 30, "a holder")
    yield own
    for operator in own.values():
        operator.stop()
    kube.delete(f"{LEASES}/{lease}")


def test_only_the_holder_works(runs: Runs, cluster: Cluster, replicas: dict[str, OperatorProcess]) -> None:
    """The other is ready, and neither writes nor tells of runs."""
    name = runs.start("add", {"x": 1})
    run = runs.ended(name)
    assert (state(run)["type"], result(run)) == ("COMPLETED", 2)
    assert list(jobs_created(cluster, name).values()) == [1]
    first, second = (replica.metrics() for replica in replicas.values())
    assert "towpath_operator_leader 1.0" in first
    assert f'towpath_flowruns{{deployment="",flow="add",namespace="{NAMESPACE}",state="COMPLETED"}}' in first
    assert "towpath_operator_leader 0.0" in second
    assert "towpath_flowruns{" not in second
    assert 'verb="patch"' not in second


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM], ids=["killed", "frozen", "stopped"])
def test_the_other_goes_on(
    runs: Runs, kube: Kube, cluster: Cluster, replicas: dict[str, OperatorProcess], how: signal.Signals
) -> None:
    """Within the promised time; runs in flight end well, each with one Job, and one that thaws does nothing any more."""
    in_flight = runs.start("nap", {"seconds": 3})
    replicas["first"].send(how)
    began = time.monotonic()
    waiting = runs.start("add", {"x": 1})
    lease = kube.wait(
        f"{LEASES}/operators-under-test",
        lambda body: bool(body and body["spec"]["holderIdentity"] == "second"),
        60,
        "another holder",
    )
    took = time.monotonic() - began
    assert lease is not None
    assert took < (PROMISED if how is not signal.SIGTERM else 2 * PROMISED), f"it took {took:.1f} s"
    if how is signal.SIGSTOP:
        replicas["first"].send(signal.SIGCONT)
        process = replicas["first"].process
        assert process is not None
        assert process.wait(30) == 1
        assert "ends, and begins again as a follower" in replicas["first"].log.read_text()
    for name in (in_flight, waiting):
        assert state(runs.ended(name))["type"] == "COMPLETED"
        # A Job whose creator ended before it had the answer stands in the audit log without success: so they are counted.
        (job,) = runs.jobs(name)
        assert set(jobs_created(cluster, name)) <= {job["metadata"]["name"]}
        assert jobs_created(cluster, name).total() <= 1
