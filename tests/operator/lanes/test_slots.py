"""Slots for the code of runs: what runs want, what they are granted, and that it is never more than there is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from tests.builders import NAMESPACE
from tests.operator.lanes.yard import Yard
from tests.operator.reconcile.deciding import searching

from towpath.states import StateType
from towpath_operator.observe import Key

LIMIT = Key("concurrencylimits", NAMESPACE, "db")


def yard_with(limit: int, runs: int, **spec: object) -> Yard:
    """Make a yard with runs at work and one limit, `db`."""
    yard = Yard()
    yard.put("concurrencylimits", "db", {"limit": limit} | spec)
    for number in range(runs):
        yard.run(f"run-{number}", age=runs - number)
    yard.settle()
    for number in range(runs):
        yard.report(f"run-{number}", StateType.RUNNING)
    yard.settle()
    return yard


def test_what_is_free_is_granted_at_once_in_one_write() -> None:
    """The grant carries the number of the wish that it answers."""
    yard = yard_with(5, 1)
    yard.writes = 0
    yard.want("run-0", "db", 3, number=1)
    yard.settle()

    assert yard.granted("run-0", "db") == (3, 1)
    assert yard.writes <= 2  # the limit's status is one more


def test_who_comes_first_is_granted_first_and_as_much_as_there_is() -> None:
    """The next gets what is left, and the rest when it comes free."""
    yard = yard_with(5, 3)
    for number, slots in enumerate((3, 4, 1)):
        yard.want(f"run-{number}", "db", slots, number=1)
        yard.settle()
    assert [yard.granted(f"run-{n}", "db") for n in range(3)] == [(3, 1), (2, 1), (0, 0)]

    yard.want("run-0", "db", 1, number=2)
    yard.settle()
    assert [yard.granted(f"run-{n}", "db") for n in range(3)] == [(1, 2), (4, 1), (0, 0)]
    yard.want("run-1", "db", 0, number=2)
    yard.settle()
    assert [yard.granted(f"run-{n}", "db") for n in range(3)] == [(1, 2), (0, 0), (1, 1)]


def test_priority_comes_before_who_came_first() -> None:
    """A run with a higher priority gets what comes free."""
    yard = yard_with(1, 2)
    yard.run("urgent", priority=5)
    yard.settle()
    yard.report("urgent", StateType.RUNNING)
    yard.settle()
    for name in ("run-0", "run-1", "urgent"):
        yard.want(name, "db", 1, number=1)
        yard.settle()
    yard.want("run-0", "db", 0, number=2)
    yard.settle()

    assert (yard.granted("urgent", "db"), yard.granted("run-1", "db")) == ((1, 1), (0, 0))


def test_a_grant_is_lowered_before_anybody_else_has_it() -> None:
    """What a run does not want any more is free only once its status says so."""
    yard = yard_with(2, 2)
    yard.want("run-0", "db", 2, number=1)
    yard.settle()
    yard.want("run-1", "db", 1, number=1)
    yard.settle()
    yard.want("run-0", "db", 1, number=2)
    yard.look("run-1")
    assert yard.granted("run-1", "db") == (0, 0)
    yard.look("run-0")
    yard.look("run-1")
    assert (yard.granted("run-0", "db"), yard.granted("run-1", "db")) == ((1, 2), (1, 1))


def test_what_is_promised_stays_so_while_its_write_is_in_flight() -> None:
    """Nobody who comes meanwhile gets it, however urgent, and however often the run is looked at."""
    yard = yard_with(1, 2)
    yard.want("run-0", "db", 1, number=1)
    in_flight = yard.decide("run-0")
    yard.change("run-1", priority=5)
    yard.want("run-1", "db", 1, number=1)
    yard.decide("run-0")
    yard.look("run-1")
    yard.apply(in_flight)
    yard.settle()

    assert (yard.granted("run-0", "db"), yard.granted("run-1", "db")) == ((1, 1), (0, 0))


def test_a_wish_for_more_than_there_is_gets_all_there_is() -> None:
    """It waits for the rest until the limit is raised."""
    yard = yard_with(2, 1)
    yard.want("run-0", "db", 9, number=1)
    yard.settle()
    assert yard.granted("run-0", "db") == (2, 1)
    yard.put("concurrencylimits", "db", {"limit": 20})
    yard.settle()
    assert yard.granted("run-0", "db") == (9, 1)


def test_a_wish_that_changed_meanwhile_is_answered_by_its_number() -> None:
    """So the run knows that it may use again what it had given up for a moment."""
    yard = yard_with(2, 1)
    yard.want("run-0", "db", 2, number=1)
    yard.settle()
    yard.want("run-0", "db", 1, number=2)
    yard.want("run-0", "db", 2, number=3)
    yard.settle()

    assert yard.granted("run-0", "db") == (2, 3)


@pytest.mark.parametrize("end", ["COMPLETED", "deleted", "Suspended"])
def test_what_a_run_had_is_free_when_its_process_is_over(end: str) -> None:
    """Whatever the process gave back itself."""
    yard = yard_with(1, 2)
    yard.want("run-0", "db", 1, number=1)
    yard.settle()
    yard.want("run-1", "db", 1, number=1)
    yard.settle()
    match end:
        case "deleted":
            yard.drop("flowruns", "run-0")
        case "Suspended":
            yard.change("run-0", suspend=True)
            yard.report("run-0", StateType.PAUSED, "Suspended")
        case _:
            yard.report("run-0", StateType.COMPLETED)
    yard.settle()

    assert yard.granted("run-1", "db") == (1, 1)


def test_a_flow_that_is_tried_again_in_its_process_keeps_what_it_has() -> None:
    """Between two tries its process reports SCHEDULED, and is still there."""
    yard = yard_with(1, 2)
    yard.want("run-0", "db", 1, number=1)
    yard.settle()
    yard.want("run-1", "db", 1, number=1)
    yard.report("run-0", StateType.SCHEDULED, "AwaitingRetry")
    yard.settle()

    assert (yard.granted("run-0", "db"), yard.granted("run-1", "db")) == ((1, 1), (0, 0))


def test_a_suspended_limit_grants_everything() -> None:
    """It limits nobody; back in force, it counts what was granted."""
    yard = yard_with(1, 2)
    for number in range(2):
        yard.want(f"run-{number}", "db", 3, number=1)
    yard.put("concurrencylimits", "db", {"limit": 1, "suspend": True})
    yard.settle()
    assert [yard.granted(f"run-{n}", "db") for n in range(2)] == [(3, 1), (3, 1)]
    yard.put("concurrencylimits", "db", {"limit": 1})
    yard.want("run-0", "db", 4, number=2)
    yard.settle()
    assert yard.granted("run-0", "db") == (3, 2)


def test_a_limit_that_does_not_exist_grants_nothing() -> None:
    """And a status that says nothing is not written."""
    yard = yard_with(1, 1)
    yard.writes = 0
    yard.want("run-0", "other", 1, number=1)
    yard.settle()
    assert "slotsGranted" not in yard.status("run-0")
    assert yard.writes == 0


def test_code_at_work_comes_before_runs_that_have_not_begun() -> None:
    """Runs and code share the slots of a limit; what has begun is finished first."""
    yard = yard_with(2, 1)
    yard.want("run-0", "db", 2, number=1)
    yard.settle()
    yard.run("new", limits=["db"])
    yard.settle()
    assert yard.state("new") == "AwaitingConcurrencySlot"
    yard.want("run-0", "db", 1, number=2)
    yard.settle()
    assert yard.state("new") == "JobCreated"
    yard.want("run-0", "db", 2, number=3)
    yard.settle()
    assert yard.granted("run-0", "db") == (1, 3)
    yard.report("new", StateType.COMPLETED)
    yard.settle()
    assert yard.granted("run-0", "db") == (2, 3)


def test_code_of_a_run_that_has_a_slot_as_a_run_needs_none() -> None:
    """Else it would wait for itself."""
    yard = Yard()
    yard.put("concurrencylimits", "db", {"limit": 1})
    yard.run("run", limits=["db"])
    yard.settle()
    yard.report("run", StateType.RUNNING)
    yard.run("child", parent="run")
    yard.settle()
    yard.report("child", StateType.RUNNING)
    yard.want("run", "db", 2, number=1)
    yard.want("child", "db", 1, number=1)
    yard.settle()

    assert (yard.granted("run", "db"), yard.granted("child", "db")) == ((2, 1), (1, 1))


def test_at_a_rate_slots_are_taken_from_a_bucket_that_is_written_first() -> None:
    """As many as the limit at once, then as they come; what was taken adds up."""
    yard = yard_with(3, 1, slotDecayPerSecond="0.5")
    yard.want("run-0", "db", 5, number=1)
    yard.settle()
    assert yard.granted("run-0", "db") == (3, 1)
    assert yard.body("concurrencylimits", "db")["status"]["takenMillis"] == 3000
    assert yard.timers[LIMIT] == pytest.approx(2.0, abs=0.01)

    yard.now += timedelta(seconds=2)
    yard.dirty[LIMIT] = None
    yard.settle()
    assert yard.granted("run-0", "db") == (4, 1)
    yard.now += timedelta(seconds=60)
    yard.dirty[LIMIT] = None
    yard.settle()
    assert yard.granted("run-0", "db") == (5, 1)


@pytest.mark.parametrize("rate", ["0", "0.0", ".000"])
def test_a_rate_of_nothing_is_no_rate(rate: str) -> None:
    """Code takes it for a limit without one and gives its slots back; runs may name it."""
    yard = yard_with(2, 1, slotDecayPerSecond=rate)
    yard.want("run-0", "db", 2, number=1)
    yard.settle()
    assert yard.granted("run-0", "db") == (2, 1)
    assert "takenMillis" not in yard.body("concurrencylimits", "db")["status"]

    yard.want("run-0", "db", 0, number=2)
    yard.settle()
    yard.run("run", limits=["db"])
    yard.settle()
    assert yard.at_work() == ["run", "run-0"]


def test_what_was_taken_at_a_rate_is_never_given_twice() -> None:
    """An operator that dies between the bucket and the grant loses the slots; nobody has them besides."""
    yard = yard_with(2, 1, slotDecayPerSecond=".001")
    yard.want("run-0", "db", 2, number=1)
    yard.look_at_lane(LIMIT)
    yard.restart()
    yard.settle()

    assert yard.granted("run-0", "db") == (0, 0)
    assert yard.body("concurrencylimits", "db")["status"]["takenMillis"] == 2000


def test_a_clock_that_was_ahead_does_not_stop_a_rate() -> None:
    """A bucket of the future is taken back to the present."""
    yard = yard_with(1, 1, slotDecayPerSecond="1")
    yard.want("run-0", "db", 1, number=1)
    yard.now += timedelta(days=400)
    yard.settle()
    yard.now -= timedelta(days=400)
    yard.want("run-0", "db", 2, number=2)
    yard.settle()
    yard.now += timedelta(seconds=2)
    yard.dirty[LIMIT] = None
    yard.settle()

    assert yard.granted("run-0", "db") == (2, 2)


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["want", "want", "decide", "apply", "look", "settle", "end", "limit", "priority", "restart"]),
        st.integers(0, 3),
        st.integers(0, 4),
    ),
    min_size=8,
    max_size=60,
)


@searching(150)
@given(limit=st.integers(0, 5), moves=MOVES)
def test_never_more_is_granted_than_there_is(limit: int, moves: list[tuple[str, int, int]]) -> None:
    """Whatever is in flight, and whoever changes his mind; and when all rests, nothing is left that somebody wants."""
    yard, in_flight, numbers, most = yard_with(limit, 4), [], [0] * 4, limit
    for move, which, slots in moves:
        note(f"{move} {which} {slots}")
        name = f"run-{which}"
        is_live = yard.status(name)["state"]["type"] == "RUNNING"
        match move:
            case "want" if is_live:
                numbers[which] += 1
                yard.want(name, "db", slots, numbers[which])
            case "decide":
                in_flight.append(yard.decide(name))
            case "apply" if in_flight:
                yard.apply(in_flight.pop(slots % len(in_flight)))
            case "look":
                yard.look(name)
            case "settle":
                yard.settle()
            case "end" if is_live and slots == 0:
                yard.report(name, StateType.COMPLETED)
            case "priority" if is_live:
                yard.change(name, priority=slots)
            case "limit":
                limit = slots
                most = max(most, limit)
                yard.put("concurrencylimits", "db", {"limit": limit})
            case "restart":
                in_flight.clear()
                yard.restart()
        assert total(yard) <= most
    for decision in in_flight:
        yard.apply(decision)
    yard.settle()
    lacking = sum(max(0, wanted(yard, n) - yard.granted(f"run-{n}", "db")[0]) for n in range(4))
    assert not lacking or total(yard) >= limit
    for number in range(4):
        assert yard.granted(f"run-{number}", "db")[0] <= wanted(yard, number)


def total(yard: Yard) -> int:
    """Count what is granted to runs that have not ended."""
    return sum(yard.granted(f"run-{number}", "db")[0] for number in range(4))


def wanted(yard: Yard, number: int) -> int:
    """Give what a run wants."""
    return sum(one["slots"] for one in yard.status(f"run-{number}").get("slotsWanted", ()))
