"""The part of JSON Patch (RFC 6902) that Towpath writes: test, add, replace and remove, on objects only."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any


class PatchRefusedError(AssertionError):
    """The API server would answer 422."""


def apply_patch(document: Mapping[str, Any], operations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Apply operations to a copy of a document; raise PatchRefusedError where the API server would."""
    result = copy.deepcopy(dict(document))
    for operation in operations:
        *above, last = operation["path"].removeprefix("/").split("/")
        target: Any = result
        for key in above:
            if key not in target:
                raise PatchRefusedError(f"{operation['path']} has nothing above it")
            target = target[key]
        if operation["op"] != "add" and last not in target:
            raise PatchRefusedError(f"{operation['op']} of {operation['path']}, which is not there")
        match operation["op"]:
            case "test":
                if target[last] != operation["value"]:
                    raise PatchRefusedError(f"{operation['path']} is {target[last]!r}, not {operation['value']!r}")
            case "add" | "replace":
                target[last] = copy.deepcopy(operation["value"])
            case "remove":
                del target[last]
            case other:
                raise PatchRefusedError(f"no such operation: {other!r}")
    return result
