"""The history and the processes that write to it: many at once, killed, forked."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from tests.sdk.history.notebook import finish, start

from towpath.history import open_history
from towpath.history.port import History
from towpath.states import StateType

pytestmark = pytest.mark.timeout(300)

FLOW = """
import os, sys, time
from towpath import flow, task
from towpath.history.recorder import RECORDER

@task
def double(x):
    return 2 * x

@flow
def etl(times):
    for i in range(times):
        double(i)
"""
#: A flow of 50 tasks, the last of which has not ended when the process says that it may be killed.
STUCK = f"""{FLOW}
@task
def hang():
    RECORDER.flush()
    print("ready", flush=True)
    time.sleep(60)

@flow
def child():
    hang()

@flow
def stuck():
    etl(50)
    child()

stuck()
"""


def killed(file: Path) -> None:
    """Run a flow, and kill its process in the middle of it."""
    process = start(STUCK, file)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()


def ended_tasks(history: History, flow: str) -> list[int]:
    """Give, for each run of a flow, how many of its task runs are COMPLETED."""
    return [
        sum(task.state.type is StateType.COMPLETED for task in history.tasks(run.id)) for run in history.runs(flow=flow)
    ]


def test_processes_write_side_by_side(tmp_path: Path) -> None:
    """Several processes record at the same time, and every run and task run of each is there."""
    file = tmp_path / "history.db"
    for process in [start(f"{FLOW}\nfor _ in range(3): etl(200)", file) for _ in range(4)]:
        finish(process)

    with open_history(file) as history:
        assert ended_tasks(history, "etl") == [200] * 12
        assert {run.state.name for run in history.runs()} == {"Completed"}


def test_a_killed_process_leaves_crashed_runs_and_all_it_did(tmp_path: Path) -> None:
    """After SIGKILL what had ended is there, and what had not is CRASHED, once, although several look at once."""
    file = tmp_path / "history.db"
    killed(file)

    with ThreadPoolExecutor(4) as pool, open_history(file) as first, open_history(file) as second:
        list(pool.map(lambda history: history.runs(), [first, second] * 4))
    with open_history(file) as history:
        assert ended_tasks(history, "etl") == [50]
        runs = {run.flow: run for run in history.runs()}
        assert {flow: run.state.name for flow, run in runs.items()} == {
            "stuck": "Crashed",
            "child": "Crashed",
            "etl": "Completed",
        }
        for flow in ("stuck", "child"):
            run = runs[flow]
            assert [state.name for state in history.states(run.id)] == ["Running", "Crashed"]
            assert run.state.message is not None
            assert "has gone without saying how the run ended" in run.state.message
            assert (run.process, run.is_live) == (None, False)
            assert run.ended is not None
            assert run.seconds is not None
        (hung,) = history.tasks(runs["child"].id)
        assert [state.name for state in hung.states] == ["Running", "Crashed"]
        assert hung.ended is not None


def test_the_next_run_sees_to_runs_of_a_killed_process(tmp_path: Path) -> None:
    """Nobody has to look: the next run that begins makes them CRASHED."""
    file = tmp_path / "history.db"
    killed(file)
    finish(start(f"{FLOW}\netl(1)", file))

    with open_history(file) as history:
        history._alive = None  # type: ignore[attr-defined] # so that this look is not the one
        assert [run.state.name for run in history.runs(flow="stuck")] == ["Crashed"]


def test_a_run_that_goes_on_is_not_taken_for_crashed(tmp_path: Path) -> None:
    """While its process is there a run is RUNNING, and says in which process."""
    file = tmp_path / "history.db"
    process = start(STUCK, file)
    assert process.stdout is not None
    process.stdout.readline()

    with open_history(file) as history:
        (run,) = history.runs(flow="stuck")
        assert (run.state.name, run.is_live) == ("Running", True)
        assert run.process is not None
        assert (run.process.pid, run.process.is_alive) == (process.pid, True)
    process.kill()
    process.communicate()


def test_after_sigkill_at_most_the_last_moment_is_missing(tmp_path: Path) -> None:
    """A busy flow is killed at any time: what it did until 100 ms before is there.

    A machine that is busy with other things holds the process up, and its writer as well: that much longer is allowed.
    """
    file = tmp_path / "history.db"
    script = f"""{FLOW}
@task
def mark(x):
    print(x, time.time(), flush=True)
    return x

@flow
def endless():
    for i in range(10**9):
        mark(i)

endless()
"""
    process = start(script, file)
    assert process.stdout is not None
    marks = [process.stdout.readline().split()]
    began = last = float(marks[0][1])
    held_up = 0.0
    while last < began + 2 + 4 * held_up:  # long enough for something to be due
        marks.append(process.stdout.readline().split())
        held_up, last = max(held_up, float(marks[-1][1]) - last), float(marks[-1][1])
    process.kill()
    rest, _ = process.communicate()
    marks += [line.split() for line in rest.splitlines() if len(line.split()) == 2]
    times = [float(at) for _, at in marks]
    held_up = max(later - earlier for earlier, later in pairwise(times))
    safe = times[-1] - 0.1 - 3 * held_up

    with open_history(file) as history:
        (run,) = history.runs(flow="endless")
        assert run.state.name == "Crashed"
        kept = {task.name for task in history.tasks(run.id)}
        due = {f"mark-{number}" for number, at in marks if float(at) < safe}
        assert due
        assert due <= kept


def test_everything_is_there_when_the_process_has_ended_in_order(tmp_path: Path) -> None:
    """Also what ended outside of any flow, in threads that the process waits for at its very end."""
    file = tmp_path / "history.db"
    finish(start(f"{FLOW}\nfor i in range(500): double.submit(i)", file))

    with open_history(file) as history:
        assert {task.name for task in history.tasks(None)} == {f"double-{i}" for i in range(500)}
        assert {task.state.name for task in history.tasks(None)} == {"Completed"}
    assert [part.name for part in tmp_path.iterdir() if part.suffix != ".db-alive"] == ["history.db"]


def test_forked_children_record_for_themselves(tmp_path: Path) -> None:
    """Forks in the middle of a busy flow: what parent and children do is all there, once, and the parent goes on.

    A forked process of multiprocessing ends without a word to atexit, and leaves everything all the same.
    """
    file = tmp_path / "history.db"
    script = f"""{FLOW}
import multiprocessing

@flow
def forks():
    context = multiprocessing.get_context("fork")
    busy = etl.submit(2000)
    children = [context.Process(target=etl, args=(20,)) for _ in range(5)]
    for child in children:
        child.start()
        etl(10)
    for child in children:
        child.join()

forks()
double(9)
"""
    finish(start(script, file))

    with open_history(file) as history:
        assert sorted(ended_tasks(history, "etl")) == [10] * 5 + [20] * 5 + [2000]
        (run,) = history.runs(flow="forks")
        assert run.state.name == "Completed"
        assert len(history.tree(run.id)) == 12
        assert [task.state.name for task in history.tasks(None)] == ["Completed"]
