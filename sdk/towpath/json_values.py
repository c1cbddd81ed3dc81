"""Python values as JSON that gives the same values back: what JSON has no words for is told in an object of its own.

    {"towpath:": "tuple", "value": [1, 2]}
    {"towpath:": "datetime", "value": "2026-01-31T00:00:00+00:00"}
    {"towpath:": "object", "type": "shop.orders:Order", "value": {"id": 7}}

The last is how pydantic models and dataclasses are told; reading one imports its class.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, Final
from uuid import UUID

_KIND: Final = "towpath:"
_WHOLE: Final = (
    2**63
)  # longer whole numbers are told in hexadecimal digits: Python reads decimal ones up to a limit only
_ATOMS: Final = frozenset({str, bool, type(None)})


def to_json(value: Any) -> Any:
    """Give a value's form in JSON.

    Raises:
        TypeError: it, or something in it, has none that gives it back.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is int:
        return value if -_WHOLE <= value < _WHOLE else _told("int", hex(value))
    if kind is float:
        return value if math.isfinite(value) else _told("float", repr(value))
    if kind is list:
        return [to_json(item) for item in value]
    if kind is dict:
        if _KIND not in value and all(type(key) is str for key in value):
            return {key: to_json(item) for key, item in value.items()}
        return _told("dict", [[to_json(key), to_json(item)] for key, item in value.items()])
    if kind is tuple or kind is set or kind is frozenset:
        return _told(kind.__name__, [to_json(item) for item in value])
    if kind in _WORDS:
        return _told(kind.__name__, _WORDS[kind](value))
    if isinstance(value, PurePath):
        return _told("Path", str(value))
    if isinstance(value, Enum):
        return {_KIND: "enum", "type": _path_of(kind), "value": value.name}
    if dataclasses.is_dataclass(value):
        return _object(kind, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if hasattr(kind, "__pydantic_fields__"):
        model = kind.__pydantic_generic_metadata__["origin"] or kind
        return _object(model, {**value.__dict__, **(value.__pydantic_extra__ or {})})
    raise TypeError(f"a {kind.__module__}.{kind.__qualname__} has no form in JSON that would give it back")


def from_json(tree: Any) -> Any:
    """Give the value that `to_json` made a form of.

    Raises:
        Exception: the form is another, or the class of an object is not to be had here.
    """
    if isinstance(tree, list):
        return [from_json(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    kind = tree.get(_KIND)
    if kind is None:
        return {key: from_json(item) for key, item in tree.items()}
    if kind == "enum":
        return _class_at(tree["type"])[tree["value"]]
    if kind == "object":
        return _rebuilt(_class_at(tree["type"]), {name: from_json(item) for name, item in tree["value"].items()})
    return _BACK[kind](tree["value"])


def _told(kind: str, value: Any) -> dict[str, Any]:
    return {_KIND: kind, "value": value}


def _object(kind: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {_KIND: "object", "type": _path_of(kind), "value": {name: to_json(item) for name, item in fields.items()}}


def _rebuilt(kind: Any, fields: dict[str, Any]) -> Any:
    """Give an object its fields without asking its `__init__`, which might not take them as they are."""
    if hasattr(kind, "model_construct"):
        return kind.model_construct(**fields)
    value = object.__new__(kind)
    for name, item in fields.items():
        object.__setattr__(value, name, item)  # frozen ones too
    return value


def _path_of(kind: type) -> str:
    path = f"{kind.__module__}:{kind.__qualname__}"
    try:
        found = _class_at(path)
    except (ImportError, AttributeError):
        found = None
    if found is not kind:
        raise TypeError(f"a {path.replace(':', '.')} has no form in JSON: its class cannot be imported under that name")
    return path


def _class_at(path: str) -> Any:
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _base64(value: bytes | bytearray) -> str:
    return b64encode(value).decode()


#: Types whose values are told in a word or a few; by their exact type.
_WORDS: Final[Mapping[type, Callable[[Any], Any]]] = {
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    Decimal: str,
    Fraction: str,
    UUID: str,
    bytes: _base64,
    bytearray: _base64,
    complex: lambda value: [repr(value.real), repr(value.imag)],
}
_BACK: Final[Mapping[str, Callable[[Any], Any]]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "Decimal": Decimal,
    "Fraction": Fraction,
    "UUID": UUID,
    "bytes": b64decode,
    "bytearray": lambda text: bytearray(b64decode(text)),
    "complex": lambda parts: complex(*map(float, parts)),
    "float": float,
    "int": lambda text: int(text, 16),
    "Path": Path,
    "tuple": lambda items: tuple(map(from_json, items)),
    "set": lambda items: set(map(from_json, items)),
    "frozenset": lambda items: frozenset(map(from_json, items)),
    "dict": lambda pairs: {from_json(key): from_json(item) for key, item in pairs},
}
