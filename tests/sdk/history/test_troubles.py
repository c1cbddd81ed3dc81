"""What becomes of flows when the history cannot be written: they run on, and the user is told once."""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.history.notebook import RUN, finish, flow_note, start, task_note

from towpath.history import database, open_history, schema, writer
from towpath.history.database import connect
from towpath.history.writer import Writer
from towpath.states import StateType

FLOW = """
from towpath import flow, task

@task
def double(x):
    return 2 * x

@flow
def etl():
    return sum(double(i) for i in range(100))

print([etl() for _ in range(3)])
"""
RESULT = "[9900, 9900, 9900]\n"
PR_CAPBSET_DROP = 24
DAC_CAPABILITIES = (1, 2)  # to pass over permissions when writing, and when reading


def warnings(err: str) -> list[str]:
    """Give the lines of stderr that warn."""
    return [line for line in err.splitlines() if "WARNING" in line]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that other users may look into too."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def as_ordinary_user() -> dict[str, Any]:
    """Give options for a process that permissions hold for, as they do for everybody but the administrator."""
    if os.geteuid() != 0:
        return {}
    if sys.platform != "linux":
        pytest.skip("As the administrator one may write everywhere.")
    libc = ctypes.CDLL(None)
    return {"preexec_fn": lambda: [libc.prctl(PR_CAPBSET_DROP, capability) for capability in DAC_CAPABILITIES]}


def test_a_read_only_home_is_told_once(folder: Path) -> None:
    """Where nothing may be written, the flow does its work, and one warning says where and what to do."""
    folder.chmod(0o555)
    out, err = finish(start(FLOW, "", env={"HOME": str(folder)}, cwd="/", **as_ordinary_user()))

    assert out == RESULT
    (warning,) = warnings(err)
    assert str(folder / ".local/state/towpath/history.db") in warning
    assert "Permission denied" in warning
    assert "TOWPATH_HISTORY" in warning


def test_a_history_that_may_only_be_read_can_be_read(folder: Path) -> None:
    """In a folder that nobody may write to, as of a backup, the history is shown as it is."""
    file = folder / "history.db"
    finish(start(FLOW, file))
    for part in folder.iterdir():
        part.chmod(0o444)
    folder.chmod(0o555)
    script = f"from towpath.history import open_history; print(len(open_history({str(file)!r}).runs()))"
    out, err = finish(start(script, file, cwd="/", **as_ordinary_user()))

    assert (out, err) == ("3\n", "")


def test_a_file_that_cannot_grow_is_told_once(tmp_path: Path) -> None:
    """The disk takes no more: the flow does its work, and what was written before stays."""
    file = tmp_path / "history.db"
    limit = 150_000
    script = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    out, err = finish(start(script + FLOW.replace("range(100)", "range(1000)").replace("9900", "999000"), file))

    assert out == "[999000, 999000, 999000]\n"
    (warning,) = warnings(err)
    assert "is tried again" in warning
    with open_history(file) as history:
        assert len(history.runs()) < 3


def test_what_a_full_disk_kept_out_is_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows wait in memory, and nothing of them is lost."""
    path, told = tmp_path / "history.db", list[str]()
    connect(path, pytest.fail).close()
    pages: list[int] = [20]
    original = database._open

    def small(path: Path) -> sqlite3.Connection:
        connection = original(path)
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")
        return connection

    monkeypatch.setattr(database, "_open", small)
    writer = Writer(path, told.append)
    writer.thread.start()
    writer.notes.put(flow_note())
    for number in range(3000):
        writer.notes.put(task_note(StateType.COMPLETED, id=f"task-{number}"))
        if number % 500 == 0:
            writer.flush(60)
    assert len(told) == 1
    assert "database or disk is full" in told[0]
    pages[0] = 10**6
    writer.flush(60)
    writer.flush(60, stop=True)

    with open_history(path) as history:
        assert len(history.tasks(RUN)) == 3000
    assert len(told) == 1


def test_a_file_that_breaks_under_the_writer_is_put_aside(tmp_path: Path) -> None:
    """The damage shows only when something is written: it goes into a new file, with all runs that go on."""
    path, told = tmp_path / "history.db", list[str]()
    first = Writer(path, told.append)
    first.thread.start()
    first.notes.put(flow_note())
    for number in range(1000):
        first.notes.put(task_note(StateType.COMPLETED, id=f"task-{number}"))
    first.flush(60, stop=True)
    first.thread.join(60)

    second = Writer(path, told.append)
    second.thread.start()
    second.notes.put(flow_note())
    second.flush(60)
    with sqlite3.connect(path) as checkpoint:
        checkpoint.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    checkpoint.close()
    with path.open("r+b") as file:
        file.seek(25 * 4096)  # behind the first page of every table
        file.write(b"x" * (path.stat().st_size - file.tell()))
    second.notes.put(task_note(StateType.COMPLETED))
    second.flush(60)
    second.flush(60, stop=True)
    second.thread.join(60)

    assert len(told) == 1
    assert "put aside" in told[0]
    assert len(list(tmp_path.glob("history.db.corrupt-*"))) == 1
    with open_history(path) as history:
        assert history.run(RUN).name == "witty-otter"
        assert [task.id for task in history.tasks(RUN)] == ["task-1"]


def test_a_newer_file_is_left_alone_and_told_once(tmp_path: Path) -> None:
    """A file of a newer Towpath is not written to; the flow does its work."""
    file = tmp_path / "history.db"
    connection = connect(file, pytest.fail)
    connection.execute("INSERT INTO migrations VALUES (?, 0, '9.0')", (len(schema.MIGRATIONS) + 1,))
    connection.close()
    out, err = finish(start(FLOW, file))

    assert out == RESULT
    (warning,) = warnings(err)
    assert "newer Towpath" in warning


def test_a_damaged_file_costs_no_run(tmp_path: Path) -> None:
    """The damaged file is put aside, one warning says so, and all runs are in the new one."""
    file = tmp_path / "history.db"
    file.write_bytes(os.urandom(10_000))
    out, err = finish(start(FLOW, file))

    assert out == RESULT
    (warning,) = warnings(err)
    assert "put aside as 'history.db.corrupt-" in warning
    with open_history(file) as history:
        assert len(history.runs()) == 3


def test_somebody_holds_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program keeps the file locked, rows wait, and are written when it lets go."""
    path, told = tmp_path / "history.db", list[str]()
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.01)
    holder = connect(path, pytest.fail)
    holder.execute("BEGIN IMMEDIATE")
    own = Writer(path, told.append)
    own.thread.start()
    own.notes.put(flow_note())
    own.flush(60)
    assert "database is locked" in told[0]
    holder.execute("COMMIT")
    holder.close()
    own.flush(60, stop=True)

    with open_history(path) as history:
        assert history.run(RUN).name == "witty-otter"


def test_a_writer_that_is_wrong_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in the writer, nobody waits for it in vain, and its notes do not pile up."""
    told: list[str] = []
    own = Writer(tmp_path / "history.db", told.append)
    monkeypatch.setattr(own, "_write", lambda _, looks: 1 / 0)
    own.thread.start()
    own.notes.put(flow_note())

    assert own.flush(60)
    own.notes.put(task_note())
    assert own.flush(60, stop=True)
    own.thread.join(60)
    assert own.notes.empty()
    assert len(told) == 1
    assert "ZeroDivisionError" in told[0]
