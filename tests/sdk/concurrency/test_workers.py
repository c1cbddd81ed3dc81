"""Slots for the code of tasks in worker processes: those of their flow's process."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sdk.concurrency import processed
from tests.sdk.concurrency.crowd import PATIENCE, state, until

from towpath import ProcessPoolTaskRunner, flow
from towpath.concurrency import list_limits, set_limit
from towpath.errors import ConcurrencySlotAcquisitionError
from towpath.states import StateType


def test_blocks_in_worker_processes_take_turns(file: Path, tmp_path: Path) -> None:
    """Tasks in several processes share a limit, and all slots are free when they have ended."""
    set_limit("db", 1)

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def crowded() -> list[int]:
        futures = [processed.holds.submit(str(tmp_path), str(number)) for number in range(6)]
        return [future.result(timeout=PATIENCE) for future in futures]

    assert crowded() == [1] * 6
    until(lambda: state() == {"db": (0, 0)})


def test_a_killed_worker_gives_its_slots_back(file: Path, tmp_path: Path) -> None:
    """The flow goes on, and whoever wants the slot next has it."""
    set_limit("db", 1)

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def careless() -> int:
        assert processed.dies.submit().wait(timeout=PATIENCE).type is StateType.CRASHED
        return processed.holds.submit(str(tmp_path), "next").result(timeout=PATIENCE)

    assert careless() == 1
    until(lambda: state() == {"db": (0, 0)})


def test_a_task_in_a_process_sees_and_changes_the_limits_of_its_flow(file: Path) -> None:
    """What it asks and what it is refused are the same as in the flow's process."""
    set_limit("db", 1)

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def curious() -> list[str]:
        with pytest.raises(ConcurrencySlotAcquisitionError, match="7 slots of 'db' are wanted, which has 1"):
            processed.asks_too_much.submit().result(timeout=PATIENCE)
        return processed.changes.submit().result(timeout=PATIENCE)

    assert curious() == ["db", "fresh"]
    assert [limit.name for limit in list_limits()] == ["db"]
