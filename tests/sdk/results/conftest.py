"""What tests of results share: a folder of the test's own to keep them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from towpath.engine import keeping


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep results in the test's own folder, with nothing set and nothing said yet."""
    for name in ("RESULT_STORAGE", "RESULTS_DEFAULT_SERIALIZER", "RESULTS_PERSIST_BY_DEFAULT"):
        monkeypatch.delenv(f"TOWPATH_{name}", raising=False)
    monkeypatch.setenv("TOWPATH_HISTORY", "off")
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(keeping, "_said", set())
    return tmp_path / "home"
