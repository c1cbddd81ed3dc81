"""Events: what is kept of them, and how states of runs are some."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from towpath import ProcessPoolTaskRunner, errors, flow, get_run_context, task
from towpath.events import Event, RelatedResource, Resource, emit_event
from towpath.telling import checks
from towpath.telling.timeline import Query, Timeline
from towpath.testing import Harness

ORDER = {"towpath.resource.id": "order-456", "towpath.resource.name": "Ann's"}
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def names(timeline: Timeline, **query: Any) -> list[str]:
    """Give the names of events, the earliest first."""
    return [seen.event.event for seen in timeline.latest(Query(**query), None)][::-1]


def test_what_is_emitted_can_be_read(told: Timeline) -> None:
    """Name, labels, payload, time and id come back as they were."""
    before = emit_event("order.paid", {"towpath.resource.id": "order-456"})
    id_ = uuid4()
    event = emit_event(
        "order.shipped",
        ORDER,
        occurred=datetime.now(UTC),
        related=[{"towpath.resource.id": "ann", "towpath.resource.role": "customer"}],
        payload={"tracking": "ABC", "lines": [1, 2.5, None, "é\ud800"]},
        id=id_,
        follows=before,
    )
    assert (event.id, event.follows) == (id_, before.id)
    assert (event.resource.id, event.resource.name, event.related[0].role) == ("order-456", "Ann's", "customer")
    (seen,) = told.latest(Query(name="order.shipped"), None)
    assert seen.event == event
    assert isinstance(seen.event.resource, Resource)
    assert isinstance(seen.event.related[0], RelatedResource)


def test_labels_may_be_those_of_prefect(told: Timeline) -> None:
    """A script that has only changed its import line emits what it did."""
    resource = {"prefect.resource.id": "order-1", "prefect.resource.name": "One"}
    related = [{"prefect.resource.id": "ann", "prefect.resource.role": "customer"}]
    event = emit_event(event="order.paid", resource=resource, related=related)
    assert (event.resource.id, event.resource.name, event.related[0].role) == ("order-1", "One", "customer")
    assert names(told, resource="order-*") == ["order.paid"]


def test_what_came_long_before_is_not_followed(towpath: Harness) -> None:
    """Five minutes are the limit."""
    first = emit_event("a", ORDER, occurred=NEW_YEAR)
    near = emit_event("b", ORDER, occurred=NEW_YEAR + timedelta(minutes=4), follows=first)
    far = emit_event("c", ORDER, occurred=NEW_YEAR + timedelta(minutes=5), follows=first)
    assert (near.follows, far.follows) == (first.id, None)


def test_the_same_event_counts_once(told: Timeline) -> None:
    """An id that is known already is not kept again."""
    id_ = uuid4()
    emit_event("a", ORDER, id=id_)
    emit_event("a", ORDER, id=id_)
    assert names(told) == ["a"]


def test_the_time_is_the_clock_s(towpath: Harness, told: Timeline) -> None:
    """An event happens when the run's clock says; a time without a zone is local."""
    towpath.clock.freeze(NEW_YEAR)
    assert emit_event("a", ORDER).occurred == NEW_YEAR
    local = datetime(2026, 1, 31, 12)
    assert emit_event("b", ORDER, occurred=local).occurred == local.astimezone(UTC)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"event": ""}, "1 to 255 characters; got ''"),
        ({"event": None}, "got None"),
        ({"event": "x" * 256}, "1 to 255"),
        ({"id": "mine"}, "An event's id is a UUID; got 'mine'"),
        ({"follows": "the-other"}, "as emit_event gives it; got 'the-other'"),
        ({"occurred": "today"}, "at a datetime; got 'today'"),
        ({"payload": [1]}, "A payload is a dictionary; got [1]"),
        ({"related": {"a": "b"}}, "A related resource is a dictionary of texts"),
        ({"resource": {}}, "needs the label 'towpath.resource.id'; got {}"),
        ({"resource": {"towpath.resource.id": ""}}, "needs the label"),
        ({"resource": "order-1"}, "a dictionary of texts, such as {'towpath.resource.id': 'order-456'}; got 'order-1'"),
        ({"resource": {"towpath.resource.id": 5}}, "a dictionary of texts"),
        ({"resource": {f"l{n}": "x" for n in range(501)}}, "at most 500 labels; got 501"),
        ({"related": [{"towpath.resource.id": "x"}]}, "needs the label 'towpath.resource.role'"),
        ({"related": [{"towpath.resource.id": "x", "towpath.resource.role": "y"}] * 101}, "at most 100"),
        ({"payload": {"at": NEW_YEAR}}, "made of JSON values"),
        ({"payload": {"x": float("nan")}}, "made of JSON values"),
        ({"payload": {"x": "y" * checks.EVENT_BYTES}}, "bytes, and at most 65,536 are kept"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused_in_a_sentence(told: Timeline, given: dict[str, Any], says: str) -> None:
    """The error is a ValueError that says what is wrong; nothing is kept."""
    with pytest.raises(errors.UnfitValue) as caught:
        emit_event(**{"event": "e", "resource": ORDER, **given})
    assert says in str(caught.value)
    assert names(told) == []


@task
def works(n: int) -> str:
    """Emit an event in a task."""
    emit_event("worked", {"towpath.resource.id": f"part-{n}"}, payload={"n": n})
    return get_run_context().task_run.id


@task
async def works_async(n: int) -> str:
    """Emit an event in an asynchronous task."""
    emit_event("worked", {"towpath.resource.id": f"part-{n}"}, payload={"n": n})
    return get_run_context().task_run.id


@pytest.mark.parametrize(
    ("runner", "worker"),
    [
        pytest.param(None, works, id="threads"),
        pytest.param(None, works_async, id="async"),
        pytest.param(ProcessPoolTaskRunner(max_workers=2), works, id="processes"),
    ],
)
def test_an_event_belongs_to_the_run_that_emits_it(towpath: Harness, told: Timeline, runner: Any, worker: Any) -> None:
    """Wherever a task runs; and all is in the history when the flow has ended."""

    @flow(task_runner=runner)
    def emits() -> tuple[str, list[str]]:
        return get_run_context().flow_run.id, worker.map(range(3)).result()

    run_id, task_runs = emits()
    found = told.latest(Query(name="worked", run_id=run_id), None)
    assert {(seen.event.resource.id, seen.origin.task_run_id) for seen in found} == {
        (f"part-{n}", task_run) for n, task_run in enumerate(task_runs)
    }
    (run,) = towpath.history.runs()
    assert {(seen.origin.flow_run_id, seen.origin.flow_run) for seen in found} == {(run.id, run.name)}


def test_states_of_runs_are_events(towpath: Harness, told: Timeline) -> None:
    """Each state once, with the run as its resource, and the same id whenever it is read."""

    @task(retries=1)
    def once_more() -> None:
        if get_run_context().task_run.run_count == 1:
            raise ValueError("not yet")

    @flow(name="nightly")
    def nightly() -> None:
        once_more()
        emit_event("in.between", ORDER)

    nightly()
    assert names(told) == ["towpath.flow-run.Running", "in.between", "towpath.flow-run.Completed"]
    assert names(told, name="towpath.task-run.*") == [
        f"towpath.task-run.{state}" for state in ("Running", "AwaitingRetry", "Retrying", "Completed")
    ]
    assert names(told, name="towpath.task-run.Retry*") == ["towpath.task-run.Retrying"]

    (run,) = towpath.history.runs()
    (ended,) = told.latest(Query(name="towpath.flow-run.Completed"), None)
    assert ended.event.resource == {
        "towpath.resource.id": f"towpath.flow-run.{run.id}",
        "towpath.resource.name": run.name,
    }
    assert [(one.role, one.id) for one in ended.event.related] == [("flow", "towpath.flow.nightly")]
    assert ended.event.payload["state"]["type"] == "COMPLETED"
    assert ended.event.occurred == run.state.since
    assert told.latest(Query(name="towpath.flow-run.Completed"), None) == [ended]
    (failed,) = told.latest(Query(name="towpath.task-run.AwaitingRetry"), None)
    assert "not yet" in failed.event.payload["state"]["message"]
    assert ("flow-run", f"towpath.flow-run.{run.id}") in [(one.role, one.id) for one in failed.event.related]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["a.b", "a.c", "a[b]"]),
        ({"name": "a.*"}, ["a.b", "a.c"]),
        ({"name": "*.c"}, ["a.c"]),
        ({"name": "a.b"}, ["a.b"]),
        ({"name": "a[b]"}, ["a[b]"]),
        ({"name": "A.B"}, []),
        ({"resource": "x-1"}, ["a.b"]),
        ({"resource": "x-*"}, ["a.b", "a.c"]),
        ({"since": NEW_YEAR + timedelta(hours=1)}, ["a.c", "a[b]"]),
        ({"since": NEW_YEAR + timedelta(hours=5)}, []),
        ({"run_id": "none"}, []),
    ],
)
def test_events_are_found_by_what_they_are(told: Timeline, query: dict[str, Any], found: list[str]) -> None:
    """By name, resource, run and time; only `*` and `?` mean something in a pattern."""
    for hours, (name, about) in enumerate([("a.b", "x-1"), ("a.c", "x-2"), ("a[b]", "y")]):
        emit_event(name, {"towpath.resource.id": about}, occurred=NEW_YEAR + timedelta(hours=hours))
    assert names(told, **query) == found


def test_the_latest_come_first_and_are_limited(told: Timeline) -> None:
    """By the time at which they happened, not that at which they were told."""
    for hours in (2, 0, 1):
        emit_event(str(hours), ORDER, occurred=NEW_YEAR + timedelta(hours=hours))
    assert [seen.event.event for seen in told.latest(Query(), 2)] == ["2", "1"]


def test_events_are_followed_from_a_mark(towpath: Harness, told: Timeline) -> None:
    """Whoever follows gets each event once, in order, states and emitted ones."""

    @flow
    def emits() -> None:
        emit_event("first", ORDER)
        emit_event("second", ORDER)

    emits()
    found, mark = told.after(told.mark(), Query())
    assert found == []
    emits()
    found, mark = told.after(mark, Query())
    assert [seen.event.event for seen in found] == [
        "towpath.flow-run.Running",
        "first",
        "second",
        "towpath.flow-run.Completed",
    ]
    assert told.after(mark, Query())[0] == []
    emits()
    assert [seen.event.event for seen in told.after(mark, Query(name="*.Completed"))[0]] == [
        "towpath.flow-run.Completed"
    ]


def test_events_go_with_their_run(towpath: Harness, told: Timeline) -> None:
    """Deleting a run deletes what it has emitted; what was emitted outside stays."""

    @flow
    def emits() -> None:
        emit_event("in", ORDER)

    emits()
    emit_event("out", ORDER)
    towpath.history.delete(towpath.history.runs()[0].id)
    assert names(told) == ["out"]


def test_events_stay_few(towpath: Harness, told: Timeline) -> None:
    """Of events without a run to go with, the latest hundred thousand are kept, give or take a thousand."""
    emit_event("first", ORDER)
    assert names(told) == ["first"]
    file = sqlite3.connect(towpath.folder / "history.db")
    file.execute("UPDATE sqlite_sequence SET seq = 100999 WHERE name = 'events'")
    file.commit()
    file.close()
    emit_event("last", ORDER)
    assert names(told) == ["last"]


def test_ten_thousand_events_are_all_kept(told: Timeline) -> None:
    """However fast they come, in how many threads."""

    @task
    def emit_many(n: int) -> None:
        for each in range(1000):
            emit_event("many", {"towpath.resource.id": f"{n}-{each}"})

    @flow
    def emits() -> None:
        emit_many.map(range(10)).wait()

    emits()
    found = told.latest(Query(name="many"), None)
    assert len({seen.event.resource.id for seen in found}) == 10_000


def test_an_event_is_a_plain_value(towpath: Harness) -> None:
    """It has an id and a time of its own, and a form in JSON."""
    event = Event(event="e", resource=Resource(ORDER))
    assert event.as_json() == {
        "id": str(event.id),
        "occurred": event.occurred.isoformat(),
        "event": "e",
        "resource": ORDER,
        "related": [],
        "payload": {},
        "follows": None,
    }
    assert isinstance(event.id, UUID)
