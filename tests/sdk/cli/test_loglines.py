"""Lines of logs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

import pytest

from towpath.cli.loglines import level_named, parse, reaches, show
from towpath.cli.seen import Line
from towpath.errors import ConfigurationError
from towpath.loggers import JsonFormatter

AT = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
CLOCK = AT.astimezone().strftime("%H:%M:%S.123")


def test_what_a_pod_writes_is_read_back() -> None:
    """A line of the formatter that pods use gives its message, time, level, run and task run."""
    record = logging.LogRecord("towpath.task_runs", logging.WARNING, __file__, 1, "read %s rows", (3,), None)
    record.run, record.task_run = "nightly-1", "read-0"
    line = parse(JsonFormatter().format(record))
    assert (line.message, line.level, line.run, line.task_run) == ("read 3 rows", "WARNING", "nightly-1", "read-0")
    assert line.time is not None
    assert abs(line.time.timestamp() - record.created) < 0.002


def test_a_traceback_follows_its_message() -> None:
    """What the line keeps apart is shown together."""
    line = parse(json.dumps({"message": "failed", "level": "ERROR", "exception": "Traceback\n  x"}))
    assert line.message == "failed\nTraceback\n  x"
    assert show(line).splitlines() == [" | ERROR    | failed", "  Traceback", "    x"]


@pytest.mark.parametrize("text", ["plain", "", "{broken", "[1]", '{"message": 1}', '{"other": "x"}', "5"])
def test_anything_else_is_shown_as_it_is(text: str) -> None:
    """A print, another program's output, or JSON that is no log line of ours."""
    assert parse(text, AT) == Line(text, AT)
    assert show(parse(text, AT)) == f"{CLOCK} | {text}"
    assert show(parse(text)) == text


@pytest.mark.parametrize("time", ["soon", "2026-01-01T12:00:00", 5, None])
def test_a_line_without_a_time_has_that_at_which_it_was_written(time: object) -> None:
    """The container's own time is good enough."""
    assert parse(json.dumps({"message": "x", "time": time}), AT).time == AT


def test_lines_look_like_those_on_a_terminal() -> None:
    """Local time, level, task run, message."""
    line = Line("read 3 rows", AT, "INFO", "read-0", "nightly-1")
    assert show(line) == f"{CLOCK} | INFO     | Task run 'read-0' | read 3 rows"


@pytest.mark.parametrize(
    ("line", "level", "shown"),
    [
        ("INFO", "INFO", True),
        ("INFO", "WARNING", False),
        ("ERROR", "warning", True),
        (None, "INFO", True),
        (None, "ERROR", False),
        ("ODD", "INFO", True),
    ],
)
def test_lines_are_told_apart_by_level(line: str | None, level: str, shown: bool) -> None:
    """A line of a level or above; what was just printed counts as INFO."""
    assert reaches(Line("x", None, line), level_named(level)) is shown


def test_a_level_that_is_none_is_refused() -> None:
    """The sentence says which there are."""
    with pytest.raises(
        ConfigurationError, match="--level takes one of DEBUG, INFO, WARNING, ERROR, CRITICAL; got 'LOUD'"
    ):
        level_named("LOUD")
