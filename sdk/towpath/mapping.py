"""`.map`: one call for each element of the iterables among the arguments."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from towpath.annotations import Annotation, unmapped
from towpath.errors import MappingLengthMismatch, MappingMissingIterable
from towpath.futures import Future, FutureList
from towpath.states import State

if TYPE_CHECKING:
    from towpath.definitions import Definition

Place = int | str
"""Where an argument stands: its position, or its name."""


def map_over(definition: Definition[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Submit a flow or task for each element; give the futures, or the final states if those are asked for."""
    return_state, wait_for = bool(kwargs.pop("return_state", False)), kwargs.pop("wait_for", None)
    mapped: dict[Place, list[Any]] = {}
    static: dict[Place, Any] = {}
    given: dict[Place, Any] = dict(enumerate(args))
    given.update(kwargs)
    for place, value in given.items():
        elements = _elements(value)
        if elements is None:
            static[place] = value
        else:
            mapped[place] = elements
    length = _length(definition, mapped)
    futures: FutureList[Any] = FutureList()
    for i in range(length):
        call = {**static, **{place: elements[i] for place, elements in mapped.items()}}
        named = {place: value for place, value in call.items() if isinstance(place, str)}
        futures.append(definition.submit(*(call[place] for place in range(len(args))), wait_for=wait_for, **named))
    if not return_state:
        return futures
    futures.wait()
    return [future.state for future in futures]


def _elements(value: Any) -> list[Any] | None:
    """Give what an argument is mapped over; None if it goes to every call as it is."""
    if isinstance(value, unmapped):
        return None
    if isinstance(value, Annotation):
        inner = _elements(value.value)
        return None if inner is None else [type(value)(element) for element in inner]
    if isinstance(value, Future):
        return _elements(value.result())
    if isinstance(value, State):
        return _elements(value.data) if value.is_completed() else None
    if isinstance(value, (str, bytes, bytearray, io.IOBase)) or not isinstance(value, Iterable):
        return None
    return list(value)


def _length(definition: Definition[..., Any], mapped: dict[Place, list[Any]]) -> int:
    if not mapped:
        raise MappingMissingIterable(
            f"{definition!r} was mapped over nothing: none of its arguments is iterable. Give at least one list; for a "
            "single call use `.submit`."
        )
    lengths = {place: len(elements) for place, elements in mapped.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{_named(place)} has {length}" for place, length in lengths.items())
        raise MappingLengthMismatch(
            f"{definition!r} was mapped over iterables of different lengths: {told}. Wrap those that every call is to "
            "get as a whole in `unmapped(...)`."
        )
    return next(iter(lengths.values()))


def _named(place: Place) -> str:
    return f"argument {place + 1}" if isinstance(place, int) else repr(place)
