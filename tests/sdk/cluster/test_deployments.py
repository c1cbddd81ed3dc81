"""`run_deployment`: which FlowRun an order becomes, and what its handle gives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.contract.fake_objects import Body
from tests.sdk.cluster.memory import MemoryCluster

from towpath import arun_deployment, deployments, run_deployment
from towpath.cluster.launcher import ClusterLauncher, set_launcher_of_process
from towpath.cluster.own import OwnRun
from towpath.context import RunContext, enter, leave
from towpath.errors import (
    ConfigurationError,
    Conflict,
    FlowRunCrashed,
    FlowRunFailed,
    NotFound,
    ParameterError,
    Refused,
)
from towpath.runs import FlowRun


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryCluster]:
    """Give a cluster in memory with two deployments, as a laptop reaches it."""
    cluster = MemoryCluster()
    for name in ("nightly", "hourly"):
        cluster.objects.create("deployments", {"metadata": {"name": name}, "spec": {"flowRef": "etl"}})
    monkeypatch.setattr(deployments, "_connected", lambda: cluster)
    yield cluster
    cluster.close()


@pytest.fixture
def parent(cluster: MemoryCluster) -> Iterator[FlowRun]:
    """Give the flow run whose code calls, in a pod of the cluster."""
    run = FlowRun(flow_name="top", name="top", id="uid-of-top", run_count=1)
    launcher = ClusterLauncher(cluster, OwnRun(name="top", uid="uid-of-top", attempt=1, root="top"), run)
    set_launcher_of_process(launcher)
    token = enter(RunContext(flow=None, flow_run=run, scope=None, log_prints=False))
    yield run
    leave(token)
    set_launcher_of_process(None)
    launcher.close()


def runs(cluster: MemoryCluster) -> list[Body]:
    return [body for (plural, _, _), body in sorted(cluster.objects.objects.items()) if plural == "flowruns"]


def end(cluster: MemoryCluster, name: str, type_: str = "COMPLETED", value: str = "42", **status: Any) -> None:
    state = {"type": type_, "name": type_.capitalize(), "since": "2026-01-01T00:00:00.000000Z"}
    result = {"result": {"inline": value, "serializer": "json"}} if type_ == "COMPLETED" else {}
    cluster.objects.set_status(name, state=state, **result, **status)


def test_an_order_becomes_a_run(cluster: MemoryCluster) -> None:
    """Everything that was asked for is in the spec; the run is nobody's child."""
    run = run_deployment(
        "nightly",
        parameters={"day": "2026-01-31"},
        scheduled_time=datetime(2026, 2, 1, 3, tzinfo=UTC),
        tags=["b", "a", "b"],
        timeout=0,
        poll_interval=5,
        work_queue_name="urgent",
        job_variables={
            "image": "other:1",
            "env": {"LEVEL": 3},
            "resources": {"limits": {"memory": "1Gi"}},
            "service_account_name": "special",
            "labels": {"team": "x"},
            "template": {"spec": {"priorityClassName": "high"}},
        },
    )
    (body,) = runs(cluster)
    assert body["metadata"]["name"] == run.name
    assert run.name.startswith("nightly-")
    assert "ownerReferences" not in body["metadata"]
    assert body["metadata"]["labels"]["towpath.dev/deployment"] == "nightly"
    assert body["spec"] == {
        "deploymentRef": "nightly",
        "parameters": {"day": "2026-01-31"},
        "scheduledTime": "2026-02-01T03:00:00.000000Z",
        "tags": ["a", "b"],
        "onParentEnd": "Orphan",
        "queue": "urgent",
        "template": {
            "metadata": {"labels": {"team": "x"}},
            "spec": {
                "priorityClassName": "high",
                "serviceAccountName": "special",
                "containers": [
                    {
                        "name": "flow",
                        "image": "other:1",
                        "resources": {"limits": {"memory": "1Gi"}},
                        "env": [{"name": "LEVEL", "value": "3"}],
                    }
                ],
            },
        },
    }


@pytest.mark.parametrize(
    ("asked", "found"), [("nightly", "nightly"), ("etl/nightly", "nightly"), ("Etl Flow/Nightly", "nightly")]
)
def test_names_are_taken_as_prefect_has_them(cluster: MemoryCluster, asked: str, found: str) -> None:
    """`flow/deployment` finds the deployment, and capitals are no obstacle."""
    run_deployment(asked, timeout=0)
    assert runs(cluster)[0]["spec"]["deploymentRef"] == found


def test_an_unknown_deployment_names_those_that_exist(cluster: MemoryCluster) -> None:
    """A slip of the pen is seen at once, and nothing is created."""
    with pytest.raises(
        NotFound, match=r"no deployment 'nigthly' in namespace 'default'\. There are 'hourly', 'nightly'\."
    ):
        run_deployment("nigthly")
    assert runs(cluster) == []


def test_without_the_right_to_read_deployments_the_run_is_created_all_the_same(cluster: MemoryCluster) -> None:
    """Creating runs needs no right to read deployments."""
    cluster.fail("get_deployment", Refused("403"))
    run_deployment("nightly", timeout=0)
    assert len(runs(cluster)) == 1


def test_a_name_of_its_own_begins_the_runs_name(cluster: MemoryCluster) -> None:
    """Two runs of the same name are two runs."""
    names = {run_deployment("nightly", flow_run_name="Load 2026", timeout=0).name for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("load-2026-") for name in names)


def test_the_same_idempotency_key_gives_the_same_run(cluster: MemoryCluster) -> None:
    """A second order is the first one; another key or deployment is another run."""
    first, second = (run_deployment("nightly", idempotency_key="k", timeout=0) for _ in range(2))
    assert first.id == second.id
    others = {
        run_deployment("nightly", idempotency_key="j", timeout=0).id,
        run_deployment("hourly", idempotency_key="k", timeout=0).id,
    }
    assert first.id not in others
    assert len(runs(cluster)) == 3


def test_an_idempotency_key_does_not_take_a_strangers_run(cluster: MemoryCluster) -> None:
    """A run of something else under that name is an error."""
    run = run_deployment("nightly", idempotency_key="k", timeout=0)
    cluster.objects.objects["flowruns", "default", run.name]["spec"]["deploymentRef"] = "hourly"
    with pytest.raises(Conflict, match="another FlowRun has the name"):
        run_deployment("nightly", idempotency_key="k", timeout=0)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"work_queue_name": "My queue"}, ConfigurationError, "work_queue_name must be .* Use 'my-queue'"),
        ({"job_variables": {"memory": "1Gi"}}, ConfigurationError, r"no job variable 'memory'\. It knows env, image,"),
        ({"parameters": {"x": object()}}, ParameterError, "has no form in JSON"),
    ],
)
def test_what_cannot_be_ordered_is_said_before_anything_is_created(
    cluster: MemoryCluster, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    """Unknown job variables and parameters without a form in JSON are refused."""
    with pytest.raises(error, match=words):
        run_deployment("nightly", timeout=0, **arguments)
    assert runs(cluster) == []


def test_the_handle_waits_and_gives_the_value(cluster: MemoryCluster) -> None:
    """`state` is asked for, `wait` and `result` watch."""
    run = run_deployment("nightly", timeout=0)
    assert run.state.is_scheduled()
    assert run.wait(timeout=0.01).is_scheduled()
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.01 s"):
        run.result(timeout=0.01)
    end(cluster, run.name)
    assert run.wait(10).is_completed()
    assert run.result() == 42
    assert run.state.is_completed()
    assert repr(run) == f"FlowRunHandle({run.name!r})"


def test_failures_are_raised_by_result_and_by_run_deployment_if_asked(cluster: MemoryCluster) -> None:
    """The handle comes back whatever the end; `raise_on_failure` raises at once."""
    run = run_deployment("nightly", idempotency_key="k", timeout=0)
    end(cluster, run.name, "FAILED", error={"code": "FlowFailed", "message": "bad", "type": "ValueError"})
    again = run_deployment("nightly", idempotency_key="k")
    assert again.state.is_failed()
    assert isinstance(again.result(raise_on_failure=False), FlowRunFailed)
    with pytest.raises(FlowRunFailed, match="ValueError: bad"):
        again.result()
    with pytest.raises(FlowRunFailed):
        run_deployment("nightly", idempotency_key="k", raise_on_failure=True)


def test_a_run_without_a_value_completed_all_the_same(cluster: MemoryCluster) -> None:
    """A plain container returns nothing: that is no failure until somebody asks for the value."""
    run = run_deployment("nightly", idempotency_key="k", timeout=0)
    cluster.objects.set_status(run.name, state={"type": "COMPLETED", "name": "Completed"})
    assert run_deployment("nightly", idempotency_key="k", raise_on_failure=True).state.is_completed()


def test_a_deleted_run_has_crashed(cluster: MemoryCluster) -> None:
    """Whoever holds the handle of a run that is gone is told so."""
    run = run_deployment("nightly", timeout=0)
    cluster.objects.delete(run.name)
    assert run.state.is_crashed()
    assert isinstance(run.result(raise_on_failure=False, timeout=10), FlowRunCrashed)


def test_in_an_event_loop_it_is_awaited(cluster: MemoryCluster) -> None:
    """`await run_deployment(...)` and its typed twin; waiting does not hold the loop up."""

    async def scene() -> list[Any]:
        pending: Any = run_deployment("nightly", idempotency_key="k", timeout=0)
        run = await pending
        assert (await run.wait_async(0.01)).is_scheduled()
        waiting = asyncio.gather(run.result_async(), arun_deployment("nightly", idempotency_key="k"))
        end(cluster, run.name)
        value, other = await waiting
        return [value, await other.result_async()]

    assert asyncio.run(scene()) == [42, 42]


def test_in_a_flow_the_run_is_a_child(cluster: MemoryCluster, parent: FlowRun) -> None:
    """Parent, owner and label are those of the flow that calls, and the parent's own watch brings the end."""
    run = run_deployment("nightly", parameters={"x": 1}, timeout=0.01)
    (body,) = runs(cluster)
    assert body["spec"]["parent"] == {
        "name": "top",
        "uid": "uid-of-top",
        "call": body["spec"]["parent"]["call"],
        "depth": 1,
    }
    assert body["metadata"]["ownerReferences"][0]["uid"] == "uid-of-top"
    assert body["metadata"]["labels"]["towpath.dev/parent"] == "top"
    assert body["metadata"]["labels"]["towpath.dev/deployment"] == "nightly"
    end(cluster, run.name)
    assert run.result(10) == 42
    assert cluster.calls.count("watch_runs") == 1


def test_a_flow_that_is_tried_again_finds_its_run_again(cluster: MemoryCluster, parent: FlowRun) -> None:
    """The same order in the next try is the same run; two in one try are two."""
    first = [run_deployment("nightly", timeout=0.01).id, run_deployment("nightly", timeout=0.01).id]
    parent.run_count = 2
    second = [run_deployment("nightly", timeout=0.01).id, run_deployment("nightly", timeout=0.01).id]
    assert first == second
    assert len(set(first)) == 2


def test_fire_and_forget_outlives_the_parent(cluster: MemoryCluster, parent: FlowRun) -> None:
    """A run that nobody waits for is linked to its parent, but neither cancelled nor deleted with it."""
    run_deployment("nightly", timeout=0)
    (body,) = runs(cluster)
    assert body["spec"]["onParentEnd"] == "Orphan"
    assert body["spec"]["parent"]["name"] == "top"
    assert "ownerReferences" not in body["metadata"]


def test_a_run_that_is_no_subflow_has_no_parent(cluster: MemoryCluster, parent: FlowRun) -> None:
    """`as_subflow=False` cuts the link."""
    run_deployment("nightly", timeout=0, as_subflow=False)
    assert "parent" not in runs(cluster)[0]["spec"]


def test_an_idempotency_key_in_a_flow_gives_one_run_to_all(cluster: MemoryCluster, parent: FlowRun) -> None:
    """The key counts, not the call; the first one's flow is the parent."""
    first = run_deployment("nightly", idempotency_key="k", timeout=0.01)
    second = run_deployment("nightly", idempotency_key="k", timeout=0.01)
    assert first.id == second.id
    assert runs(cluster)[0]["spec"]["parent"]["name"] == "top"
    end(cluster, first.name)
    assert (first.result(10), second.result(10)) == (42, 42)
