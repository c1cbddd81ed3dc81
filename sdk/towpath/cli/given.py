"""Parameters as they are typed: `-p x=1` and `--params-json`, read with the help of the flow's JSON Schema. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from towpath.errors import ConfigurationError, ParameterError
from towpath.parameter_words import Wrong, from_pydantic, missing, sentence, unknown

Schema = Mapping[str, Any]

_KINDS: Final[Mapping[type, frozenset[str]]] = {
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    str: frozenset({"string"}),
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
    type(None): frozenset({"null"}),
}


def parameters(
    pairs: Sequence[str],
    whole: str | None,
    schema: Schema | None,
    read: Callable[[str], str],
    flag: str = "--params-json",
) -> dict[str, Any]:
    """Read parameters.

    Args:
        pairs: each NAME=VALUE; they go over those of `whole`.
        whole: a JSON object, or @ and the name of a file that holds one.
        schema: of the flow's parameters, if it is known.
        read: gives the content of a file; `-` is standard input.
        flag: what `whole` was given by.

    Raises:
        ConfigurationError: something is not in its form.
    """
    given = _object(whole, read, flag) if whole is not None else {}
    properties = (schema or {}).get("properties") or {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise ConfigurationError(f"-p takes NAME=VALUE; got {pair!r}.")
        given[name] = _value(text, properties.get(name), schema or {})
    return given


def check(flow: str, schema: Schema | None, given: Mapping[str, Any], preset: Iterable[str] = ()) -> None:
    """Refuse parameters that the flow does not take, and the lack of those that it needs, in the words of the operator.

    What a schema cannot say, such as a validator of the author's own, is left to the run.

    Args:
        flow: its name.
        schema: of its parameters; None lets all through.
        given: what is given.
        preset: names of what a deployment gives.

    Raises:
        ParameterError: names each that is wrong, or missing.
    """
    if not schema:
        return
    properties = schema.get("properties") or {}
    wrongs = [missing((name,)) for name in schema.get("required") or () if name not in {*given, *preset}]
    if schema.get("additionalProperties") is False:
        wrongs += [unknown((name,), value) for name, value in given.items() if name not in properties]
    wrongs += _wrong_values({**schema, "required": (), "additionalProperties": True}, given)
    if wrongs:
        raise ParameterError(sentence(flow, wrongs, tuple(properties)))


def _wrong_values(schema: Schema, given: Mapping[str, Any]) -> list[Wrong]:
    if not given:
        return []
    from pydantic import TypeAdapter, ValidationError

    from towpath.pausing.schemas import type_of

    try:
        TypeAdapter(type_of(schema)).validate_python(given)
    except ValidationError as error:
        return from_pydantic(error.errors(include_url=False))
    return []


def _value(text: str, schema: Schema | None, root: Schema) -> Any:
    """Read a value as JSON, but for what would not fit where its text does."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    kinds = _kinds(schema, root) if schema is not None else None
    if kinds is None or kinds & _KINDS[type(value)] or "string" not in kinds:
        return value
    return text


def _kinds(schema: Any, root: Schema, depth: int = 0) -> frozenset[str] | None:
    """Tell of which JSON types a value may be; None: any."""
    if not isinstance(schema, Mapping) or depth > 20:  # a schema may refer to itself
        return None
    if "$ref" in schema:
        return _kinds(_referred(schema["$ref"], root), root, depth + 1)
    if "type" in schema:
        named = schema["type"]
        return frozenset([named] if isinstance(named, str) else named)
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if choices:
        return frozenset().union(*(_KINDS[type(choice)] for choice in choices))
    for keyword in ("anyOf", "oneOf", "allOf"):
        if members := schema.get(keyword):
            found = [_kinds(member, root, depth + 1) for member in members]
            known = [kinds for kinds in found if kinds is not None]
            return frozenset().union(*known) if known and len(known) == len(found) else None
    return None


def _referred(reference: str, root: Schema) -> Any:
    place: Any = root
    for step in reference.removeprefix("#/").split("/"):
        place = place.get(step) if isinstance(place, Mapping) else None
    return place


def _object(text: str, read: Callable[[str], str], flag: str) -> dict[str, Any]:
    where = ""
    if text.startswith("@"):
        where = f" in {text[1:]!r}"
        try:
            text = read(text[1:])
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise ConfigurationError(f"{flag} cannot read {text[1:]!r}: {reason}.") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{flag} takes a JSON object; what is given{where} is no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{flag} takes a JSON object; what is given{where} is {type(value).__name__}.")
    return value
