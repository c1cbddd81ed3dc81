"""The reference of the resources for people: the same models as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from towpath.api.v1alpha1 import KINDS, Resource
from towpath.names import API_VERSION
from towpath_operator.crds.manifest import schema_of
from towpath_operator.crds.structural import Schema

FILE = "resources.md"
_HEAD = f"""\
<!-- Made from the models in sdk/towpath/api/v1alpha1 by `python -m towpath_operator.crds --docs`; edit those. -->
# Resources

The kinds of `{API_VERSION}`, field by field; `kubectl explain` says the same. A field in **bold** is required where the
object above it is given. Every kind is in the category `towpath`: `kubectl get towpath` lists them all.
"""


class Row(NamedTuple):
    """A field: where it is, what it takes, what it means."""

    path: str
    required: bool
    takes: str
    meaning: str


def reference_page() -> str:
    """Write the whole page."""
    return "\n".join([_HEAD, *(_section(kind) for kind in KINDS)])


def rows(schema: Schema, above: str = "") -> Iterator[Row]:
    """Give the fields of an object schema and of all objects below it, each under its dotted path."""
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        path = f"{above}{name}"
        yield Row(path, name in required, takes(field), field.get("description", ""))
        inner = field.get("items", field)
        if "properties" in inner:
            yield from rows(inner, f"{path}{'[]' if inner is not field else ''}.")


def takes(field: Schema) -> str:
    """Say in words what values a field takes, and its default."""
    said = _type(field)
    return f"{said}; default `{field['default']}`" if field.get("default") not in (None, "") else said


def _type(field: Schema) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    match field["type"]:
        case "array":
            kind, *bounds = _type(field["items"]).split(", ", 1)
            each = f" ({bounds[0]})" if bounds else ""
            return f"list of {kind}{each}{_bounds(field, 'minItems', 'maxItems', 'items')}"
        case "object":
            return "object" if "properties" in field else "any object"
        case "integer":
            return f"integer{_bounds(field, 'minimum', 'maximum', '')}"
        case "string" if field.get("format") == "date-time":
            return "time"
        case "string":
            return f"string{_bounds(field, 'minLength', 'maxLength', 'characters')}"
        case other:
            return str(other)


def _bounds(field: Schema, low: str, high: str, unit: str) -> str:
    least, most = field.get(low), field.get(high)
    if least is None and most is None:
        return ""
    numbers = f"{least:,} to {most:,}" if least is not None and most is not None else f"at most {most:,}"
    return f", {numbers} {unit}".rstrip()


def _section(kind: type[Resource]) -> str:
    schema, crd, name = schema_of(kind), kind.crd, kind.__name__
    short = ", ".join(f"`{word}`" for word in crd.short_names)
    lines = [f"## {name}", "", schema["description"], "", f"- Short name: {short}; plural `{crd.plural}.towpath.dev`"]
    if crd.selectable_fields:
        fields = ", ".join(f"`{path.removeprefix('.')}`" for path in crd.selectable_fields)
        lines.append(f"- `kubectl get {crd.plural}.towpath.dev --field-selector` takes {fields}")
    lines.append("- The API server refuses what breaks one of these rules:")
    lines += [f"  - {', '.join(places)}{': ' if places else ''}{message}" for message, places in _rules(schema).items()]
    for part in ("spec", "status"):
        lines += ["", f"### {name} {part}", "", schema["properties"][part]["description"], ""]
        lines += ["| field | takes | meaning |", "| --- | --- | --- |", *map(_line, rows(schema["properties"][part]))]
    return "\n".join([*lines, ""])


def _line(row: Row) -> str:
    field = f"**`{row.path}`**" if row.required else f"`{row.path}`"
    meaning = row.meaning.replace("|", "\\|")
    return f"| {field} | {row.takes} | {meaning} |"


def _rules(schema: Schema) -> dict[str, list[str]]:
    """Give each refusal's words and the places that it may name; none for the resource as a whole."""
    places: dict[str, list[str]] = {}
    for place, message in _walk(schema, ""):
        places.setdefault(message, []).extend([f"`{place}`"] if place else [])
    return places


def _walk(schema: Schema, place: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"{place}{rule.get('fieldPath', '')}".lstrip("."), rule["message"]
    for name, field in schema.get("properties", {}).items():
        yield from _walk(field, f"{place}.{name}")
