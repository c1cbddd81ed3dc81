"""What is shown of runs, and what is left out where there is no room."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.console.rows import Row, Tally, branches, fitted
from towpath.states import StateType


def row(name: str, type_: StateType = StateType.COMPLETED, parent: str | None = None) -> Row:
    """Make a row; its id is its name."""
    return Row(id=name, parent_id=parent, name=name, flow="f", type=type_, state=type_.capitalize())


def drawn(rows: list[Row]) -> list[str]:
    """Give rows as a tree is drawn."""
    return [f"{one.branch}{one.name}" for one in rows]


def test_runs_are_drawn_below_those_that_called_them() -> None:
    """In the order of their beginning; one whose caller is not shown stands at the top."""
    rows = [row("a"), row("b", parent="a"), row("c", parent="b"), row("d", parent="a"), row("e", parent="gone")]
    shown, hidden = fitted(rows, 10)
    assert drawn(shown) == ["a", "├─ b", "│  └─ c", "└─ d", "e"]
    assert hidden == ""


def test_where_there_is_no_room_live_runs_stay_then_failed_ones_then_the_latest() -> None:
    """With those that called them; the others are counted."""
    rows = [
        row("top", StateType.RUNNING),
        *(row(f"done-{i}", parent="top") for i in range(5)),
        row("failed", StateType.FAILED, parent="top"),
        row("middle", parent="top"),
        row("live", StateType.RUNNING, parent="middle"),
    ]
    shown, hidden = fitted(rows, 6)
    assert drawn(shown) == ["top", "├─ done-4", "├─ failed", "└─ middle", "   └─ live"]
    assert hidden == "… 4 more: 4 completed"
    shown, hidden = fitted(rows, 4, dropped={StateType.COMPLETED: 10})
    assert drawn(shown) == ["top", "└─ middle", "   └─ live"]
    assert hidden == "… 16 more: 15 completed, 1 failed"


def test_runs_that_were_dropped_are_counted_also_where_there_is_room() -> None:
    """Nobody is to think that there were no more."""
    assert fitted([row("top")], 10, dropped={StateType.COMPLETED: 7}) == ([row("top")], "… 7 more: 7 completed")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(StateType), st.integers(0, 30)), max_size=40),
    st.integers(2, 45),
    st.integers(0, 5),
)
def test_rows_always_fit_and_none_is_lost(made: list[tuple[StateType, int]], most: int, dropped: int) -> None:
    """However runs are related: shown rows and the words about the others take no more lines than there are."""
    rows = [
        row(str(number), type_, parent=str(parent) if parent < number else None)
        for number, (type_, parent) in enumerate(made)
    ]
    shown, hidden = fitted(rows, most, {StateType.FAILED: dropped})
    assert len(shown) + bool(hidden) <= most
    assert {one.id for one in shown} <= {one.id for one in rows}
    left_out = len(rows) - len(shown) + dropped
    assert hidden.startswith(f"… {left_out} more") if left_out else not hidden
    ids = {one.id for one in shown}
    assert all(one.parent_id in ids for one in shown if one.parent_id is not None)
    assert len(list(branches(rows))) == len(rows)


@pytest.mark.parametrize(
    ("tally", "said"),
    [
        (Tally(0, 0, 0), ""),
        (Tally(3, 3, 0), "3/3 done"),
        (Tally(10, 4, 1, 2, ("load-3",)), "5/10 done, 5 running, 2 cached, 1 failed: load-3"),
        (Tally(9, 0, 9, 0, ("a", "b", "c", "d")), "9/9 done, 9 failed: a, b, c, …"),
        (Tally(2, 1, 1), "2/2 done, 1 failed"),
    ],
    ids=["none", "all well", "some of each", "many failed", "names unknown"],
)
def test_tasks_are_told_in_a_line(tally: Tally, said: str) -> None:
    """How many are done, go on, took a kept result and failed, and which."""
    assert str(tally) == said
