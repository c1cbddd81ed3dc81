"""Parameters: bound, validated, described, and made fit for travel."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field
from tests.naming import steady
from typing_extensions import TypedDict

from towpath import flow
from towpath.errors import ConfigurationError, ParameterError
from towpath.names import MAX_PARAMETERS_BYTES
from towpath.parameters import to_json
from towpath.signatures import FlowSignature


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    number: int = Field(gt=0)


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict):
    depth: int


class Opaque:
    """A class that pydantic knows nothing of."""


def many(a: int, /, b: float, *rest: int, c: str = "c", **more: bool) -> None: ...


def fit(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Bind and validate a call."""
    signature = FlowSignature(fn, "test", {})
    return signature.validate(signature.bind(args, kwargs))


def typed(annotation: Any, default: Any = ...) -> Callable[..., Any]:
    """Make a function of one parameter `x`."""

    def fn(x: Any) -> None: ...

    fn.__annotations__ = {"x": annotation}
    if default is not ...:
        fn.__defaults__ = (default,)
    return fn


def even(x: int) -> int:
    """Refuse odd numbers."""
    if x % 2:
        raise ValueError("must be even")
    return x


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, "5", 5),
        (float, 2, 2.0),
        (bool, "yes", True),
        (str, "x", "x"),
        (int | None, None, None),
        (int | str, "5", "5"),
        (list[int], ("1", 2), [1, 2]),
        (set[str], ["a", "a"], {"a"}),
        (dict[str, float], {"a": "1.5"}, {"a": 1.5}),
        (date, "2026-01-31", date(2026, 1, 31)),
        (datetime, "2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        (timedelta, "PT90S", timedelta(seconds=90)),
        (Decimal, "1.10", Decimal("1.10")),
        (UUID, "12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
        (Path, "/tmp/x", Path("/tmp/x")),
        (Colour, "red", Colour.RED),
        (Literal["a", "b"], "a", "a"),
        (Address, {"street": "s", "number": "3"}, Address(street="s", number=3)),
        (list[Address], [{"street": "s", "number": 3}], [Address(street="s", number=3)]),
        (Point, {"x": "1"}, Point(1)),
        (Options, {"depth": "3"}, {"depth": 3}),
        (Annotated[int, Field(gt=0)], "3", 3),
        (Annotated[int, AfterValidator(even)], 4, 4),
        (Any, "5", "5"),
        ("int", "5", 5),
        ("Point | None", {"x": 1}, Point(1)),
    ],
    ids=steady,
)
def test_values_are_coerced_to_their_annotation(annotation: Any, value: Any, expected: Any) -> None:
    """Texts become numbers, dictionaries become models: as pydantic does, for every kind of annotation."""
    fitted = fit(typed(annotation), value)["x"]
    assert fitted == expected
    assert type(fitted) is type(expected)


def test_classes_that_pydantic_does_not_know_are_checked_by_isinstance() -> None:
    """An object of the class is let through as it is; anything else is refused."""
    thing = Opaque()
    assert fit(typed(Opaque), thing)["x"] is thing
    assert fit(typed(list[Opaque]), [thing])["x"] == [thing]
    with pytest.raises(ParameterError, match="Opaque"):
        fit(typed(Opaque), 5)


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (int, "many", "x='many' must be a whole number"),
        (float, "many", "x='many' must be a number"),
        (bool, "perhaps", "x='perhaps' must be true or false"),
        (str, 5, "x=5 must be a text"),
        (list[int], ["a"], "x[0]='a' must be a whole number"),
        (Colour, "green", "x='green' must be 'red' or 'blue'"),
        (Literal["a", "b"], "c", "x='c' must be 'a' or 'b'"),
        (date, "soon", "x='soon' must be a date"),
        (Address, {"street": "s", "number": 0}, "x.number=0 must be more than 0"),
        (Address, {"street": "s"}, "x.number is missing"),
        (Annotated[int, Field(le=10)], 11, "x=11 must be at most 10"),
        (Annotated[int, AfterValidator(even)], 3, "must be even"),
    ],
    ids=steady,
)
def test_refusals_name_the_field_its_value_and_why(annotation: Any, value: Any, words: str) -> None:
    """One sentence says which part of which parameter is wrong."""
    with pytest.raises(ParameterError) as refused:
        fit(typed(annotation), value)
    assert words in str(refused.value)
    assert "flow 'test'" in str(refused.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Nobody has to correct one parameter to hear of the next."""

    def fn(a: int, b: int, c: int = 0) -> None: ...

    with pytest.raises(ParameterError) as refused:
        fit(fn, "x", c="y", b="z")
    assert all(word in str(refused.value) for word in ("a='x'", "b='z'", "c='y'"))
    with pytest.raises(ParameterError) as refused:
        fit(fn, d=1)
    assert all(word in str(refused.value) for word in ("a is missing", "b is missing", "d=1 is not a parameter"))
    assert "takes a, b, c" in str(refused.value)


def test_binding_is_pythons() -> None:
    """Positional-only, keyword-only, *args and **kwargs land where Python puts them."""
    values = fit(many, 1, 2, 3, "4", c="x", d="true")
    assert values == {"a": 1, "b": 2.0, "rest": (3, 4), "c": "x", "more": {"d": True}}
    assert FlowSignature(many, "test").call(values) == ((1, 2.0, 3, 4), {"c": "x", "d": True})


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {"b": 1}, "a is missing"),
        ((1, 2), {"b": 3}, "b=3 is given twice"),
        ((1, 2, "x"), {}, "rest[0]='x' must be a whole number"),
        ((1, 2), {"d": "no idea"}, "d='no idea' must be true or false"),
    ],
    ids=["missing", "twice", "wrong *args", "wrong **kwargs"],
)
def test_calls_that_do_not_fit_are_refused(args: tuple[Any, ...], kwargs: dict[str, Any], words: str) -> None:
    """As Python would, but all at once and with values."""
    with pytest.raises(ParameterError) as refused:
        fit(many, *args, **kwargs)
    assert words in str(refused.value)


def test_too_many_arguments_are_refused() -> None:
    """A position beyond the last parameter is named by its number."""
    with pytest.raises(ParameterError, match="argument 2=2 is not a parameter"):
        fit(typed(int), 1, 2)


@given(st.data())
def test_binding_agrees_with_python(data: st.DataObject) -> None:
    """For any call, what binds gives Python the same call; what does not, Python refuses too."""

    def fn(a: Any, b: Any = 10, /, c: Any = 20, *rest: Any, d: Any, e: Any = 30, **more: Any) -> Any:
        return (a, b, c, rest, d, e, more)

    args = tuple(data.draw(st.lists(st.integers(0, 9), max_size=5)))
    kwargs = data.draw(st.dictionaries(st.sampled_from(["c", "d", "e", "f"]), st.integers(0, 9)))
    signature = FlowSignature(fn, "test")
    try:
        expected = fn(*args, **kwargs)
    except TypeError:
        with pytest.raises(ParameterError):
            signature.bind(args, kwargs)
        return
    bound = signature.bind(args, kwargs)
    again, named = signature.call(bound)
    assert fn(*again, **named) == expected
    assert signature.bind_names(bound) == bound


def test_values_by_name_as_they_travel() -> None:
    """A pod gets one JSON object: *args as a list under its name, **kwargs spread or under its name."""
    signature = FlowSignature(many, "test")
    assert signature.bind_names({"a": 1, "b": 2, "rest": [3], "d": True}) == {
        "a": 1, "b": 2, "rest": (3,), "c": "c", "more": {"d": True},
    }  # fmt: skip
    assert signature.bind_names({"a": 1, "b": 2, "more": {"d": True}})["more"] == {"d": True}
    with pytest.raises(ParameterError, match="rest='x' must be a list"):
        signature.bind_names({"a": 1, "b": 2, "rest": "x"})


def test_defaults_are_made_what_the_annotation_says() -> None:
    """`day: date = "2026-01-31"` is a date in the flow, and a list is not shared between runs."""
    assert fit(typed(date, "2026-01-31")) == {"x": date(2026, 1, 31)}
    assert fit(typed(int, "7")) == {"x": 7}
    shared: list[int] = []
    assert fit(typed(list, shared))["x"] is not shared


def test_a_default_that_the_annotation_forbids_is_the_authors_own() -> None:
    """`def f(x: int = None)` means what it says."""
    assert fit(typed(int, None)) == {"x": None}
    assert fit(typed(int, "seven")) == {"x": "seven"}


def test_pydantic_fields_are_defaults_too() -> None:
    """`x: int = Field(5, gt=0)` has the default 5 and the bound; without default it is required."""
    assert fit(typed(int, Field(5, gt=0))) == {"x": 5}
    assert fit(typed(list[int], Field(default_factory=list))) == {"x": []}
    with pytest.raises(ParameterError, match="more than 0"):
        fit(typed(int, Field(5, gt=0)), 0)
    with pytest.raises(ParameterError, match="missing"):
        fit(typed(int, Field(gt=0)))


def test_an_annotation_that_cannot_be_had_is_let_through_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """What only a type checker can import is not validated, and the log says so."""
    assert fit(typed("only_for_checkers.Frame"), "anything")["x"] == "anything"
    assert "only_for_checkers.Frame" in caplog.text


def test_postponed_annotations_of_a_nested_function_are_understood() -> None:
    """Names local to where the flow is defined are found, although annotations are texts."""

    class Local(BaseModel):
        x: int

    @flow
    def nested(item: Local) -> int:
        return item.x

    assert nested.validate_parameters({"item": {"x": "4"}}) == {"item": Local(x=4)}


def test_partials_and_objects_have_signatures_too() -> None:
    """Whatever can be called can be a flow."""

    class Doubler:
        def __call__(self, x: int) -> int:
            return 2 * x

    assert fit(Doubler(), "4") == {"x": 4}
    assert fit(functools.partial(many, 1), 2)["b"] == 2.0


def test_common_values_need_no_pydantic() -> None:
    """A whole number for an int, a text for a str, None where it may be: let through before pydantic is loaded."""
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "pydantic"}
    sys.modules["pydantic"] = None  # type: ignore[assignment]
    try:

        def fn(a: int, b: str, c: float, d: int | None, e: Any, f, g: bool = True) -> None: ...  # type: ignore[no-untyped-def]

        assert fit(fn, 1, "b", 2, None, [1], {})["c"] == 2.0
    finally:
        del sys.modules["pydantic"]
        sys.modules.update(hidden)


@pytest.mark.parametrize("name", ["return_state", "wait_for"])
def test_reserved_names_are_refused_where_the_flow_is_defined(name: str) -> None:
    """They are options of the call itself."""
    namespace: dict[str, Any] = {}
    exec(f"def fn({name}): ...", namespace)
    with pytest.raises(ConfigurationError, match=name):
        flow(namespace["fn"])


def test_the_schema_describes_every_parameter() -> None:
    """Types, defaults, what is required, models by reference; nothing else is allowed."""

    def fn(
        a: int, home: Address, colour: Colour = Colour.RED, *, day: date | None = None, odd: Opaque | None = None
    ) -> None: ...

    schema = FlowSignature(fn, "test", {"Address": Address, "Colour": Colour}).schema()
    assert schema["type"] == "object"
    assert schema["required"] == ["a", "home"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["a"] == {"type": "integer"}
    assert schema["properties"]["home"] == {"$ref": "#/$defs/Address"}
    assert schema["properties"]["colour"]["default"] == "red"
    assert schema["properties"]["day"]["anyOf"][0] == {"type": "string", "format": "date"}
    assert schema["properties"]["odd"] == {"default": None}
    assert set(schema["$defs"]) == {"Address", "Colour"}


def test_the_schema_of_open_ended_functions() -> None:
    """*args is an array, **kwargs describes whatever else is given."""
    schema = FlowSignature(many, "test").schema()
    assert schema["properties"]["rest"] == {"type": "array", "items": {"type": "integer"}, "default": []}
    assert schema["additionalProperties"] == {"type": "boolean"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, "a", None, True, 1.5, {"k": []}], [1, "a", None, True, 1.5, {"k": []}]),
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00Z"),
        (Address(street="s", number=1), {"street": "s", "number": 1}),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Colour.RED, "red"),
        (Path("a/b"), "a/b"),
        ((1, 2), [1, 2]),
    ],
    ids=["json", "datetime", "model", "dataclass", "enum", "path", "tuple"],
)
def test_values_travel_as_json(value: Any, expected: Any) -> None:
    """Each value in a form that validation on the other side turns back."""
    assert to_json({"x": value}, "test") == {"x": expected}


@pytest.mark.parametrize("value", [Opaque(), math.nan, math.inf, [1, {"a": math.nan}], 2**70, lambda: 1], ids=steady)
def test_what_has_no_form_in_json_is_refused_by_name(value: Any) -> None:
    """The parameter and a way out are named, before anything is created in the cluster."""
    with pytest.raises(ParameterError, match=r"Parameter 'x' of flow 'test' cannot travel .* Pass a path"):
        to_json({"x": value}, "test")


def test_parameters_that_are_too_large_are_refused() -> None:
    """The size of all of them together, in bytes of JSON, is bounded."""
    with pytest.raises(ParameterError, match=str(MAX_PARAMETERS_BYTES)):
        to_json({"x": "a" * MAX_PARAMETERS_BYTES}, "test")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_json_travels_unchanged(value: Any) -> None:
    """Whatever is JSON already arrives as it was sent."""
    assert to_json({"x": value}, "test") == {"x": value}
