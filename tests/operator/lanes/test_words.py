"""How a place in a line is told: in steps, so that it seldom changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_operator.lanes.words import about, again_seconds, place, rough


@pytest.mark.parametrize(
    ("number", "told"),
    [(1, 1), (3, 3), (4, 3), (5, 5), (9, 5), (10, 10), (19, 10), (20, 20), (99, 50), (100, 100), (12_345, 10_000)],
)
def test_numbers_are_rounded_down(number: int, told: int) -> None:
    """To one of 1, 2, 3, 5, 10, 20, 50, 100 and so on."""
    assert rough(number) == told


@given(st.integers(0, 10**7))
def test_a_rounded_number_is_never_more_and_never_less_than_two_fifths(number: int) -> None:
    """It promises nothing that is not so, and is not far off."""
    assert number * 0.4 <= rough(number) <= number


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (0, "it is the next"),
        (1, "1 before it"),
        (3, "3 before it"),
        (4, "about 3 before it"),
        (70, "about 50 before it"),
    ],
)
def test_how_many_are_before(ahead: int, said: str) -> None:
    """Exactly at the front, roughly further back."""
    assert about(ahead) == said


@pytest.mark.parametrize(
    ("limit", "is_open", "said"),
    [
        (2, True, "Queue nightly: 2 at once; 1 before it"),
        (None, True, "Queue nightly: any number at once; 1 before it"),
        (0, True, "Queue nightly, whose limit is 0"),
        (2, False, "Queue nightly, which is suspended"),
    ],
    ids=["limit", "no limit", "nobody", "suspended"],
)
def test_where_a_run_stands(limit: int | None, *, is_open: bool, said: str) -> None:
    """What keeps everybody out is said before the place."""
    assert place("queues", "nightly", limit=limit, is_open=is_open, ahead=1) == said


def test_who_is_far_back_looks_seldom() -> None:
    """From half a minute up to ten minutes."""
    assert [again_seconds(ahead) for ahead in (0, 100, 1_000, 10_000)] == [30, 30, 300, 600]
