"""A type made of a JSON Schema, so that pydantic can check input where the author's own type is not at hand.

Input is given in another process than the one that wants it, which may not even be there. What travels is the schema
that pydantic made of the author's type. Made into a type again, it takes what that type takes, `"5"` for a number too,
and refuses with the same words. What the schema does not say, such as a validator of the author's own, is left to the
run itself.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, create_model

from towpath.pausing.wanted import VALUE

_TYPES: Final[Mapping[str, Any]] = {
    "integer": int,
    "number": float,
    "boolean": bool,
    "string": str,
    "null": None,
    "array": list[Any],
    "object": dict[str, Any],
}
_FORMATS: Final[Mapping[str, Any]] = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
}
#: From a keyword of JSON Schema to pydantic's.
_BOUNDS: Final[Mapping[str, str]] = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "minItems": "min_length",
    "maxItems": "max_length",
}
#: A schema may refer to itself; deeper than this it is the run's own check that counts.
_DEPTH: Final = 12


def type_of(schema: Any, root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """Give a type that takes what fits a schema; what the schema does not say is let through.

    Args:
        schema: as pydantic makes it.
        root: the whole that it is a part of; None: itself.
        depth: how deep in the whole.
    """
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return Any
    root = schema if root is None else root
    if "$ref" in schema:
        return type_of(_referred(schema["$ref"], root), root, depth + 1)
    for keyword in ("anyOf", "oneOf"):
        if members := schema.get(keyword):
            return reduce(operator.or_, [_member(type_of(one, root, depth + 1)) for one in members])
    if members := schema.get("allOf"):
        return type_of(members[0], root, depth + 1) if len(members) == 1 else Any
    if "const" in schema or "enum" in schema:
        return _choice(schema.get("enum") or [schema["const"]])
    return _bounded(_kind(schema, root, depth), schema)


def _kind(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    named = schema.get("type")
    if isinstance(named, list):
        return reduce(operator.or_, [_member(type_of({**schema, "type": one}, root, depth + 1)) for one in named])
    if named == "object" and "properties" in schema:
        return _model(schema, root, depth)
    if named == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return dict[str, type_of(schema["additionalProperties"], root, depth + 1)]  # type: ignore[misc]
    if named == "array" and "items" in schema:
        return list[type_of(schema["items"], root, depth + 1)]  # type: ignore[misc]
    if named == "string":
        return _FORMATS.get(schema.get("format", ""), str)
    return _TYPES.get(named, Any) if isinstance(named, str) else Any


def _model(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    required = set(schema.get("required") or ())
    fields: dict[str, Any] = {}
    for number, (name, inner) in enumerate(schema["properties"].items()):
        kind = type_of(inner, root, depth + 1)
        default = Field(alias=name) if name in required else Field(default=None, alias=name)
        fields[f"{VALUE}_{number}"] = (kind, default)
    open_ended = schema.get("additionalProperties", True) is not False
    return create_model(
        schema.get("title") or "Input", __config__=ConfigDict(extra="allow" if open_ended else "forbid"), **fields
    )


def _bounded(kind: Any, schema: Mapping[str, Any]) -> Any:
    bounds = {ours: schema[theirs] for theirs, ours in _BOUNDS.items() if theirs in schema}
    if not bounds or kind is Any or kind in _FORMATS.values():
        return kind
    return Annotated[kind, Field(**bounds)]


def _choice(choices: Sequence[Any]) -> Any:
    if any(isinstance(choice, float | Decimal | list | dict) for choice in choices):
        return Any  # nothing that Literal takes
    return Literal[tuple(choices)]


def _member(kind: Any) -> Any:
    """Give a type that can be joined with others by `|`."""
    return type(None) if kind is None else kind


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    place: Any = root
    for step in reference.removeprefix("#/").split("/"):
        place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, Mapping) else None
    return place
