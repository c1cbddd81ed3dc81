"""Checks parameters against a flow's JSON Schema before any pod starts, in the same words as the flow's own process.

The process has the last word: it validates with pydantic, which also *converts* (`"5"` is a good `int`). So this check
refuses only what the process would refuse too, and passes what it cannot judge. And it is run by the operator on
other people's schemas, so nothing in a schema may hang it: regular expressions are left to the process (`re` can take
for ever, and pydantic's dialect is another), references are followed a bounded number of times and never over the
network.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Final

import referencing
import referencing.exceptions
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing.jsonschema import DRAFT202012

from towpath import parameter_words as words
from towpath.names import MAX_PARAMETERS_BYTES, canonical_json
from towpath.states import Reason
from towpath_operator.reconcile.problem import Problem
from towpath_operator.reconcile.reading import mapping

_MAX_REFERENCES: Final = 5_000
_UNCHECKED: Final = FormatChecker(formats=())
_TRUE_OR_FALSE: Final = frozenset({"0", "off", "f", "false", "n", "no", "1", "on", "t", "true", "y", "yes"})
_FROM_NUMBERS: Final = frozenset({"date-time", "date", "time", "duration"})
_FORMATS: Final[Mapping[str, Callable[[str], object]]] = {
    "date-time": datetime.fromisoformat,
    "date": lambda text: date.fromisoformat(text[:10]),
    "time": time.fromisoformat,
    "uuid": uuid.UUID,
}
#: Schemas inside of which a `$ref` is a value and no reference.
_LITERALS: Final = frozenset({"default", "enum", "const", "examples"})


def check_schema(schema: Mapping[str, Any] | None) -> Problem | None:
    """Tell what is wrong with a flow's parameter schema, if anything is."""
    validator = _validator(schema)
    return validator if isinstance(validator, Problem) else None


def check_parameters(
    flow_name: str, schema: Mapping[str, Any] | None, parameters: Mapping[str, Any], *, complete: bool = True
) -> Problem | None:
    """Tell what is wrong with a run's parameters, if anything is.

    Args:
        flow_name: the flow's name, for the sentence.
        schema: the flow's `spec.parameters`; None if it has none, and then everything goes.
        parameters: what the flow is to be called with.
        complete: False if more will be added, as to a Deployment's: then nothing is missing yet.
    """
    if problem := _too_large(flow_name, parameters):
        return problem
    wrongs = _wrongs(schema, parameters)
    if isinstance(wrongs, Problem):
        return wrongs
    if not complete:
        wrongs = [wrong for wrong in wrongs if not (wrong.why == words.IS_MISSING and len(wrong.path) == 1)]
    if not wrongs:
        return None
    sentence = words.sentence(flow_name, wrongs, takes=list(mapping(schema, "properties")))
    return Problem(Reason.INVALID_PARAMETERS, sentence)


def wrong_input(whose: str, schema: Mapping[str, Any] | None, given: Mapping[str, Any]) -> str | None:
    """Tell what is wrong with the input that somebody gives to a run that waits for it, if anything is.

    Args:
        whose: who waits, for the sentence: `run 'witty-otter'`.
        schema: of what it wants; None if it wants nothing.
        given: the input; empty for none. What cannot be judged is left to the run.
    """
    if schema is None:
        return words.unwanted_input(whose, given) if given else None
    wrongs = _wrongs(schema, given)
    if not wrongs or isinstance(wrongs, Problem):
        return None
    return words.input_sentence(whose, wrongs, takes=list(mapping(schema, "properties")))


def lenient_number(value: Any) -> int | float | None:
    """Give the number that pydantic would make of a value (true is 1, `"5"` is 5), or None."""
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):
        return None
    for read in (int, float):
        try:
            return read(value)
        except ValueError:
            continue
    return None


def _wrongs(schema: Mapping[str, Any] | None, values: Mapping[str, Any]) -> list[words.Wrong] | Problem:
    """Give what is wrong with values, one by one, or what is wrong with the schema."""
    validator = _validator(schema)
    if validator is None:
        return []
    if isinstance(validator, Problem):
        return validator
    try:
        errors = list(validator.evolve(format_checker=_Followed()).iter_errors(values))
    except (RecursionError, _TooManyReferencesError):
        return _unusable("it refers to itself too deeply")
    return [wrong for error in errors for wrong in _translated(error)]


def _validator(schema: Mapping[str, Any] | None) -> Any:
    """Give a validator for a schema, None for none, or the Problem with it."""
    if schema is None:
        return None
    try:
        return _compiled(canonical_json(schema))
    except RecursionError:
        return _unusable("it is nested too deeply")


def _unusable(why: str) -> Problem:
    said = f"spec.parameters of the flow is no usable JSON Schema: {why}. Correct it, or leave it out."
    return Problem(Reason.INVALID_SCHEMA, said)


def _too_large(flow_name: str, parameters: Mapping[str, Any]) -> Problem | None:
    try:
        size = len(canonical_json(parameters).encode(errors="replace"))
    except RecursionError:
        return Problem(Reason.INVALID_PARAMETERS, f"The parameters of flow {flow_name!r} are nested too deeply.")
    if size <= MAX_PARAMETERS_BYTES:
        return None
    return Problem(
        Reason.INVALID_PARAMETERS,
        f"The parameters of flow {flow_name!r} take {size} bytes as JSON; {MAX_PARAMETERS_BYTES} fit into a run."
        " Pass a reference, such as a path or URL, instead of the data.",
    )


class _TooManyReferencesError(Exception):
    pass


class _Followed(FormatChecker):
    """Counts the references followed during one check: the one object that a validator takes along to every depth."""

    def __init__(self) -> None:
        super().__init__(formats=())
        self.count = 0


def _fits(kind: Any, value: Any, format_: Any) -> bool:
    """Tell whether pydantic may take a value for a JSON type."""
    match kind:
        case "integer":
            number = lenient_number(value)
            return number is not None and math.isfinite(number) and number == int(number)
        case "number":
            return lenient_number(value) is not None
        case "boolean":
            return (isinstance(value, str) and value.lower() in _TRUE_OR_FALSE) or (
                isinstance(value, int | float) and value in {0, 1}
            )
        case "string":
            return isinstance(value, str) or (
                format_ in _FROM_NUMBERS and isinstance(value, int | float) and not isinstance(value, bool)
            )
        case "array":
            return isinstance(value, list | tuple)
        case "object":
            return isinstance(value, Mapping)
        case _:
            return value is None


def _type(_: Any, expected: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    if "enum" in schema or "const" in schema:
        return  # the choices say it all
    kinds = [expected] if isinstance(expected, str) else expected
    if not any(_fits(kind, value, schema.get("format")) for kind in kinds):
        yield ValidationError("type")


def _enum(_: Any, expected: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    alike = [value, lenient_number(value)] if schema.get("type") in {"integer", "number"} else [value]
    if not any(one == choice for one in alike for choice in expected):
        yield ValidationError("enum")


def _const(validator: Any, expected: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    yield from _enum(validator, [expected], value, schema)


def _format(_: Any, expected: Any, value: Any, __: Any) -> Iterator[ValidationError]:
    if not isinstance(value, str) or expected not in _FORMATS or lenient_number(value) is not None:
        return
    try:
        _FORMATS[expected](value.upper() if expected != "uuid" else value)
    except ValueError:
        yield ValidationError("format")


def _bound(broken: Callable[[Any, Any], bool]) -> Callable[..., Iterator[ValidationError]]:
    def check(_: Any, bound: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
        is_number = isinstance(value, int | float) or schema.get("type") in {"integer", "number"}
        number = lenient_number(value) if is_number else None
        if number is not None and broken(number, bound):
            yield ValidationError("bound")

    return check


def _is_no_multiple(number: float, of: float) -> bool:
    if isinstance(number, int) and isinstance(of, int):
        return number % of != 0
    rest = math.fmod(abs(number), of) / of if math.isfinite(number) else 0.0
    return 1e-6 < rest < 1 - 1e-6  # as floats go


def _required(_: Any, required: Any, value: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, Mapping):
        for name in required:
            if name not in value:
                yield ValidationError("required", path=[name])


def _properties(validator: Any, properties: Any, value: Any, _: Any) -> Iterator[ValidationError]:
    if not isinstance(value, Mapping):
        return
    for name, schema in properties.items():
        if name not in value or (isinstance(schema, Mapping) and schema.get("default", words.ABSENT) == value[name]):
            continue  # the author's own default is good, whatever the annotation says
        yield from validator.descend(value[name], schema, path=name, schema_path=name)


def _additional(validator: Any, allowed: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    if not isinstance(value, Mapping) or "patternProperties" in schema:
        return
    for name in value:
        if name in mapping(schema, "properties"):
            continue
        if allowed is False:
            yield ValidationError("additionalProperties", path=[name], instance=value[name])
        else:
            yield from validator.descend(value[name], allowed, path=name)


def _ref(validator: Any, reference: Any, value: Any, schema: Any) -> Iterable[ValidationError]:
    validator.format_checker.count += 1
    if validator.format_checker.count > _MAX_REFERENCES:
        raise _TooManyReferencesError
    return Draft202012Validator.VALIDATORS["$ref"](validator, reference, value, schema) or ()


def _left_to_the_process(*_: Any) -> Iterator[ValidationError]:
    return iter(())


_Lenient: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "type": _type,
        "enum": _enum,
        "const": _const,
        "format": _format,
        "minimum": _bound(lambda number, bound: number < bound),
        "exclusiveMinimum": _bound(lambda number, bound: number <= bound),
        "maximum": _bound(lambda number, bound: number > bound),
        "exclusiveMaximum": _bound(lambda number, bound: number >= bound),
        "multipleOf": _bound(_is_no_multiple),
        "properties": _properties,
        "required": _required,
        "additionalProperties": _additional,
        "oneOf": Draft202012Validator.VALIDATORS["anyOf"],  # a converted value may fit several
        "$ref": _ref,
        "$dynamicRef": _left_to_the_process,
        "pattern": _left_to_the_process,
        "patternProperties": _left_to_the_process,
        "unevaluatedProperties": _left_to_the_process,
        "unevaluatedItems": _left_to_the_process,
        "uniqueItems": _left_to_the_process,  # a set takes duplicates and drops them
    },
)


@lru_cache(maxsize=256)
def _compiled(schema_text: str) -> Any:
    """Make a validator of a schema, or give the Problem with it."""
    schema = json.loads(schema_text)
    try:
        Draft202012Validator.check_schema(schema, format_checker=_UNCHECKED)
        resolver = referencing.Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
        for reference in _references(schema):
            if not reference.startswith("#"):
                return _unusable(f"{reference!r} refers to another document, so put what it says under $defs")
            resolver.lookup(reference)
        return _Lenient(schema, registry=referencing.Registry())
    except SchemaError as error:
        where = error.json_path.removeprefix("$").lstrip(".")
        return _unusable(f"{words.shortened(error.instance)} {f'under {where} ' if where else ''}is not valid")
    except referencing.exceptions.Unresolvable as error:
        return _unusable(f"{error.ref!r} refers to nothing in it")


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, inner in schema.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner
            elif key not in _LITERALS:
                yield from _references(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _references(inner)


def _translated(error: ValidationError) -> Iterator[words.Wrong]:
    path = tuple(error.absolute_path)
    keyword = str(error.validator)
    if keyword == "required":
        yield words.missing(path)
    elif keyword == "additionalProperties":
        yield words.unknown(path, error.instance)
    elif keyword in {"anyOf", "oneOf"} and error.context:
        yield from _translated_alternatives(error)
    else:
        yield words.from_keyword(keyword, error.validator_value, path, error.instance)


def _translated_alternatives(error: ValidationError) -> Iterator[words.Wrong]:
    """Say what none of several alternatives would take; null is named only if it is the only one."""
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    everyone = list(branches.values())
    alternatives = [branch for branch in everyone if branch[0].validator_value != "null"] or everyone
    here = len(error.absolute_path)
    inside = [branch for branch in alternatives if all(len(inner.absolute_path) > here for inner in branch)]
    if inside or len(alternatives) == 1:  # the value is of that kind, and wrong inside
        for inner in (inside or alternatives)[0]:
            yield from _translated(inner)
    else:
        yield words.either([wrong for branch in alternatives for inner in branch[:1] for wrong in _translated(inner)])
