"""`towpath artifacts`, `variables` and `events`, from the line that is typed to the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from towpath import flow, task
from towpath.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
)
from towpath.cli.__main__ import main
from towpath.cli.config import look
from towpath.cli.exits import Exit
from towpath.events import emit_event
from towpath.history.recorder import RECORDER
from towpath.testing import Harness
from towpath.variables import Variable

ORDER = {"towpath.resource.id": "order-456"}
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(towpath: Harness, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Give what types a command, and gives its exit code, standard output and standard error."""

    def type_(*arguments: str) -> tuple[int, str, str]:
        RECORDER.flush()
        capsys.readouterr()
        code = main(arguments)
        return int(code), *capsys.readouterr()

    return type_


@flow(flow_run_name="the-run")
def nightly() -> None:
    """Tell in the flow and in a task."""

    @task(task_run_name="the-task")
    def tell() -> None:
        create_markdown_artifact("# Second", key="report", description="of the night")
        emit_event("order.paid", ORDER, payload={"amount": 12.5})

    create_markdown_artifact("# First", key="report")
    create_markdown_artifact("no key")
    tell()


def test_artifacts_are_listed(typed: Typed) -> None:
    """The latest of each key; all of them, or all of a run, if that is asked."""
    nightly()
    create_progress_artifact(40, key="load")
    code, out, _ = typed("artifacts", "ls")
    assert code == Exit.OK
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["ARTIFACT", "TYPE", "VERSIONS", "AGE", "RUN", "DESCRIPTION"]
    assert lines[1][:4] == ["load", "progress", "40", "%"]
    assert lines[2][:3] == ["report", "markdown", "2"]
    assert "the-run, the-task" in out
    assert len(lines) == 3

    every = json.loads(typed("artifacts", "ls", "-a", "--json")[1])
    assert [one["key"] for one in every] == ["load", "report", None, "report"]
    assert len(json.loads(typed("artifacts", "ls", "-a", "--limit", "2", "--json")[1])) == 2
    of_run = json.loads(typed("artifacts", "ls", "--run", "the-run", "--json")[1])
    assert [one["data"] for one in of_run] == ["# Second", "no key", "# First"]
    assert {one["flow_run"] for one in of_run} == {"the-run"}


def test_an_artifact_is_shown_with_its_versions(typed: Typed) -> None:
    """By its key or by the id of a version; the data is what it is about."""
    nightly()
    code, out, _ = typed("artifacts", "inspect", "report")
    assert code == Exit.OK
    assert out.startswith("report  markdown\nof the night\n\n")
    for part in ("# Second", "Task run  the-task", "Run       the-run", "Before"):
        assert part in out
    assert "# First" not in out
    told = json.loads(typed("artifacts", "inspect", "report", "--json")[1])
    assert (told["data"], len(told["versions"])) == ("# Second", 2)
    first = told["versions"][-1]["id"]
    assert "# First" in typed("artifacts", "inspect", first)[1]


@pytest.mark.parametrize(
    ("create", "shown"),
    [
        (lambda: create_progress_artifact(25, key="k"), "[##########..............................] 25 %"),
        (lambda: create_image_artifact("https://a.b/i.png", key="k"), "https://a.b/i.png"),
        (
            lambda: create_table_artifact([{"a": 1, "b": "x"}, {"a": None, "c": [1]}], key="k"),
            "a  b  c\n1  x\n      [1]",
        ),
        (lambda: create_table_artifact({"a": [1, 2], "b": [3]}, key="k"), "a  b\n1  3\n2"),
        (lambda: create_table_artifact([["a", "b"], [1]], key="k"), "a  b\n1"),
        (lambda: create_table_artifact([["x" * 99]], key="k"), "x" * 59 + "…"),
        (lambda: create_table_artifact([["a\nb"]], key="k"), "a b"),
        (lambda: create_table_artifact([], key="k"), "(no rows)"),
        (lambda: create_table_artifact({"a": list(range(300))}, key="k"), "199\n… 100 more"),
    ],
    ids=["progress", "image", "rows", "columns", "lists", "long", "lines", "empty", "many"],
)
def test_data_is_shown_as_what_it_is(typed: Typed, create: Any, shown: str) -> None:
    """A bar, a table, or the text."""
    create()
    assert typed("artifacts", "inspect", "k")[1].endswith(f"\n{shown}\n")


def test_artifacts_are_deleted(typed: Typed) -> None:
    """A key with all versions, or one version; of several names all are there or nothing is done."""
    nightly()
    create_markdown_artifact("x", key="other")
    code, out, err = typed("artifacts", "delete", "report", "nothing")
    assert (code, out) == (Exit.NOT_FOUND, "")
    assert "no artifact with the key or id 'nothing'" in err
    other = json.loads(typed("artifacts", "ls", "--json")[1])[0]["id"]
    assert typed("artifacts", "delete", "report", other)[:2] == (
        Exit.OK,
        f"report is deleted, all 2 versions.\n{other} is deleted.\n",
    )
    assert [one["key"] for one in json.loads(typed("artifacts", "ls", "-a", "--json")[1])] == [None]


def test_variables_are_set_got_listed_and_unset(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flow gets is what `get` prints."""
    assert typed("variables", "set", "region", "eu-north", "--tag", "geo")[:2] == (
        Exit.OK,
        'region is set to "eu-north".\n',
    )
    assert Variable.get("region") == "eu-north"
    assert typed("variables", "get", "region")[1] == "eu-north\n"
    assert typed("variables", "get", "region", "--json")[1] == '"eu-north"\n'
    typed("variables", "set", "limits", '{"rows": 5}')
    assert Variable.get("limits") == {"rows": 5}
    assert typed("variables", "get", "limits")[1] == '{"rows": 5}\n'

    code, out, err = typed("variables", "set", "region", "us")
    assert (code, out) == (Exit.CONFLICT, "")
    assert "--overwrite" in err
    assert typed("variables", "set", "region", "us", "--overwrite")[0] == Exit.OK

    monkeypatch.setenv("TOWPATH_VARIABLE_REGION", "asia")
    monkeypatch.setenv("TOWPATH_VARIABLE_ONLY_HERE", "5")
    listed = json.loads(typed("variables", "ls", "--json")[1])
    assert [(one["name"], one["value"], one["from"]) for one in listed] == [
        ("limits", {"rows": 5}, "history"),
        ("only_here", 5, "environment"),
        ("region", "asia", "environment"),
    ]
    assert "instead: TOWPATH_VARIABLE_REGION" in typed("variables", "set", "region", "eu", "--overwrite")[2]
    assert (
        typed("variables", "ls", "--tag", "geo")[2]
        == "There are no such variables. `towpath variables set` makes one.\n"
    )

    assert typed("variables", "unset", "limits", "nothing")[0] == Exit.NOT_FOUND
    assert Variable.get("limits") == {"rows": 5}
    assert typed("variables", "unset", "limits")[:2] == (Exit.OK, "limits is not set any more.\n")
    assert typed("variables", "get", "limits")[0] == Exit.NOT_FOUND


def test_events_are_listed(typed: Typed) -> None:
    """Those that were emitted and states of runs, the latest first."""
    nightly()
    _, out, _ = typed("events", "ls")
    assert [line.split()[2] for line in out.splitlines()] == [
        "towpath.flow-run.Completed",
        "order.paid",
        "towpath.flow-run.Running",
    ]
    (paid,) = json.loads(typed("events", "ls", "--event", "order.*", "--since", "1h", "--json")[1])
    assert (paid["resource"], paid["payload"], paid["flow_run"], paid["task_run"]) == (
        ORDER,
        {"amount": 12.5},
        "the-run",
        "the-task",
    )
    assert len(typed("events", "ls", "--event", "towpath.task-run.*", "--run", "the-run")[1].splitlines()) == 2
    assert len(typed("events", "ls", "--limit", "2")[1].splitlines()) == 2
    assert typed("events", "ls", "--event", "other")[1:] == ("", "There are no such events on this machine.\n")
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert typed("events", "ls", "--since", later)[1] == ""


def test_an_event_is_emitted(typed: Typed) -> None:
    """With labels, what it has to do with, and what there is to say."""
    related = json.dumps([{"towpath.resource.id": "ann", "towpath.resource.role": "customer"}])
    code, out, _ = typed(
        *("events", "emit", "order.paid", "--resource-id", "order-1", "--resource", "towpath.resource.name=One"),
        *("--related", related, "--payload", '{"amount": 1}'),
    )
    assert code == Exit.OK
    (event,) = json.loads(typed("events", "ls", "--json")[1])
    assert event["id"] == out.strip()
    assert event["resource"] == {"towpath.resource.id": "order-1", "towpath.resource.name": "One"}
    assert (event["related"], event["payload"]) == (json.loads(related), {"amount": 1})
    assert json.loads(typed("events", "emit", "x", "--resource-id", "y", "--json")[1])["event"] == "x"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("artifacts", "ls", "--limit", "-1"), "--limit takes a whole number"),
        (("events", "ls", "--limit", "-1"), "--limit takes a whole number"),
        (("events", "ls", "--since", "soon"), "--since takes"),
        (("events", "emit", "x"), "say what with --resource-id"),
        (("events", "emit", "x", "--resource", "y"), "takes LABEL=VALUE; got 'y'"),
        (("events", "emit", "x", "--resource-id", "y", "--payload", "{"), "an object in JSON; got '{', which is none"),
        (("events", "emit", "x", "--resource-id", "y", "--payload", "[]"), "an object in JSON; got '[]'"),
        (("events", "emit", "x", "--resource-id", ""), "needs the label"),
        (("events", "watch", "--event", "towpath.task-run.*"), "cannot be watched, only listed"),
        (("variables", "set", "A B", "1"), "'a_b' would do"),
        (("variables", "get", "A"), "lowercase letters"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(typed: Typed, arguments: tuple[str, ...], says: str) -> None:
    """With the code for wrong usage, and nothing on standard output."""
    code, out, err = typed(*arguments)
    assert (code, out) == (Exit.USAGE, "")
    assert says in err
    assert err.count("\n") == 1


def test_of_a_run_that_there_is_not_nothing_is_shown(typed: Typed) -> None:
    """The name is looked up first."""
    for verb in ("artifacts", "events"):
        assert typed(verb, "ls", "--run", "nobody")[0] == Exit.NOT_FOUND


def test_events_are_watched_as_they_come(towpath: Harness) -> None:
    """Another process sees an event a moment after it was emitted, and ends after the first if that is asked."""
    command = [sys.executable, "-m", "towpath.cli", "events", "watch", "--event", "order.*", "--once", "--json"]
    watcher = subprocess.Popen([*command, "--timeout", "100"], stdout=subprocess.PIPE, text=True)
    done = threading.Event()

    def emit_until_seen() -> None:
        while not done.is_set():
            emit_event("order.paid", ORDER)
            RECORDER.flush()
            done.wait(0.05)

    teller = threading.Thread(target=emit_until_seen)
    teller.start()
    try:
        out, _ = watcher.communicate(timeout=110)
    finally:
        done.set()
        teller.join()
        watcher.kill()
    assert watcher.returncode == Exit.OK
    (line,) = out.splitlines()
    assert json.loads(line)["event"] == "order.paid"


def test_a_watch_ends_when_its_time_is_over(typed: Typed) -> None:
    """With a code of its own."""
    assert typed("events", "watch", "--timeout", "0") == (Exit.TIMED_OUT, "", "Nothing more within 0 s.\n")


def test_values_of_flows_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """`towpath config` neither complains about variables and secrets in the environment, nor shows them."""
    given = {"TOWPATH_VARIABLE_REGION": "eu", "TOWPATH_SECRET_DB_PASSWORD": "hunter2"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = list(look())
    assert not any(one.name in given or "hunter2" in str(one) for one in found)
    assert "TOWPATH_SECRETS" in [one.name for one in found]
