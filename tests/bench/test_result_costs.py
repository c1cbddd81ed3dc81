"""What kept results cost: a hit, and a result written, beside bare pickle files in the same folder; runs recorded."""

# ruff: noqa: PTH123 what is compared with should do nothing but open a file
from __future__ import annotations

import itertools
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bench.measure import loop_cpu, microseconds, table

from towpath import flow, task
from towpath.cache_policies import INPUTS
from towpath.caching import key_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep results, and what they are compared with, in the same file system, and log lines out of the measurement."""
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    logging.disable(logging.CRITICAL)
    yield tmp_path
    logging.disable(logging.NOTSET)


def test_kept_results_cost_a_few_bare_files(folder: Path) -> None:
    """A hit ≤ 200 µs where reading a pickle takes 10, a result kept ≤ 300 µs where writing one takes 30."""

    def plain(x: int) -> int:
        return x

    uncached, cached, kept = task(plain), task(plain, cache_policy=INPUTS), task(plain, persist_result=True)

    @flow
    def calls(times: int) -> None:
        for i in range(times):
            uncached(i)

    @flow
    def hits(times: int) -> None:
        for _ in range(times):
            cached(1)

    @flow
    def keeps(times: int) -> None:
        for i in range(times):
            kept(i)

    fresh = itertools.count()

    def write(times: int) -> None:
        for i in range(times):
            with open(f"{folder}/{next(fresh)}.pickle", "wb") as file:
                pickle.dump(i, file)

    def read(times: int) -> None:
        for i in range(times):
            with open(f"{folder}/{i}.pickle", "rb") as file:
                pickle.load(file)

    def keys(times: int) -> None:
        arguments = {"day": "2026-01-31", "regions": ["eu", "us"], "limit": 10, "full": False}
        for _ in range(times):
            key_of("inputs", arguments)

    cached(1)
    written, read_, call = loop_cpu(write, 500), loop_cpu(read, 500), loop_cpu(calls, 1000)
    hit, keep = loop_cpu(hits, 1000), loop_cpu(keeps, 500)
    print(
        table(
            "Kept results, CPU each",
            ["what", "CPU", "beside", "times"],
            [
                ["pickle file read, bare", microseconds(read_), "", ""],
                ["pickle file written, bare", microseconds(written), "", ""],
                ["task call without any of it", microseconds(call), "", ""],
                ["key of four arguments", microseconds(loop_cpu(keys, 2000)), "", ""],
                ["cache hit", microseconds(hit), "bare read", f"{hit / read_:.1f}"],
                ["result kept", microseconds(keep), "bare write", f"{keep / written:.1f}"],
            ],
        )
    )
    assert hit <= 200 / 10 * read_
    assert keep <= 300 / 30 * written
