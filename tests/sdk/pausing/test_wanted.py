"""Input that is wanted: a type, its JSON Schema, and a check by either with the same words."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from tests.naming import steady

from towpath.errors import ParameterError
from towpath.pausing.wanted import Wanted, check_schema


class Colour(Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Size(BaseModel):
    """A model in a model."""

    model_config = ConfigDict(extra="forbid")
    width: int
    marks: list[int] = []


class Order(BaseModel):
    """All that a form may have."""

    model_config = ConfigDict(extra="forbid")
    granted: bool
    day: date
    count: int = Field(5, ge=1, le=10)
    colour: Colour = Colour.RED
    note: str | None = None
    size: Size | None = None
    kind: Literal["x", "y"] = "x"
    prices: dict[str, float] = {}
    code: str = Field("ab", pattern="^[a-z]+$", max_length=4)


class Tree(BaseModel):
    """A model of itself."""

    name: str
    below: list[Tree] = []


def refusal(check: Any) -> str | None:
    """Give the words of a refusal; None if there is none."""
    try:
        check()
    except ParameterError as error:
        return str(error)
    return None


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.floats(-3, 12, allow_nan=False),
    st.sampled_from(["", "red", "x", "q", "5", "yes", "2026-01-31", "abcde", "A"]),
    st.lists(st.integers(0, 2), max_size=2),
    st.fixed_dictionaries({}, optional={"width": st.integers(0, 3) | st.text(max_size=2), "marks": st.just([1, "b"])}),
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*Order.model_fields, "stranger"]), VALUES))
def test_the_schema_and_the_type_refuse_the_same_with_the_same_words(given: dict[str, Any]) -> None:
    """Whoever gives the input is told by the schema what the run itself would say."""
    wanted = Wanted(Order)
    by_schema = refusal(lambda: check_schema(wanted.schema, given, "run 'a'"))
    assert by_schema == refusal(lambda: wanted.read(given, "run 'a'"))


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (int, 5, 5),
        (int, "5", 5),
        (int, {"value": 5}, 5),
        (list[str], ["a", "b"], ["a", "b"]),
        (dict[str, int], {"value": {"value": 1}}, {"value": 1}),
        (date, date(2026, 1, 31), date(2026, 1, 31)),
        (str | None, {"value": None}, None),
        (Order, {"granted": "yes", "day": "2026-01-31"}, Order(granted=True, day=date(2026, 1, 31))),
        (Order, Order(granted=True, day=date(2026, 1, 31)), Order(granted=True, day=date(2026, 1, 31))),
        (Tree, {"name": "a", "below": [{"name": "b"}]}, Tree(name="a", below=[Tree(name="b")])),
    ],
    ids=steady,
)
def test_input_becomes_a_value_of_the_type(kind: Any, given: Any, value: Any) -> None:
    """Given as JSON, as a model or as the plain value, it travels as JSON and arrives as what was wanted."""
    wanted = Wanted(kind)
    travels = check_schema(wanted.schema, given, "run 'a'")
    assert wanted.read(travels, "run 'a'") == value


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (int, None, "Wrong input for run 'a': value is missing. It takes value."),
        (int, "many", "Wrong input for run 'a': value='many' must be a whole number. It takes value."),
        (Size, {"width": "w", "height": 1}, "Wrong input for run 'a': height=1 is not a field of it; width='w' must"),
        (Size, 5, "The input of run 'a' must be an object with its fields; got 5."),
        (Order, {"granted": True, "day": "soon"}, "day='soon' must be a date such as 2026-01-31"),
        (int, object(), "has no form in JSON"),
    ],
    ids=steady,
)
def test_wrong_input_is_refused_with_each_field(kind: Any, given: Any, words: str) -> None:
    """The words name the field, its value and why."""
    with pytest.raises(ParameterError) as caught:
        check_schema(Wanted(kind).schema, given, "run 'a'")
    assert words in str(caught.value)


def test_input_that_nobody_wants_is_refused() -> None:
    """A run that waits for no input is resumed without."""
    assert check_schema(None, None, "run 'a'") is None
    with pytest.raises(ParameterError, match=r"Run 'a' waits for no input; got \{'x': 1\}"):
        check_schema(None, {"x": 1}, "run 'a'")


@pytest.mark.parametrize("kind", [object(), type("Strange", (), {})], ids=["no type", "no form in JSON"])
def test_a_type_without_a_form_in_json_is_refused_at_once(kind: Any) -> None:
    """Whoever wrote the flow is told before anybody waits."""
    with pytest.raises(TypeError, match=r"has no form in JSON\. Use a RunInput"):
        Wanted(kind)
