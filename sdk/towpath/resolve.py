"""Futures and states within arguments and results: finding them, and putting in place what they stand for.

Lists, tuples, sets, dictionaries, dataclasses and pydantic models are walked through. What has nothing to resolve in it
is given back as it is, not copied; what has is copied, and the original left alone. The value of a run is not walked
through in its turn.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from towpath.annotations import Annotation, allow_failure, opaque, quote
from towpath.engine.effects import NotReady
from towpath.futures import Future
from towpath.states import State

#: Types of values that hold nothing: most arguments, so they are let through before anything else is asked.
ATOMS: Final = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, range, type(...)})
Found: TypeAlias = Future[Any] | State[Any]
Leaf: TypeAlias = Callable[[Found, bool], Any]
"""What becomes of a future or state; told whether the run behind it may have failed."""


class Unready(Exception):
    """Something that a run needs cannot be had."""


def has_futures(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell quickly, for arguments that hold nothing at all, that there is nothing to resolve."""
    for value in args:
        if type(value) not in ATOMS:
            return True
    return any(type(value) not in ATOMS for value in kwargs.values())


def pending(*values: Any) -> list[Future[Any]]:
    """Find the futures within values that have not ended."""
    found: list[Future[Any]] = []

    def note(leaf: Found, _: bool) -> Found:
        if isinstance(leaf, Future) and not leaf.done():
            found.append(leaf)
        return leaf

    for value in values:
        _walk(value, note, False, set())
    return found


def resolve(value: Any) -> Any:
    """Put values in the places of futures and states, which have ended.

    Raises:
        Unready: a run did not complete, and the argument is not marked by `allow_failure`.
    """
    return _walk(value, _to_value, False, set())


def to_states(value: Any) -> Any:
    """Put the states they ended in in the places of futures, waiting for each."""
    return _walk(value, _to_state, False, set())


def resolve_call(args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> tuple[Any, Any] | NotReady:
    """Resolve the arguments of a call whose futures have ended; say what is missing if some did not complete."""
    try:
        resolve(wait_for)
        return tuple(resolve(value) for value in args), {name: resolve(value) for name, value in kwargs.items()}
    except Unready as error:
        return NotReady(str(error))


def _to_value(leaf: Found, may_fail: bool) -> Any:
    state = leaf.wait() if isinstance(leaf, Future) else leaf
    if state.is_completed():
        return state.data
    if may_fail:
        return state.left() if state.is_final() else state.data
    name = f" {leaf.name!r}" if isinstance(leaf, Future) and leaf.name else ""
    raise Unready(f"The run{name} that this one needs is not COMPLETED but {state.type} ({state.name}).")


def _to_state(leaf: Found, _: bool) -> State[Any]:
    return leaf.wait() if isinstance(leaf, Future) else leaf


def _walk(value: Any, leaf: Leaf, may_fail: bool, above: set[int]) -> Any:
    kind = type(value)
    if kind in ATOMS:
        return value
    if isinstance(value, (Future, State)):
        return leaf(value, may_fail)
    if isinstance(value, Annotation):
        if leaf is _to_state:  # what is returned is the caller's, words and all
            return value
        return _annotated(value, leaf, above)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _within(value, above, lambda: _members(value, leaf, may_fail, above))
    if isinstance(value, dict):
        return _within(value, above, lambda: _mapping(value, leaf, may_fail, above))
    if isinstance(value, type):
        return value
    if dataclasses.is_dataclass(value):
        return _within(value, above, lambda: _fields(value, leaf, may_fail, above))
    if hasattr(kind, "__pydantic_fields__") and hasattr(value, "model_copy"):
        return _within(value, above, lambda: _model(value, leaf, may_fail, above))
    return value


def _annotated(value: Annotation, leaf: Leaf, above: set[int]) -> Any:
    if isinstance(value, quote):
        return value.value
    if isinstance(value, opaque) and not isinstance(value.value, (Future, State, Annotation)):
        return value.value
    return _walk(value.value, leaf, isinstance(value, allow_failure), above)


def _within(value: Any, above: set[int], rebuilt: Callable[[], Any]) -> Any:
    """Go one level deeper, unless the value contains itself."""
    if id(value) in above:
        return value
    above.add(id(value))
    try:
        return rebuilt()
    finally:
        above.discard(id(value))


def _changed(values: Iterable[Any], leaf: Leaf, may_fail: bool, above: set[int]) -> tuple[list[Any], bool]:
    before, after = [], []
    for value in values:
        before.append(value)
        after.append(value if type(value) in ATOMS else _walk(value, leaf, may_fail, above))
    return after, any(old is not new for old, new in zip(before, after, strict=True))


def _members(value: Any, leaf: Leaf, may_fail: bool, above: set[int]) -> Any:
    if all(type(member) in ATOMS for member in value):
        return value
    members, changed = _changed(value, leaf, may_fail, above)
    if not changed:
        return value
    if isinstance(value, list):
        return members
    if hasattr(value, "_fields"):  # a named tuple
        return type(value)(*members)
    for base in (tuple, set, frozenset):
        if isinstance(value, base):
            return base(members)
    return members


def _mapping(value: dict[Any, Any], leaf: Leaf, may_fail: bool, above: set[int]) -> Any:
    keys, keys_changed = _changed(value, leaf, may_fail, above)
    values, values_changed = _changed(value.values(), leaf, may_fail, above)
    if not (keys_changed or values_changed):
        return value
    rebuilt = copy.copy(value)  # keeps the kind: OrderedDict, defaultdict …
    rebuilt.clear()
    rebuilt.update(zip(keys, values, strict=True))
    return rebuilt


def _fields(value: Any, leaf: Leaf, may_fail: bool, above: set[int]) -> Any:
    names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
    fields, changed = _changed((getattr(value, name) for name in names), leaf, may_fail, above)
    if not changed:
        return value
    rebuilt = copy.copy(value)
    for name, field in zip(names, fields, strict=True):
        object.__setattr__(rebuilt, name, field)  # frozen ones too
    return rebuilt


def _model(value: Any, leaf: Leaf, may_fail: bool, above: set[int]) -> Any:
    names = [name for name in type(value).__pydantic_fields__ if name in value.__dict__]
    fields, changed = _changed((value.__dict__[name] for name in names), leaf, may_fail, above)
    return value.model_copy(update=dict(zip(names, fields, strict=True))) if changed else value
