"""What of a run is in the history, when the run is in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from towpath import Cancelled, Paused, allow_failure, flow, get_run_logger, tags, task
from towpath.history import open_history
from towpath.history.port import History, RecordedRun, RecordedTask
from towpath.history.recorder import RECORDER
from towpath.states import StateType


@pytest.fixture
def history(file: Path) -> Iterator[History]:
    """Open the history that this test's runs are recorded in."""
    with open_history(file) as history:
        yield history


def the_run(history: History, name: str) -> RecordedRun:
    """Give the only run of a flow."""
    (run,) = history.runs(flow=name)
    return run


def task_states(history: History, run: RecordedRun) -> dict[str, list[str]]:
    """Give the names of the states of each task run by its name."""
    return {task.name: [state.name for state in task.states] for task in history.tasks(run.id)}


@task
def double(x: int) -> int:
    return 2 * x


@task(retries=1)
def fail() -> None:
    raise ValueError("no such row")


def test_a_run_is_in_the_history_when_the_call_returns(history: History) -> None:
    """Name, parameters, states, times, tags and counts of the run and of every task run are there at once."""

    @flow(version="7")
    def etl(day: str, limit: int = 10) -> int:
        with tags("quick"):
            return sum(double.map(range(limit)).result())

    with tags("nightly"):
        etl("2026-01-31", "20")  # type: ignore[arg-type]

    run = the_run(history, "etl")
    assert run.parameters == {"day": "2026-01-31", "limit": 20}
    assert (run.flow_version, run.tags, run.parameters_are_whole) == ("7", {"nightly"}, True)
    assert (run.state.type, run.tasks_total, run.tasks_completed, run.tasks_failed) == (StateType.COMPLETED, 20, 20, 0)
    assert [state.name for state in history.states(run.id)] == ["Running", "Completed"]
    assert run.started is not None
    assert run.ended is not None
    assert run.seconds is not None
    assert run.seconds >= 0
    assert run.process is None
    tasks = history.tasks(run.id)
    assert {task.name for task in tasks} == {f"double-{i}" for i in range(20)}
    assert {task.tags for task in tasks} == {frozenset({"nightly", "quick"})}
    assert all(task.state.type is StateType.COMPLETED and task.retries == 0 for task in tasks)


def test_failures_and_retries_are_told(history: History) -> None:
    """A failed run has its message, and each try of a task its states."""

    @flow(retries=1)
    def brittle() -> None:
        fail()

    with pytest.raises(ValueError, match="no such row"):
        brittle()

    run = the_run(history, "brittle")
    assert (run.state.name, run.run_count) == ("Failed", 2)
    assert run.state.message == "Flow run encountered an exception: ValueError: no such row"
    names = [state.name for state in history.states(run.id)]
    assert names == ["Running", "AwaitingRetry", "Retrying", "Failed"]
    assert [task.retries for task in history.tasks(run.id)] == [1, 1]
    assert [state.name for state in history.tasks(run.id)[0].states] == [
        "Running",
        "AwaitingRetry",
        "Retrying",
        "Failed",
    ]


def test_wrong_parameters_are_a_run_that_never_ran(history: History) -> None:
    """A run whose parameters do not fit is FAILED, and was never RUNNING."""

    @flow
    def strict(x: int) -> None:
        pass

    assert strict("x", return_state=True).is_failed()

    run = the_run(history, "strict")
    assert [state.name for state in history.states(run.id)] == ["Failed"]
    assert (run.run_count, run.started, run.seconds) == (0, None, None)


def test_children_are_runs_below_their_parent(history: History) -> None:
    """A flow called in a flow has a record of its own, linked to its parent's and to the top."""

    @flow
    def leaf(n: int) -> int:
        return double(n)

    @flow
    def branch() -> int:
        return leaf(1) + leaf.submit(2).result()

    @flow
    def trunk() -> int:
        return branch()

    assert trunk() == 6
    top = the_run(history, "trunk")
    tree = history.tree(top.id)
    assert [(run.flow, run.depth) for run in tree] == [("trunk", 0), ("branch", 1), ("leaf", 2), ("leaf", 2)]
    assert {run.root_id for run in tree} == {top.id}
    assert {run.flow for run in history.runs(parent=tree[1].id)} == {"leaf"}
    assert [run.flow for run in history.runs(top_level=True)] == ["trunk"]


def test_runs_that_never_began_are_there_too(history: History) -> None:
    """A task that is not ready, and one that was dropped, have their state and no start."""

    @flow
    def partly() -> str:
        failed = fail.submit()
        double.submit(failed)
        return double.submit(allow_failure(3), return_state=True).name

    partly()
    run = the_run(history, "partly")
    states = task_states(history, run)
    assert states["double-0"] == ["NotReady"]
    assert states["double-1"] == ["Running", "Completed"]


@pytest.mark.parametrize(
    ("state", "type_"), [(Cancelled(), StateType.CANCELLED), (Paused(name="Suspended"), StateType.PAUSED)]
)
def test_a_state_that_a_flow_returns_is_kept_and_nobody_works_on_it(
    history: History, state: object, type_: StateType
) -> None:
    """A run that ended its process's work without an end is not taken for a crashed one."""

    @flow
    def states() -> object:
        return state

    states(return_state=True)
    run = the_run(history, "states")
    assert (run.state.type, run.process) == (type_, None)


def test_async_runs_are_recorded(history: History) -> None:
    """Flows and tasks in an event loop, side by side, are in the history as the others are."""

    @task
    async def wait(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @flow
    async def side_by_side() -> list[int]:
        return await asyncio.gather(*(wait(i) for i in range(5)))

    assert asyncio.run(side_by_side()) == [0, 1, 2, 3, 4]
    run = the_run(history, "side-by-side")
    assert task_states(history, run) == {f"wait-{i}": ["Running", "Completed"] for i in range(5)}


def test_tasks_outside_of_any_flow_are_recorded(history: History) -> None:
    """A task called by itself is a task run without a flow run."""
    assert double(4) == 8
    RECORDER.flush()

    (task,) = history.tasks(None)
    assert (task.task, task.run_id, task.state.name) == ("double", None, "Completed")


def test_log_lines_are_kept_with_their_run(history: History) -> None:
    """Lines of the flow, of its tasks, and tracebacks are there in order; lines of no run are not."""

    @task
    def chatty() -> None:
        get_run_logger().warning("from the task")

    @flow
    def talks() -> None:
        get_run_logger().info("from the flow")
        logging.getLogger("towpath.mine").info("from a logger that knows no run")
        chatty()
        raise KeyError("lost")

    logging.getLogger("towpath").warning("of no run")
    with pytest.raises(KeyError):
        talks()

    run = the_run(history, "talks")
    lines = history.logs([run.id])
    told = [(line.task_run, line.level, line.message.splitlines()[0]) for line in lines]
    assert told == [
        (None, 20, f"Beginning flow run {run.name!r} for flow 'talks'"),
        (None, 20, "from the flow"),
        (None, 20, "from a logger that knows no run"),
        ("chatty-0", 30, "from the task"),
        (None, 40, "Finished in state Failed(\"Flow run encountered an exception: KeyError: 'lost'\")"),
    ]
    assert "raise KeyError" in lines[-1].message
    assert [line.number for line in history.logs([run.id], after=lines[2].number)] == [
        line.number for line in lines[3:]
    ]
    assert len(history.logs([run.id], level=30)) == 2


def test_nothing_is_written_when_the_history_is_off(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TOWPATH_HISTORY=off means that there is no file."""
    monkeypatch.setenv("TOWPATH_HISTORY", "off")

    @flow
    def quiet() -> int:
        return double(1)

    assert quiet() == 2
    assert not file.exists()


def test_nothing_is_written_in_a_runs_pod(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cluster the FlowRun is the record."""
    monkeypatch.setenv("TOWPATH_RUN", "etl-7")

    @flow
    def in_pod() -> int:
        return double(1)

    assert in_pod() == 2
    assert not file.exists()


def test_the_place_may_change_between_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run at the top is recorded where the environment says when it begins."""

    @flow
    def somewhere(n: int) -> None:
        pass

    for number, place in enumerate((str(file), "off", str(tmp_path / "other.db"))):
        monkeypatch.setenv("TOWPATH_HISTORY", place)
        somewhere(number)

    found: list[list[RecordedTask | RecordedRun]] = []
    for place in (file, tmp_path / "other.db"):
        with open_history(place) as history:
            found.append([*history.runs()])
    assert [[run.parameters for run in runs] for runs in found] == [[{"n": 0}], [{"n": 2}]]


def test_a_history_that_is_taken_away_is_made_again(history: History, file: Path) -> None:
    """Somebody deletes the file while runs go on: what goes on is recorded in a new one."""

    @flow
    def first() -> None:
        RECORDER.flush()
        for part in file.parent.glob("history.db*"):
            part.unlink()
        double(1)

    first()
    with open_history(file) as anew:
        run = the_run(anew, "first")
        assert run.state.name == "Completed"
        assert [task.name for task in anew.tasks(run.id)] == ["double-0"]
