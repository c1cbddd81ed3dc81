"""Parameters as they are kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from towpath.history.described import ROOM, described


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    tags: tuple[str, ...] = ()


class Model(BaseModel):
    day: date


class Rude:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("leave me alone")

    def __len__(self) -> int:
        raise RuntimeError("leave me alone")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        pytest.param({"a": [1, 2.5, None, True, "ü"]}, {"a": [1, 2.5, None, True, "ü"]}, id="JSON"),
        pytest.param((1, 2), [1, 2], id="tuple"),
        pytest.param(date(2026, 1, 31), "2026-01-31", id="date"),
        pytest.param(datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00+00:00", id="datetime"),
        pytest.param(timedelta(minutes=2), 120.0, id="timedelta"),
        pytest.param(Decimal("1.10"), "1.10", id="Decimal"),
        pytest.param(UUID(int=1), "00000000-0000-0000-0000-000000000001", id="UUID"),
        pytest.param(Colour.RED, "red", id="enum"),
        pytest.param(Point(1, ("a",)), {"x": 1, "tags": ["a"]}, id="dataclass"),
        pytest.param(Model(day=date(2026, 1, 31)), {"day": "2026-01-31"}, id="model"),
    ],
)
def test_small_values_are_kept_whole(value: Any, told: Any) -> None:
    """What validation makes the same value of again is kept, and said to be all."""
    text, whole = described({"value": value})

    assert json.loads(text) == {"value": told}
    assert whole


@pytest.mark.parametrize(
    ("value", "told"),
    [
        pytest.param(object(), "<object>", id="object"),
        pytest.param(b"abc", "<bytes of 3>", id="bytes"),
        pytest.param({1: 2}, "<dict of 1>", id="keys that are no text"),
        pytest.param(float("nan"), "<float>", id="not a number"),
        pytest.param(2**70, "<int>", id="too large for SQLite and JSON readers"),
        pytest.param(PurePosixPath("/data"), "<PurePosixPath>", id="a path of no system"),
        pytest.param(Rude(), "<Rude>", id="an object that raises"),
    ],
)
def test_others_are_described(value: Any, told: str) -> None:
    """What has no form in JSON is named by its type, and the parameters are said not to be all."""
    text, whole = described({"value": value})

    assert json.loads(text) == {"value": told}
    assert not whole


def test_large_values_cost_no_more_than_small_ones() -> None:
    """A walk through large and endless values stops when there is no more room."""
    endless: list[Any] = []
    endless.append(endless)
    parameters = {"rows": [list(range(1000))] * 100_000, "text": "x" * 10_000_000, "endless": endless}
    text, whole = described(parameters)

    assert len(text) < 2 * ROOM
    assert not whole


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), _JSON, max_size=4))
def test_whatever_it_is_the_description_can_be_kept(parameters: dict[str, Any]) -> None:
    """The text is JSON that UTF-8 can hold; if it is said to be all of it, JSON gives the same values back."""
    text, whole = described(parameters)

    kept = json.loads(text.encode())
    assert not whole or kept == json.loads(json.dumps(parameters))
