"""A history of the test's own, and a recorder that writes to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from towpath.history.recorder import RECORDER


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the file in which this process's runs are recorded during the test."""
    RECORDER.close()
    file = tmp_path / "history.db"
    monkeypatch.setenv("TOWPATH_HISTORY", str(file))
    yield file
    RECORDER.close()
