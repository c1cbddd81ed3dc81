"""`towpath limits …`, from the line that is typed to the exit code."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.sdk.concurrency.crowd import PATIENCE, state, until

from towpath import flow, task
from towpath.cli.__main__ import main
from towpath.cli.exits import Exit
from towpath.cli.limits import page
from towpath.cli.output import PLAIN
from towpath.concurrency.port import Claimant, LimitInUse
from towpath.concurrency.sync import concurrency
from towpath.history.recorder import RECORDER

Towpath = Callable[..., tuple[int, str, str]]


@pytest.fixture
def towpath(file: Path, capsys: pytest.CaptureFixture[str]) -> Towpath:
    """Give what types a command, and gives its exit code, standard output and standard error."""

    def typed(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        return int(code), *capsys.readouterr()

    return typed


def test_limits_are_set_listed_and_deleted(towpath: Towpath) -> None:
    """What is set is said and listed, as a table and as JSON; what is deleted is gone."""
    assert towpath("limits", "ls")[1:] == ("", "There are no limits. `towpath limits set` makes one.\n")
    assert towpath("limits", "set", "db", "5")[:2] == (Exit.OK, "db has 5 slots.\n")
    assert towpath("limits", "set", "api", "1", "--slot-decay-per-second", "0.5")[1] == (
        "api has 1 slot, of which 0.5 a second come free by themselves.\n"
    )
    assert towpath("limits", "set", "db", "--inactive")[1] == "db has 5 slots, and is inactive: it limits nothing.\n"
    assert towpath("limits", "set", "tag:x", "0", "--json")[1].startswith('{\n  "name": "tag:x",\n  "slots": 0')
    assert towpath("limits", "ls")[1] == (
        "LIMIT  SLOTS  TAKEN  WAITING  DECAY\n"
        "api    1      0      0        0.5 a second\n"
        "db     5      0      0                      inactive\n"
        "tag:x  0      0      0\n"
    )
    assert [one["name"] for one in json.loads(towpath("limits", "ls", "--json")[1])] == ["api", "db", "tag:x"]
    assert towpath("limits", "delete", "db", "api")[:2] == (Exit.OK, "db is deleted.\napi is deleted.\n")
    assert json.loads(towpath("limits", "delete", "tag:x", "--json")[1]) == ["tag:x"]
    assert json.loads(towpath("limits", "ls", "--json")[1]) == []


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        (["set", "db"], Exit.USAGE, "There is no limit 'db' on this machine yet: say how many slots it has."),
        (["set", "db", "many"], Exit.USAGE, "got 'many'"),
        (["set", "db", "-1"], Exit.USAGE, "got -1"),
        (["set", "db", "1", "--slot-decay-per-second", "-2"], Exit.USAGE, "got -2.0"),
        (["set", "", "1"], Exit.USAGE, "got ''"),
        (["set", "db", "1", "--active", "--inactive"], Exit.USAGE, "not both"),
        (["delete", "nothing"], Exit.NOT_FOUND, "There is no limit 'nothing' on this machine."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused(towpath: Towpath, typed: list[str], code: Exit, says: str) -> None:
    """The exit code and a sentence tell what is wrong; nothing has been done."""
    ended, out, err = towpath("limits", *typed)
    assert (ended, out) == (code, "")
    assert says in err
    assert json.loads(towpath("limits", "ls", "--json")[1]) == []


def test_a_run_says_what_it_holds_and_what_it_waits_for(towpath: Towpath) -> None:
    """`runs inspect` shows a live run's slots and those that its tasks wait for; `limits ls` shows the same."""
    towpath("limits", "set", "db", "3")
    towpath("limits", "set", "tag:heavy", "0")
    pages: dict[str, str] = {}

    @task(tags=["heavy"])
    def work() -> None:
        pytest.fail("there are no slots")

    @flow(flow_run_name="the-run")
    def run() -> None:
        with concurrency("db", occupy=2):
            for _ in range(7):
                work.submit()
            until(lambda: state() == {"db": (2, 0), "tag:heavy": (0, 7)})
            RECORDER.flush()
            pages["run"] = towpath("runs", "inspect", "the-run")[1]
            pages["json"] = towpath("runs", "inspect", "the-run", "--json")[1]
            pages["limits"] = towpath("limits", "ls")[1]
            raise ValueError("that is all")

    thread = threading.Thread(target=lambda: run(return_state=True))
    thread.start()
    thread.join(PATIENCE)
    assert "Holds" in pages["run"]
    assert "2 slots of db\n" in pages["run"]
    assert "1 slot of tag:heavy (work-0)\n" in pages["run"]
    assert "and 2 more\n" in pages["run"]
    assert json.loads(pages["json"])["holds"] == "2 slots of db"
    assert "  held by flow run 'the-run' in process " in pages["limits"]
    assert "  waits: task run 'work-0' of flow run 'the-run' in process " in pages["limits"]
    assert "  waits: 2 more\n" in pages["limits"]
    assert "Holds" not in towpath("runs", "inspect", "the-run")[1]


def test_the_page_names_whoever_is_at_a_limit() -> None:
    """Slots beyond one are told, and so is what of a decaying limit has come free; a block without a run is a process."""
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    holder = Claimant(
        run=None, run_id=None, task_run=None, process=7, occupy=2, limits=["db"], since=now - timedelta(seconds=90)
    )
    limit = LimitInUse(
        name="db", slots=3, slot_decay_per_second=0.0, active=True, taken=2, holders=[holder], waiting=[]
    )
    assert page([limit], now, PLAIN).splitlines()[1:] == [
        "db     3      2      0",
        "  held by process 7, 2 slots, for 1 min 30 s",
    ]
