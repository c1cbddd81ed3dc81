"""Disks that are full or read-only: flows do their work, lose nothing that they hold, and say what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sdk.history.notebook import finish, start
from tests.sdk.trouble.disks import on_read_only_disk, on_small_disk

pytestmark = pytest.mark.timeout(300)

TASKS = 200
#: Keeps a result of some 2,000 bytes for each task.
FLOW = f"""
from towpath import flow, task
from towpath.cache_policies import INPUTS
from towpath.history import open_history

@task(persist_result=True)
def kept(x):
    return str(x) + "x" * 2000

@task
def same(x):
    return x

@task(cache_policy=INPUTS.configure(isolation_level="SERIALIZABLE"))
def alone(x):
    return x

@flow
def keeps():
    return sum(len(kept(i)) for i in range({TASKS}))

@flow
def counts():
    return sum(same(i) for i in range({TASKS}))
"""
COUNTED = TASKS * (TASKS - 1) // 2


def warnings(err: str, what: str) -> list[str]:
    """Give the lines that warn, or tell of an error, and hold some words."""
    return [line for line in err.splitlines() if ("WARNING" in line or "ERROR" in line) and what in line]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a folder that is some user's home."""
    home = tmp_path / "home"
    home.mkdir()
    return home


def test_results_on_a_full_disk(home: Path) -> None:
    """Every task gives its value; the log says of each result that it is not kept, why, and where else it could be."""
    code = "state = keeps(return_state=True)\nassert state.is_completed()\nprint(state.result() > 2000 * 200)"
    out, err = on_small_disk(FLOW + code, home, 300)

    assert out == "True\n"
    told = warnings(err, "The result could not be kept")
    assert 0 < len(told) <= TASKS
    assert "No space left on device" in told[0]
    assert "TOWPATH_RESULT_STORAGE" in told[0]


def test_a_history_on_a_full_disk(home: Path) -> None:
    """Flows run on, and one warning says where the disk is full, that it is tried again, and what to set."""
    code = f"print([counts() for _ in range(20)] == [{COUNTED}] * 20)"
    out, err = on_small_disk(FLOW + code, home, 150)

    assert out == "True\n"
    (warning,) = warnings(err, "The history at")
    assert "is tried again" in warning
    assert "TOWPATH_HISTORY" in warning
    assert str(home) in warning


def test_a_history_that_fills_the_disk_and_finds_room_again(home: Path) -> None:
    """What could not be written waits in memory, and is all in the file when somebody makes room."""
    code = f"""
from pathlib import Path
ballast = Path.home() / "ballast"
ballast.write_bytes(b"x" * 15_700_000)
assert [counts() for _ in range(20)] == [{COUNTED}] * 20
ballast.unlink()
counts()
from towpath.history.recorder import RECORDER
RECORDER.close()
with open_history() as history:
    runs = history.runs()
    print(len(runs), {{run.state.name for run in runs}}, {{len(history.tasks(run.id)) for run in runs}})
"""
    out, err = on_small_disk(FLOW + code, home, 16_000)

    assert out == f"21 {{'Completed'}} {{{TASKS}}}\n"
    assert len(warnings(err, "The history at")) == 1


def test_locks_on_a_disk_without_room_for_a_file(home: Path) -> None:
    """A lock that cannot be had is no lock: the task fails, and the error names the folder, the reason and the cure."""
    code = """
import os
with suppress(OSError):
    for number in range(100):
        os.mkdir(os.path.expanduser(f"~/{number}"))
state = alone(1, return_state=True)
print(state.name, state.message)
"""
    out, _ = on_small_disk("from contextlib import suppress\n" + FLOW + code, home, 64, files=20)

    assert out.startswith("Failed Task run encountered an exception: StorageError: Locks cannot be taken in the folder")
    assert "No space left on device" in out
    assert "lock_manager=" in out


def test_a_read_only_home(home: Path) -> None:
    """Also for the administrator: one warning for the history, one error for each result, and every value is given."""
    code = f"print(counts() == {COUNTED}, len(kept(1)))\nprint(alone(1, return_state=True).message)"
    out, err = on_read_only_disk(FLOW + code, home)

    first, second = out.splitlines()
    assert first == "True 2001"
    assert "Locks cannot be taken in the folder" in second
    assert "Read-only file system" in second
    (warning,) = warnings(err, "The history at")
    assert "Read-only file system" in warning
    assert "set it to 'off'" in warning
    (kept,) = warnings(err, "The result could not be kept")
    assert "Read-only file system" in kept


def test_a_history_on_a_read_only_disk_is_shown(home: Path) -> None:
    """What was recorded before can be read, and the command line shows it."""
    file = home / ".local/state/towpath/history.db"
    finish(start(FLOW + "counts()", file))
    code = (
        "from towpath.cli.__main__ import main\nimport sys\n"
        "sys.argv = ['towpath', 'runs', 'ls']\nraise SystemExit(main())"
    )
    out, err = on_read_only_disk(code, home)

    assert "Completed" in out
    assert err == ""


@pytest.mark.parametrize("where", ["HOME", "TOWPATH_HOME"])
def test_a_home_that_is_a_file(tmp_path: Path, where: str) -> None:
    """As with a setting that names the wrong thing: told once, nothing written over, and flows do their work."""
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    code = FLOW + f"print(counts() == {COUNTED}, len(kept(1)))"
    out, err = finish(start(code, "", env={where: str(file), "XDG_STATE_HOME": ""}))

    assert out == "True 2001\n"
    (warning,) = warnings(err, "The history at")
    assert "Not a directory" in warning or "File exists" in warning
    assert len(warnings(err, "The result could not be kept")) == 1
    assert file.read_text(encoding="utf-8") == "mine"
