"""What names and sizes may be: the same everywhere, so that a flow does not fail only where it is deployed. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from towpath.errors import UnfitValue

#: Of an artifact's data, as text; a table is one as JSON.
ARTIFACT_BYTES: Final = 512 * 1024
#: Of a whole event, as JSON.
EVENT_BYTES: Final = 64 * 1024
#: Of a variable's value, as JSON: it has to fit an environment variable, and Linux takes 128 KiB.
VARIABLE_BYTES: Final = 64 * 1024
NAME: Final = 255
DESCRIPTION: Final = 4_000

_KEY: Final = re.compile(r"[a-z0-9-]+")
_VARIABLE: Final = re.compile(r"[a-z0-9_-]+")


def artifact_key(key: str | None) -> str | None:
    """Give an artifact's key, if it can be one.

    Raises:
        UnfitValue: it cannot.
    """
    if key is not None and not (isinstance(key, str) and len(key) <= NAME and _KEY.fullmatch(key)):
        raise UnfitValue(
            f"An artifact's key consists of lowercase letters, digits and dashes, at most {NAME} of them; got {key!r}."
            f"{_meant(key, '-')}"
        )
    return key


def variable_name(name: str) -> str:
    """Give a variable's name, if it can be one.

    Raises:
        UnfitValue: it cannot.
    """
    if not (isinstance(name, str) and len(name) <= NAME and _VARIABLE.fullmatch(name)):
        raise UnfitValue(
            f"A variable's name consists of lowercase letters, digits, dashes and underscores, at most {NAME} of them;"
            f" got {name!r}.{_meant(name, '_')}"
        )
    return name


def description(text: str | None) -> str | None:
    """Give a description, if it can be one.

    Raises:
        UnfitValue: it is no text, or too long.
    """
    if text is not None and not (isinstance(text, str) and len(text) <= DESCRIPTION):
        got = f"{len(text):,} characters" if isinstance(text, str) else repr(text)
        raise UnfitValue(f"A description is a text of at most {DESCRIPTION:,} characters; got {got}.")
    return text


def as_id(what: str, value: Any) -> UUID:
    """Give an id, as it is or written as text.

    Raises:
        UnfitValue: it is none.
    """
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise UnfitValue(f"{what}; got {value!r}.") from None


def fits(what: str, text: str, limit: int, cure: str) -> str:
    """Give a text, if it is no longer than `limit` bytes.

    Args:
        what: whose text it is, to begin a sentence.
        text: the text.
        limit: in bytes, of UTF-8.
        cure: what to do if it is longer, in a sentence.

    Raises:
        UnfitValue: it is longer.
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    if size > limit:
        raise UnfitValue(f"{what} has {size:,} bytes, and at most {limit:,} are kept. {cure}")
    return text


def as_json(what: str, value: Any) -> str:
    """Write a JSON value that has to come back as it is.

    Raises:
        UnfitValue: it has no form in JSON.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise UnfitValue(
            f"{what} is made of JSON values: texts, numbers, true, false, null, lists and objects. {error}."
        ) from error


def shown_json(value: Any) -> str:
    """Write what is to be looked at as JSON: what has no form in it becomes text, NaN and infinity null."""
    return json.dumps(_shown(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, Mapping):
        return {str(name): _shown(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a number of numpy
        return _shown(value.item())
    return str(value)


def _meant(name: object, between: str) -> str:
    """Propose a name that would do."""
    if not isinstance(name, str):
        return ""
    near = re.sub(r"[^a-z0-9_-]+" if between == "_" else r"[^a-z0-9]+", between, name.lower()).strip("-_")[:NAME]
    return f" {near!r} would do." if near else ""
