"""How frames of polars become keys."""

from __future__ import annotations

import datetime as dt
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.caching import key_of

FRAMES: dict[str, Callable[[], Any]] = {
    "numbers": lambda: pl.DataFrame({"a": [1, 2]}),
    "smaller numbers": lambda: pl.DataFrame({"a": [1, 2]}, schema={"a": pl.Int8}),
    "unsigned": lambda: pl.DataFrame({"a": [1, 2]}, schema={"a": pl.UInt64}),
    "very large": lambda: pl.DataFrame({"a": [2**100, 2]}, schema={"a": pl.Int128}),
    "with a gap": lambda: pl.DataFrame({"a": [1, None]}),
    "with a gap before": lambda: pl.DataFrame({"a": [None, 1]}),
    "floats": lambda: pl.DataFrame({"a": [1.0, 2.0]}),
    "another name": lambda: pl.DataFrame({"b": [1, 2]}),
    "texts": lambda: pl.DataFrame({"a": ["x", "yz"]}),
    "the same letters": lambda: pl.DataFrame({"a": ["xy", "z"]}),
    "a text with a gap": lambda: pl.DataFrame({"a": ["x", None]}),
    "an empty text": lambda: pl.DataFrame({"a": ["x", ""]}),
    "true and false": lambda: pl.DataFrame({"a": [True, False]}),
    "true and nothing": lambda: pl.DataFrame({"a": [True, None]}),
    "days": lambda: pl.DataFrame({"a": [dt.date(2026, 1, 31), None]}),
    "points in time": lambda: pl.DataFrame({"a": [dt.datetime(2026, 1, 31), None]}),
    "spans": lambda: pl.DataFrame({"a": [dt.timedelta(1), None]}),
    "lists": lambda: pl.DataFrame({"a": [[1], [2, 3]]}),
    "structures": lambda: pl.DataFrame({"a": [{"x": 1}, {"x": 2}]}),
    "categories": lambda: pl.DataFrame({"a": pl.Series(["x", "y"], dtype=pl.Categorical)}),
    "decimals": lambda: pl.DataFrame({"a": [1, 2]}, schema={"a": pl.Decimal(10, 2)}),
    "bytes": lambda: pl.DataFrame({"a": [b"x", b"y"]}),
    "nothing": pl.DataFrame,
    "no rows": lambda: pl.DataFrame({"a": []}, schema={"a": pl.String}),
    "a series": lambda: pl.Series("a", [1, 2]),
}


def test_different_data_have_different_keys() -> None:
    """Types, names and what is missing are all part of the data."""
    assert len({key_of(make()) for make in FRAMES.values()}) == len(FRAMES)


@pytest.mark.parametrize("make", FRAMES.values(), ids=[*FRAMES])
def test_equal_data_have_equal_keys(make: Callable[[], Any]) -> None:
    """Made again, or sent through a pickle."""
    assert key_of(make()) == key_of(make()) == key_of(pickle.loads(pickle.dumps(make())))


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=6), st.integers(0, 6))
def test_how_a_frame_lies_in_memory_does_not_matter(texts: list[str | None], cut: int) -> None:
    """In one piece or several, whole or a part of another."""
    whole = pl.DataFrame({"a": pl.Series(texts, dtype=pl.String), "b": pl.Series(range(len(texts)), dtype=pl.Int64)})
    pieces = pl.concat([whole[:cut], whole[cut:]], rechunk=False)
    part = pl.concat([whole, whole])[: len(texts)]
    assert key_of(whole) == key_of(pieces) == key_of(part)


def test_keys_do_not_depend_on_what_else_is_loaded() -> None:
    """A process without numpy makes the keys of one with it."""
    code = "import polars, sys; from towpath.caching import key_of; print(key_of(polars.DataFrame({'a': [1.5, None]})))"
    keys = {
        subprocess.run([sys.executable, "-c", f"{extra}{code}"], check=True, capture_output=True, text=True).stdout
        for extra in ("", "import numpy; ")
    }
    assert len(keys) == 1
