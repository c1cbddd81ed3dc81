"""Parameters as they are kept: as JSON from which validation makes the same again, if they are small.

Of large ones as much is kept as tells what the run was about.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Characters of one run's parameters, about.
ROOM: Final = 10_000
_TEXT: Final = 2_000
_ITEMS: Final = 500
_DEPTH: Final = 12
#: Types whose own words are few, and are what validation makes the same value of again.
_SAYS_IT: Final[Mapping[tuple[str, str], Callable[[Any], Any]]] = {
    ("datetime", "datetime"): lambda value: value.isoformat(),
    ("datetime", "date"): lambda value: value.isoformat(),
    ("datetime", "time"): lambda value: value.isoformat(),
    ("datetime", "timedelta"): lambda value: value.total_seconds(),
    ("decimal", "Decimal"): str,
    ("uuid", "UUID"): str,
    ("pathlib", "PosixPath"): str,
    ("pathlib", "WindowsPath"): str,
}


def described(parameters: Mapping[str, Any]) -> tuple[str, bool]:
    """Give parameters as a JSON object, and whether that is all of them.

    It never fails, and stops where there is no more room, so that large values cost no more than small ones; only
    pydantic's models are first written out as a whole.
    """
    description = _Description()
    told = {name: description.value(value, _DEPTH) for name, value in parameters.items()}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False), description.whole


class _Description:
    """A walk through values that stops when there is no more room."""

    def __init__(self) -> None:
        self.whole = True
        self._room = ROOM

    def value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        self._room -= 8
        if value is None or kind is bool:
            return value
        if kind is str:
            return self._text(value)
        if (kind is float and math.isfinite(value)) or (kind is int and -(2**63) <= value < 2**63):
            return value
        try:
            plain = _plain(value) if depth else None
        except Exception:  # user types may raise in any method
            plain = None
        if isinstance(plain, dict):
            return {self._text(key): self.value(item, depth - 1) for key, item in self._few(plain.items())}
        if isinstance(plain, list | tuple | set | frozenset):
            return [self.value(item, depth - 1) for item in self._few(plain)]
        if plain is not None:
            return self.value(plain, depth - 1)
        self.whole = False
        size = f" of {len(value)}" if isinstance(value, list | tuple | dict | set | frozenset | bytes) else ""
        return f"<{kind.__name__}{size}>"

    def _few(self, items: Iterable[T]) -> Iterator[T]:
        for count, item in enumerate(items):
            if count >= _ITEMS or self._room <= 0:
                self.whole = False
                return
            yield item

    def _text(self, text: str) -> str:
        limit = max(0, min(_TEXT, self._room))
        told = text[:limit].encode("utf-8", "replace").decode() + ("…" if len(text) > limit else "")
        self._room -= len(told)
        self.whole = self.whole and told == text
        return told


def _plain(value: Any) -> Any:
    """Give something simpler that says the same; None if there is nothing."""
    kind = type(value)
    if kind in {list, tuple, set, frozenset}:
        return value
    if kind is dict:
        return value if all(type(key) is str for key in value) else None
    if (words := _SAYS_IT.get((kind.__module__, kind.__name__))) is not None:
        return words(value)
    if hasattr(kind, "__pydantic_serializer__"):
        from towpath.parameters import jsonable

        return jsonable(value)
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in kind.__dataclass_fields__}
    enum = getattr(value, "_value_", None)
    return enum if hasattr(kind, "__members__") else None
