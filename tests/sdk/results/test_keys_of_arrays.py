"""How arrays and frames become keys."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.caching import key_of

ARRAYS: dict[str, Callable[[], Any]] = {
    "whole numbers": lambda: np.arange(6),
    "as floats": lambda: np.arange(6.0),
    "in two rows": lambda: np.arange(6).reshape(2, 3),
    "in three rows": lambda: np.arange(6).reshape(3, 2),
    "empty": lambda: np.array([]),
    "empty rows": lambda: np.empty((0, 3)),
    "no dimension": lambda: np.array(1),
    "a scalar": lambda: np.int64(1),
    "a smaller scalar": lambda: np.int32(1),
    "a float scalar": lambda: np.float64(1),
    "texts": lambda: np.array(["a", "bc"]),
    "bytes": lambda: np.array([b"a", b"bc"]),
    "points in time": lambda: np.array(["2026-01-31"], "datetime64[D]"),
    "finer points in time": lambda: np.array(["2026-01-31"], "datetime64[s]"),
    "objects": lambda: np.array([{1, 2}, None], object),
    "records": lambda: np.array([(1, 2.0)], [("a", "i8"), ("b", "f8")]),
    "records of other names": lambda: np.array([(1, 2.0)], [("a", "i8"), ("c", "f8")]),
    "masked": lambda: np.ma.array([1, 2], mask=[False, True]),
    "masked elsewhere": lambda: np.ma.array([1, 2], mask=[True, False]),
    "a type": lambda: np.dtype("i8"),
}
PANDAS: dict[str, Callable[[], Any]] = {
    "numbers": lambda: pd.DataFrame({"a": [1, 2], "b": [1.5, None]}),
    "another name": lambda: pd.DataFrame({"a": [1, 2], "c": [1.5, None]}),
    "another order of columns": lambda: pd.DataFrame({"b": [1.5, None], "a": [1, 2]}),
    "another index": lambda: pd.DataFrame({"a": [1, 2], "b": [1.5, None]}, index=[1, 0]),
    "a named index": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index([0, 1], name="i")),
    "several levels": lambda: pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, "x")])),
    "texts": lambda: pd.DataFrame({"a": ["x", None]}),
    "objects": lambda: pd.DataFrame({"a": pd.Series([1, "1", None], dtype=object)}),
    "objects that print alike": lambda: pd.DataFrame({"a": pd.Series(["1", "1", None], dtype=object)}),
    "lists": lambda: pd.DataFrame({"a": [[1], [2]]}),
    "time": lambda: pd.DataFrame({"a": pd.to_datetime(["2026-01-31", None])}),
    "time in a zone": lambda: pd.DataFrame({"a": pd.to_datetime(["2026-01-31", None]).tz_localize("Europe/Berlin")}),
    "spans": lambda: pd.DataFrame({"a": pd.to_timedelta([1, None], unit="s")}),
    "whole or missing": lambda: pd.DataFrame({"a": pd.array([1, None], "Int64")}),
    "true or missing": lambda: pd.DataFrame({"a": pd.array([True, None], "boolean")}),
    "categories": lambda: pd.DataFrame({"a": pd.Categorical(["x", "y"])}),
    "more categories": lambda: pd.DataFrame({"a": pd.Categorical(["x", "y"], ["x", "y", "z"])}),
    "ordered categories": lambda: pd.DataFrame({"a": pd.Categorical(["x", "y"], ordered=True)}),
    "periods": lambda: pd.DataFrame({"a": pd.period_range("2026", periods=2, freq="M")}),
    "intervals": lambda: pd.DataFrame({"a": pd.interval_range(0, 2)}),
    "nothing": pd.DataFrame,
    "a series": lambda: pd.Series([1, 2], name="a"),
    "a series without a name": lambda: pd.Series([1, 2]),
    "an index": lambda: pd.Index([1, 2]),
    "a point in time": lambda: pd.Timestamp("2026-01-31"),
    "no point in time": lambda: pd.NaT,
    "no value": lambda: pd.NA,
}


@pytest.mark.parametrize("kinds", [ARRAYS, PANDAS], ids=["numpy", "pandas"])
def test_different_data_have_different_keys(kinds: dict[str, Callable[[], Any]]) -> None:
    """Types, shapes, names, units and what is missing are all part of the data."""
    assert len({key_of(make()) for make in kinds.values()}) == len(kinds)


@pytest.mark.parametrize("make", [*ARRAYS.values(), *PANDAS.values()], ids=[*ARRAYS, *PANDAS])
def test_equal_data_have_equal_keys(make: Callable[[], Any]) -> None:
    """Made again, copied, or sent through a pickle."""
    key = key_of(make())
    assert key_of(make()) == key
    assert key_of(copy.deepcopy(make())) == key
    assert key_of(pickle.loads(pickle.dumps(make()))) == key


@given(st.lists(st.lists(st.floats(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_how_an_array_lies_in_memory_does_not_matter(rows: list[list[float]]) -> None:
    """By rows or by columns, whole or a part of another, read-only or not; and every NaN is the same."""
    array = np.array(rows)
    key = key_of(array)
    assert key_of(np.asfortranarray(array)) == key
    assert key_of(np.hstack([array, array])[:, :3]) == key
    assert key_of(np.repeat(array, 2, axis=0)[::2]) == key
    assert key_of(np.where(np.isnan(array), -np.float64("nan"), array)) == key
    assert key_of(array.astype(">f8")) == key
    array.flags.writeable = False
    assert key_of(array) == key


def test_how_a_frame_is_kept_does_not_matter() -> None:
    """An index as a range or spelled out, columns in one block or several."""
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    key = key_of(frame)
    assert key_of(frame.set_axis([0, 1])) == key
    other = pd.DataFrame({"a": [1, 2]})
    other["b"] = [3, 4]
    assert key_of(other) == key
    assert key_of(pd.concat([frame.iloc[:1], frame.iloc[1:]])) == key


def test_one_changed_value_in_many_is_seen() -> None:
    """Large data are hashed as a whole, not sampled."""
    array = np.zeros(100_000)
    key = key_of(array)
    array[77_777] = 1
    assert key_of(array) != key


def test_frames_within_other_values_have_keys() -> None:
    """As in the arguments of a task."""
    one = {"frames": [pd.DataFrame({"a": [1]})], "array": np.arange(2)}
    assert key_of(one) == key_of({"array": np.arange(2), "frames": [pd.DataFrame({"a": [1]})]})


def test_these_libraries_are_not_loaded_for_it() -> None:
    """Keys of plain values cost no import of numpy, pandas or polars."""
    code = "import sys; from towpath.caching import key_of; key_of([1], object()); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"numpy", "pandas", "polars", "pydantic", "asyncio"} & set(loaded)
