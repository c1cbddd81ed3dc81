"""What tests of flows may rely on: `towpath.testing`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from towpath import State, StateType, flow, get_run_logger, task
from towpath.engine.clock import SYSTEM
from towpath.history import open_history
from towpath.history.place import history_file, home_folder
from towpath.history.recorder import RECORDER
from towpath.testing import Harness, MovableClock, harness

MORNING = datetime(2026, 1, 31, 6, tzinfo=UTC)


@pytest.fixture
def own() -> Iterator[Harness]:
    """The recipe of the docstring."""
    with harness() as made:
        yield made


@task(retries=2, retry_delay_seconds=[10, 20])
def stubborn(failures: list[int]) -> int:
    """Fail as often as there is something to take away."""
    if failures:
        raise ConnectionError(failures.pop())
    return 42


@flow
def patient(failures: list[int]) -> int:
    """Call the stubborn task."""
    get_run_logger().info("patience")
    return stubborn(failures)


@flow(validate_parameters=False)
async def patient_async(failures: list[int]) -> int:
    """Submit it, and wait in an event loop."""
    return await stubborn.submit(failures)


@flow(retries=1, retry_delay_seconds=3600)
async def hourly(failures: list[int]) -> int:
    """Fail in the flow itself."""
    if failures:
        raise ConnectionError(failures.pop())
    return 1


def test_runs_are_recorded_in_a_history_of_their_own(own: Harness) -> None:
    """The test sees its own runs, tasks and lines, and nothing else."""
    assert own.history.runs() == []
    assert patient([]) == 42
    [run] = own.history.runs()
    assert (run.flow, run.state.type, run.parameters) == ("patient", StateType.COMPLETED, {"failures": []})
    assert [made.task for made in own.history.tasks(run.id)] == ["stubborn"]
    assert "patience" in [line.message for line in own.history.logs([run.id])]
    assert history_file() == own.folder / "history.db"


def test_retries_take_no_time_and_tell_their_delays(own: Harness) -> None:
    """What would have been waited for is known; the states of the task show when each try was due."""
    own.clock.freeze(MORNING)
    before = time.monotonic()
    assert patient([1, 2]) == 42
    assert time.monotonic() - before < 20  # thirty without the clock
    assert own.clock.waits == [10, 20]
    assert own.clock.time == MORNING + timedelta(seconds=30)
    [run] = own.history.runs()
    [tried] = own.history.tasks(run.id)
    assert [(state.name, (state.since - MORNING).total_seconds()) for state in tried.states] == [
        ("Running", 0),
        ("AwaitingRetry", 0),
        ("Retrying", 10),
        ("AwaitingRetry", 10),
        ("Retrying", 30),
        ("Completed", 30),
    ]


def test_asynchronous_flows_wait_on_the_same_clock(own: Harness) -> None:
    """Retries in an event loop, of flows and of what they submit, take no time either."""
    own.clock.freeze(MORNING)
    assert asyncio.run(hourly([1])) == 1
    assert asyncio.run(patient_async([1])) == 42
    assert own.clock.waits == [3600, 10]
    assert own.clock.time == MORNING + timedelta(seconds=3610)


def test_states_are_stamped_by_the_clock(own: Harness) -> None:
    """A frozen clock gives the same time to all; moved, another."""
    own.clock.freeze(MORNING)
    state: State[int] = patient([], return_state=True)
    assert state.timestamp == MORNING
    own.clock.move(timedelta(days=1))
    assert patient([], return_state=True).timestamp == MORNING + timedelta(days=1)
    assert [run.created for run in own.history.runs()] == [MORNING + timedelta(days=1), MORNING]


def test_a_clock_goes_on_from_what_it_shows() -> None:
    """It shows the real time, stands still when frozen, goes ahead and back, and runs on when unfrozen."""
    clock = MovableClock()
    assert abs(clock.now() - time.time()) < 30
    clock.move(-60)
    assert abs(clock.now() - time.time() + 60) < 30
    clock.freeze()
    assert clock.now() == clock.now()
    clock.freeze(MORNING)
    clock.move(1.5)
    assert clock.time == MORNING + timedelta(seconds=1.5)
    clock.unfreeze()
    assert 1.5 <= clock.now() - MORNING.timestamp() < 30


def test_a_clock_is_not_set_to_a_time_without_a_zone() -> None:
    """Six in the morning where? The error says what to add."""
    with pytest.raises(ValueError, match=r"datetime.datetime\(2026, 1, 31, 6, 0\) has none. Add tzinfo=UTC"):
        MovableClock().freeze(datetime(2026, 1, 31, 6))


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment, clock, history and folder are what they were, also when the test fails in between."""
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "own.db"))
    monkeypatch.setenv("TOWPATH_RESULT_STORAGE", "memory://elsewhere")
    environment = dict(os.environ)
    patient([])
    with pytest.raises(ZeroDivisionError), harness() as made:  # noqa: PT012 the block is what is tried
        os.environ["TOWPATH_LOG_LEVEL"] = "ERROR"
        assert home_folder() == made.folder
        assert os.environ["TOWPATH_RESULT_STORAGE"] == ""
        patient([1])
        late = stubborn.submit([1])
        raise ZeroDivisionError
    assert dict(os.environ) == environment
    assert late.done()
    assert vars(SYSTEM.clock) == {}
    assert abs(SYSTEM.clock.now() - time.time()) < 30
    assert not made.folder.exists()
    patient([])
    RECORDER.close()
    with open_history() as history:
        assert len(history.runs()) == 2


def test_one_harness_may_stand_in_another(own: Harness) -> None:
    """The inner one has its own runs and clock, and gives back the outer one's."""
    patient([])
    own.clock.freeze(MORNING)
    with harness() as inner:
        inner.clock.freeze(MORNING + timedelta(days=1))
        patient([1])
        patient([])
        assert len(inner.history.runs()) == 2
    assert patient([], return_state=True).timestamp == MORNING
    assert len(own.history.runs()) == 2
    assert own.clock.waits == []
