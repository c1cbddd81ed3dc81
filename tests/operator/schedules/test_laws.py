"""What holds of schedules whatever happens: every time has its run exactly once, or is left out as the policy says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.reconcile.deciding import searching
from tests.operator.schedules.deciding import NOON, after, decide, due, scheduled
from tests.operator.schedules.world import World
from tests.sdk.schedules.zones import Change, a_century_of_changes

from towpath.schedules.resource import schedule_of

Body = dict[str, Any]
SECOND = timedelta(seconds=1)

SCHEDULES: st.SearchStrategy[Body] = st.sampled_from(
    [
        {"cron": "* * * * *"},
        {"cron": "*/7 * * * *", "timezone": "Asia/Kathmandu"},
        {"intervalSeconds": 9},
        {"intervalSeconds": 41, "anchor": "2026-03-01T12:00:05+00:00"},
        {"rrule": "FREQ=MINUTELY;BYSECOND=0,20"},
        {"rrule": "RDATE:20260301T120100Z,20260301T120101Z,20260301T120500Z"},
    ]
).map(lambda said: {"name": "s", **said})
OPERATORS = st.integers(0, 1)
WAIT = st.tuples(st.just("wait"), st.integers(1, 200))
LOOK = st.tuples(st.just("look"), OPERATORS, st.none() | st.integers(0, 4))
WATCH = st.tuples(st.just("watch"), OPERATORS)
CLEAN = st.just(("clean",))
CLOCK = st.tuples(st.just("clock"), st.sampled_from([-7200, -300, -61, -59, -10, -1, 1, 10, 59, 61, 300]))
LOOK_WELL = st.just(("settle",))


def lived(body: Body, steps: list[Any]) -> World:
    """Let things happen, then let the operators see to all that is due."""
    world = World(body, NOON)
    for step in steps:
        match step:
            case ("wait", seconds):
                world.now += seconds * SECOND
            case ("look", operator, kill_before):
                world.look(operator, kill_before=kill_before)
            case ("watch", operator):
                world.watch(operator)
            case ("clean",):
                world.clean()
            case ("settle",):
                world.settle()
            case ("clock", seconds):
                world.clock += seconds * SECOND
    world.wait_for_the_clock()
    world.settle()
    return world


def times_until(schedule: Body, end: datetime) -> list[datetime]:
    """Give the times that a schedule has from the Deployment's creation on."""
    return schedule_of(schedule).times_between(NOON, end)


@searching(150)
@given(schedule=SCHEDULES, steps=st.lists(st.one_of(WAIT, LOOK, WATCH, CLEAN), max_size=25))
def test_every_time_has_its_run_exactly_once(schedule: Body, steps: list[Any]) -> None:
    """Operators killed before any action, two at a time, late, with old views, and runs that have come and gone."""
    world = lived(scheduled(schedule, missedRunPolicy="All"), steps)

    expected = times_until(schedule, world.now)
    assert set(world.made.values()) <= {1}
    assert set(world.made) <= set(expected)
    if world.missed == 0:  # of more than a hundred the earliest are left out, and that is told
        assert len(world.made) == len(expected)
    else:
        assert len(expected) > 100


@searching(60)
@given(schedule=SCHEDULES, steps=st.lists(st.one_of(WAIT, LOOK, WATCH, CLOCK), max_size=25))
def test_a_clock_that_is_set_loses_and_doubles_nothing(schedule: Body, steps: list[Any]) -> None:
    """Ahead and back, by a second or by hours: every time up to the latest that the clock has shown has one run."""
    world = lived(scheduled(schedule, missedRunPolicy="All"), steps)

    assert set(world.made.values()) <= {1}
    expected = times_until(schedule, world.latest)
    if world.missed == 0:
        assert sorted(world.made) == expected
    else:
        assert len(expected) > 100


@searching(100)
@given(
    schedule=SCHEDULES,
    steps=st.lists(st.one_of(WAIT, LOOK_WELL), max_size=20),
    policy=st.sampled_from(["Skip", "Latest", "All"]),
    deadline=st.none() | st.integers(1, 300),
)
def test_what_has_no_run_is_counted_as_missed(
    schedule: Body, steps: list[Any], policy: str, deadline: int | None
) -> None:
    """Runs made and times left out add up to all times, whatever the policy; unless there were too many to count."""
    spec: Body = {"missedRunPolicy": policy} | ({} if deadline is None else {"startingDeadlineSeconds": deadline})
    world = lived(scheduled(schedule, **spec), steps)

    expected = times_until(schedule, world.now)
    assert set(world.made) <= set(expected)
    assert set(world.made.values()) <= {1}
    if len(expected) < 100:
        assert len(world.made) + world.missed == len(expected)


@searching(100)
@given(schedule=SCHEDULES, steps=st.lists(st.one_of(WAIT, LOOK), max_size=10), edit=SCHEDULES)
def test_an_edited_schedule_has_no_run_for_its_past(schedule: Body, steps: list[Any], edit: Body) -> None:
    """Whatever it said before: what it says now makes no run for a time before somebody saw that it says so."""
    world = lived(scheduled(schedule, missedRunPolicy="All"), steps)
    before = dict(world.made)
    world.edit(schedules=[edit])
    world.now += 500 * SECOND
    world.settle()

    if edit != schedule:
        assert dict(world.made) == before
    seen = world.now
    world.now += 500 * SECOND
    world.settle()
    made = {time for time in world.made if time > seen}
    assert made <= set(times_until(edit, world.now))


@searching(40)
@given(
    change=st.deferred(lambda: st.sampled_from(a_century_of_changes())),
    cron=st.sampled_from(["*/20 * * * *", "30 2 * * *", "0 * * * *", "15 1,2,3 * * *", "0 0 * * *"]),
    looks=st.lists(st.integers(0, 96 * 60), max_size=8),
)
def test_nothing_is_skipped_and_nothing_doubled_where_clocks_are_changed(
    change: Change, cron: str, looks: list[int]
) -> None:
    """Whenever an operator looks, and however rarely: a hundred years of zone data, two days on either side."""
    begin = change.at - timedelta(days=2)
    said = {"name": "s", "cron": cron, "timezone": change.zone.key}
    body = scheduled(said, created=begin, missedRunPolicy="All")
    made: list[datetime] = []
    for minute in [*sorted(looks), 96 * 60]:
        now = begin + timedelta(minutes=minute)
        while due(decision := decide(body, now)):
            made += due(decision)
            body = after(body, decision)
        body = after(body, decision)

    expected = schedule_of(said).times_between(begin, begin + timedelta(days=4))
    assert made == sorted(set(made))
    assert made == expected if len(expected) <= 100 else set(made) <= set(expected)


@pytest.mark.parametrize("kill_before", range(6))
def test_killed_at_each_step_of_a_tick(kill_before: int) -> None:
    """Three schedules that are due at once: killed before any of its actions, the next operator finishes the work."""
    names = ("a", "b", "c")
    world = World(scheduled(*({"name": name, "cron": "0 * * * *"} for name in names)), NOON)
    world.settle()
    world.now = datetime(2026, 3, 1, 13, tzinfo=UTC)
    world.look(0, kill_before=kill_before)
    world.look(1)
    world.settle()

    assert len(world.runs) == 3
    assert world.made == {world.now: 3}


def test_an_operator_that_was_frozen_does_not_make_again_what_has_come_and_gone() -> None:
    """It sees the Deployment as it was before it was frozen: whoever took over has made the run, which was deleted."""
    world = World(scheduled({"name": "s", "cron": "0 * * * *"}), NOON)
    world.settle()
    world.now = datetime(2026, 3, 1, 13, tzinfo=UTC)
    world.look(1)
    world.now += timedelta(minutes=10)
    world.clean()
    assert world.runs == {}
    world.look(0)
    world.settle()

    assert world.made == {datetime(2026, 3, 1, 13, tzinfo=UTC): 1}
