"""Logs: one JSON object a line, whoever speaks."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from towpath_operator import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logs that go into a buffer; afterwards everything is as it was."""
    root = logging.getLogger()
    changed = [root, logging.getLogger("kopf"), logging.getLogger("kopf.objects")]
    handlers, levels = root.handlers[:], [logger.level for logger in changed]
    buffer = io.StringIO()
    logs.configure("info", buffer)
    yield buffer
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    for logger, level in zip(changed, levels, strict=True):
        logger.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line(stream: io.StringIO) -> None:
    """A line has its time, level, logger, message, and which run of which namespace it is about."""
    logging.getLogger("towpath_operator.app").warning("%s is late", "it", extra={"namespace": "team-a", "run": "r"})
    [line] = lines(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "towpath_operator.app",
        "message": "it is late",
        "namespace": "team-a",
        "run": "r",
    }


def test_a_traceback_is_in_the_line(stream: io.StringIO) -> None:
    """An exception does not spread over lines that nobody can put together again."""
    try:
        raise ZeroDivisionError("odd")
    except ZeroDivisionError:
        logging.getLogger("x").exception("failed")
    [line] = lines(stream)
    assert line["exception"].splitlines()[0].startswith("Traceback")
    assert "ZeroDivisionError: odd" in line["exception"]


def test_kopfs_lines_name_the_object(stream: io.StringIO) -> None:
    """kopf's own way of naming an object becomes ours; what it says of each event is left out."""
    reference = {"kind": "FlowRun", "namespace": "team-a", "name": "r", "uid": "u"}
    logging.getLogger("kopf.objects").info("Handler succeeded.", extra={"k8s_ref": reference})
    logging.getLogger("kopf.objects").error("Handler failed.", extra={"k8s_ref": reference})
    [line] = lines(stream)
    assert (line["namespace"], line["run"], line["message"]) == ("team-a", "r", "Handler failed.")


def test_warnings_are_logged(stream: io.StringIO) -> None:
    """What Python warns of is a line too."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    [line] = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "DeprecationWarning: old" in line["message"]


def test_the_level_is_kept(stream: io.StringIO) -> None:
    """Less severe messages are left out."""
    logging.getLogger("x").debug("detail")
    assert lines(stream) == []


@pytest.mark.parametrize(("kind", "field"), [("FlowRun", "run"), ("Flow", "flow"), ("Deployment", "deployment")])
def test_fields_of_kinds(kind: str, field: str) -> None:
    """Each kind has a field of its own in a line."""
    assert logs.field_of(kind) == field
    assert field in logs.FIELDS
