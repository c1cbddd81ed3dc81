"""The SQLite file: made, brought up to date, refused, put aside."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from tests.sdk.history.notebook import finish, start

from towpath.errors import HistoryError
from towpath.history import database, open_history, schema
from towpath.history.database import connect


def tables(connection: sqlite3.Connection) -> set[str]:
    """Give the names of all tables."""
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_a_new_history_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    """Nobody else may read parameters and logs; readers and writers do not wait for each other."""
    path = tmp_path / "deep" / "down" / "history.db"
    connection = connect(path, pytest.fail)

    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert {"flow_runs", "task_runs", "lines", "migrations"} <= tables(connection)
    connection.close()
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_of_an_older_towpath_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations that are missing are applied, once each, and what the file has stays."""
    path = tmp_path / "history.db"
    old = connect(path, pytest.fail)
    old.execute("INSERT INTO lines (run_id, level, message, time) VALUES ('r', 20, 'kept', 0)")
    old.close()
    monkeypatch.setattr(database, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE further (x)",)))

    for _ in range(2):
        new = connect(path, pytest.fail)
        assert "further" in tables(new)
        versions = [version for (version,) in new.execute("SELECT version FROM migrations ORDER BY version")]
        assert versions == list(range(1, len(schema.MIGRATIONS) + 2))
        assert new.execute("SELECT message FROM lines").fetchall() == [("kept",)]
        new.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All migrations are one transaction."""
    path = tmp_path / "history.db"
    connect(path, pytest.fail).close()
    monkeypatch.setattr(database, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE further (x)", "NO SQL")))
    with pytest.raises(sqlite3.OperationalError):
        connect(path, pytest.fail)

    monkeypatch.undo()
    again = connect(path, pytest.fail)
    assert "further" not in tables(again)
    again.close()


def test_a_file_of_a_newer_towpath_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tables may mean something else, so it is neither read nor written."""
    path = tmp_path / "history.db"
    monkeypatch.setattr(database, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE further (x)",)))
    connect(path, pytest.fail).close()
    monkeypatch.undo()
    before = path.read_bytes()

    known = len(schema.MIGRATIONS)
    told = f"newer Towpath: its tables have version {known + 1}, this one knows {known}"
    with pytest.raises(HistoryError, match=told):
        connect(path, pytest.fail)
    with pytest.raises(HistoryError, match="Upgrade Towpath"):
        open_history(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["not a database at all", "SQLite format 3\0 but nothing more"])
def test_a_damaged_file_is_put_aside(tmp_path: Path, damage: str) -> None:
    """A new history is begun, the damaged one is kept under a name that says so, and the user is told."""
    path = tmp_path / "history.db"
    path.write_text(damage)
    told: list[str] = []
    connection = connect(path, told.append)

    assert "flow_runs" in tables(connection)
    connection.close()
    (aside,) = tmp_path.glob("history.db.corrupt-*")
    assert aside.read_text() == damage
    assert len(told) == 1
    assert aside.name in told[0]


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """A setting that names the wrong file harms nothing."""
    letter, shop = tmp_path / "letter.txt", tmp_path / "shop.db"
    letter.write_text("Dear Ann, this is a letter.")
    other = sqlite3.connect(shop)
    other.execute("CREATE TABLE orders (x)")
    other.close()

    with pytest.raises(HistoryError, match="no SQLite file"):
        open_history(letter)
    with pytest.raises(HistoryError, match="SQLite file of something else"):
        open_history(shop)
    assert letter.read_text() == "Dear Ann, this is a letter."


def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    """A folder in the file's place is an error with the path and the cure."""
    with pytest.raises(HistoryError, match="cannot be opened: unable to open database file"):
        open_history(tmp_path)


def test_many_processes_may_make_the_history_at_once(tmp_path: Path) -> None:
    """All of them find the tables, and a damaged file is put aside once."""
    path = tmp_path / "history.db"
    path.write_text("damaged " * 100)
    script = "import sys; from towpath.history import open_history; open_history(sys.argv[1]).runs()"
    processes = [start(f"import sys; sys.argv = ['', {str(path)!r}]; {script}", path) for _ in range(6)]

    warnings = [err for _, err in map(finish, processes) if err]
    assert len(warnings) == 1
    assert len(list(tmp_path.glob("history.db.corrupt-*"))) == 1
