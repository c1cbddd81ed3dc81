"""Runs shown while they go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from tests.sdk.cli.bodies_of_runs import seen

from towpath.cli.exits import Exit
from towpath.cli.port import Runs
from towpath.cli.seen import Run
from towpath.cli.watching import LiveTree, watch
from towpath.console.rows import Row

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


class Drawn:
    """A picture that remembers what was to be drawn."""

    def __init__(self) -> None:
        self.drawn: list[list[str]] = []

    def draw(self, rows: Sequence[Row]) -> None:
        """Draw anew."""
        self.drawn.append([f"{row.name} {row.state} {row.seconds} {row.news}" for row in rows])

    close = draw


def live(*ticks: float) -> tuple[LiveTree, Drawn]:
    """Give a live tree, and what it draws; the last tick goes on for ever."""
    picture, clock = Drawn(), iter(ticks)
    return LiveTree(cast("Any", picture), now=lambda: NOW, monotonic=lambda: next(clock, ticks[-1])), picture


def test_on_a_terminal_the_tree_is_drawn_over_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Runs in the order of their beginning, with times and counts as they are now, and why one waits or failed."""
    tree, picture = live(*map(float, range(1, 100)))
    tree.tell(seen("r", "RUNNING", startTime="2026-01-01T12:00:00Z", tasks={"total": 3, "completed": 1, "failed": 1}))
    tree.tell(seen("c", "FAILED", parent="r", reason="OutOfMemory", attempt=2, created="2026-01-01T12:00:09Z"))
    tree.tell(None)
    tree.close()
    assert picture.drawn[0] == ["r Running 30.0 2/3 done, 1 running, 1 failed"]
    assert picture.drawn[-1] == [picture.drawn[0][0], "c Failed None attempt 2, OutOfMemory"]
    assert capsys.readouterr().out == "c: OutOfMemory\n"


def test_changes_that_come_in_a_rush_are_drawn_together() -> None:
    """A tree of thousands is not drawn thousands of times a second."""
    tree, picture = live(100.0)
    for i in range(20):
        tree.tell(seen(f"r{i}", "RUNNING"))
    assert len(picture.drawn) == 1
