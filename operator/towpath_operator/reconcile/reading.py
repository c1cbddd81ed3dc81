"""Looks into bodies that may be of any shape: what is not there, or not of the kind asked for, is None or empty.

The API server validates, but a decision must not depend on it: an old object may be older than today's schema, and a
reader that raises would stop the run for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

#: `dict` comes first: to be asked about a hundred times a look, the abstract class alone costs three times as much.
_OBJECT: Final = (dict, Mapping)


def value(body: Any, *path: str) -> Any:
    """Give what stands at the path, or None."""
    for key in path:
        if not isinstance(body, _OBJECT):
            return None
        body = body.get(key)
    return body


def mapping(body: Any, *path: str) -> Mapping[str, Any]:
    """Give the object at the path, or an empty one."""
    found = value(body, *path)
    return found if isinstance(found, _OBJECT) else {}


def mappings(body: Any, *path: str) -> Sequence[Mapping[str, Any]]:
    """Give the objects of the list at the path; items that are none are left out."""
    found = value(body, *path)
    return [item for item in found if isinstance(item, _OBJECT)] if isinstance(found, list | tuple) else []


def text(body: Any, *path: str) -> str:
    """Give the text at the path, or an empty one."""
    found = value(body, *path)
    return found if isinstance(found, str) else ""


def texts(body: Any, *path: str) -> list[str]:
    """Give the texts of the list at the path; items that are none are left out."""
    found = value(body, *path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list | tuple) else []


def integer(body: Any, *path: str) -> int | None:
    """Give the whole number at the path, or None; true and false are none."""
    found = value(body, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def moment(body: Any, *path: str) -> datetime | None:
    """Give the time at the path, or None; one without a zone is UTC."""
    try:
        found = datetime.fromisoformat(text(body, *path))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def condition(body: Any, type_: str) -> Mapping[str, Any] | None:
    """Give a status condition of this type if it is True, else None."""
    for found in mappings(body, "status", "conditions"):
        if found.get("type") == type_ and found.get("status") == "True":
            return found
    return None
