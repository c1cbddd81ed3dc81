"""Where artifacts and events go: one contract for all places, and what each has of its own."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from towpath import errors, names
from towpath.artifacts import (
    Artifact,
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from towpath.cli.loglines import parse
from towpath.events import emit_event
from towpath.loggers import JsonFormatter
from towpath.telling.lines import LINES, LogLines
from towpath.telling.local import HistoryOutlet
from towpath.telling.outlets import outlet
from towpath.telling.timeline import Query, Timeline
from towpath.testing import Harness

ORDER = {"towpath.resource.id": "order-456"}
RUN = Path(__file__).with_name("tells.py")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Give what has been told in the log so far, as whoever collects it reads it."""

    def read() -> list[dict[str, Any]]:
        told = [record for record in caplog.records if record.name == "towpath.told" and hasattr(record, "told")]
        return [json.loads(JsonFormatter().format(record)) for record in told]

    return read


def test_the_place_is_chosen_by_where_one_is(towpath: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history here; the log in a pod, and where the history is off."""
    assert isinstance(outlet(), HistoryOutlet)
    monkeypatch.setenv("TOWPATH_HISTORY", "off")
    assert outlet() is LINES
    monkeypatch.setenv("TOWPATH_HISTORY", "")
    monkeypatch.setenv(names.ENV_RUN, "nightly-7")
    assert outlet() is LINES


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize(
    ("create", "message", "type_", "data"),
    [
        (lambda: create_markdown_artifact("# Hæ", key="k"), "Artifact 'k' (markdown, 5 bytes)", "markdown", "# Hæ"),
        (lambda: create_image_artifact("a.png", key="k"), "Artifact 'k' (image, 5 bytes)", "image", "a.png"),
        (lambda: create_table_artifact([{"a": 1}], key="k"), "Artifact 'k' (table, 9 bytes)", "table", [{"a": 1}]),
        (lambda: create_progress_artifact(5, key="k"), "Artifact 'k' (progress, 5 %)", "progress", 5.0),
    ],
    ids=["markdown", "image", "table", "progress"],
)
def test_in_a_pod_an_artifact_is_a_line(lines: Any, create: Any, message: str, type_: str, data: Any) -> None:
    """With all that is known of it; a table as it was given."""
    made = create()
    (line,) = lines()
    assert line["message"] == message
    artifact = line["artifact"]
    assert (artifact["id"], artifact["key"], artifact["type"]) == (str(made), "k", type_)
    assert artifact["data"] == data
    assert parse(json.dumps(line)).message == message


@pytest.mark.usefixtures("pod")
def test_in_a_pod_progress_and_events_are_lines(lines: Any, towpath: Harness) -> None:
    """A line for each update, with the artifact's id; and nothing is kept in a file."""
    made = create_progress_artifact(0)
    update_progress_artifact(made, 50, "half")
    event = emit_event("order.paid", ORDER, payload={"amount": 12.5})
    first, second, third = lines()
    assert first["message"] == f"Artifact {made} (progress, 0 %)"
    assert (second["artifact"]["id"], second["artifact"]["data"], second["artifact"]["description"]) == (
        str(made),
        50.0,
        "half",
    )
    assert third["message"] == "Event 'order.paid' of 'order-456'"
    assert third["event"] == {**event.as_json(), "flow_run_id": None, "task_run_id": None}
    assert list(towpath.folder.iterdir()) == []


@pytest.mark.usefixtures("pod")
def test_in_a_pod_nothing_is_read_back() -> None:
    """The error says where artifacts go there, and what to do instead."""
    with pytest.raises(
        errors.ConfigurationError, match=r"artifacts go to the pod's log\. Hand the value on as a result"
    ):
        Artifact.get("report")


def test_without_a_history_it_is_said_once_what_that_means(
    towpath: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A line each, and one warning; none where lines are JSON, which has it all."""
    monkeypatch.setenv("TOWPATH_HISTORY", "off")
    monkeypatch.setattr("towpath.telling.lines.LINES", LogLines())
    for _ in range(3):
        create_markdown_artifact("x", key="report")
    assert caplog.text.count("not kept, because TOWPATH_HISTORY is 'off'") == 1
    assert caplog.text.count("Artifact 'report' (markdown, 1 bytes)") == 3
    caplog.clear()
    monkeypatch.setenv("TOWPATH_LOG_FORMAT", "json")
    monkeypatch.setattr("towpath.telling.lines.LINES", LogLines())
    create_markdown_artifact("x", key="report")
    assert "not kept" not in caplog.text


@pytest.mark.parametrize("runner", ["threads", "processes"])
@pytest.mark.parametrize("place", ["pod", "off", "history"])
def test_a_whole_process_loses_nothing(tmp_path: Path, place: str, runner: str) -> None:
    """Whatever level is logged, and in whichever process a task runs: all is told, and names its run."""
    environment = {
        **os.environ,
        "TOWPATH_LOG_FORMAT": "json",
        "TOWPATH_LOG_LEVEL": "ERROR",
        "TOWPATH_HOME": str(tmp_path),
        "TOWPATH_HISTORY": "off" if place == "off" else str(tmp_path / "h.db"),
    }
    if place == "pod":
        environment[names.ENV_RUN] = "nightly-7"
    done = subprocess.run(
        [sys.executable, str(RUN), runner], env=environment, check=True, capture_output=True, text=True, timeout=110
    )
    told = [json.loads(line) for line in done.stderr.splitlines()]
    if place == "history":
        assert told == []
        with Timeline(tmp_path / "h.db") as timeline:
            artifacts = {(one.key, one.data, one.task_run) for one in timeline.artifacts()}
            seen = timeline.latest(Query(name="part.done"), None)
            events = {(one.event.payload["n"], one.origin.task_run) for one in seen}
            runs = {one.flow_run for one in timeline.artifacts()} | {one.origin.flow_run for one in seen}
    else:
        artifacts = {(t["artifact"]["key"], t["artifact"]["data"], t.get("task_run")) for t in told if "artifact" in t}
        events = {(t["event"]["payload"]["n"], t["task_run"]) for t in told if "event" in t}
        runs = {t["run"] for t in told}
    assert artifacts == {("top", "top", None), *((f"part-{n}", f"# {n}", f"part-{n}") for n in range(3))}
    assert events == {(n, f"part-{n}") for n in range(3)}
    assert runs == {"the-run"}


def test_a_history_that_cannot_be_written_does_not_harm_the_run(
    towpath: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The flow goes on, and the log says that nothing is recorded."""
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Ann")
    monkeypatch.setenv("TOWPATH_HISTORY", str(letter))
    from towpath.history.recorder import RECORDER

    RECORDER.close()
    create_markdown_artifact("x")
    emit_event("e", ORDER)
    RECORDER.flush()
    assert "is no SQLite file" in caplog.text
    assert letter.read_text() == "Dear Ann"


def test_what_is_large_is_written_before_the_call_returns(told: Timeline, caplog: pytest.LogCaptureFixture) -> None:
    """So a loop over large artifacts does not fill the memory."""
    caplog.set_level(logging.ERROR)
    for n in range(5):
        create_markdown_artifact("x" * 100_000, key=f"large-{n}")
    assert len(told.artifacts()) == 5
