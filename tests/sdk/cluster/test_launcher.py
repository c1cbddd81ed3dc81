"""Flows called in flows: which FlowRun each call becomes, and what its future ends with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.contract.fake_objects import Body
from tests.sdk.cluster.memory import MemoryCluster

from towpath import flow
from towpath.cluster.launcher import ClusterLauncher
from towpath.cluster.own import OwnRun
from towpath.engine.ports import FlowCall
from towpath.errors import (
    ConfigurationError,
    Conflict,
    EntrypointError,
    FlowRunCancelled,
    FlowRunCrashed,
    MissingResult,
    NestingTooDeep,
    ParameterError,
)
from towpath.flows import Flow
from towpath.futures import Future
from towpath.runs import FlowRun


@flow
def load(file: str = "a.csv", limit: int = 0) -> int:
    """Stand for any child."""
    return limit


@flow
def anything(value, *more, **named):  # type: ignore[no-untyped-def]
    """Take what has no annotation."""


@flow
def dated(day: date, where: Path = Path()) -> None:
    """Take what JSON does not know."""


class World:
    """A parent in a cluster in memory, and the launcher of one of its attempts."""

    def __init__(self, cluster: MemoryCluster | None = None, *, attempt: int = 1, depth: int = 0, **own: Any) -> None:
        self.cluster = cluster or MemoryCluster()
        self.own = OwnRun(
            name="top", uid="uid-of-top", attempt=attempt, root="root", depth=depth, **{"image": "shop:1", **own}
        )
        self.run = FlowRun(flow_name="top", name="top", id="uid-of-top", attempt=attempt, depth=depth)
        self.run.run_count = 1
        self.launcher = ClusterLauncher(self.cluster, self.own, self.run)

    def call(self, called: Flow[..., Any] = load, *, caller: FlowRun | None = None, **parameters: Any) -> Future[Any]:
        return self.launcher.launch(FlowCall(called, parameters, caller or self.run))

    def children(self) -> list[Body]:
        return [body for _, body in sorted(self.cluster.objects.objects.items())]

    def end(self, future: Future[Any], type_: str = "COMPLETED", **status: Any) -> None:
        assert future.run is not None
        self.cluster.objects.set_status(future.run.name, state={"type": type_, "name": type_.capitalize()}, **status)

    def next_attempt(self) -> World:
        """Give the parent's next attempt, in another process."""
        self.close()
        return World(self.cluster, attempt=self.own.attempt + 1)

    def close(self) -> None:
        self.launcher.close()


@pytest.fixture
def world() -> Iterator[World]:
    """Give a parent in its first attempt."""
    world = World()
    yield world
    world.close()
    world.cluster.close()


def result(value: str) -> Body:
    return {"result": {"inline": value, "serializer": "json"}}


def test_a_call_becomes_a_run_owned_by_the_parent(world: World) -> None:
    """The flow is written in place, with everything that its options say; nothing else has to exist."""
    called = load.with_options(
        retries=2,
        timeout_seconds=1.5,
        infra_retries=1,
        result_storage="s3://b",
        resources={"requests": {"memory": "1Gi"}},
        template={"spec": {"nodeSelector": {"disk": "fast"}}},
    )
    future = world.launcher.launch(
        FlowCall(called, {"file": "b.csv", "limit": 3}, world.run, frozenset({"nightly", "a"}))
    )
    (child,) = world.children()
    assert future.run is not None
    assert (future.run.name, future.run.id) == (child["metadata"]["name"], child["metadata"]["uid"])
    assert child["metadata"]["name"].startswith("top-load-")
    assert child["metadata"]["labels"] == {
        "towpath.dev/run": child["metadata"]["name"],
        "towpath.dev/root-run": "root",
        "towpath.dev/parent": "top",
        "towpath.dev/flow": "load",
        "app.kubernetes.io/managed-by": "towpath",
    }
    assert child["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "towpath.dev/v1alpha1",
            "kind": "FlowRun",
            "name": "top",
            "uid": "uid-of-top",
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    parent = child["spec"].pop("parent")
    assert (parent["name"], parent["uid"], parent["depth"]) == ("top", "uid-of-top", 1)
    assert child["spec"] == {
        "flow": {
            "name": "load",
            "image": "shop:1",
            "entrypoint": f"{__name__}:load",
            "retries": 2,
            "timeoutSeconds": 2,
            "infraRetries": 1,
        },
        "template": {
            "spec": {
                "nodeSelector": {"disk": "fast"},
                "containers": [{"name": "flow", "resources": {"requests": {"memory": "1Gi"}}}],
            }
        },
        "parameters": {"file": "b.csv", "limit": 3},
        "tags": ["a", "nightly"],
        "resultStorage": "s3://b",
    }


def test_image_and_storage_are_the_parents_unless_the_flow_has_its_own() -> None:
    """A child runs in its own image if it names one, and keeps results where its parent does."""
    world = World(result_storage="/kept")
    world.call()
    world.call(load.with_options(image="other:2", result_storage="/own"), limit=1)
    specs = [child["spec"] for child in world.children()]
    told = {(spec["flow"]["image"], spec["resultStorage"]) for spec in specs}
    assert told == {("shop:1", "/kept"), ("other:2", "/own")}


def test_the_parents_pod_template_is_inherited() -> None:
    """What the parent's pods need, its children's need too; a child's own template goes over it."""
    world = World(template={"spec": {"nodeSelector": {"disk": "fast"}}})
    world.call(load.with_options(template={"spec": {"priorityClassName": "high"}}))
    spec = world.children()[0]["spec"]
    assert spec["flow"]["template"] == {"spec": {"nodeSelector": {"disk": "fast"}}}
    assert spec["template"] == {"spec": {"priorityClassName": "high"}}


def test_a_value_comes_back(world: World) -> None:
    """The future completes with what the child returned."""
    future = world.call()
    world.end(future, **result("[1,2]"))
    assert future.result(timeout=10) == [1, 2]


@pytest.mark.parametrize(
    ("type_", "status", "raised"),
    [
        ("CANCELLED", {}, FlowRunCancelled),
        ("CRASHED", {"error": {"code": "OutOfMemory", "kind": "Infrastructure", "message": "137"}}, FlowRunCrashed),
        ("FAILED", {"error": {"code": "InvalidParameters", "kind": "User", "message": "x"}}, ParameterError),
        ("COMPLETED", {}, MissingResult),
    ],
)
def test_another_end_is_raised(world: World, type_: str, status: Body, raised: type[Exception]) -> None:
    """Cancelled, crashed, failed, or without a value: each raises its own error in the parent."""
    future = world.call()
    world.end(future, type_, **status)
    with pytest.raises(raised):
        future.result(timeout=10)
    assert future.state.type == type_


def test_a_child_that_is_deleted_has_crashed(world: World) -> None:
    """Whoever waits for a run that somebody deletes is told so."""
    future = world.call()
    assert future.run is not None
    world.cluster.objects.delete(future.run.name)
    with pytest.raises(FlowRunCrashed, match="was deleted before it ended"):
        future.result(timeout=10)


def test_children_are_counted_by_how_they_ended(world: World) -> None:
    """The parent's status says how many it called and what became of them."""
    futures = [world.call(limit=limit) for limit in range(4)]
    world.end(futures[0], **result("1"))
    world.end(futures[1], "FAILED")
    world.end(futures[2], "CANCELLED")
    for future in futures[:3]:
        future.wait(10)
    assert world.launcher.counts() == {"total": 4, "completed": 1, "failed": 2, "running": 1}


def test_equal_calls_are_different_runs(world: World) -> None:
    """Two calls with the same parameters are two children, and so are two from different threads."""
    with ThreadPoolExecutor(8) as pool:
        futures = list(pool.map(lambda _: world.call(limit=1), range(8)))
    assert len({future.run.id for future in futures if future.run}) == 8


def test_the_next_attempt_finds_each_child_again(world: World) -> None:
    """Live children are waited for, completed ones give their value, in whatever order they are called."""
    first = [world.call(limit=1), world.call(limit=1), world.call(limit=2)]
    world.end(first[2], **result('"kept"'))
    again = world.next_attempt()
    kept = again.call(limit=2)
    others = [again.call(limit=1), again.call(limit=1)]
    assert kept.result(timeout=10) == "kept"
    ids = [future.run.id for future in (*others, kept) if future.run]
    assert ids == [future.run.id for future in first if future.run]
    again.end(others[0], **result("5"))
    assert others[0].result(timeout=10) == 5
    assert len(again.children()) == 3
    again.close()


@pytest.mark.parametrize("end", ["FAILED", "CRASHED", "CANCELLED"])
def test_a_child_that_did_not_complete_is_called_anew_by_the_next_try(world: World, end: str) -> None:
    """Each try of the parent gives each failed call one more run, under the call's key with a number."""
    calls = []
    for tried in (1, 2, 3):
        world.run.run_count = tried
        future = world.call(limit=1)
        assert future.run is not None
        calls.append(world.cluster.get_run(future.run.name)["spec"]["parent"]["call"])
        world.end(future, end)
        future.wait(10)
    assert calls == [calls[0], f"{calls[0]}-r1", f"{calls[0]}-r2"]


def test_a_child_that_fails_before_its_creation_is_confirmed_is_not_run_twice(world: World) -> None:
    """If the answer to the creation was lost, the run is found, and its quick failure is this try's."""
    create = world.cluster.create_run

    def lose_the_answer(manifest: Any) -> Any:
        world.cluster.create_run = create  # type: ignore[method-assign]
        body = create(manifest)
        world.cluster.objects.set_status(body["metadata"]["name"], state={"type": "FAILED", "name": "Failed"})
        raise Conflict("sent again by the adapter")

    world.cluster.create_run = lose_the_answer  # type: ignore[method-assign]
    future = world.call()
    assert future.wait(10).is_failed()
    assert len(world.children()) == 1


def test_a_child_that_is_being_deleted_is_left_to_go(world: World) -> None:
    """A retried parent does not wait for a run that is on its way out."""
    future = world.call()
    assert future.run is not None
    body = world.cluster.objects.objects["flowruns", "default", future.run.name]
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    again = world.next_attempt()
    other = again.call()
    assert other.run is not None
    assert other.run.name != future.run.name
    again.close()


def test_a_run_that_only_has_the_name_is_not_taken_for_the_child(world: World) -> None:
    """A stranger in the child's place is an error, not a result."""
    future = world.call()
    assert future.run is not None
    world.cluster.objects.objects["flowruns", "default", future.run.name]["spec"]["parent"]["uid"] = "another"
    again = world.next_attempt()
    with pytest.raises(Conflict, match="there is another FlowRun"):
        again.call()
    again.close()


def test_what_inline_flows_call_is_kept_apart(world: World) -> None:
    """Two flows that run inline and call the same get a child each, and the next attempt gives each its own again."""

    def two_inline(world: World) -> list[str]:
        callers = [
            FlowRun(flow_name="inline", name=name, id=f"{world.own.attempt}-{name}", depth=1, run_count=1)
            for name in "ab"
        ]
        futures = [world.call(limit=1, caller=caller) for caller in callers]
        futures.append(world.call(limit=1))
        return [future.run.id for future in futures if future.run]

    first = two_inline(world)
    again = world.next_attempt()
    assert len(set(first)) == 3
    assert two_inline(again) == first
    again.close()


def test_runs_nested_too_deep_are_refused_before_anything_is_created() -> None:
    """The recursion guard costs no run."""
    world = World(depth=20)
    with pytest.raises(NestingTooDeep, match="21 levels below the top; at most 20"):
        world.call()
    assert world.children() == []


@pytest.mark.parametrize(
    ("called", "parameters", "travels"),
    [
        (dated, {"day": date(2026, 1, 2), "where": Path("/data")}, {"day": "2026-01-02", "where": "/data"}),
        (anything, {"value": [1, {"a": None}]}, {"value": [1, {"a": None}]}),
        (
            anything,
            {"value": (1, 2), "more": (3,), "named": {"x": 1}},
            {"value": [1, 2], "more": [3], "named": {"x": 1}},
        ),
    ],
    ids=["annotated", "plain", "tuples"],
)
def test_parameters_travel_as_json(world: World, called: Flow[..., Any], parameters: Body, travels: Body) -> None:
    """What the annotation turns back travels as text; a tuple travels as a list."""
    world.call(called, **parameters)
    assert world.children()[0]["spec"]["parameters"] == travels


@pytest.mark.parametrize(
    ("called", "parameters", "words"),
    [
        (
            anything,
            {"value": date(2026, 1, 2)},
            r"would arrive as something else\. Annotate the parameter \(value: date\)",
        ),
        (anything, {"value": {1: "a"}}, "would arrive as something else"),
        (anything, {"value": {1, 2}}, "would arrive as something else"),
        (load, {"file": threading.Lock()}, "has no form in JSON"),
        (load, {"file": "x" * 11_000}, "at most 10240"),
    ],
    ids=["date", "number as key", "set", "lock", "too large"],
)
def test_parameters_that_would_not_arrive_are_refused(
    world: World, called: Flow[..., Any], parameters: Body, words: str
) -> None:
    """A clear error before anything is created, with what to do."""
    with pytest.raises(ParameterError, match=words):
        world.call(called, **parameters)
    assert world.children() == []


def test_a_flow_that_no_pod_could_load_is_refused(world: World) -> None:
    """A local flow cannot be a child, unless it is inline."""

    @flow
    def local() -> None: ...

    with pytest.raises(EntrypointError, match="inline=True"):
        world.call(local)
    assert world.children() == []


def test_a_flow_without_any_image_says_how_to_set_one() -> None:
    """A parent that does not know its image cannot lend it."""
    with pytest.raises(ConfigurationError, match="neither it nor this run has an image"):
        World(image="").call()
