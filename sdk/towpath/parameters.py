"""Parameters on their way to another process: as JSON, and not too large for a resource."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from towpath.errors import ParameterError
from towpath.names import MAX_PARAMETERS_BYTES
from towpath.parameter_words import shortened


def to_json(parameters: Mapping[str, Any], flow_name: str) -> dict[str, Any]:
    """Make bound parameters fit for travel: JSON values that validation on the other side turns back into the same.

    Raises:
        ParameterError: a value has no form in JSON, or all together are too large.
    """
    travelling: dict[str, Any] = {}
    for name, value in parameters.items():
        try:
            travelling[name] = value if is_json(value) else jsonable(value)
        except (ValueError, TypeError) as error:
            raise ParameterError(
                f"Parameter {name!r} of flow {flow_name!r} cannot travel to a pod, {shortened(value)} has no form in "
                f"JSON: {error}. Pass a path or an id instead, or run the flow in this process (`inline=True`)."
            ) from error
    size = len(json.dumps(travelling, separators=(",", ":")).encode())
    if size > MAX_PARAMETERS_BYTES:
        raise ParameterError(
            f"The parameters of flow {flow_name!r} are {size} bytes of JSON; at most {MAX_PARAMETERS_BYTES} can travel "
            "to a pod. Pass a path to the data instead."
        )
    return travelling


def jsonable(value: Any) -> Any:
    """Give a value's form in JSON; raises ValueError if it has none."""
    from pydantic_core import to_jsonable_python

    jsonable = to_jsonable_python(value)
    if not is_json(jsonable):
        raise ValueError("it holds a number that JSON does not have")
    return jsonable


def is_json(value: Any) -> bool:
    """Tell whether a value is JSON as it stands, and comes back unchanged."""
    kind = type(value)
    if kind in {str, bool, type(None)}:
        return True
    if kind is int:
        return bool(-(2**63) <= value < 2**63)  # what the Kubernetes API keeps exactly
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        return all(map(is_json, value))
    return kind is dict and all(type(key) is str and is_json(item) for key, item in value.items())
