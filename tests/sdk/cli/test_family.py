"""Which runs are below a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.cli.bodies_of_runs import seen

from towpath.cli.family import Family, below

TREE = {"top": None, "a": "top", "b": "top", "deep": "a", "deeper": "deep", "stranger": None, "strange": "stranger"}
RUNS = [seen(name, parent=parent) for name, parent in TREE.items()]
MEMBERS = {"top", "a", "b", "deep", "deeper"}


@given(st.permutations(RUNS))
def test_the_order_in_which_runs_become_known_does_not_matter(order: list[object]) -> None:
    """A child that is seen before its parent waits for it, and then belongs; strangers never do."""
    family = Family(RUNS[0])
    told = [run.name for seen_one in order for run in family.add(seen_one)]  # type: ignore[arg-type]
    assert sorted(told) == sorted(MEMBERS)


def test_a_part_of_a_tree_has_its_own_members_only() -> None:
    """Below a run in the middle are those that it called, not those beside it."""
    assert [run.name for run in below(RUNS[1], RUNS)] == ["a", "deep", "deeper"]


def test_what_is_known_of_a_run_last_counts() -> None:
    """The list is newer than the run that it was asked for."""
    assert below(RUNS[0], [seen("top", "COMPLETED")])[0].has_ended
    assert [run.name for run in below(RUNS[0], [])] == ["top"]
