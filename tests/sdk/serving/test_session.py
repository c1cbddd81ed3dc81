"""The loop round a server."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.sdk.serving.scene import deployment

from towpath.errors import ConfigurationError, HistoryError
from towpath.schedules import Interval
from towpath.serving import inside, session
from towpath.serving.book import Book
from towpath.serving.session import Serving, serve


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file of this test's history."""
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    return tmp_path / "history.db"


def test_a_history_that_is_away_for_a_moment_ends_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk, a lock held for long: it is said once, and tried again until it goes."""
    naps: list[float] = []
    monkeypatch.setattr(session, "time", SimpleNamespace(time=time.time, sleep=naps.append))
    troubles = [HistoryError("The disk is full."), HistoryError("The disk is full."), HistoryError("It is locked.")]
    turns = []
    serving = Serving([deployment()], {"print_starting_message": False})

    def turn(server: object, now: object) -> float:
        turns.append(now)
        if troubles:
            raise troubles.pop(0)
        serving.stop()
        return 0.0

    monkeypatch.setattr(session.Server, "turn", turn)
    serving.run()
    assert len(turns) == 4
    assert len(naps) == 3
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "The disk is full. It is tried again.",
        "It is locked. It is tried again.",
    ]


def test_what_is_served_is_said(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each deployment with its schedules and its next run, and how to run one now."""
    caplog.set_level("INFO", "towpath")
    off = Interval(60, active=False)
    serving = Serving(
        [deployment(Interval(3600), off), deployment(name="later", paused=True), deployment(name="asked")], {}
    )
    serving.stop()
    serving.run()
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "Serving etl/nightly, next run at 20" in said
    assert "every 1 h from" in said
    assert "every 1 min from 2024-01-01 00:00:00+00:00, switched off" in said
    assert "Serving etl/later, paused" in said
    assert "Serving etl/asked, runs on demand" in said
    assert "run_deployment('etl/nightly')" in said


def test_a_server_that_has_stopped_serves_nothing(file: Path) -> None:
    """Although its process goes on."""
    serving = Serving([deployment()], {})
    serving.stop()
    serving.run()
    with Book(file) as book:
        assert [one.is_served for one in book.deployments()] == [False]
    assert [path.name for path in file.parent.glob("*-bell-*")] == []


def test_a_run_does_not_serve(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that serves when it is imported would otherwise serve in each of its runs."""
    monkeypatch.setattr(inside, "IS_CHILD", True)
    with pytest.raises(ConfigurationError, match="Put the call under `if __name__ == '__main__':`"):
        serve(deployment())
