"""A history of the test's own, in which limits are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from towpath.concurrency import requests
from towpath.concurrency.local import local_slots
from towpath.concurrency.tags import look_again
from towpath.history.recorder import RECORDER


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the file in which this process's runs and limits are kept during the test."""
    RECORDER.close()
    file = tmp_path / "history.db"
    monkeypatch.setenv("TOWPATH_HISTORY", str(file))
    monkeypatch.setattr(requests, "_warned", set())
    look_again()
    yield file
    local_slots(file).keeper.flush(30, rest=True)
    RECORDER.close()
    look_again()
