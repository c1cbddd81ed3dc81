"""An operator that is killed at any step of a run's way: exactly one Job per attempt, and the right end.

The operator under test is a real one, run from this checkout against the real API server through a proxy that kills it
at a chosen write; the installed one is away meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster.api import Cluster
from tests.e2e.killing_proxy import KillingProxy, Moment
from tests.e2e.operators import OperatorProcess, jobs_created
from tests.e2e.runs import Runs, result, state
from tests.kube import Body, Kube

from towpath.states import StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]


@pytest.fixture
def proxy(kube: Kube, installed_operator_away: None) -> Iterator[KillingProxy]:
    """The proxy that kills."""
    with KillingProxy(kube) as running:
        yield running


@pytest.fixture
def operator(proxy: KillingProxy, tmp_path: Path) -> Iterator[OperatorProcess]:
    """The operator under test, running."""
    own = OperatorProcess(proxy_kubeconfig(proxy, tmp_path), tmp_path / "operator.log")
    own.start()
    yield own
    own.stop()


def proxy_kubeconfig(proxy: KillingProxy, folder: Path) -> Path:
    """Write how the operator under test reaches the API server."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{proxy.port}"}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
    }
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    return kubeconfig


def kill_and_recover(proxy: KillingProxy, operator: OperatorProcess, timeout: float = 60) -> None:
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
    runs: Runs, cluster: Cluster, proxy: KillingProxy, operator: OperatorProcess, nth: int, moment: Moment
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
    runs: Runs, cluster: Cluster, proxy: KillingProxy, operator: OperatorProcess, nth: int, moment: Moment
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
    runs: Runs, cluster: Cluster, proxy: KillingProxy, operator: OperatorProcess, nth: int, moment: Moment
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
    runs: Runs, cluster: Cluster, proxy: KillingProxy, operator: OperatorProcess
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


def nothing_moves(before: Body, after: Body) -> bool:
    """Tell whether an object was left alone."""
    return bool(before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"])


def test_a_restart_leaves_finished_runs_alone(runs: Runs, operator: OperatorProcess) -> None:
    """Seeing everything anew is no reason to write anything."""
    name = runs.start("add", {"x": 1})
    done = runs.ended(name)

    operator.stop()
    operator.start()
    other = runs.ended(runs.start("add", {"x": 2}))

    assert result(other) == 3
    assert nothing_moves(done, runs.get(name))
