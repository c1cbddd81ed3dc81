"""What the record of a run costs: the rows of a task's states, beside the same rows written by hand with SQLite."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest
from tests.bench.measure import loop_cpu, microseconds, table

from towpath import flow, task
from towpath.history import open_history
from towpath.history.recorder import RECORDER
from towpath.runs import TaskRun
from towpath.slugs import new_id
from towpath.states import AWAITING_RETRY, State, StateType

TIMES = 5000
#: States that can be found again: each with a key, and an index by what they are states of.
TABLE = "CREATE TABLE states (id TEXT PRIMARY KEY, task_run TEXT, type TEXT, name TEXT, message TEXT, since REAL)"
INDEX = "CREATE INDEX states_by_task_run ON states (task_run, since)"
ROW = "INSERT INTO states VALUES (?, ?, ?, ?, ?, ?)"


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have runs recorded in a file of the test's own, without their log lines."""
    RECORDER.close()
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    logging.disable(logging.CRITICAL)
    yield tmp_path / "history.db"
    logging.disable(logging.NOTSET)
    RECORDER.close()


def bare(path: Path, *, own_transactions: bool) -> Callable[[int], None]:
    """Give what writes three rows for each task with SQLite alone: all at once, or each in a transaction of its own."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(TABLE)
    connection.execute(INDEX)

    def rows(times: int) -> Iterator[tuple[object, ...]]:
        for _ in range(times):
            task_run = new_id()
            for state in ("RUNNING", "SCHEDULED", "COMPLETED"):
                yield new_id(), task_run, state, state.capitalize(), None, time.time()

    def write(times: int) -> None:
        if own_transactions:
            for row in rows(times):
                connection.execute(ROW, row)
            return
        connection.execute("BEGIN")
        connection.executemany(ROW, rows(times))
        connection.execute("COMMIT")

    return write


def record(times: int) -> None:
    """Record three states of so many tasks, as the engine tells them, until all is in the file."""
    for number in range(times):
        run = TaskRun("add", number, None, frozenset(), dict)
        for type_, name in (
            (StateType.RUNNING, None),
            (StateType.SCHEDULED, AWAITING_RETRY),
            (StateType.COMPLETED, None),
        ):
            RECORDER.enter(run, State(type_, name), time.time())
    RECORDER.flush()


def test_a_task_recorded_costs_about_as_much_as_its_rows(recorded: Path, tmp_path: Path) -> None:
    """Three states ≤ 40 µs where three bare rows take 28 batched; a task call with its record ≤ 100 µs."""

    @task
    def same(x: int) -> int:
        return x

    @flow
    def calls(times: int) -> None:
        for i in range(times):
            same(i)

    batched, own = bare(tmp_path / "a.db", own_transactions=False), bare(tmp_path / "b.db", own_transactions=True)
    unit = loop_cpu(batched, TIMES)
    costs = {
        "three bare rows, batched": unit,
        "three bare rows, each its own transaction": loop_cpu(own, TIMES // 10),
        "a task's three states, recorded": loop_cpu(record, TIMES),
        "a task call, its record included": loop_cpu(calls, TIMES),
    }
    print(
        table(
            "Record of a task, CPU of all threads",
            ["what", "CPU", "in batched threes"],
            [[what, microseconds(cost), f"{cost / unit:.2f}"] for what, cost in costs.items()],
        )
    )
    with open_history(recorded) as history:
        assert sum(run.tasks_completed for run in history.runs(flow="calls")) == 5 * TIMES
    assert costs["a task's three states, recorded"] <= 40 / 28 * unit
    assert costs["a task's three states, recorded"] <= costs["three bare rows, each its own transaction"]
    assert costs["a task call, its record included"] <= 100 / 28 * unit


def test_the_end_of_a_run_waits_for_one_small_transaction(recorded: Path, tmp_path: Path) -> None:
    """An empty flow, begun and ended and in the file, takes ≤ 3 ms where a row in a transaction of its own takes 50 µs."""

    @flow
    def empty() -> None:
        pass

    def wall(body: Callable[[], object], times: int) -> float:
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            body()
            taken.append(time.perf_counter() - start)
        return median(taken)

    own = bare(tmp_path / "b.db", own_transactions=True)
    three = wall(lambda: own(1), 200)
    run = wall(empty, 200)
    print(
        table(
            "An empty flow run at the top, wall",
            ["what", "time", "in threes of rows"],
            [
                ["three rows, each its own transaction", microseconds(three), "1.00"],
                ["empty flow, recorded", microseconds(run), f"{run / three:.2f}"],
            ],
        )
    )
    with open_history(recorded) as history:
        assert len(history.runs(flow="empty", limit=None)) == 200
    assert run <= 3000 / 150 * three
