"""What the tests of artifacts, events, variables and secrets share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from towpath import names
from towpath.history.recorder import RECORDER
from towpath.telling.kept import place
from towpath.telling.timeline import Timeline
from towpath.testing import Harness, harness


class UpToDate(Timeline):
    """Sees what this process noted a moment ago."""

    def _look(self, query: str, values: Iterable[Any]) -> list[sqlite3.Row]:
        RECORDER.flush()
        return super()._look(query, values)


@pytest.fixture
def towpath() -> Iterator[Harness]:
    """A history and a home of the test's own."""
    with harness() as made:
        os.environ["TOWPATH_SECRETS"] = ""
        yield made


@pytest.fixture
def told(towpath: Harness) -> Iterator[Timeline]:
    """What the history of this test has been told."""
    with UpToDate(place()) as timeline:
        yield timeline


@pytest.fixture
def pod(towpath: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a run's pod."""
    monkeypatch.setenv(names.ENV_RUN, "nightly-7")
