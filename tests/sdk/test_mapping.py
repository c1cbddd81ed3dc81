"""`.map`: what is mapped over, and what is given to every call."""

from __future__ import annotations

from typing import Any

import pytest

from towpath import State, allow_failure, flow, quote, task, unmapped
from towpath.errors import MappingLengthMismatch, MappingMissingIterable


@task
def show(x: Any, y: Any = "-", *rest: Any, z: Any = "+") -> Any:
    return (x, y, *rest, z)


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (([1, 2],), {}, [(1, "-", "+"), (2, "-", "+")]),
        (([1, 2], [3, 4]), {}, [(1, 3, "+"), (2, 4, "+")]),
        (([1, 2], 5), {}, [(1, 5, "+"), (2, 5, "+")]),
        (([1, 2], "text"), {}, [(1, "text", "+"), (2, "text", "+")]),
        (([1, 2], unmapped([8, 9])), {}, [(1, [8, 9], "+"), (2, [8, 9], "+")]),
        ((range(2),), {"z": (i for i in "ab")}, [(0, "-", "a"), (1, "-", "b")]),
        (([1], [2], [3]), {}, [(1, 2, 3, "+")]),
        (({"a": 1, "b": 2},), {}, [("a", "-", "+"), ("b", "-", "+")]),
        (([1, 2],), {"z": b"bytes"}, [(1, "-", b"bytes"), (2, "-", b"bytes")]),
        (([],), {}, []),
        ((quote([1, 2]),), {}, [(1, "-", "+"), (2, "-", "+")]),
    ],
    ids=["one", "two", "number", "text", "unmapped", "keyword", "*args", "keys", "bytes", "nothing", "quote"],
)
def test_iterables_are_mapped_over(args: tuple[Any, ...], kwargs: dict[str, Any], expected: list[Any]) -> None:
    """One call for each element; what is no iterable, and texts, go to every call."""
    assert show.map(*args, **kwargs).result() == expected


def test_futures_are_mapped_over() -> None:
    """A list of futures gives each call one; a single future is mapped over its value; allow_failure reaches each."""

    @task
    def numbers() -> list[int]:
        return [1, 2]

    @task
    def fail() -> None:
        raise ValueError("x")

    @flow
    def main() -> Any:
        return [
            show.map(show.map([1, 2]), unmapped(0)).result(),
            show.map(numbers.submit()).result(),
            [type(value[0]).__name__ for value in show.map(allow_failure([fail.submit()])).result()],
            [state.name for state in show.map([fail.submit()], return_state=True)],
        ]

    assert main() == [
        [((1, "-", "+"), 0, "+"), ((2, "-", "+"), 0, "+")],
        [(1, "-", "+"), (2, "-", "+")],
        ["ValueError"],
        ["NotReady"],
    ]


def test_flows_are_mapped() -> None:
    """Children side by side, their values in order; states on request."""

    @flow
    def child(x: int, by: int) -> int:
        return x * by

    @flow
    def parent() -> Any:
        return child.map([1, 2, 3], by=10).result(), child.map([1], by=["x"], return_state=True)

    values, states = parent()
    assert values == [10, 20, 30]
    assert isinstance(states[0], State)
    assert states[0].is_failed()


def test_wait_for_holds_every_call_back() -> None:
    """No mapped call begins before."""

    @task
    def fail() -> None:
        raise ValueError

    @flow
    def main() -> Any:
        return {"names": [future.wait().name for future in show.map([1, 2], wait_for=[fail.submit()])]}

    assert main() == {"names": ["NotReady", "NotReady"]}


def test_lengths_must_agree() -> None:
    """The error names each argument and its length, and says what to do."""
    with pytest.raises(MappingLengthMismatch, match=r"argument 1 has 2, 'z' has 3.*unmapped"):
        show.map([1, 2], z=[1, 2, 3])


def test_something_must_be_iterable() -> None:
    """Nothing to map over is a mistake, not one call."""
    with pytest.raises(MappingMissingIterable, match="submit"):
        show.map(1, "text", z=unmapped([1]))
