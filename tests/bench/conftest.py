"""What measurements share: a home of their own, where runs are recorded, and no log lines."""

from __future__ import annotations

import compileall
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import towpath
from towpath.history.recorder import RECORDER


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """The package is compiled, as pip does it: a process that compiles what it imports measures something else."""
    assert compileall.compile_dir(Path(towpath.__file__).parent, quiet=1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder where runs of the test are recorded, in `history.db`, and results are kept; without log lines."""
    RECORDER.close()
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    logging.disable(logging.CRITICAL)
    yield tmp_path
    logging.disable(logging.NOTSET)
    RECORDER.close()
