"""The CustomResourceDefinitions of Towpath's kinds, as objects and as the YAML files that are committed."""

from __future__ import annotations

from typing import Any

import yaml

from towpath.api.v1alpha1 import KINDS, Column, Resource
from towpath.names import GROUP, VERSION
from towpath_operator.crds.structural import Schema, structural

HEADER = """\
# Made from the models in sdk/towpath/api/v1alpha1 by `python -m towpath_operator.crds`; edit those.
"""
_TYPE_META: dict[str, Schema] = {
    "apiVersion": {"description": f"Group and version of the resource: {GROUP}/{VERSION}.", "type": "string"},
    "kind": {"description": "Kind of the resource.", "type": "string"},
    "metadata": {"type": "object"},
}


def schema_of(kind: type[Resource]) -> Schema:
    """Build the structural schema of a kind, its CEL rules included."""
    parts = kind.model_fields
    properties = dict(_TYPE_META)
    for name, defaults in (("spec", True), ("status", False)):
        properties[name] = structural(kind, part=name, defaults=defaults)
    built: Schema = {"description": _sentence(kind), "type": "object", "properties": properties}
    built["required"] = [name for name in ("spec", "status") if parts[name].is_required()]
    if kind.crd.rules:
        built["x-kubernetes-validations"] = [rule.wire() for rule in kind.crd.rules]
    return built


def manifest_of(kind: type[Resource]) -> dict[str, Any]:
    """Build the CustomResourceDefinition of a kind."""
    crd, name = kind.crd, kind.__name__
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema_of(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in crd.columns],
    }
    if crd.selectable_fields:
        version["selectableFields"] = [{"jsonPath": path} for path in crd.selectable_fields]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{crd.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/part-of": "towpath"},
        },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": crd.plural,
                "singular": name.lower(),
                "shortNames": list(crd.short_names),
                "categories": ["towpath"],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def files() -> dict[str, str]:
    """Give the committed files: name to YAML, one for each kind."""
    return {f"{kind.crd.plural}.yaml": to_yaml(manifest_of(kind)) for kind in KINDS}


def to_yaml(manifest: dict[str, Any]) -> str:
    """Write a manifest as YAML, the same bytes every time."""
    return HEADER + yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes shared parts out instead of naming them: some readers of manifests know no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 the signature is the base class's
        return True


def _column(column: Column) -> dict[str, Any]:
    built: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.priority:
        built["priority"] = column.priority
    if column.description:
        built["description"] = column.description
    return built


def _sentence(kind: type[Resource]) -> str:
    return " ".join((kind.__doc__ or "").split())
