"""Runs shown while they go."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from tests.sdk.cli.bodies_of_runs import seen

from towpath.cli.exits import Exit
from towpath.cli.output import PLAIN
from towpath.cli.port import Runs
from towpath.cli.seen import Run
from towpath.cli.watching import LiveTree, watch

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


class Following:
    """Runs of which only `follow` is asked."""

    def __init__(self, *changes: Run | None) -> None:
        self._changes = changes

    def follow(self, run: Run | None, beat_seconds: float) -> Iterator[Run | None]:
        """Give the changes."""
        yield from self._changes


def following(*changes: Run | None) -> Runs:
    """Give runs that change so."""
    return cast("Runs", Following(*changes))


def test_away_from_a_terminal_each_new_state_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What has been said is not said again; why a run waits or went wrong is."""
    waiting = seen("r", "PENDING", reason="JobCreated")
    failed = seen("r", "FAILED", reason="FlowFailed")
    child = seen("c", "COMPLETED", reason="Succeeded", parent="r")
    code = watch(following(waiting, None, waiting, child, child, failed), waiting)
    assert code is Exit.NOT_COMPLETED
    said = [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == ["r  · Pending  JobCreated", "c  ✔ Completed", "r  ✘ Failed  FlowFailed"]


def test_the_code_says_whether_the_run_completed() -> None:
    """Only that of the run that is watched counts, and only COMPLETED is well."""
    run = seen("r", "RUNNING")
    assert watch(following(run, seen("c", "FAILED"), seen("r", "COMPLETED")), run) is Exit.OK
    assert watch(following(run, seen("r", "CANCELLED")), run) is Exit.NOT_COMPLETED


def test_waiting_ends_with_the_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    """The run goes on; whoever waited gets a code of its own. A run that has ended by then has ended."""
    clock = iter([0.0, 5.0, 11.0, 12.0])
    run = seen("r", "RUNNING")
    code = watch(following(run, None, None), run, timeout_seconds=10, monotonic=lambda: next(clock))
    assert code is Exit.TIMED_OUT
    assert capsys.readouterr().err == "Not ended within 10 s; it goes on.\n"
    late = iter([0.0, 99.0])
    ended = following(seen("r", "COMPLETED"))
    assert watch(ended, run, timeout_seconds=10, monotonic=lambda: next(late)) is Exit.OK


def test_for_programs_each_change_is_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole run, each time that it is not as before."""
    run = seen("r", "RUNNING")
    watch(following(run, run, None, seen("r", "COMPLETED")), run, as_json=True)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["name"], one["state"]["type"]) for one in told] == [("r", "RUNNING"), ("r", "COMPLETED")]


def live(rows: int = 24) -> tuple[LiveTree, io.StringIO]:
    """Give a live tree on a screen of so many lines, and what it writes."""
    out = io.StringIO()
    clock = iter(float(tick) for tick in range(1000))
    tree = LiveTree(out, PLAIN, size=lambda: (80, rows), now=lambda: NOW, monotonic=lambda: next(clock))
    return tree, out


def screen(written: str) -> Sequence[str]:
    """Give the lines that are left when a terminal has done what it was told: up, and clear below."""
    lines: list[str] = []
    rest = written.replace("\x1b[?7l", "").replace("\x1b[?7h", "")
    while rest:
        if rest.startswith("\x1b[J"):
            rest = rest.removeprefix("\x1b[J")
        elif rest.startswith("\x1b["):
            up, _, rest = rest[2:].partition("F")
            del lines[len(lines) - int(up) :]
        else:
            line, _, rest = rest.partition("\n")
            lines.append(line)
    return lines


def test_on_a_terminal_the_tree_is_drawn_over_itself() -> None:
    """However often it was drawn, it stands there once, as it is now."""
    tree, out = live()
    tree.tell(None)
    tree.tell(seen("r", "RUNNING", startTime="2026-01-01T12:00:00Z"))
    tree.tell(seen("c", "RUNNING", parent="r"))
    tree.tell(None)
    tree.tell(seen("c", "FAILED", parent="r", reason="OutOfMemory"))
    tree.close()
    assert screen(out.getvalue()) == [
        "RUN   STATE      TIME",
        "r     ▶ Running  30.0 s",
        "└─ c  ✘ Failed",
        "c: OutOfMemory",
    ]


def test_a_tree_that_is_higher_than_the_screen_shows_its_end() -> None:
    """What has left the screen cannot be drawn over; in the end all of it is shown."""
    tree, out = live(rows=6)
    runs: list[Any] = [seen(f"r{i}", "RUNNING") for i in range(9)]
    for run in runs:
        tree.tell(run)
    before = screen(out.getvalue())
    assert before == ["RUN  STATE", "… 6 more", "r6   ▶ Running", "r7   ▶ Running", "r8   ▶ Running"]
    tree.close()
    assert len(screen(out.getvalue())) == 10


def test_changes_that_come_in_a_rush_are_drawn_together() -> None:
    """A tree of thousands is not drawn thousands of times a second."""
    out = io.StringIO()
    tree = LiveTree(out, PLAIN, size=lambda: (80, 24), now=lambda: NOW, monotonic=lambda: 100.0)
    for i in range(20):
        tree.tell(seen(f"r{i}", "RUNNING"))
    assert out.getvalue().count("RUN") == 1
