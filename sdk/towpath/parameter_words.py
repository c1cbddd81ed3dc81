"""The words in which wrong parameters are refused, the same wherever that happens.

Parameters are checked twice: by the operator against the flow's JSON Schema, before a pod starts, and by the flow's
own process against the signature, with pydantic. Whoever reads the refusal need not know which of the two spoke:

    Wrong parameters for flow 'add': x='many' must be a whole number; y is missing; z=1 is not a parameter of the flow.

The process calls `from_pydantic(error.errors(include_url=False))`, the operator builds `Wrong` from its schema's
keywords with `from_keyword`; both hand what they get to `sentence`. Names are told in the order of the alphabet: that
is how the API server gives them back, whatever order they had. Pure, standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands: the parameter's name, then keys and indexes inside of it."""


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


#: Stands for the value of a parameter that was not given.
ABSENT: Final = _Absent()

IS_MISSING: Final = "is missing"
IS_UNKNOWN: Final = "is not a parameter of the flow"
_IS_UNKNOWN_INSIDE: Final = "is not a known field"

#: JSON Schema's types, as people call them.
TYPES: Final[Mapping[str, str]] = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
#: JSON Schema's formats, as people call them.
FORMATS: Final[Mapping[str, str]] = {
    "date-time": "a date and time such as 2026-01-31T12:00:00Z",
    "date": "a date such as 2026-01-31",
    "time": "a time such as 12:00:00",
    "duration": "a duration such as PT90S",
    "uuid": "a UUID",
}

#: From the beginning of pydantic's error type to what the value should have been; the first that fits counts.
_PYDANTIC_TYPES: Final[tuple[tuple[str, str], ...]] = (
    ("int_", TYPES["integer"]),
    ("float_", TYPES["number"]),
    ("decimal_", TYPES["number"]),
    ("bool_", TYPES["boolean"]),
    ("string_type", TYPES["string"]),
    ("string_sub_type", TYPES["string"]),
    ("bytes_type", TYPES["string"]),
    ("list_type", TYPES["array"]),
    ("tuple_type", TYPES["array"]),
    ("set_type", TYPES["array"]),
    ("frozen_set_type", TYPES["array"]),
    ("iterable_type", TYPES["array"]),
    ("dict_type", TYPES["object"]),
    ("mapping_type", TYPES["object"]),
    ("model_type", TYPES["object"]),
    ("model_attributes_type", TYPES["object"]),
    ("dataclass_type", TYPES["object"]),
    ("none_required", TYPES["null"]),
    ("datetime_", FORMATS["date-time"]),
    ("date_", FORMATS["date"]),
    ("timezone_", FORMATS["date-time"]),
    ("time_delta_", FORMATS["duration"]),
    ("time_", FORMATS["time"]),
    ("uuid_", FORMATS["uuid"]),
)
#: From pydantic's error type to the keyword of JSON Schema that says the same, and where the bound is in `ctx`.
_PYDANTIC_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than_equal": ("minimum", "ge"),
    "greater_than": ("exclusiveMinimum", "gt"),
    "less_than_equal": ("maximum", "le"),
    "less_than": ("exclusiveMaximum", "lt"),
    "multiple_of": ("multipleOf", "multiple_of"),
    "string_too_short": ("minLength", "min_length"),
    "string_too_long": ("maxLength", "max_length"),
    "string_pattern_mismatch": ("pattern", "pattern"),
}
_KEYWORDS: Final[Mapping[str, str]] = {
    "minimum": "must be at least {}",
    "exclusiveMinimum": "must be more than {}",
    "maximum": "must be at most {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minProperties": "must have at least {} items",
    "maxProperties": "must have at most {} items",
    "pattern": "must match {!r}",
}

_SHOWN: Final = 8
_VALUE_LENGTH: Final = 80
_DEPTH: Final = 20


@dataclass(frozen=True, slots=True)
class Wrong:
    """One value that does not fit."""

    path: Path
    why: str
    """What follows the value in a sentence: `must be a whole number`."""
    value: Any = ABSENT

    def __str__(self) -> str:
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).lstrip(".")
        if self.value is ABSENT:
            return f"{where} {self.why}"
        return f"{where}={shortened(self.value)} {self.why}" if where else f"{shortened(self.value)} {self.why}"


def sentence(flow_name: str, wrongs: Iterable[Wrong], takes: Sequence[str] = ()) -> str:
    """Say in one line which parameters of a flow are wrong and why.

    Args:
        flow_name: the flow's name.
        wrongs: at least one.
        takes: names of the flow's parameters; given where one is missing or unknown.
    """
    ordered = sorted(wrongs, key=lambda wrong: [str(step) for step in wrong.path])
    said = "; ".join(str(wrong) for wrong in ordered[:_SHOWN])
    if len(ordered) > _SHOWN:
        said += f"; and {len(ordered) - _SHOWN} more"
    named = any(wrong.why in {IS_MISSING, IS_UNKNOWN} for wrong in ordered)
    hint = f" The flow takes {', '.join(sorted(takes))}." if takes and named else ""
    return f"Wrong parameters for flow {flow_name!r}: {said}.{hint}"


def input_sentence(whose: str, wrongs: Iterable[Wrong], takes: Iterable[str] = ()) -> str:
    """Say what is wrong with input to a run that waits for it.

    Args:
        whose: who waits: `run 'witty-otter'`.
        wrongs: at least one.
        takes: names of the fields that there are.
    """
    told = [
        Wrong(wrong.path, "is not a field of it", wrong.value) if wrong.why == IS_UNKNOWN else wrong for wrong in wrongs
    ]
    said = "; ".join(str(wrong) for wrong in sorted(told, key=lambda wrong: [str(step) for step in wrong.path]))
    fields = ", ".join(sorted(takes))
    return f"Wrong input for {whose}: {said}." + (f" It takes {fields}." if fields else "")


def unwanted_input(whose: str, given: Any) -> str:
    """Say that a run waits for no input.

    Args:
        whose: who waits: `run 'witty-otter'`.
        given: what was given.
    """
    return f"{whose[:1].upper()}{whose[1:]} waits for no input; got {shortened(given)}. Resume it without."


def missing(path: Path) -> Wrong:
    """Build what is said of a value that has to be given and was not."""
    return Wrong(path, IS_MISSING)


def unknown(path: Path, value: Any) -> Wrong:
    """Build what is said of a value that nobody asked for."""
    return Wrong(path, IS_UNKNOWN if len(path) == 1 else _IS_UNKNOWN_INSIDE, value)


def from_keyword(keyword: str, expected: Any, path: Path, value: Any) -> Wrong:
    """Build what is said of a value that breaks a keyword of JSON Schema.

    Args:
        keyword: such as `type`, `enum` or `minimum`.
        expected: what the schema says under that keyword.
        path: where the value stands.
        value: the value.
    """
    if keyword == "type":
        kinds = [expected] if isinstance(expected, str) else list(expected)
        return Wrong(path, "must be " + " or ".join(TYPES.get(kind, str(kind)) for kind in kinds), value)
    if keyword == "format":
        return Wrong(path, f"must be {FORMATS.get(expected, f'of the format {expected}')}", value)
    if keyword in {"enum", "const"}:
        allowed = [repr(choice) for choice in (expected if keyword == "enum" else [expected])]
        return Wrong(path, f"must be {_either(allowed)}", value)
    if keyword in _KEYWORDS:
        return Wrong(path, _KEYWORDS[keyword].format(expected), value)
    return Wrong(path, f"does not satisfy {keyword}: {shortened(expected)}", value)


def either(wrongs: Sequence[Wrong]) -> Wrong:
    """Join what several alternatives say of the same value into one: `must be a whole number or null`."""
    whys = list(dict.fromkeys(wrong.why for wrong in wrongs))
    if all(why.startswith("must be ") for why in whys):
        return Wrong(
            wrongs[0].path, "must be " + " or ".join(why.removeprefix("must be ") for why in whys), wrongs[0].value
        )
    return Wrong(wrongs[0].path, ", or ".join(whys), wrongs[0].value)


def from_pydantic(errors: Iterable[Mapping[str, Any]]) -> list[Wrong]:
    """Translate pydantic's errors (`ValidationError.errors()`), one for each wrong value.

    A union reports each of its members under a path that ends with the member's name; those become one.
    """
    found = [(tuple(error["loc"]), _one_from_pydantic(error)) for error in errors]
    joined: list[Wrong] = []
    while found:
        loc, wrong = found.pop(0)
        same = [
            (other_loc, other)
            for other_loc, other in found
            if wrong.value is not ABSENT and other.value is wrong.value and len(loc) > 1 and other_loc[:-1] == loc[:-1]
        ]
        if same:
            found = [item for item in found if item not in same]
            wrong = either([Wrong(loc[:-1], wrong.why, wrong.value), *(other for _, other in same)])
        joined.append(wrong)
    return joined


def shortened(value: Any) -> str:
    """Show a value, cut to what fits into a sentence."""
    text = repr(_in_order(value, _DEPTH))
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"


def _in_order(value: Any, depth: int) -> Any:
    """Put the keys of a JSON value in order; what is deeper than anybody sees stays as it is."""
    if depth and type(value) is dict:
        return {key: _in_order(value[key], depth - 1) for key in sorted(value, key=str)}
    if depth and type(value) is list:
        return [_in_order(item, depth - 1) for item in value]
    return value


def _one_from_pydantic(error: Mapping[str, Any]) -> Wrong:
    kind, path, value = error["type"], tuple(error["loc"]), error.get("input", ABSENT)
    context: Mapping[str, Any] = error.get("ctx") or {}
    if kind == "missing" or kind.startswith("missing_"):
        return missing(path)
    if kind in {"extra_forbidden", "unexpected_keyword_argument", "unexpected_positional_argument"}:
        return unknown(path, value)
    if kind in {"literal_error", "enum"}:
        return Wrong(path, f"must be {context.get('expected', 'one of the allowed values')}", value)
    if kind in _PYDANTIC_BOUNDS:
        keyword, bound = _PYDANTIC_BOUNDS[kind]
        return from_keyword(keyword, context.get(bound), path, value)
    if kind in {"too_short", "too_long"}:
        short = kind == "too_short"
        items = context.get("min_length" if short else "max_length")
        return from_keyword("minItems" if short else "maxItems", items, path, value)
    for beginning, what in _PYDANTIC_TYPES:
        if kind.startswith(beginning):
            return Wrong(path, f"must be {what}", value)
    return Wrong(path, f"is wrong: {error.get('msg', kind)}", value)


def _either(choices: Sequence[str]) -> str:
    return choices[0] if len(choices) == 1 else ", ".join(choices[:-1]) + f" or {choices[-1]}"
