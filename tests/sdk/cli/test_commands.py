"""Commands from the line that is typed to the exit code, on a history of the test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from towpath.cli.__main__ import main
from towpath.cli.exits import Exit
from towpath.history.recorder import RECORDER
from towpath.loggers import configure

FLOWS = Path(__file__).with_name("flows_to_run.py")


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the file of the test's own history; no cluster is named."""
    RECORDER.close()
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no kubeconfig"))
    for name in ("TOWPATH_TARGET", "TOWPATH_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(FLOWS.parent)
    yield tmp_path / "history.db"
    RECORDER.close()


@pytest.fixture
def towpath(history: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Give what types a command, and gives its exit code, standard output and standard error."""

    def typed(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        return int(code), *capsys.readouterr()

    return typed


Towpath = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("flow", "printed"), [("text", "two\nlines\n"), ("nothing", ""), ("odd", "{1, 2}\n"), ("child", "42\n")]
)
def test_the_result_is_all_that_goes_to_standard_output(
    towpath: Towpath, flow: str, printed: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Text as it is, JSON where that can be, else Python's own words; nothing for nothing."""
    given = ["-p", "n=21"] if flow == "child" else []
    configure()  # before caplog, which puts back the level that it finds
    caplog.set_level("INFO", "towpath")
    code, out, _ = towpath("run", f"flows_to_run.py:{flow}", *given)
    assert (code, out) == (Exit.OK, printed)
    assert "Finished in state Completed()" in caplog.text


def test_a_run_is_recorded_and_can_be_looked_at(towpath: Towpath) -> None:
    """Run, list, inspect, tree, logs, flows: one run seen from all sides."""
    code, out, _ = towpath(
        "run", "flows_to_run.py:etl", "-p", "day=2026-01-31", "-p", "label=5", "--name", "mine", "--tag", "a", "--json"
    )
    told = json.loads(out)
    assert code == Exit.OK
    assert (told["name"], told["flow"], told["state"]["type"]) == ("mine", "Nightly ETL", "COMPLETED")
    assert told["result"] == {"day": "2026-01-31", "label": "5", "children": [2, 4]}

    listed = json.loads(towpath("runs", "ls", "--json")[1])
    assert [(run["name"], run["id"], run["tags"]) for run in listed] == [("mine", told["id"], ["a"])]
    assert len(json.loads(towpath("runs", "ls", "-a", "--json")[1])) == 3
    assert towpath("runs", "ls")[1].splitlines()[1].split()[:4] == ["mine", "Nightly", "ETL", "✔"]

    page = towpath("runs", "inspect", "min")[1]
    assert page.startswith("mine  ✔ Completed\n")
    assert 'label = "5"' in page
    full = json.loads(towpath("runs", "inspect", "mine", "--json")[1])
    assert full["task_runs"] == []
    assert full["parameters"]["day"] == "2026-01-31"

    tree = towpath("runs", "tree", "mine")[1].splitlines()
    assert tree[1].startswith("mine")
    assert [line[:3] for line in tree[2:]] == ["├─ ", "└─ "]
    (child, _) = json.loads(towpath("runs", "tree", "mine", "--json")[1])["children"]
    assert child["parent_id"] == told["id"]
    assert json.loads(towpath("runs", "inspect", child["name"], "--json")[1])["parent"] == "mine"
    assert "double-0  ✔ Completed" in towpath("runs", "inspect", child["name"])[1]

    assert "| WARNING  | loading 2026-01-31" in towpath("runs", "logs", "mine", "-f")[1]
    (line,) = towpath("runs", "logs", "mine", "--level", "warning", "--json")[1].splitlines()
    assert json.loads(line)["message"] == "loading 2026-01-31"
    assert len(towpath("runs", "logs", "mine", "--tail", "1")[1].splitlines()) == 1
    assert towpath("runs", "logs", "mine", "--tail", "0")[1] == ""

    assert [row.split()[0] for row in towpath("flows", "ls")[1].splitlines()] == ["FLOW", "Nightly", "child"]
    assert {one["name"]: one["runs"] for one in json.loads(towpath("flows", "ls", "--json")[1])} == {
        "Nightly ETL": 1,
        "child": 2,
    }
    assert towpath("runs", "watch", "mine")[0] == Exit.OK


def test_a_flow_that_fails_is_told_by_the_exit_code(towpath: Towpath, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what happened, standard output nothing; watching it says so too."""
    code, out, _ = towpath("run", "flows_to_run.py:bad", "-p", "why=no", "--name", "wrong")
    assert (code, out) == (Exit.NOT_COMPLETED, "")
    assert "ValueError: no" in caplog.text
    code, out, _ = towpath("runs", "watch", "wrong")
    assert code == Exit.NOT_COMPLETED
    assert "ValueError: no" in out
    assert towpath("runs", "tree", "wrong")[1].splitlines()[-1].startswith("wrong: Flow run encountered")
    assert json.loads(towpath("runs", "ls", "--state", "failed", "--json")[1])[0]["error"]["message"]


def test_deleting_takes_whole_names_and_all_or_nothing(towpath: Towpath) -> None:
    """A slip in one of the names deletes none."""
    for name in ("one", "two"):
        towpath("run", "flows_to_run.py:nothing", "--name", name)
    assert towpath("runs", "delete", "one", "tw")[0] == Exit.NOT_FOUND
    assert len(json.loads(towpath("runs", "ls", "--json")[1])) == 2
    assert towpath("runs", "delete", "one", "two")[1] == "one is deleted.\ntwo is deleted.\n"
    assert towpath("runs", "ls") == (Exit.OK, "", "There are no runs on this machine.\n")
    assert towpath("runs", "ls", "--flow", "x")[2] == "There are no such runs on this machine.\n"
    assert towpath("flows", "ls")[2].startswith("No flow has run on this machine yet")
    towpath("run", "flows_to_run.py:nothing", "--name", "three")
    assert json.loads(towpath("runs", "delete", "three", "--json")[1])[0]["name"] == "three"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["run", "flows_to_run.py:gone"], Exit.USAGE, "there is no 'gone'. It has the flows 'child'"),
        (["run", "nowhere.py:x"], Exit.USAGE, "there is no file 'nowhere.py'"),
        (["run", "flows_to_run.py:etl", "-p", "day=soon"], Exit.USAGE, "day='soon' must be a date"),
        (["run", "flows_to_run.py:etl"], Exit.USAGE, "day is missing. The flow takes day, factor, label."),
        (["run", "flows_to_run.py:etl", "-p", "x"], Exit.USAGE, "-p takes NAME=VALUE; got 'x'."),
        (["runs", "inspect", "nobody"], Exit.NOT_FOUND, "those of a cluster are found with --cluster"),
        (["runs", "cancel", "nobody"], Exit.NOT_FOUND, "There is no run 'nobody'"),
        (["runs", "ls", "--state", "odd"], Exit.USAGE, "--state takes one of SCHEDULED"),
        (["runs", "ls", "--since", "soon"], Exit.USAGE, "--since takes 30m"),
        (["runs", "ls", "--limit", "-1"], Exit.USAGE, "--limit takes a whole number"),
        (["runs", "logs", "x", "--tail", "-1"], Exit.USAGE, "--tail takes a whole number"),
        (["runs", "ls", "--local", "-n", "x"], Exit.USAGE, "--local means this machine"),
        (["runs", "ls", "-n", "x"], Exit.USAGE, "No cluster is named."),
        (["deployments", "ls", "--cluster"], Exit.USAGE, "No cluster is named."),
        (["deployments", "run", "x"], Exit.NOT_FOUND, "There is no deployment 'x' on this machine. There are none."),
        (["deploy", "flows_to_run.py:text", "--force"], Exit.USAGE, "--force is for --apply."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_sentences(towpath: Towpath, arguments: list[str], code: Exit, sentence: str) -> None:
    """One line on standard error, which says what and what to do; never a traceback; and nothing was run."""
    ended, out, err = towpath(*arguments)
    assert (ended, out) == (code, "")
    assert err.startswith("towpath: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert towpath("runs", "ls", "--json", "-a")[1] == "[]\n"


def test_the_place_can_be_set_for_good(towpath: Towpath, monkeypatch: pytest.MonkeyPatch) -> None:
    """TOWPATH_TARGET=cluster means the cluster unless --local is said; any other value is refused."""
    monkeypatch.setenv("TOWPATH_TARGET", "cluster")
    assert "No cluster is named." in towpath("runs", "ls")[2]
    assert towpath("runs", "ls", "--local")[0] == Exit.OK
    monkeypatch.setenv("TOWPATH_TARGET", "moon")
    assert "TOWPATH_TARGET must be local or cluster; it is 'moon'" in towpath("runs", "ls")[2]


def test_a_history_that_is_off_says_so(towpath: Towpath, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs still run; they cannot be looked at."""
    monkeypatch.setenv("TOWPATH_HISTORY", "off")
    assert towpath("run", "flows_to_run.py:child", "-p", "n=1")[:2] == (Exit.OK, "2\n")
    code, _, err = towpath("runs", "ls")
    assert code == Exit.CONFLICT
    assert "TOWPATH_HISTORY is 'off'" in err


def test_versions_are_told(towpath: Towpath) -> None:
    """For people and for programs."""
    assert towpath("version")[1].startswith("Towpath 0.")
    assert towpath("--version")[1].startswith("Towpath 0.")
    assert set(json.loads(towpath("version", "--json")[1])) == {"towpath", "resources", "python", "platform"}


def test_an_error_of_our_own_is_a_sentence_too(towpath: Towpath, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TOWPATH_DEBUG set, the traceback is shown."""

    def broken(*_: Any) -> int:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("towpath.cli.version.show", broken)
    code, _, err = towpath("version")
    assert code == Exit.BUG
    assert err.startswith("towpath: ZeroDivisionError: by zero. This is a mistake in Towpath")
    monkeypatch.setenv("TOWPATH_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        towpath("version")


#: Makes Ctrl-C work as on a terminal, also where the tests themselves run in the background.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from towpath.cli.__main__ import main
sys.exit(main())
"""


def process(history: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "TOWPATH_HISTORY": str(history)},
        cwd=FLOWS.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("flow", ["nap", "async_nap"])
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, Exit.NOT_COMPLETED, "The process was told to stop (SIGTERM)."),
        (signal.SIGINT, Exit.INTERRUPTED, "The run was interrupted from the keyboard."),
    ],
    ids=["SIGTERM", "Ctrl-C"],
)
def test_a_run_that_is_told_to_stop_ends_in_order(
    flow: str, number: signal.Signals, code: Exit, said: str, tmp_path: Path
) -> None:
    """Its `finally` blocks run, and the history says CRASHED and why."""
    history = tmp_path / "history.db"
    run = process(history, "run", f"flows_to_run.py:{flow}", "--name", "mine")
    assert run.stdout is not None
    assert run.stdout.readline() == "asleep\n"
    run.send_signal(number)
    out, err = run.communicate(timeout=100)
    assert (run.returncode, out) == (code, "cleaned up\n"), err
    out, _ = process(history, "runs", "inspect", "mine", "--json").communicate(timeout=100)
    assert (json.loads(out)["state"]["type"], json.loads(out)["state"]["message"]) == ("CRASHED", said)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    """`towpath … | head -1` ends quietly."""
    with process(tmp_path / "history.db", "completion", "zsh") as ended:
        assert ended.stdout is not None
        ended.stdout.close()
        assert ended.stderr is not None
        assert ended.stderr.read() == ""
    assert ended.returncode == Exit.OK
