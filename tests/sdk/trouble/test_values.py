"""Values that do not fit, cannot be written down, or cannot be read any more: what is said, and what is done instead."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.history.notebook import finish, start

from towpath import ProcessPoolTaskRunner, flow, task
from towpath.errors import ParameterError, SerializationError
from towpath.history import open_history
from towpath.records import VERSION

pytestmark = pytest.mark.timeout(300)


@flow
def etl(rows: int, days: list[int] | None = None, *, mode: str = "full") -> int:
    return rows


@flow(persist_result=True)
def keeps_a_lock() -> Any:
    return threading.Lock()


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((), {}, ["rows is missing", "The flow takes days, mode, rows"]),
        (("many",), {}, ["rows='many' must be a whole number"]),
        (("many",), {"days": "x"}, ["rows='many'", "days='x' must be a list"]),
        ((1, [1, "x"]), {}, ["days", "'x' must be a whole number"]),
        ((1,), {"speed": 3}, ["speed=3 is not a parameter", "The flow takes days, mode, rows"]),
        ((1, None, "full"), {}, ["3", "The flow takes days, mode, rows"]),
        ((1,), {"rows": 2}, ["rows"]),
    ],
    ids=["missing", "wrong", "two wrong", "wrong within", "unknown", "too many", "twice"],
)
def test_wrong_parameters(file: Path, args: Any, kwargs: Any, told: list[str]) -> None:
    """Told field by field, with the value; the run is FAILED before it ever was RUNNING, and says the same."""
    with pytest.raises(ParameterError) as caught:
        etl(*args, **kwargs)
    for words in told:
        assert words in str(caught.value)
    with open_history(file) as history:
        (run,) = history.runs()
        assert [state.name for state in history.states(run.id)] == ["Failed"]
        assert run.state.message == str(caught.value)


def test_parameters_of_a_child_that_do_not_fit(file: Path) -> None:
    """The parent gets the same error, and may catch it and go on."""

    @flow
    def parent() -> int:
        try:
            etl("many")  # type: ignore[arg-type]
        except ParameterError:
            return 5
        return 1

    assert parent() == 5
    with open_history(file) as history:
        assert {run.flow: run.state.name for run in history.runs()} == {"parent": "Completed", "etl": "Failed"}


def lock() -> Any:
    """Make what no serializer can write down."""
    return threading.Lock()


kept_lock, plain_lock = task(lock, persist_result=True), task(lock)


@flow
def calls_a_keeper() -> Any:
    return keeps_a_lock()


@flow
def submits_a_keeper() -> Any:
    return keeps_a_lock.submit().result()


@flow
def submits(made: Any) -> Any:
    return made.submit().result()


@pytest.mark.parametrize(
    ("work", "args"),
    [
        (kept_lock, ()),
        (keeps_a_lock, ()),
        (calls_a_keeper, ()),
        (submits_a_keeper, ()),
        (submits, (plain_lock,)),
        (submits, (kept_lock,)),
    ],
    ids=["task kept", "flow kept", "subflow kept", "subflow submitted", "thread", "thread kept"],
)
def test_results_that_cannot_be_written_down(file: Path, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """The caller has them all the same: nothing has to be written down to give a value within a process."""
    assert isinstance(work(*args), type(threading.Lock()))


@pytest.mark.parametrize("made", [plain_lock, kept_lock], ids=["task", "task kept"])
def test_results_that_cannot_come_from_another_process(file: Path, made: Any) -> None:
    """An error names the task, the type of the value, and what to do."""
    with pytest.raises(SerializationError, match=r"type 'lock' that task 'lock' .* Return plain data") as caught:
        submits.with_options(task_runner=ProcessPoolTaskRunner(max_workers=1))(made)
    assert "cannot be sent back from its worker process" in str(caught.value)


def test_arguments_that_cannot_go_to_another_process(file: Path) -> None:
    """The error names the task, the argument and what to do; the others of the flow go on."""

    @task
    def opens(x: Any) -> Any:
        return x

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def work() -> list[str]:
        futures = [opens.submit(1), opens.submit(threading.Lock()), opens.submit(2)]
        return [future.wait() and future.state.name for future in futures]

    assert work(return_state=True).name == "Completed"
    with open_history(file) as history:
        told = {one.state.name: one.state.message for one in history.tasks(history.runs()[0].id)}
    assert set(told) == {"Completed", "Failed"}
    assert "Argument 'x' of task 'opens' cannot be sent to a worker process" in (told["Failed"] or "")


#: Keeps its results under the same keys in every process, and says when it really runs.
CACHED = """
from towpath import flow, task
from towpath.cache_policies import INPUTS

@task(cache_policy=INPUTS)
def load(x):
    print("ran", x, flush=True)
    return {"rows": [x] * 3}

@flow
def work():
    return [load(x)["rows"][0] for x in range(3)]

print(work())
"""
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda record: b"",
    "cut in the heading": lambda record: record[:20],
    "cut in the value": lambda record: record[:-3],
    "one bit": lambda record: record[:-4] + bytes([record[-4] ^ 1]) + record[-3:],
    "zeros": lambda record: b"\0" * len(record),
    "noise": lambda record: os.urandom(len(record)),
    "another file": lambda record: b"PK\x03\x04" + record,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_records_that_a_crash_or_a_disk_has_damaged(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """In the next process each is found out, told with its key and reason, made again, and good from then on."""
    home = {"TOWPATH_HOME": str(tmp_path)}
    first, _ = finish(start(CACHED, tmp_path / "history.db", env=home))
    records = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert len(records) == 3
    for record in records:
        record.write_bytes(damage(record.read_bytes()))
    second, err = finish(start(CACHED, tmp_path / "history.db", env=home))
    third, _ = finish(start(CACHED, tmp_path / "history.db", env=home))

    assert first == second == "ran 0\nran 1\nran 2\n[0, 1, 2]\n"
    assert third == "[0, 1, 2]\n"
    told = [line for line in err.splitlines() if "cannot be used, so the task runs" in line]
    assert len(told) == 3
    assert all(any(record.name in line for line in told) for record in records)


def test_records_of_a_newer_towpath(tmp_path: Path) -> None:
    """Neither read nor written over: the tasks run, the log names the version, and the newer one finds its own again."""
    home = {"TOWPATH_HOME": str(tmp_path)}
    finish(start(CACHED, tmp_path / "history.db", env=home))
    records = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    newer = json.dumps({"towpath-result": VERSION + 1, "towpath": "9.9.0"}).encode() + b"\nof the future"
    for record in records:
        record.write_bytes(newer)
    out, err = finish(start(CACHED, tmp_path / "history.db", env=home))

    assert out == "ran 0\nran 1\nran 2\n[0, 1, 2]\n"
    assert err.count("was written by a newer Towpath (9.9.0") == 3
    assert {record.read_bytes() for record in records} == {newer}


def test_a_result_of_a_class_that_is_gone(tmp_path: Path) -> None:
    """What cannot be unpickled any more costs another run, with a warning that says which module is missing."""
    home = {"TOWPATH_HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    (tmp_path / "shapes.py").write_text("class Point:\n    x = 5\n", encoding="utf-8")
    code = CACHED.replace('return {"rows": [x] * 3}', "return SHAPE").replace('load(x)["rows"][0]', "str(load(x))")
    finish(start(f"import shapes\nSHAPE = shapes.Point()\n{code}", tmp_path / "history.db", env=home))
    (tmp_path / "shapes.py").unlink()
    out, err = finish(start(f"SHAPE = 5\n{code}", tmp_path / "history.db", env=home))

    assert out == "ran 0\nran 1\nran 2\n['5', '5', '5']\n"
    assert err.count("No module named 'shapes'") == 3
