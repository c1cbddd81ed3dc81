"""Parameters on their way to another process of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towpath.errors import ParameterError
from towpath.parameter_words import shortened
from towpath.parameters import is_json, jsonable


def as_json(parameters: Mapping[str, Any], of: str) -> dict[str, Any]:
    """Give parameters as JSON values, which validation in the other process turns back into the same.

    Args:
        parameters: by name.
        of: whose they are, for messages: `flow 'etl'`.

    Raises:
        ParameterError: a value has no form in JSON.
    """
    told: dict[str, Any] = {}
    for name, value in parameters.items():
        try:
            told[name] = value if is_json(value) else jsonable(value)
        except (ValueError, TypeError) as error:
            raise ParameterError(
                f"Parameter {name!r} of {of} cannot go to another process, {shortened(value)} has no form in JSON:"
                f" {error}. Give a path or an id instead."
            ) from error
    return told
