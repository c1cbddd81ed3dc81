"""The termination message: as much of a run's end as fits into 4096 bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from towpath.cluster import termination

STATE = {
    "type": "FAILED",
    "name": "Failed",
    "reason": "FlowFailed",
    "message": "m",
    "since": "2026-01-01T00:00:00.000000Z",
}
ERROR = {"code": "FlowFailed", "kind": "User", "message": "bad row", "type": "builtins.ValueError"}
TASKS = {"total": 1, "completed": 0, "failed": 1, "running": 0}


@pytest.mark.parametrize(
    ("fields", "kept", "whole"),
    [
        ({"result": {"inline": "[1]", "serializer": "json"}, "tasks": TASKS}, {"result", "tasks"}, True),
        ({"result": {"inline": "x" * 5000, "serializer": "json"}, "tasks": TASKS}, {"tasks"}, False),
        ({"error": ERROR, "children": None}, {"error"}, True),
        (
            {"error": ERROR | {"traceback": "t" * 4000, "exception": "e" * 100}, "tasks": TASKS},
            {"error", "tasks"},
            False,
        ),
        ({"error": ERROR | {"traceback": "t" * 4000, "exception": "e" * 6000}}, {"error"}, False),
        ({"error": ERROR | {"message": "ü" * 1024}}, {"error"}, True),
    ],
    ids=["result", "large result", "error", "long traceback", "large exception", "long words"],
)
def test_what_matters_most_is_kept(fields: dict[str, Any], kept: set[str], whole: bool) -> None:
    """State always; then the error in words, then counts, then all of it, as far as there is room."""
    text, is_whole = termination.message(3, STATE, fields)
    told = json.loads(text)
    assert len(text) <= 4096
    assert (told["towpath"], told["attempt"], told["state"]) == (1, 3, STATE)
    assert told.keys() - {"towpath", "attempt", "state"} == kept
    assert is_whole is whole
    if "error" in kept:
        assert told["error"]["message"] == fields["error"]["message"]


def test_the_exception_is_kept_before_its_traceback() -> None:
    """What the parent raises is worth more than where it came from."""
    text, _ = termination.message(1, STATE, {"error": ERROR | {"traceback": "t" * 4000, "exception": "e" * 2000}})
    assert json.loads(text)["error"].keys() == {*ERROR, "exception"}


def test_words_that_are_too_long_are_cut() -> None:
    """Even the longest message leaves room for what happened."""
    long = "\\" * 4000
    text, whole = termination.message(1, STATE | {"message": long}, {"error": ERROR | {"message": long}})
    told = json.loads(text)
    assert len(text) <= 4096
    assert not whole
    assert told["state"]["type"] == "FAILED"
    assert told["error"]["message"].startswith("\\")


def test_outside_a_pod_there_is_nowhere_to_write(tmp_path: Path) -> None:
    """No file, no message, no error."""
    assert not termination.write(tmp_path / "no" / "such" / "file", b"{}")
