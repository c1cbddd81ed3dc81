"""From notes to rows."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.history.notebook import RUN, flow_note, task_note

from towpath.history.ledger import LINE, STATES, Ledger
from towpath.history.notes import LeftNote, LineNote
from towpath.states import AWAITING_RETRY, StateType

_TASK = [
    "run_id",
    "number",
    "id",
    "task",
    "name",
    "tags",
    "run_count",
    "state_type",
    "states",
    "started",
    "ended",
    "seconds",
]
RUNNING, COMPLETED, FAILED = StateType.RUNNING, StateType.COMPLETED, StateType.FAILED


def tasks(ledger: Ledger) -> list[dict[str, Any]]:
    """Give the pending rows of task runs by column."""
    return [dict(zip(_TASK, row, strict=True)) for row in ledger.pending().tasks]


def states(row: dict[str, Any]) -> list[tuple[str, float]]:
    """Give the states of a task run's row."""
    return [(name, since) for _, name, _, since in map(json.loads, row["states"].splitlines())]


def test_a_task_that_ends_before_it_is_written_is_one_row() -> None:
    """All notes of a task run make one row with all its states, and the run is forgotten once that is written."""
    ledger = Ledger()
    ledger.task(task_note(RUNNING, 100.0))
    ledger.task(task_note(COMPLETED, 100.5))

    (row,) = tasks(ledger)
    assert states(row) == [("Running", 100.0), ("Completed", 100.5)]
    assert (row["started"], row["ended"], row["seconds"], row["state_type"]) == (100.0, 100.5, 0.5, "COMPLETED")
    ledger.written()
    assert not ledger
    ledger.begin_anew()
    assert not ledger


def test_a_task_that_was_written_while_it_ran_keeps_its_number() -> None:
    """A later row of the same task run replaces the earlier one, and has the earlier states too."""
    ledger = Ledger()
    ledger.task(task_note(RUNNING))
    (before,) = tasks(ledger)
    ledger.written()
    ledger.task(task_note(FAILED, 101.0, message="ValueError: no"))
    (after,) = tasks(ledger)

    assert before["ended"] is None
    assert before["number"] == after["number"]
    assert states(after) == [("Running", 100.0), ("Failed", 101.0)]


def test_waiting_for_a_retry_is_no_end() -> None:
    """A task run that awaits a retry goes on, and its time counts from the first start."""
    ledger = Ledger()
    ledger.task(task_note(RUNNING, 100.0))
    ledger.task(task_note(StateType.SCHEDULED, 101.0, state=AWAITING_RETRY))
    ledger.task(task_note(RUNNING, 103.0, state="Retrying", run_count=2))
    ledger.task(task_note(COMPLETED, 104.0, run_count=2))

    (row,) = tasks(ledger)
    assert [name for name, _ in states(row)] == ["Running", "AwaitingRetry", "Retrying", "Completed"]
    assert (row["run_count"], row["seconds"]) == (2, 4.0)


def test_a_task_that_never_ran_has_an_end_and_no_duration() -> None:
    """NotReady is the last word on a task run, although it is no terminal state."""
    ledger = Ledger()
    ledger.task(task_note(StateType.PENDING, 100.0, state="NotReady", run_count=0))

    (row,) = tasks(ledger)
    assert (row["started"], row["ended"], row["seconds"]) == (None, 100.0, None)


def test_a_task_that_is_tried_for_ever_does_not_grow_for_ever() -> None:
    """Of very many states the first and the latest are kept."""
    ledger = Ledger()
    for count in range(5 * STATES):
        ledger.task(task_note(RUNNING, 100.0 + count, run_count=count))

    (row,) = tasks(ledger)
    kept = states(row)
    assert len(kept) == STATES
    assert (kept[0][1], kept[-1][1]) == (100.0, 100.0 + 5 * STATES - 1)


def test_durations_do_not_follow_a_clock_that_jumps() -> None:
    """Somebody sets the clock back an hour while runs go on: they took as long as they took."""
    ledger = Ledger()
    ledger.flow(flow_note(RUNNING, since=5000.0, moment=10.0))
    ledger.task(task_note(RUNNING, since=5000.0, moment=10.0))
    ledger.task(task_note(COMPLETED, since=1400.0, moment=12.0))
    ledger.flow(flow_note(COMPLETED, first=False, since=1400.0, moment=13.0))

    assert tasks(ledger)[0]["seconds"] == 2.0
    assert 3.0 in ledger.pending().runs[0]


def test_a_run_has_a_process_until_it_ends_or_is_left() -> None:
    """The last column says that nobody works on the run any more, so that nobody will call it crashed."""
    ledger = Ledger()
    ledger.flow(flow_note(RUNNING))
    assert ledger.pending().runs[0][-1] is False
    ledger.flow(flow_note(StateType.PAUSED, 101.0, first=False))
    assert ledger.pending().runs[0][-1] is False
    ledger.left(LeftNote(RUN))
    assert ledger.pending().runs[0][-1] is True

    ended = Ledger()
    ended.flow(flow_note(COMPLETED))
    assert ended.pending().runs[0][-1] is True


def test_what_no_file_can_hold_is_made_fit() -> None:
    """Texts without end are cut, and halves of characters, as in names of files that are no UTF-8, are replaced."""
    ledger = Ledger()
    ledger.line(LineNote(RUN, "\ud800", 20, "x" * (LINE + 1), 100.0))
    ledger.task(task_note(name="\udcff", tags=frozenset({"\udcff"}), message="\udcff"))

    (line,) = ledger.pending().lines
    assert (line[1], len(line[3])) == ("?", LINE + 1)
    (row,) = tasks(ledger)
    assert "\udcff" not in repr(row).encode().decode("unicode-escape")


def test_memory_stays_bounded_while_nothing_can_be_written() -> None:
    """The oldest lines and ended task runs go first; what still runs, and flow runs, stay."""
    ledger = Ledger()
    ledger.flow(flow_note())
    ledger.task(task_note(id="runs on"))
    for count in range(20):
        ledger.task(task_note(COMPLETED, id=str(count)))
        ledger.line(LineNote(RUN, None, 20, str(count), 100.0))
    ledger.shed(10)

    pending = ledger.pending()
    assert [row[3] for row in pending.lines] == [str(count) for count in range(10, 20)]
    assert [row[2] for row in pending.tasks] == ["runs on", *(str(count) for count in range(11, 20))]
    assert len(pending.runs) == 1


def test_a_new_file_gets_what_goes_on() -> None:
    """When the file was taken away, runs that have not ended are written once more."""
    ledger = Ledger()
    ledger.flow(flow_note())
    ledger.task(task_note())
    ledger.task(task_note(COMPLETED, id="over"))
    ledger.written()
    ledger.begin_anew()

    pending = ledger.pending()
    assert (len(pending.runs), [row[2] for row in pending.tasks]) == (1, ["task-1"])


_LIVES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([RUNNING, StateType.SCHEDULED, COMPLETED])), max_size=30
)


@given(_LIVES, st.sets(st.integers(0, 30)))
def test_when_rows_are_written_changes_nothing(life: list[tuple[str, StateType]], writes: set[int]) -> None:
    """However notes fall into transactions, the last row of each task run is the same."""

    def kept(writes_after: set[int]) -> dict[int, dict[str, Any]]:
        ledger, file = Ledger(), {}
        for at, (name, type_) in enumerate(life):
            state = AWAITING_RETRY if type_ is StateType.SCHEDULED else type_.value
            ledger.task(task_note(type_, float(at), id=name, state=state))
            if at in writes_after:
                file |= {row["number"]: row for row in tasks(ledger)}
                ledger.written()
        return file | {row["number"]: row for row in tasks(ledger)}

    assert kept(writes) == kept(set())
