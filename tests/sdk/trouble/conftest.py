"""What tests of trouble share: a home of the test's own, where runs are recorded and results kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from towpath.history.recorder import RECORDER


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the file in which this process's runs are recorded during the test; results are kept beside it."""
    RECORDER.close()
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    monkeypatch.delenv("TOWPATH_RESULT_STORAGE", raising=False)
    yield tmp_path / "history.db"
    RECORDER.close()
