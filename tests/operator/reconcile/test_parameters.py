"""Parameters against a flow's schema: as lenient as the flow's own process, and in the same words."""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from tests.operator.reconcile.deciding import searching

from towpath.errors import ParameterError
from towpath.signatures import FlowSignature
from towpath_operator.reconcile.parameters import check_parameters, check_schema


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Address(BaseModel):
    model_config = ConfigDict(extra="forbid")
    street: str
    number: int = Field(gt=0)
    near: Address | None = None


@dataclass
class Point:
    x: int
    y: float = 0.0


TYPES: list[Any] = [
    int,
    float,
    bool,
    str,
    bytes,
    int | None,
    int | str,
    list[int],
    set[int],
    tuple[int, str],
    dict[str, float],
    list[int | None] | None,
    Literal["a", 2, True],
    Colour,
    Level,
    date,
    datetime,
    timedelta,
    UUID,
    Decimal,
    Address,
    Point,
    list[Address],
    Annotated[int, Field(ge=1, lt=10)],
    Annotated[float, Field(gt=0, multiple_of=0.5)],
    Annotated[str, Field(min_length=2, max_length=3, pattern="^a")],
    Annotated[list[str], Field(min_length=1, max_length=2)],
    Any,
]

TEXTS = ["5", " 5 ", "5.0", "-1", "1e3", "nan", "inf", "yes", "OFF", "True", "a", "ab", "red", "2", "x" * 100, ""]
TIMES = ["2026-01-31", "2026-01-31T12:00:00Z", "12:00", "PT5S", "6fa459ea-ee8a-3ca4-894e-db77e160355e"]
NUMBERS = [0, 1, 2, -7, 10**30, 1.0, 0.5, 2.5, True, False, None]
TELLING = st.sampled_from([*TEXTS, *TIMES, *NUMBERS])
VALUES = st.recursive(
    TELLING | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "y", "street", "number", "near", "z"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def signature_of(annotation: Any) -> FlowSignature:
    """Give the signature of a flow with one parameter of this type."""

    def fn(x):  # type: ignore[no-untyped-def]
        return x

    fn.__annotations__["x"] = annotation
    return FlowSignature(fn, "add")


SIGNATURES = [signature_of(annotation) for annotation in TYPES]
SCHEMAS = [signature.schema() for signature in SIGNATURES]


def refusal(check: Callable[[], Any]) -> str | None:
    """Give the words with which the flow's own process refuses, if it does."""
    try:
        check()
    except ParameterError as error:
        return str(error)
    return None


def said_by_process(signature: FlowSignature, parameters: dict[str, Any]) -> str | None:
    """Give what the flow's own process says of parameters."""
    return refusal(lambda: signature.validate(signature.bind_names(parameters)))


def said_by_operator(schema: dict[str, Any] | None, parameters: Any, **options: Any) -> str | None:
    """Give what the operator says of parameters."""
    problem = check_parameters("add", schema, parameters, **options)
    return problem.message if problem else None


@searching(300)
@given(which=st.integers(0, len(TYPES) - 1), value=VALUES)
def test_nothing_is_refused_that_the_process_would_take(which: int, value: Any) -> None:
    """A value that the flow's own process accepts, converting it, passes the operator's check too."""
    if said_by_process(SIGNATURES[which], {"x": value}) is None:
        assert said_by_operator(SCHEMAS[which], {"x": value}) is None


def several(x: int, y: list[int], z: Colour = Colour.RED, *, near: Address | None = None) -> None: ...


@pytest.mark.parametrize(
    "parameters",
    [
        {"x": "many", "y": [1]},
        {"x": 1.5, "y": [1]},
        {"x": 1, "y": "no list"},
        {"x": 1, "y": ["5", "five"]},
        {"x": 1, "y": [], "z": "green"},
        {"x": 1, "y": [], "near": 3},
        {"x": 1, "y": [], "near": {"street": 5, "number": "0"}},
        {"x": 1, "y": [], "near": {"street": "s"}},
        {"x": 1, "y": [], "near": {"street": "s", "number": 1, "country": "x"}},
        {"x": 1, "y": [], "near": {"street": "s", "number": 1, "near": {"street": "s", "number": None}}},
        {"x": None, "y": None},
        {"y": []},
        {},
        {"x": 1, "y": [], "q": "what"},
        {"x": "a" * 500, "y": {"k": "v"}, "z": 7, "near": []},
        {"x": {"b": [{"d": 1, "c": 2}], "a": 3}, "y": []},
        {"y": "no list", "near": {"number": 1}, "q": "what"},
    ],
    ids=lambda parameters: repr(parameters)[:40],
)
def test_the_words_are_those_of_the_process(parameters: dict[str, Any]) -> None:
    """Operator and flow refuse the same parameters with the same sentence, each wrong field with value and why.

    The API server gives all names back in the order of the alphabet, those of the schema too.
    """
    signature = FlowSignature(several, "add")
    said = said_by_operator(*json.loads(json.dumps([signature.schema(), parameters], sort_keys=True)))

    assert said is not None
    assert said == said_by_process(signature, parameters)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Annotated[int, Field(ge=1)], 0),
        (Annotated[int, Field(gt=1)], "1"),
        (Annotated[int, Field(le=1)], 2),
        (Annotated[float, Field(lt=1.5)], 1.5),
        (Annotated[int, Field(multiple_of=3)], 4),
        (Annotated[str, Field(min_length=2)], "a"),
        (Annotated[str, Field(max_length=2)], "aaa"),
        (Annotated[list[int], Field(min_length=1)], []),
        (Annotated[list[int], Field(max_length=1)], [1, 2]),
        (Literal["a", "b"], "c"),
        (Literal["a"], "c"),
        (Level, 3),
        (bool, "perhaps"),
        (float, "much"),
        (str, 3),
        (datetime, "noon"),
        (date, "someday"),
        (UUID, "unique"),
        (Point, {"x": "left"}),
        (dict[str, int], {"k": "v"}),
        (None, 1),
        (int | list[int], "no"),
        (int | bool | None, {}),
    ],
    ids=str,
)
def test_every_kind_of_refusal_has_one_wording(annotation: Any, value: Any) -> None:
    """Bounds, lengths, choices and formats read the same wherever they are checked."""
    signature = signature_of(annotation)
    said = said_by_operator(signature.schema(), {"x": value})

    assert said is not None
    assert said == said_by_process(signature, {"x": value})


def test_a_default_is_good_whatever_the_annotation_says() -> None:
    """`x: int = None` is what many people write."""

    def fn(x: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013  # that is the point

    assert said_by_operator(FlowSignature(fn, "add").schema(), {"x": None}) is None


def test_a_deployments_parameters_need_not_be_complete() -> None:
    """What is missing at the top may come with the run; what is missing inside of a value may not."""
    schema = FlowSignature(several, "add").schema()

    assert said_by_operator(schema, {"y": []}, complete=False) is None
    assert "near.street is missing" in str(said_by_operator(schema, {"near": {"number": 1}}, complete=False))


def test_a_flow_without_a_schema_takes_anything() -> None:
    """The process will have its say."""
    assert said_by_operator(None, {"x": [1, {"y": None}]}) is None


def test_parameters_have_a_size() -> None:
    """They live in the resource and in the pod's environment; the message says what to do instead."""
    said = said_by_operator(None, {"x": "ä" * 6000})

    assert said is not None
    assert "12008 bytes" in said
    assert "10240" in said
    assert "reference" in said


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "whole"}, "'whole' under type"),
        ({"properties": {"x": {"type": 3}}}, "3 under properties.x.type"),
        ({"properties": []}, "[] under properties"),
        ({"required": "x"}, "'x' under required"),
        ({"properties": {"x": {"$ref": "https://example.test/schema"}}}, "another document"),
        ({"properties": {"x": {"$ref": "#/$defs/y"}}}, "/$defs/y"),
    ],
    ids=["type", "inner type", "properties", "required", "remote", "dangling"],
)
def test_a_schema_that_is_none_is_said_to_be(schema: dict[str, Any], words: str) -> None:
    """With the place and the value, and never a traceback."""
    problem = check_schema(schema)

    assert problem is not None
    assert problem.reason == "InvalidSchema"
    assert words in problem.message
    assert said_by_operator(schema, {"x": 1}) == problem.message


def test_what_only_looks_like_a_reference_is_none() -> None:
    """A default or a choice may contain anything."""
    assert check_schema({"properties": {"x": {"default": {"$ref": "nowhere"}, "enum": [{"$ref": "nowhere"}]}}}) is None


def _exploding(depth: int) -> dict[str, Any]:
    inner = {f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(depth)}
    return {"$defs": inner | {f"a{depth}": {"type": "integer"}}, "properties": {"x": {"$ref": "#/$defs/a0"}}}


def _deep(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (_exploding(60), "x"),
        (_deep(5000), []),
        ({"$ref": "#"}, "x"),
        ({"properties": {"x": {"$dynamicRef": "#"}}}, "x"),
        ({"properties": {"x": {"pattern": "(a+)+$"}}}, "a" * 60 + "!"),
        ({"patternProperties": {"(x+)+y": {}}, "additionalProperties": False}, "x" * 60),
        ({"properties": {"x": {"uniqueItems": True}}}, [list(range(9))] * 200),
    ],
    ids=["exploding", "deep", "endless", "dynamic", "pattern", "key pattern", "unique"],
)
def test_no_schema_can_hang_the_operator(schema: dict[str, Any], value: Any) -> None:
    """Each of these would take years, or all of the stack, with a validator that trusts its schema."""
    began = time.process_time()
    check_parameters("add", schema, {"x": value, "x" * 40: value})

    assert time.process_time() - began < 2


def test_parameters_that_are_nested_too_deeply_are_refused() -> None:
    """In words."""
    value: Any = 1
    for _ in range(100_000):
        value = [value]

    assert "nested too deeply" in str(said_by_operator(None, {"x": value}))
