"""Futures within arguments and results."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from towpath import Completed, Crashed, Failed, Future, allow_failure, quote, unmapped
from towpath.engine.effects import NotReady
from towpath.resolve import has_futures, pending, resolve, resolve_call, to_states
from towpath.states import State, StateType


def future(value: Any = None, state: State[Any] | None = None) -> Future[Any]:
    """Make a future that has ended."""
    made: Future[Any] = Future()
    made.complete(state or Completed(data=value))
    return made


@dataclass(frozen=True)
class Frozen:
    x: Any
    y: int = 2


@dataclass(slots=True)
class Slotted:
    x: Any


class Model(BaseModel):
    x: Any
    y: int = 2


class Pair(NamedTuple):
    a: Any
    b: Any


Old = namedtuple("Old", "a")  # noqa: PYI024 the old form is walked too


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [
        (lambda f: f, 7),
        (lambda f: [1, f], [1, 7]),
        (lambda f: (f, 2), (7, 2)),
        (lambda f: {f}, {7}),
        (lambda f: frozenset([f]), frozenset([7])),
        (lambda f: {"a": [f]}, {"a": [7]}),
        (lambda f: {f: 1}, {7: 1}),
        (lambda f: Pair(f, 1), Pair(7, 1)),
        (Old, Old(7)),
        (lambda f: OrderedDict(a=f), OrderedDict(a=7)),
        (Frozen, Frozen(7)),
        (lambda f: Slotted([f]), Slotted([7])),
        (lambda f: Model(x=f), Model(x=7)),
        (lambda f: {"a": [(Frozen({f}),)]}, {"a": [(Frozen({7}),)]}),
        (allow_failure, 7),
        (lambda f: unmapped([f]), [7]),
    ],
    ids=[
        "bare",
        "list",
        "tuple",
        "set",
        "frozenset",
        "dict",
        "key",
        "named tuple",
        "old named tuple",
        "ordered dict",
        "frozen dataclass",
        "slotted dataclass",
        "pydantic model",
        "deep",
        "allow_failure",
        "unmapped",
    ],
)
def test_values_take_the_places_of_futures(wrap: Any, expected: Any) -> None:
    """However deep a future stands, its value is there in the end, in the same kind of collection."""
    resolved = resolve(wrap(future(7)))
    assert resolved == expected
    assert type(resolved) is type(expected)


def test_states_are_resolved_too() -> None:
    """A state stands for its value as its future does."""
    assert resolve([Completed(data=3)]) == [3]


def test_what_holds_no_future_is_not_copied() -> None:
    """Large data is given on as it is."""
    for value in ([1, [2]], {"a": (1, {2})}, Frozen([1]), Model(x=1), object()):
        assert resolve(value) is value


def test_the_original_is_left_alone() -> None:
    """Resolving changes a copy, not the caller's collection."""
    original = [future(1)]
    resolve(original)
    assert isinstance(original[0], Future)


def test_the_kind_of_a_dictionary_is_kept() -> None:
    """A defaultdict keeps its default."""
    resolved = resolve(defaultdict(list, a=future(1)))
    assert resolved["b"] == []


def test_quote_is_neither_walked_nor_resolved() -> None:
    """What is quoted arrives as it is."""
    quoted = [future(1)]
    assert resolve(quote(quoted)) is quoted


def test_a_collection_within_itself_is_walked_once() -> None:
    """A cycle is no endless walk."""
    cycle: list[Any] = [1]
    cycle.append(cycle)
    assert resolve(cycle) is cycle


@pytest.mark.parametrize("state", [Failed(message="no"), Crashed(), State(StateType.PENDING, "NotReady")], ids=str)
def test_a_failed_upstream_makes_a_call_not_ready(state: State[Any]) -> None:
    """One run that did not complete is enough, as an argument or to wait for."""
    for args, wait_for in (([future(state=state)], None), ([1], [future(state=state)])):
        answer = resolve_call(tuple(args), {}, wait_for)
        assert isinstance(answer, NotReady)
        assert state.name in answer.message


def test_allow_failure_passes_the_exception() -> None:
    """A failed run's exception stands in its value's place."""
    error = ValueError("x")
    args, kwargs = resolve_call((allow_failure(future(state=Failed(data=error))),), {"y": 1}, None)  # type: ignore[misc]
    assert args == (error,)
    assert kwargs == {"y": 1}


def test_allow_failure_of_a_run_that_never_ran_passes_nothing() -> None:
    """NotReady has neither value nor exception."""
    assert resolve(allow_failure(State(StateType.PENDING, "NotReady"))) is None


def test_pending_finds_what_has_to_be_waited_for() -> None:
    """Only futures that have not ended, however deep, and not those that are quoted."""
    open_: Future[Any] = Future()
    assert pending([open_, future(1)], {"a": Frozen(open_)}, quote(Future())) == [open_, open_]


def test_plain_arguments_are_told_apart_quickly() -> None:
    """Numbers and texts hold nothing; a list may."""
    assert not has_futures((1, "a", None), {"x": 2.5})
    assert has_futures(([],), {})
    assert has_futures((), {"x": Future()})


def test_results_keep_states() -> None:
    """In what a run returns, futures become the states that they ended in."""
    done = future(1)
    assert to_states([done, {"a": done}]) == [done.state, {"a": done.state}]
