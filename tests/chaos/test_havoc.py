"""Plans and workloads of the chaos suite: the same seed gives the same, and nothing is left out."""

from __future__ import annotations

import pytest
from tests.chaos.havoc import RARE, THEMES, What, plan
from tests.chaos.workload import TREE, workload


@pytest.mark.parametrize("theme", THEMES)
def test_a_seed_stands_for_a_plan(theme: str) -> None:
    """What was found can be had again; another seed gives another plan."""
    assert plan(7, theme, 60) == plan(7, theme, 60)
    assert len({tuple(plan(seed, theme, 60)) for seed in range(5)}) == 5


@pytest.mark.parametrize("theme", THEMES)
def test_each_blow_of_a_theme_falls_once_before_one_falls_again(theme: str) -> None:
    """So none is left out in a plan that is long enough; and it takes the time that it is given."""
    planned = plan(1, theme, 1500)
    assert {one.what for one in planned} == set(THEMES[theme])
    assert 1500 <= sum(one.pause + one.lasts for one in planned) < 1600


@pytest.mark.parametrize("theme", ["control plane", "everything"])
def test_what_takes_long_is_rare(theme: str) -> None:
    """A default round seldom has it, and a long one does."""
    few = [any(one.what in RARE for one in plan(seed, theme, 60)) for seed in range(200)]
    assert 0 < sum(few) < 60
    assert all(one.lasts > 60 for one in plan(1, theme, 1500) if one.what is What.MINUTE)


def test_the_themes_know_every_blow() -> None:
    """A blow that no theme has would never fall, but for the round about everything."""
    small = {what for theme, blows in THEMES.items() if theme != "everything" for what in blows}
    assert small == set(What)
    assert set(THEMES["everything"]) == set(What)


def test_a_seed_stands_for_a_workload() -> None:
    """The same runs at the same times; each with a name of its own, and every kind of run among them."""
    made = workload(7, "image:1", spread=20)
    assert made == workload(7, "image:1", spread=20)
    assert made != workload(8, "image:1", spread=20)
    names = [piece.name for piece in made.pieces]
    assert len(set(names)) == len(names)
    (tree,) = [piece for piece in made.pieces if piece.cancel_depth]
    assert tree.spec["parameters"]["height"] == TREE
    assert 1 <= (tree.cancel_depth or 0) <= TREE + 1
    assert len({piece.at for piece in made.pieces if piece.name.startswith("queued-")}) == 1
    assert [piece.at for piece in made.pieces] == sorted(piece.at for piece in made.pieces)
    ticking = {body["metadata"]["name"] for body in made.deployments if "schedules" in body["spec"]}
    assert set(made.scheduled) == ticking


def test_a_light_workload_needs_no_sdk() -> None:
    """For a test that has to be quick: plain containers only."""
    pieces = workload(7, "image:1", spread=20, light=True).pieces
    assert pieces
    assert all("command" in piece.spec["flow"] for piece in pieces)
