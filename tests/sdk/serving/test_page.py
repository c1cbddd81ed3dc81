"""The script in the page about schedules, run as a reader runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sdk.serving.test_processes import PATIENCE_SECONDS, until
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "schedules.md"
pytestmark = pytest.mark.timeout(300)


def test_the_page_shows_a_script_that_serves_and_how_to_call_it(tmp_path: Path) -> None:
    """`python reports.py` in one terminal, the call in another."""
    serving, calling = (block.code for block in blocks(PAGE.name, PAGE.read_text(encoding="utf-8")) if not block.runs)
    script = tmp_path / "reports.py"
    script.write_text(serving, encoding="utf-8")
    environment = {**os.environ, "TOWPATH_HISTORY": str(tmp_path / "history.db")}
    log = tmp_path / "log"
    with log.open("wb") as words:
        server = subprocess.Popen([sys.executable, script], env=environment, stderr=words)
    try:
        until(lambda: "Press Ctrl-C" in log.read_text(encoding="utf-8"), "the server")
        called = subprocess.run(
            [sys.executable, "-c", calling],
            env=environment,
            timeout=PATIENCE_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.terminate()
        server.wait(PATIENCE_SECONDS)
    assert called.returncode == 0, called.stderr
    words_said = log.read_text(encoding="utf-8")
    assert "Serving report/weekdays, next run at" in words_said
    assert "reporting on Lima" in words_said


@pytest.mark.parametrize("word", ["missed_runs", "pause_on_shutdown", "grace_seconds", "concurrency_limit", "limit"])
def test_the_page_explains_every_option_that_changes_what_happens(word: str) -> None:
    """By its name."""
    assert f"`{word}" in PAGE.read_text(encoding="utf-8")
