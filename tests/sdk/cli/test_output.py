"""How things look on a terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from towpath.cli.output import PLAIN, Style, age, aligned, fields, moment, style_of, table
from towpath.cli.seen import SeenState
from towpath.console.looks import duration
from towpath.states import StateType

NOW = datetime(2026, 1, 3, tzinfo=UTC)


class Terminal(io.StringIO):
    """Claims to be one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (60, "1 min 0 s"),
        (3599.7, "1 h 0 min"),
        (3600, "1 h 0 min"),
        (7260, "2 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_as_exact_as_people_need(seconds: float | None, said: str) -> None:
    """Tenths below a minute, then two units."""
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=5), "5 s"),
        (timedelta(seconds=-5), "0 s"),
        (timedelta(minutes=3, seconds=50), "3 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(days=3, hours=20), "3 d"),
    ],
)
def test_ages_are_in_one_unit(ago: timedelta, said: str) -> None:
    """The largest that fits; a clock that is ahead gives no negative age."""
    assert age(NOW - ago, NOW) == said
    assert age(None, NOW) == ""


def test_tables_leave_out_columns_in_which_there_is_nothing() -> None:
    """Headings stand over what there is, and lines end where their text does."""
    assert table([("A", "B", "C"), ("1", "", "x"), ("22", "", "")]) == "A   C\n1   x\n22"
    assert table([("A", "B")]) == ""
    assert fields([("Name", "x"), ("Nothing", ""), ("Two", "a\nb")]) == "Name  x\nTwo   a\n      b"
    assert fields([]) == ""


def test_colours_do_not_move_columns() -> None:
    """Escapes take no room; the marks can be told apart without colours."""
    coloured = Style(coloured=True)
    failed, done = SeenState(StateType.FAILED, "Failed"), SeenState(StateType.COMPLETED, "Completed")
    rows = [(coloured.state(state), "next") for state in (failed, done)]
    assert [line.index("next") - len(row[0]) for line, row in zip(aligned(rows).splitlines(), rows, strict=True)] == [
        5,
        2,
    ]
    assert {PLAIN.state(SeenState(type_, "x"))[0] for type_ in StateType} == {"✔", "✘", "■", "▶", "·"}
    assert (PLAIN.passed(True), PLAIN.passed(False), PLAIN.passed(None)) == ("✔", "✘", "?")
    assert (PLAIN.level("INFO"), PLAIN.faint("x"), PLAIN.heading("x")) == ("INFO    ", "x", "x")


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
    ids=["terminal", "dumb", "NO_COLOR", "file"],
)
def test_colours_are_for_terminals_that_have_them(
    stream: io.StringIO, environment: dict[str, str], coloured: bool
) -> None:
    """Neither a file nor whoever sets NO_COLOR gets escapes."""
    assert style_of(stream, environment).coloured is coloured


def test_moments_are_in_local_time() -> None:
    """People read their own clock."""
    assert moment(NOW) == NOW.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert moment(None) == ""
