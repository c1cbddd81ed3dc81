"""Flows whose results are kept, and runs that go on where an earlier try of theirs ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from towpath import Completed, State, flow, task
from towpath.engine.drive import run_flow
from towpath.errors import MissingResult
from towpath.results import ResultStore, get_result_store
from towpath.runs import FlowRun


def keys() -> list[str]:
    """What is kept, in the default place."""
    return sorted(ResultStore().keys())


def test_a_flows_result_is_kept_by_its_run(tmp_path: Path) -> None:
    """If the flow, or a setting, asks for it."""
    runs: list[str] = []

    @flow(persist_result=True, result_serializer="json", on_completion=[lambda flow, run, state: runs.append(run.id)])
    def etl() -> list[int]:
        return [1]

    assert etl() == [1]
    assert keys() == [f"runs/{runs[0]}"]
    assert ResultStore().read(f"runs/{runs[0]}").result == [1]
    flow(lambda: 1)()
    assert len(keys()) == 1


def test_a_flows_result_need_not_stay_in_memory() -> None:
    """As with tasks; where it is not kept either, asking for it says what to set."""
    kept = flow(lambda: [1], persist_result=True, cache_result_in_memory=False)
    assert kept() == [1]
    assert kept(return_state=True).result() == [1]
    lost = flow(lambda: [1], cache_result_in_memory=False)
    assert lost() == [1]
    with pytest.raises(MissingResult, match="Set persist_result=True"):
        lost(return_state=True).result()


def test_the_store_of_the_run_is_at_hand(tmp_path: Path) -> None:
    """For code that wants to keep something of its own beside its results."""

    @flow(result_storage=tmp_path / "here", result_serializer="json")
    def etl() -> str:
        return get_result_store().write({"a": 1}, key="mine")

    etl()
    assert ResultStore(tmp_path / "here").read("mine").result == {"a": 1}


def test_a_retried_flow_skips_the_children_that_completed() -> None:
    """Called in its process, one by one or side by side; those that failed, and their finished tasks, go on."""
    calls: list[Any] = []
    tries: list[int] = []

    @task
    def work(x: int) -> int:
        calls.append(("task", x))
        return x

    @flow
    def good(x: int) -> int:
        calls.append(("good", x))
        return x

    @flow
    def bad() -> int:
        value = work(10)
        if len(tries) < 2:
            raise ConnectionError
        return value

    @flow(retries=1, persist_result=True)
    def parent() -> Any:
        tries.append(1)
        return [good(1), *good.map([2, 3]).result(), good(1), bad()]

    assert parent() == [1, 2, 3, 1, 10]
    assert sorted(calls, key=str) == [("good", 1), ("good", 1), ("good", 2), ("good", 3), ("task", 10)]


def test_asynchronous_children_are_skipped_alike() -> None:
    """And their states are named Cached."""
    tries: list[int] = []
    names: list[str] = []

    @flow
    async def child(x: int) -> int:
        return x

    @flow(retries=1, persist_result=True)
    async def parent() -> None:
        tries.append(1)
        names.append((await child(1, return_state=True)).name)
        if len(tries) < 2:
            raise ConnectionError

    asyncio.run(parent())
    assert names == ["Completed", "Cached"]


def test_other_parameters_are_another_call() -> None:
    """A retried parent that calls with something else gets something else."""
    calls: list[int] = []
    tries: list[int] = []

    @flow
    def child(x: int) -> int:
        calls.append(x)
        return x

    @flow(retries=1, persist_result=True)
    def parent() -> int:
        tries.append(1)
        value = child(len(tries))
        if len(tries) < 2:
            raise ConnectionError
        return value

    assert parent() == 2
    assert calls == [1, 2]


def test_nothing_is_taken_from_another_run() -> None:
    """A new run of the parent has new children."""
    calls: list[int] = []
    child = flow(lambda: calls.append(1))

    @flow(persist_result=True)
    def parent() -> None:
        child()

    parent()
    parent()
    assert calls == [1, 1]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_new_attempt_goes_on_where_the_last_one_was_killed(asynchronous: bool, tmp_path: Path) -> None:
    """In a cluster: another process with the same run id, and results in a storage that both reach."""
    calls: list[int] = []
    killed: list[int] = []

    @task
    def load(x: int) -> int:
        calls.append(x)
        return x * 10

    @flow
    def child() -> str:
        calls.append(99)
        return "child"

    def body() -> list[Any]:
        loaded = load.map([1, 2]).result()
        loaded.append(child())
        if not killed:
            killed.append(1)
            raise SystemExit("the node went away")
        return [*loaded, load(3)]

    async def body_async() -> list[Any]:
        return body()

    etl = flow(body_async if asynchronous else body, persist_result=True)
    for attempt in (1, 2):
        run = FlowRun("etl", id="0b7e5d0c", attempt=attempt)
        state: State[Any] = run_flow(etl, {}, run=run, result_storage=tmp_path / "shared", keeps_result=False)
        assert state.is_crashed() if attempt == 1 else state.result() == [10, 20, "child", 30]
    assert sorted(calls) == [1, 2, 3, 99]
    assert keys() == []
    assert not any(key.startswith("runs/") for key in ResultStore(tmp_path / "shared").keys())  # noqa: SIM118 no dict


def test_what_a_flow_says_of_storage_gives_way_to_what_the_run_is_told(tmp_path: Path) -> None:
    """As with all that a resource may say; serializers are the flow's own."""

    @flow(result_storage=tmp_path / "flow", result_serializer="json")
    def etl() -> None:
        task(lambda: 1)()

    run_flow(etl, {}, run=FlowRun("etl"), result_storage=tmp_path / "told")
    assert not (tmp_path / "flow").exists()
    store = ResultStore(tmp_path / "told")
    assert {store.read(key).metadata.serializer for key in store.keys()} == {"json"}  # noqa: SIM118 no dict


def test_states_that_a_flow_returned_come_back() -> None:
    """Of its own, or of runs that it called."""
    tries: list[int] = []

    @flow
    def by_state() -> State[int]:
        return Completed(message="early", data=7)

    @flow
    def by_future() -> Any:
        return task(lambda: 3).submit()

    @flow(retries=1, persist_result=True)
    def parent() -> Any:
        tries.append(1)
        values = [by_state(), by_future()]
        if len(tries) < 2:
            raise ConnectionError
        return values

    value, state = parent()
    assert value == 7
    assert (state.is_completed(), state.result()) == (True, 3)


def test_a_flow_whose_parameters_have_no_key_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    """It is kept by its run instead; a retried parent calls it anew."""
    calls: list[int] = []
    tries: list[int] = []

    @flow(validate_parameters=False)
    def child(x: Any) -> None:
        calls.append(1)

    @flow(retries=1, persist_result=True)
    def parent() -> None:
        tries.append(1)
        child(x for x in ())
        if len(tries) < 2:
            raise ConnectionError

    parent()
    assert len(calls) == 2
    assert len([key for key in keys() if key.startswith("runs/")]) == 3
