"""Which of the runs that wait may start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.serving.admission import Candidate, admitted


def runs(said: str) -> list[Candidate]:
    """Build runs: `x y<x z@other` is x, then y that x waits for, then z of another deployment."""
    made = []
    for word in said.split():
        name, _, deployment = word.partition("@")
        name, _, parent = name.partition("<")
        made.append(Candidate(name, deployment or "main", parent or None))
    return made


@pytest.mark.parametrize(
    ("waiting", "live", "limit", "limits", "expected"),
    [
        ("a b c", "", None, {}, "a b c"),
        ("a b c", "", 2, {}, "a b"),
        ("a b", "x", 2, {}, "a"),
        ("a", "x y", 2, {}, ""),
        ("a", "x y z", 2, {}, ""),
        ("a b<x", "x", 1, {}, "b"),
        ("a<x b<x", "x", 1, {}, "a"),
        ("a<x b<a", "x", 1, {}, "a b"),
        ("a<gone", "x", 1, {}, ""),
        ("a b c@other", "", None, {"main": 1}, "a c"),
        ("a<x", "x", None, {"main": 1}, "a"),
        ("a<x@other b", "x", 1, {"main": 1, "other": 1}, "a"),
        ("a@other b@other c", "", 2, {"other": 1}, "a c"),
    ],
)
def test_the_first_in_the_queue_for_whom_there_is_a_place_start(
    waiting: str, live: str, limit: int | None, limits: dict[str, int | None], expected: str
) -> None:
    """In order; who waits for runs of its own lends them its place, one at a time; limits hold side by side."""
    chosen = admitted(runs(waiting), runs(live), limit, limits)
    assert [run.run_id for run in chosen] == expected.split()


@st.composite
def families(draw: st.DrawFn) -> list[Candidate]:
    """Draw runs, each perhaps below an earlier one."""
    made: list[Candidate] = []
    for n in range(draw(st.integers(0, 12))):
        parent = draw(st.none() | st.sampled_from([run.run_id for run in made])) if made else None
        made.append(Candidate(f"r{n}", draw(st.sampled_from("AB")), parent))
    return made


@given(everybody=families(), begun=st.integers(0, 12), limit=st.integers(1, 4))
def test_nobody_waits_for_ever(everybody: list[Candidate], begun: int, limit: int) -> None:
    """Whatever waits for whatever: as runs without a live one below them end, all get their turn, and the limit holds."""
    live, waiting = [], everybody
    steps = 0
    while live or waiting:
        chosen = admitted(waiting, live, limit, {})
        live = live + chosen
        waiting = [run for run in waiting if run not in chosen]
        busy = [run for run in live if run.run_id not in {one.parent_id for one in live}]
        assert len(busy) <= limit
        assert busy, "somebody can end"
        # One that others wait for cannot end before they have.
        ends = next(run for run in busy if run.run_id not in {one.parent_id for one in waiting} or len(busy) == 1)
        live = [run for run in live if run is not ends]
        steps += 1
        assert steps <= len(everybody)
