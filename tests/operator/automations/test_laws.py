"""What holds of automations whatever happens: no transition is lost, each is heard at least once, each run made once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.automations.deciding import CLEAN_UP, HOOK, NOON, make_automation
from tests.operator.automations.world import World
from tests.operator.reconcile.deciding import searching

from towpath import names
from towpath_operator.reconcile.automation_actions import Outcome

OPERATORS = st.integers(0, 1)
#: Clocks of runs are wrong by less than what the mark stays behind.
SKEW = st.integers(-140, 140)
STATES = st.sampled_from(["RUNNING", "FAILED", "CRASHED", "PAUSED", "COMPLETED", "SCHEDULED"])
STEPS = st.one_of(
    st.tuples(st.just("begin"), SKEW),
    st.tuples(st.just("goes"), st.integers(0, 5), STATES, SKEW),
    st.tuples(st.just("wait"), st.sampled_from([0.3, 1, 5, 40, 90])),
    st.tuples(st.just("look"), OPERATORS, st.none() | st.integers(0, 5)),
    st.tuples(st.just("watch"), OPERATORS),
    st.tuples(st.just("kill"), OPERATORS),
    st.tuples(st.just("answer"), OPERATORS, st.sampled_from(["taken", "refused", "lost", "down"])),
)
ANSWERS: dict[str, Outcome | None] = {
    "taken": None,
    "refused": Outcome("x answered 500."),
    "lost": Outcome("x did not answer within 10 s."),
    "down": Outcome("x cannot be reached.", after_seconds=30),
}


def lived(body: dict[str, Any], steps: list[Any]) -> World:
    """Let things happen, then let the operators see to all that there is."""
    world = World(body, NOON)
    world.kill(0)
    world.look(0)
    world.now += timedelta(seconds=1000)
    for step in steps:
        match step:
            case ("begin", skew):
                world.begin(skew)
            case ("goes", number, state, skew):
                world.goes(number, state, skew)
            case ("wait", seconds):
                world.now += timedelta(seconds=seconds)
            case ("look", operator, kill_before):
                world.look(operator, kill_before=kill_before)
            case ("watch", operator):
                world.watch(operator)
            case ("kill", operator):
                world.kill(operator)
            case ("answer", operator, how):
                world.answer(operator, ANSWERS[how], is_lost=how == "lost")
    world.settle()
    world.settle()
    return world


@searching(80)
@given(st.lists(STEPS, max_size=40))
def test_no_transition_is_lost(steps: list[Any]) -> None:
    """Whatever is killed, fails or lags: each transition that counts is heard, no other, and its clean-up run made once."""
    trigger = {"states": {"types": ["FAILED", "CRASHED", "RUNNING"]}}
    world = lived(make_automation(trigger, HOOK, CLEAN_UP), steps)
    assert world.heard.keys() == world.happened.keys()
    assert {names.automation_run_name("clean-up", id_, 1) for id_ in world.happened} == world.made.keys()
    assert set(world.made.values()) <= {1}
    status = world.body["status"]
    assert status.get("triggered", 0) == len(world.happened)
    assert "pending" not in status
    assert status.get("failed", 0) == 0


@searching(40)
@given(st.lists(STEPS, max_size=40))
def test_a_throttle_loses_nothing(steps: list[Any]) -> None:
    """What comes as one message stands for all: the numbers of the messages add up to what happened."""
    world = lived(make_automation({"states": {"types": ["FAILED", "RUNNING"]}}, throttle={"seconds": 45}), steps)
    assert sum(world.counts.values()) == len(world.happened)
    assert world.body["status"].get("triggered", 0) == len(world.happened)


@searching(40)
@given(st.lists(STEPS, max_size=40))
def test_what_is_late_is_told(steps: list[Any]) -> None:
    """A run that never began is told of once its time has come, whoever looked when; one that ran is not told of twice."""
    world = lived(make_automation({"late": {"afterSeconds": 30}}), steps)
    world.now += timedelta(seconds=31)
    world.settle()
    waiting = [
        name
        for name, run in world.runs.items()
        if not {"RUNNING", "FAILED", "CRASHED", "PAUSED", "COMPLETED"}
        & {entry["type"] for entry in run["status"]["history"]}
    ]
    assert world.body["status"].get("triggered", 0) >= len(waiting)
    assert len(world.heard) == world.body["status"].get("triggered", 0) <= len(world.runs)


def test_few_writes() -> None:
    """A thousand failures at once cost some writes, not thousands; runs that do not count cost none."""
    world = World(make_automation(), NOON)
    world.kill(0)
    world.look(0)
    world.look(0)
    before = world.writes
    for number in range(1000):
        world.begin()
        world.goes(number, "COMPLETED")
    world.watch(0)
    assert world.look(0) is None
    assert world.writes == before
    world.now += timedelta(seconds=1)
    for number in range(1000):
        world.goes(number, "FAILED")
    world.settle()
    assert len(world.heard) == 1000
    assert world.writes - before < 100
    assert 0 < len(world.body["status"]["dealt"]) <= 256


@pytest.mark.parametrize("seconds", [1, 59])
def test_a_storm_with_a_throttle_is_two_messages(seconds: int) -> None:
    """A thousand failures within a minute are the first, and the others as one."""
    world = World(make_automation(throttle={"seconds": 60}), NOON)
    world.kill(0)
    world.look(0)
    for number in range(1000):
        world.begin()
        world.now += timedelta(seconds=seconds / 1000)
        world.goes(number, "FAILED")
        if number == 0:
            world.watch(0)
            world.look(0)
    world.settle()
    assert sorted(world.counts.values()) == [1, 999]
