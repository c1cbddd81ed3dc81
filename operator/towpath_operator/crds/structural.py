"""From a pydantic model to the structural schema that a CustomResourceDefinition takes.

JSON Schema as pydantic writes it is not what the API server accepts: references must be written out, an optional field
is one that may be absent rather than null, bounds are OpenAPI 3.0's, and every node has exactly one type. What cannot
be said so is refused here with the place where it stands, long before an API server would.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from towpath.api.v1alpha1 import Rule

Schema = dict[str, Any]

_TYPES: Final = frozenset({"object", "array", "string", "integer", "boolean"})
#: Keywords that mean the same on both sides.
_AS_THEY_ARE: Final = (
    "format",
    "enum",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "nullable",
)
#: Keywords that have a treatment of their own below.
_TREATED: Final = frozenset(
    {
        "type",
        "description",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "default",
        "const",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "x-rules",
    }
)
#: Keywords that say nothing to the API server.
_DROPPED: Final = frozenset({"title", "examples"})


class NotStructuralError(ValueError):
    """A model has something that no CustomResourceDefinition can say."""


def structural(model: type[BaseModel], *, part: str | None = None, defaults: bool) -> Schema:
    """Write a model, or one field of it, as a structural schema.

    Args:
        model: its docstrings and attribute docstrings become descriptions, `x-rules` in the extra of a field's JSON
            Schema (a tuple of `Rule`) its CEL rules.
        part: the field, by its name on the wire; None: the whole model.
        defaults: whether the API server fills in the fields' defaults; a status says only what somebody wrote.

    Raises:
        NotStructuralError: the model has a union, a float, a tuple or another thing that the API server would refuse.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    converter = _Converter(schema.pop("$defs", {}), defaults=defaults)
    if part is None:
        return converter.convert(schema, model.__name__)
    return converter.convert(schema["properties"][part], f"{model.__name__}.{part}")


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema], *, defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def convert(self, schema: Schema, place: str) -> Schema:
        """Convert a node and all below it; `place` is its name in refusals."""
        node = self._written_out(schema, place)
        strange = sorted(set(node) - set(_AS_THEY_ARE) - _TREATED - _DROPPED)
        if strange:
            raise NotStructuralError(f"{place} uses {', '.join(strange)}, which a CustomResourceDefinition cannot say.")
        built: Schema = {}
        if "description" in node:
            built["description"] = " ".join(inspect.cleandoc(node["description"]).split())
        built |= self._type(node, place)
        if self._defaults and node.get("default") is not None:
            built["default"] = node["default"]
        built |= {key: node[key] for key in _AS_THEY_ARE if key in node}
        if "const" in node:
            built["enum"] = [node["const"]]
        for side in ("Minimum", "Maximum"):
            if f"exclusive{side}" in node:
                built |= {side.lower(): node[f"exclusive{side}"], f"exclusive{side}": True}
        built |= self._children(node, place)
        if "x-rules" in node:
            built["x-kubernetes-validations"] = [_rule(rule) for rule in node["x-rules"]]
        return built

    def _written_out(self, schema: Schema, place: str) -> Schema:
        """Put definitions in place of references, and the type itself in place of "this type or null"."""
        node = dict(schema)
        while "$ref" in node or "anyOf" in node:
            if "$ref" in node:
                definition = self._definitions[node.pop("$ref").removeprefix("#/$defs/")]
                node = definition | node  # the field's own description says more than its type's
                continue
            variants = [variant for variant in node.pop("anyOf") if variant != {"type": "null"}]
            if len(variants) != 1:
                raise NotStructuralError(f"{place} is a union of {len(variants)} types; give it one type.")
            node = variants[0] | node
        return node

    def _type(self, node: Schema, place: str) -> Schema:
        if "type" not in node and node.get("x-kubernetes-preserve-unknown-fields"):
            return {}
        if node.get("type") not in _TYPES:
            raise NotStructuralError(f"{place} has type {node.get('type')!r}; use one of {', '.join(sorted(_TYPES))}.")
        return {"type": node["type"]}

    def _children(self, node: Schema, place: str) -> Schema:
        built: Schema = {}
        if "properties" in node:
            built["properties"] = {k: self.convert(v, f"{place}.{k}") for k, v in node["properties"].items()}
        if node.get("required"):
            built["required"] = node["required"]
        if node.get("type") == "array":
            built["items"] = self.convert(node["items"], f"{place}[]")
        others = node.get("additionalProperties", False)
        if others is True:
            raise NotStructuralError(
                f"{place} is an object of anything; use AnyObject, which the API server keeps as it is."
            )
        if others is not False:
            built["additionalProperties"] = self.convert(others, f"{place}{{}}")
        return built


def _rule(rule: Mapping[str, Any]) -> dict[str, str]:
    """Give a `Rule`, which pydantic has taken apart on its way here, as `Rule.wire` would."""
    return Rule(**rule).wire()
