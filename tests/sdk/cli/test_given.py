"""Parameters as they are typed."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from towpath import flow
from towpath.cli.given import check, parameters
from towpath.errors import ConfigurationError, ParameterError

SCHEMA = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "label": {"type": "string"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "day": {"type": "string", "format": "date"},
        "several": {"type": ["string", "number"]},
        "colour": {"$ref": "#/$defs/Colour"},
        "kind": {"const": "x"},
        "wrapped": {"allOf": [{"type": "string"}]},
        "half": {"anyOf": [{"type": "string"}, {}]},
        "items": {"type": "array", "items": {"type": "string"}},
        "anything": {},
    },
    "$defs": {"Colour": {"enum": ["red", "1"]}},
    "required": ["count"],
    "additionalProperties": False,
}


def no_file(name: str) -> str:
    """Read no file."""
    raise FileNotFoundError(2, "No such file or directory", name)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("count=5", 5),
        ("count=many", "many"),
        ("label=5", "5"),
        ("label=007", "007"),
        ("label=", ""),
        ("label=a=b", "a=b"),
        ('label="5"', "5"),
        ("label=true", "true"),
        ("label=[1]", "[1]"),
        ("maybe=null", None),
        ("maybe=5", "5"),
        ("either=5", 5),
        ("day=2026-01-31", "2026-01-31"),
        ("several=1.5", 1.5),
        ("several=true", "true"),
        ("colour=1", "1"),
        ("kind=5", "5"),
        ("wrapped=5", "5"),
        ("half=5", 5),
        ('items=["a", "b"]', ["a", "b"]),
        ("anything=5", 5),
        ("anything=no JSON", "no JSON"),
        ("unknown=5", 5),
        ('anything={"a": null}', {"a": None}),
    ],
)
def test_a_value_is_json_where_that_fits_else_text(pair: str, value: object) -> None:
    """What the schema takes as a text stays one, whatever it looks like; quotes say so where both would do."""
    assert parameters([pair], None, SCHEMA, no_file) == {pair.partition("=")[0]: value}


@drawn(st.dictionaries(st.text(min_size=1).filter(lambda name: "=" not in name), st.text()))
def test_texts_arrive_as_they_were_typed(values: dict[str, str]) -> None:
    """A parameter that takes texts only gets any text that is no JSON text itself, unchanged."""
    schema = {"properties": {name: {"type": "string"} for name in values}}
    typed = {name: value for name, value in values.items() if not value.strip().startswith('"')}
    assert parameters([f"{name}={value}" for name, value in typed.items()], None, schema, no_file) == typed


def test_single_values_go_over_the_whole() -> None:
    """-p goes over --params-json, and the last -p over the ones before."""
    given = parameters(["x=2", "x=3"], '{"x": 1, "y": 1}', None, no_file)
    assert given == {"x": 3, "y": 1}


def test_the_whole_may_be_in_a_file() -> None:
    """--params-json @FILE reads the file that is named."""
    assert parameters([], "@p.json", None, lambda name: json.dumps({"from": name})) == {"from": "p.json"}


@pytest.mark.parametrize(
    ("pairs", "whole", "sentence"),
    [
        (["x"], None, "-p takes NAME=VALUE; got 'x'."),
        (["=1"], None, "-p takes NAME=VALUE; got '=1'."),
        ([], "[1]", "--params-json takes a JSON object; what is given is list."),
        ([], "{", "--params-json takes a JSON object; what is given is no JSON"),
        ([], "@gone.json", "--params-json cannot read 'gone.json': No such file or directory."),
    ],
)
def test_a_wrong_form_is_refused(pairs: list[str], whole: str | None, sentence: str) -> None:
    """What cannot be read is named, with what belongs there."""
    with pytest.raises(ConfigurationError, match=sentence.replace("[", r"\[")):
        parameters(pairs, whole, None, no_file)


def test_a_schema_that_refers_to_itself_ends() -> None:
    """References in a circle let any value through."""
    schema = {"properties": {"x": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}}
    assert parameters(["x=5"], None, schema, no_file) == {"x": 5}


@pytest.mark.parametrize(
    ("given", "preset", "sentence"),
    [
        ({}, (), "Wrong parameters for flow 'etl': count is missing. The flow takes anything, colour, count,"),
        ({"count": 1, "other": 2}, (), "other=2 is not a parameter of the flow"),
        ({"other": 2}, ("count",), "Wrong parameters for flow 'etl': other=2 is not a parameter of the flow. The flow"),
    ],
)
def test_names_are_checked_in_the_operators_words(
    given: dict[str, Any], preset: tuple[str, ...], sentence: str
) -> None:
    """Whoever refuses, the words are the same."""
    with pytest.raises(ParameterError) as refused:
        check("etl", SCHEMA, given, preset)
    assert sentence in str(refused.value)


def test_names_that_fit_are_let_through() -> None:
    """What is missing may come from the deployment; without a schema nothing is known to be wrong."""
    check("etl", SCHEMA, {"label": "x"}, ("count",))
    check("etl", None, {"whatever": 1})
    check("etl", {"properties": {}}, {"whatever": 1})


class Address(BaseModel):
    """A parameter with fields of its own."""

    town: str
    number: int = Field(ge=1)


@flow
def sends(
    count: int = 1,
    label: str = "",
    day: date = date(2026, 1, 31),
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    colour: Literal["red", "green"] = "red",
    to: Address | None = None,
    items: list[int] | None = None,
    prices: dict[str, Decimal] | None = None,
    anything: Any = None,
) -> None:
    """Take parameters of many kinds."""


@pytest.mark.parametrize(
    "given",
    [
        {"count": 5},
        {"count": "5"},
        {"count": 5.0},
        {"count": 5.5},
        {"count": "many"},
        {"count": True},
        {"count": None},
        {"label": "x"},
        {"label": 5},
        {"day": "2026-02-28"},
        {"day": "2026-02-30"},
        {"share": 0.1},
        {"share": 1},
        {"colour": "green"},
        {"colour": "blue"},
        {"to": {"town": "Ely", "number": 3}},
        {"to": {"town": "Ely", "number": 0}},
        {"to": {"number": 1}},
        {"to": None},
        {"items": [1, "2"]},
        {"items": ["x"]},
        {"items": "x"},
        {"prices": {"a": "1.5", "b": 2}},
        {"anything": [{}]},
        {"count": "many", "colour": "blue"},
    ],
    ids=str,
)
def test_values_are_refused_here_that_the_run_would_refuse(given: dict[str, Any]) -> None:
    """No others, and each by its name; `towpath deployments run` makes no run that cannot begin."""
    try:
        sends.validate_parameters(given)
    except ParameterError as refusal:
        wrong = {name for name in given if name in str(refusal).partition(" The flow takes ")[0]}
        with pytest.raises(ParameterError) as refused:
            check("sends", sends.parameter_schema(), given)
        told = str(refused.value).partition(" The flow takes ")[0]
        assert told.startswith("Wrong parameters for flow 'sends': ")
        assert {name for name in given if name in told} == wrong
    else:
        check("sends", sends.parameter_schema(), given)
