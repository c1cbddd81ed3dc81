"""A history that cannot be used, as a whole process meets it: it says so once, touches nothing, and flows do their work."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sdk.history.notebook import finish, start

from towpath.history import database, open_history, schema
from towpath.history.database import connect

pytestmark = pytest.mark.timeout(300)

FLOW = """
from towpath import flow, task

@task
def double(x):
    return 2 * x

@flow
def etl():
    return sum(double(i) for i in range(100))

print(etl())
"""
RESULT = "9900\n"


def newer(file: Path) -> str:
    """Make a history that a newer Towpath has written; gives what is said of it."""
    connection = connect(file, pytest.fail)
    connection.execute("INSERT INTO migrations VALUES (?, 0, '9.0')", (len(schema.MIGRATIONS) + 1,))
    connection.close()
    return "was written by a newer Towpath"


def of_another_program(file: Path) -> str:
    """Make a database of something else; gives what is said of it."""
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE orders (x)")
    connection.close()
    return "is a SQLite file of something else"


def letter(file: Path) -> str:
    """Make a file that is no database; gives what is said of it."""
    file.write_text("Dear Ann,\n", encoding="utf-8")
    return "is no SQLite file"


def folder(file: Path) -> str:
    """Make a folder in its place; gives what is said of it."""
    file.mkdir()
    return "unable to open database file"


@pytest.mark.parametrize("make", [newer, of_another_program, letter, folder])
def test_a_file_that_is_not_ours_to_write(tmp_path: Path, make: Callable[[Path], str]) -> None:
    """The flow gives its value; one warning names the file, what it is, and the setting; the file is as it was."""
    file = tmp_path / "notes.db"
    why = make(file)
    before = file.read_bytes() if file.is_file() else None
    out, err = finish(start(FLOW, file))

    assert out == RESULT
    (warning,) = [line for line in err.splitlines() if "WARNING" in line]
    assert why in warning
    assert str(file) in warning
    assert "TOWPATH_HISTORY" in warning
    assert (file.read_bytes() if file.is_file() else None) == before


@pytest.mark.parametrize("make", [newer, of_another_program, letter, folder])
def test_the_command_line_says_what_is_wrong_with_it(tmp_path: Path, make: Callable[[Path], str]) -> None:
    """In a sentence, with an exit code that is not 0, and without a traceback."""
    file = tmp_path / "notes.db"
    why = make(file)
    code = "from towpath.cli.__main__ import main; import sys; sys.argv = ['towpath', 'runs', 'ls']; sys.exit(main())"
    process = start(code, file)
    out, err = process.communicate(timeout=90)

    assert process.returncode not in {0, None}
    assert why in out + err
    assert "Traceback" not in err


def test_processes_that_bring_the_history_up_to_date_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that find an older file, one does it; what is in the file stays, and all their runs are there."""
    file = tmp_path / "history.db"
    monkeypatch.setattr(database, "MIGRATIONS", schema.MIGRATIONS[:1])
    older = connect(file, pytest.fail)
    older.execute("INSERT INTO lines (run_id, level, message, time) VALUES ('r', 20, 'kept', 0)")
    older.close()
    processes = [start(FLOW, file) for _ in range(6)]
    told = [finish(process) for process in processes]

    assert [out for out, _ in told] == [RESULT] * 6
    assert [err for _, err in told if "WARNING" in err] == []
    monkeypatch.undo()
    with open_history(file) as history:
        assert [(run.state.name, run.tasks_completed) for run in history.runs()] == [("Completed", 100)] * 6
    now = sqlite3.connect(file)
    versions = [version for (version,) in now.execute("SELECT version FROM migrations ORDER BY version")]
    assert versions == list(range(1, len(schema.MIGRATIONS) + 1))
    assert now.execute("SELECT message FROM lines WHERE run_id = 'r'").fetchall() == [("kept",)]
    now.close()


def test_another_program_holds_the_file_for_a_while(tmp_path: Path) -> None:
    """Such as a backup: the flow does its work meanwhile, and its record is complete when the process has ended."""
    file = tmp_path / "history.db"
    finish(start(FLOW, file))
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    process = start(FLOW.replace("    return sum", "    print('working', flush=True)\n    return sum"), file)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    holder.execute("COMMIT")
    holder.close()
    out, err = finish(process)
    assert out == RESULT
    assert "WARNING" not in err

    with open_history(file) as history:
        assert [run.state.name for run in history.runs()] == ["Completed", "Completed"]


def test_a_damaged_page_costs_no_run(tmp_path: Path) -> None:
    """Found damaged in the middle of its work: put aside, told once, and what goes on is in a new file."""
    file = tmp_path / "history.db"
    finish(start(FLOW, file))
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * (file.stat().st_size - 4096))
    out, err = finish(start(FLOW, file))

    assert out == RESULT
    (warning,) = [line for line in err.splitlines() if "WARNING" in line]
    assert "put aside" in warning
    assert "sqlite3 FILE .recover" in warning
    assert len(list(tmp_path.glob("history.db.corrupt-*"))) >= 1
    with open_history(file) as history:
        assert [run.state.name for run in history.runs()] == ["Completed"]
