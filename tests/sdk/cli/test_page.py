"""The page of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.sdk.cli.bodies_of_runs import seen

from towpath.cli.output import PLAIN
from towpath.cli.page import page
from towpath.cli.seen import SeenState, TaskRun
from towpath.states import StateType

NOW = datetime(2026, 1, 1, 12, 1, tzinfo=UTC)


def lines(run: Any, tasks: Any = (), flags: str = "-n data") -> list[str]:
    """Write a page; gives its lines."""
    return page(run, tasks, flags, NOW, PLAIN).splitlines()


def task(name: str, tries: int = 1) -> TaskRun:
    """Build a task run."""
    return TaskRun(
        name=name, task="read", state=SeenState(StateType.COMPLETED, "Completed"), seconds=0.5, run_count=tries
    )


def test_a_completed_run_shows_what_it_returned() -> None:
    """The state needs no reason; the result is readable; what to type next is there."""
    shown = lines(
        seen("r", "COMPLETED", reason="Succeeded", result={"serializer": "json", "inline": '{"a": 1}', "size": 8})
    )
    assert shown[:2] == ["r  ✔ Completed", ""]
    assert shown[shown.index("Result") :] == [
        "Result",
        "{",
        '  "a": 1',
        "}",
        "",
        "Next",
        "  towpath runs logs r -n data",
        "  towpath runs tree r -n data",
    ]


def test_a_failed_run_shows_why() -> None:
    """Reason and traceback, the message where there is no traceback; and how it is tried again."""
    failed = {"code": "FlowFailed", "kind": "User", "message": "ValueError: no"}
    shown = lines(seen("r", "FAILED", reason="FlowFailed", error=failed))
    assert shown[:2] == ["r  ✘ Failed", "FlowFailed"]
    assert shown[shown.index("Error") + 1] == "ValueError: no"
    assert shown[-1] == "  towpath runs retry r -n data"
    assert "Traceback …" in lines(seen("r", "FAILED", error=failed | {"traceback": "Traceback …\n"}))


def test_a_live_run_can_be_watched_and_cancelled() -> None:
    """What to type next depends on where the run stands and where it is."""
    live = seen("r", "RUNNING", startTime="2026-01-01T12:00:30Z", attempt=1)
    assert lines(live)[-3:] == [
        "  towpath runs logs r -n data",
        "  towpath runs watch r -n data",
        "  towpath runs cancel r -n data",
    ]
    assert lines(live, flags="")[-2:] == ["  towpath runs watch r", "  towpath runs cancel r"]
    assert "Runs for    30.0 s" in lines(live) or "Runs for  30.0 s" in lines(live)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"serializer": "pickle", "inline": "gASV", "size": 1234}, "  a pickle of 1,234 bytes"),
        ({"serializer": "json", "ref": "s3://x/y", "size": 99999}, "  kept at s3://x/y (json, 99,999 bytes)"),
        ({"serializer": "json", "inline": '"two\\nlines"'}, "two"),
    ],
)
def test_results_are_shown_as_far_as_can_be(result: dict[str, Any], said: str) -> None:
    """A pickle is not opened, what is kept elsewhere is not fetched, a text stands as it reads."""
    shown = lines(seen("r", "COMPLETED", result=result))
    assert shown[shown.index("Result") + 1] == said


def test_states_tasks_counts_and_long_parameters() -> None:
    """Attempts are told apart where there are several; tries where there were; long values are cut."""
    entry = {"type": "RUNNING", "name": "Running", "at": "2026-01-01T12:00:00Z"}
    run = seen(
        "r",
        "RUNNING",
        parameters={"x": "y" * 300},
        history=[entry | {"attempt": 1}, entry | {"attempt": 2}],
        tasks={"total": 70, "completed": 60, "failed": 4},
    )
    text = "\n".join(lines(run, [task(f"read-{i}", tries=2 if i == 59 else 1) for i in range(60)]))
    assert "attempt 1" in text
    assert "60 completed, 4 failed, 6 running" in text
    assert "  … 10 before these\n  read-10  ✔ Completed  0.5 s" in text
    assert "  read-59  ✔ Completed  0.5 s  2 tries" in text
    assert 'x = "yyy' in text
    assert "…" in text.partition("x = ")[2].splitlines()[0]
    assert max(map(len, text.splitlines())) < 250
