"""The book: what must happen once happens once, whoever else tries."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.sdk.serving.scene import START, deployment

from towpath import flow
from towpath.errors import HistoryError
from towpath.history import open_history
from towpath.runs import FlowRun
from towpath.schedules import Interval
from towpath.serving.book import Book
from towpath.serving.orders import Order
from towpath.slugs import new_id, slug
from towpath.states import Completed, Crashed, State, StateType

KEY = "etl/nightly"


@flow
def typed(count: int = 1) -> None:
    """Take a number."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a history file."""
    return tmp_path / "history.db"


@pytest.fixture
def book(path: Path) -> Iterator[Book]:
    """Give a book with a deployment in it."""
    with Book(path) as book:
        book.open(deployment(Interval(60, slug="s")), book.alive.announce(), START)
        yield book


def order(identity: str = "one", **options: object) -> Order:
    """Build an order."""
    run = FlowRun("etl", name=slug(), parameters={"day": 1}, tags=frozenset({"t"}), deployment="nightly")
    return Order(run=run, deployment=KEY, identity=identity, due=START, **options)  # type: ignore[arg-type]


def test_an_order_is_entered_once(book: Book, path: Path) -> None:
    """The second of the same identity is the first one's run; the history has one run, which waits."""
    first, second = order(), order()
    assert book.enter(KEY, [first], START) == [first.run.id]
    assert book.enter(KEY, [second, order("two")], START)[0] == first.run.id
    with open_history(path) as history:
        runs = history.runs()
        assert len(runs) == 2
        waiting = history.run(first.run.id)
    assert (waiting.state.type, waiting.deployment, waiting.tags) == (StateType.SCHEDULED, "nightly", {"t"})
    assert waiting.parameters == {"day": 1}
    assert waiting.process is None


def test_many_who_try_to_take_an_order_at_once(book: Book, path: Path) -> None:
    """Processes that race for a run: one has it."""
    run_id = book.enter(KEY, [order()], START)[0]
    taken = []
    gate = threading.Barrier(8)

    def take(number: int) -> None:
        with Book(path) as own:
            gate.wait()
            if own.take(run_id, number, number) is not None:
                taken.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    assert book.taken_by(run_id) == taken[0]


def test_an_order_that_nobody_wants_any_more_is_not_taken(book: Book) -> None:
    """Cancelled, or ended: the process that comes too late finds nothing to do."""
    cancelled, ended = book.enter(KEY, [order("a"), order("b")], START)
    book.want_cancelled(cancelled, START)
    book.end(ended, Crashed(), START)
    assert book.take(cancelled, 1, 1) is None
    assert book.take(ended, 1, 1) is None
    assert not book.claim(cancelled, 1, START)
    assert not book.claim(ended, 1, START)


def test_what_is_taken_says_everything(book: Book) -> None:
    """The process needs no other source."""
    run_id = book.enter(KEY, [order(given_name="mine", made_in="2")], START)[0]
    taken = book.take(run_id, 5, 50)
    assert taken is not None
    assert (taken.run_id, taken.deployment_name, taken.given_name) == (run_id, "nightly", "mine")
    assert (taken.parameters, taken.tags, taken.due) == ({"day": 1}, {"t"}, START)
    assert (taken.root_id, taken.depth, taken.parent_id) == (run_id, 0, None)
    assert book.made_in(run_id) == "2"


def test_the_first_outcome_counts(book: Book) -> None:
    """Told by the run, or concluded by somebody: whoever is first."""
    run_id = book.enter(KEY, [order()], START)[0]
    book.tell(run_id, {"state": {"type": "COMPLETED"}})
    book.tell(run_id, {"state": {"type": "FAILED"}})
    assert book.end_untold(run_id, "has gone", START) is None
    assert book.outcomes([run_id, "unknown"]) == {run_id: {"state": {"type": "COMPLETED"}}}


def test_an_end_that_the_history_knows_is_not_contradicted(book: Book, path: Path) -> None:
    """A run that told the history, and was killed before it told the book: its end is the one in the history."""
    run_id = book.enter(KEY, [order()], START)[0]
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE flow_runs SET state_type = 'COMPLETED', state_name = 'Completed'")
    connection.close()
    end = book.end_untold(run_id, "has gone", START)
    assert end is not None
    assert end.is_completed()
    assert book.outcomes([run_id])[run_id]["state"]["type"] == "COMPLETED"


def test_an_order_goes_with_its_run(book: Book, path: Path) -> None:
    """Deleting a run from the history leaves nothing of it in the book."""
    run_id = book.enter(KEY, [order()], START)[0]
    book.end(run_id, Completed(), START)
    with open_history(path) as history:
        history.delete(run_id)
    assert book.known([run_id]) == set()
    assert book.state_of(run_id) is None
    assert book.name_of(run_id) == run_id


def test_states_of_a_waiting_run_are_in_the_history(book: Book, path: Path) -> None:
    """People see how an order fares before it has a process."""
    run_id = book.enter(KEY, [order()], START)[0]
    book.put_off([run_id], START)
    book.claim(run_id, 1, START)
    book.release(run_id, 1, "Later.", START)
    book.end(run_id, State(StateType.CANCELLED, message="No."), START + timedelta(seconds=5))
    with open_history(path) as history:
        states = [(state.name, state.message) for state in history.states(run_id)]
        run = history.run(run_id)
    assert [name for name, _ in states] == ["Scheduled", "AwaitingConcurrencySlot", "Pending", "Scheduled", "Cancelled"]
    assert states[-1][1] == "No."
    assert (run.ended, run.seconds) == (START + timedelta(seconds=5), None)


def test_marks_only_move_forward_and_go_with_their_schedules(book: Book) -> None:
    """What has been seen to stays seen to; a schedule that is served no more leaves no mark."""
    later = START + timedelta(minutes=5)
    book.enter(KEY, [], later, {"s": later})
    book.mark(KEY, {"s": START})
    assert book.open(deployment(Interval(60, slug="s")), 1, later) == {"s": later}
    assert book.open(deployment(Interval(60, slug="t")), 1, later) == {"t": later}
    at = later + timedelta(minutes=5)
    assert book.open(deployment(Interval(60, slug="s")), 1, at) == {"s": at}


def test_deployments_are_found_by_either_name(book: Book) -> None:
    """`nightly`, or `etl/nightly`; whether it is served depends on its server's being alive."""
    dead = 2**40 + 1
    book.open(deployment(name="old"), dead, START)
    assert [one.key for one in book.deployments("nightly")] == [KEY]
    assert [one.key for one in book.deployments(KEY)] == [KEY]
    assert book.deployments("nope") == []
    assert {one.key: one.is_served for one in book.deployments()} == {KEY: True, "etl/old": False}


def test_what_a_deployment_takes_can_be_looked_up(book: Book) -> None:
    """Names and types; of a flow that takes whatever it is given, the names."""
    book.open(deployment(name="strict", flow=typed), 1, START)
    book.open(deployment(name="lax", flow=typed.with_options(validate_parameters=False)), 1, START)
    known = {one.name: one.parameter_schema for one in book.deployments()}
    assert known["strict"] is not None
    assert known["lax"] is not None
    assert known["strict"]["properties"]["count"]["type"] == "integer"
    assert known["lax"]["properties"] == {"count": {}}


def test_a_change_by_others_is_seen(book: Book, path: Path) -> None:
    """Asked again and again it costs next to nothing, and one's own changes are no news."""
    book.has_changed()
    assert not book.has_changed()
    book.enter(KEY, [order()], START)
    assert not book.has_changed()
    with Book(path) as other:
        other.enter(KEY, [order("two")], START)
    assert book.has_changed()
    assert not book.has_changed()


def test_a_book_that_was_closed_says_so(book: Book) -> None:
    """An error of the history, whatever is asked."""
    book.close()
    for ask in (book.has_changed, book.deployments, lambda: book.enter(KEY, [order()], START)):
        with pytest.raises(HistoryError, match="closed database"):
            ask()


def test_a_book_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    """A file where a folder should be: the place, and the setting that names another."""
    (tmp_path / "file").touch()
    with pytest.raises(HistoryError, match=r"cannot be opened for writing: .*TOWPATH_HISTORY"):
        Book(tmp_path / "file" / "history.db")


def test_a_book_that_cannot_be_used_says_so(book: Book, path: Path) -> None:
    """An error of SQLite is one of the history, and what was half done is undone."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE flow_run_states")
    connection.close()
    with pytest.raises(HistoryError, match="cannot be used: no such table"):
        book.enter(KEY, [order()], START)
    assert book.open_orders([KEY]) == []


def test_a_history_of_before_gets_the_book(tmp_path: Path) -> None:
    """A file from a Towpath without deployments is brought up to date, and keeps its runs."""
    from towpath.history import database, schema
    from towpath.history.lines import warn

    path = tmp_path / "history.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", schema.MIGRATIONS[:1])
        connection = database.connect(path, warn)
        connection.execute(
            "INSERT INTO flow_runs (id, name, flow, root_id, depth, parameters, parameters_whole, tags, attempt, run_count,"
            " state_type, state_name, state_since, created, tasks_total, tasks_completed, tasks_failed)"
            " VALUES ('x', 'old', 'f', 'x', 0, ?, 1, '[]', 1, 1, 'COMPLETED', 'Completed', 0, 0, 0, 0, 0)",
            (json.dumps({}),),
        )
        connection.close()
    with Book(path) as book:
        assert book.deployments() == []
        assert book.enter(KEY, [order(new_id())], START)
    with open_history(path) as history:
        assert {run.name for run in history.runs()} >= {"old"}
