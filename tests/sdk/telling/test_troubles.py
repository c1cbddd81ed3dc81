"""What is told while the history cannot be written: kept in memory, within bounds, and written when it can be."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from towpath import flow
from towpath.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from towpath.events import emit_event
from towpath.history.ledger import Ledger
from towpath.history.notes import RowNote
from towpath.history.recorder import RECORDER
from towpath.telling.timeline import Query, Timeline
from towpath.testing import Harness

ORDER = {"towpath.resource.id": "order-456"}


def test_memory_stays_bounded_while_nothing_can_be_written() -> None:
    """Things may be large, so a hundredth as many are kept as log lines: the latest."""
    ledger = Ledger()
    for number in range(50):
        ledger.other(RowNote("INSERT INTO x VALUES", (number,)))
    assert ledger
    ledger.shed(1000)
    assert [note.values for note in ledger.pending().others] == [(number,) for number in range(40, 50)]
    ledger.written()
    assert not ledger


def test_what_was_told_while_somebody_held_the_file_is_written_in_its_order(told: Timeline) -> None:
    """An update comes after what it updates, whenever both are written."""
    emit_event("first", ORDER)
    assert len(told.latest(Query(), None)) == 1
    holder = sqlite3.connect(told.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    made = create_progress_artifact(0, key="load")
    for n in range(10):
        emit_event("while-held", ORDER, payload={"n": n})
        update_progress_artifact(made, n)
    holder.execute("COMMIT")
    holder.close()
    deadline = time.monotonic() + 60
    while not (found := told.latest(Query(name="while-held"), None)):  # a writer that gave up tries again
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [each.event.payload["n"] for each in found][::-1] == list(range(10))
    assert [one.data for one in told.artifacts()] == [9.0]


def test_a_history_that_was_taken_away_is_begun_anew(towpath: Harness) -> None:
    """What is told after that is in the new file."""

    @flow
    def tells() -> None:
        create_markdown_artifact("before", key="before")
        RECORDER.flush()
        for path in towpath.folder.glob("history.db*"):
            if not path.name.endswith("-alive"):
                path.unlink()
        create_markdown_artifact("after", key="after")
        emit_event("after", ORDER)

    tells()
    with Timeline(Path(towpath.folder / "history.db")) as timeline:
        assert [one.key for one in timeline.artifacts()] == ["after"]
        names = [each.event.event for each in timeline.latest(Query(), None)]
    assert names == ["towpath.flow-run.Completed", "after"]


def test_a_statement_that_finds_nothing_does_not_undo_the_others(told: Timeline) -> None:
    """An update of what has gone is told, and what was noted beside it is written."""
    made = create_progress_artifact(1, key="gone")
    assert len(told.artifacts()) == 1
    told.delete_artifacts([made])
    update_progress_artifact(made, 2)
    emit_event("beside", ORDER)
    assert [each.event.event for each in told.latest(Query(), None)] == ["beside"]
    assert told.artifacts() == []
