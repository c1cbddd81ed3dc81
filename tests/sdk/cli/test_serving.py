"""`towpath serve`: what is typed becomes a deployment, which others reach; and what is wrong is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from towpath.cli import running
from towpath.cli.__main__ import main
from towpath.cli.exits import Exit
from towpath.cli.parser import parse
from towpath.cli.serving import serve
from towpath.flows import Flow
from towpath.schedules import Cron, Interval, RRule

FLOWS = str(Path(__file__).with_name("flows_to_run.py"))


def test_what_is_typed_is_what_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Schedules with their clock, parameters read by the flow, tags and limits."""
    given: dict[str, object] = {}
    monkeypatch.setattr(Flow, "serve", lambda _, name, **options: given.update(options, name=name))
    line = "serve FLOWS:etl --name nightly --cron @daily --interval 15m --rrule FREQ=DAILY --timezone Europe/Berlin"
    line += " -p day=2026-01-31 -p label=5 --tag a --limit 0 --paused --missed latest"
    assert serve(parse(line.replace("FLOWS", FLOWS).split())) == Exit.OK
    zone = "Europe/Berlin"
    assert given == {
        "name": "nightly",
        "schedules": [Cron("@daily", timezone=zone), Interval(900, timezone=zone), RRule("FREQ=DAILY", timezone=zone)],
        "parameters": {"day": "2026-01-31", "label": "5"},
        "tags": ["a"],
        "paused": True,
        "missed_runs": "latest",
        "limit": None,
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("FLOWS:double", "'double' is a task, not a flow"),
        ("FLOWS:child --cron 61", "is no cron expression"),
        ("FLOWS:child --interval 3x", "--interval takes seconds, or 30m, 2h, 7d; got '3x'"),
        ("FLOWS:child --interval nan", "--interval takes seconds"),
        ("FLOWS:child --timezone Europe/Berlin", "--timezone goes with --cron"),
        ("FLOWS:child --cron @daily", "n is missing"),
        ("FLOWS:child -p m=1", "m=1 is not a parameter"),
        ("FLOWS:child --limit -2", "limit must be a whole number"),
        ("nowhere.py:child", "there is no file"),
    ],
    ids=[
        "a task",
        "no cron",
        "no length",
        "not a number",
        "no schedule",
        "parameters missing",
        "wrong",
        "limit",
        "file",
    ],
)
def test_mistakes_are_sentences(
    arguments: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is served."""
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "h.db"))
    assert main(["serve", *arguments.replace("FLOWS", FLOWS).split()]) == Exit.USAGE
    assert sentence in capsys.readouterr().err


def test_a_served_flow_is_reached_by_the_other_verbs(tmp_path: Path) -> None:
    """Listed, inspected, paused, resumed and run, until SIGTERM stops it in order; then there is nothing to pause."""
    environment = {"TOWPATH_HISTORY": str(tmp_path / "h.db"), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "towpath.cli"]

    def towpath(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=50
        )

    server = subprocess.Popen(
        [*command, "serve", f"{FLOWS}:child", "--name", "nightly", "--interval", "1w", "-p", "n=1", "--json"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    with server:
        try:
            assert server.stderr is not None
            assert json.loads(server.stderr.readline())["message"].startswith("Serving child/nightly, next run at")
            assert "nightly" in towpath("deployments", "ls").stdout
            said = json.loads(towpath("deployments", "pause", "nightly", "--json").stdout)
            assert (said["paused"], said["schedules"][0]["active"]) == (True, True)
            page = towpath("deployments", "inspect", "child/nightly").stdout
            assert "n: integer, needed" in page
            assert "paused" in page
            assert "go on" in towpath("deployments", "resume", "nightly").stdout
            ran = towpath("deployments", "run", "nightly", "-p", "n=7", "--watch", "--timeout", "40")
            assert "✔ Completed" in ran.stdout
            assert ran.returncode == Exit.OK
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=50)
    assert server.returncode == Exit.OK
    late = towpath("deployments", "pause", "nightly")
    assert late.returncode == Exit.CONFLICT
    assert "is not served at present" in late.stderr


def test_the_working_directory_can_be_imported_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `towpath run`."""
    (tmp_path / "served_here.py").write_text("from towpath import flow\n@flow\ndef mine(): pass\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert running.load("served_here:mine").name == "mine"
