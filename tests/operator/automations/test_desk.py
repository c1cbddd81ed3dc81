"""What a desk notes of runs: what it sees happen, what it finds when it is opened, and deadlines that come."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from tests.builders import make_deployment, make_flowrun
from tests.operator.automations.deciding import CLEAN_UP, NOON, at, begun, make_automation, run_in

from towpath_operator.automations.desk import Desk, Desks
from towpath_operator.runtime.store import Store

Body = dict[str, Any]


class Office:
    """A store whose changes go by the desks, as in the operator."""

    def __init__(self, *bodies: Body) -> None:
        self.store = Store(listener=self._changed)
        self.desks = Desks(self.store)
        self.woken: list[str] = []
        self.version = 100
        for body in bodies:
            self.put(body)
        self.woken.clear()

    def put(self, body: Body) -> None:
        """Let the store hear of an object."""
        self.version += 1
        metadata = body["metadata"] | {"resourceVersion": str(self.version)}
        self.store.put(f"{body['kind'].lower()}s", body | {"metadata": metadata})

    def look(self, automation: Body, now: float = 10) -> Desk:
        """Look at an automation's desk."""
        return self.desks.look(automation, at(now))

    def _changed(self, plural: str, old: Any, new: Any) -> None:
        if plural == "flowruns" and new is not None:
            self.woken += self.desks.run_changed(old, new)


def events(desk: Desk) -> list[str]:
    """Give what is on a desk, in order of time."""
    return [f"{one.run} {one.event}" for one in sorted(desk.found.values(), key=lambda one: one.id)]


TELL = begun(make_automation())


def test_a_new_desk_finds_what_happened_before() -> None:
    """Histories of runs that there are have what happened while nobody looked; what was seen to is left out."""
    office = Office(
        run_in("RUNNING", "FAILED"), run_in("FAILED", name="old", since=-100), run_in("RUNNING", name="well")
    )
    desk = office.look(TELL)
    assert events(desk) == ["etl-1 failed"]
    assert not next(iter(desk.found.values())).is_witnessed


def test_what_happens_is_seen() -> None:
    """A change of a run wakes the automations that count it, whatever its time says, and no others."""
    office = Office(run_in("RUNNING"))
    office.look(TELL)
    office.look(begun(make_automation({"states": {"types": ["PAUSED"]}}, name="other")))
    office.put(run_in("RUNNING", "FAILED", since=-5000))
    assert office.woken == ["tell"]
    (event,) = office.look(TELL).found.values()
    assert (event.event, event.is_witnessed) == ("failed", True)


def test_what_does_not_count_wakes_nobody() -> None:
    """Other namespaces, other runs, and changes without a new state."""
    office = Office(run_in("RUNNING"))
    office.look(TELL)
    office.put(run_in("RUNNING", "COMPLETED"))
    office.put(run_in("RUNNING", "COMPLETED", labels={"new": "label"}))
    office.put(run_in("FAILED", name="elsewhere", namespace="team-b"))
    office.put(run_in("FAILED", name="child", parent=make_flowrun("parent")))
    assert office.woken == []
    assert events(office.look(TELL)) == []


def test_settled_events_go() -> None:
    """What the status knows is taken off the desk; an automation that is gone has none."""
    office = Office(run_in("FAILED"))
    desk = office.look(TELL)
    office.desks.settle("team-a", "tell", list(desk.found))
    assert events(office.look(TELL)) == []
    office.desks.settle("team-a", "nobody", ["x"])
    office.desks.forget("team-a", "tell")
    office.desks.forget("team-a", "tell")
    office.put(run_in("FAILED", "RUNNING", "FAILED"))
    assert office.woken == []


def test_an_automation_that_begins_anew_gets_a_new_desk() -> None:
    """What was found for another trigger is of no use; an edit of actions keeps what is there."""
    office = Office(run_in("FAILED"))
    assert events(office.look(TELL)) == ["etl-1 failed"]
    more = TELL | {"spec": TELL["spec"] | {"actions": [CLEAN_UP]}}
    assert office.look(more).automation is more
    assert events(office.look(more)) == ["etl-1 failed"]
    other = begun(make_automation({"states": {"types": ["CRASHED"]}}))
    assert events(office.look(other)) == []


def test_tags_of_the_deployment_count() -> None:
    """The Deployment is looked up when a run changes."""
    tagged = begun(make_automation(match={"tags": ["red"]}))
    office = Office(make_deployment("etl", spec={"tags": ["red"]}))
    office.look(tagged)
    office.put(run_in("FAILED"))
    office.put(run_in("FAILED", name="other", deployment_ref="plain"))
    assert events(office.look(tagged)) == ["etl-1 failed"]


LATE = begun(make_automation({"late": {"afterSeconds": 60}}))


def test_deadlines() -> None:
    """A run is looked at again when its time comes; the first deadline wakes, since the timer is set for a later one."""
    office = Office()
    assert office.look(LATE).deadlines == []
    office.put(make_flowrun("first", created=NOON.isoformat()))
    office.put(make_flowrun("second", created=at(5).isoformat()))
    assert office.woken == ["tell"]
    assert [due for due, *_ in office.look(LATE).deadlines] == [at(60), at(65)]
    office.put(run_in("RUNNING", name="second", created=at(5).isoformat(), deployment_ref=None))
    assert events(office.look(LATE, 61)) == ["first late"]
    assert events(office.look(LATE, 70)) == ["first late"]
    assert office.look(LATE, 70).deadlines == []


def test_deadlines_are_found_again() -> None:
    """After a restart the heap is what it was; what came to be late meanwhile is found."""
    office = Office(*[make_flowrun(f"run-{number}", created=at(number).isoformat()) for number in range(3)])
    desk = office.look(LATE, 61.5)
    assert events(desk) == ["run-0 late", "run-1 late"]
    assert [due for due, *_ in desk.deadlines] == [at(62)]


def test_a_run_of_the_same_name_is_another() -> None:
    """A deadline is of one run, not of its name."""
    office = Office(make_flowrun("run", created=NOON.isoformat()))
    office.look(LATE)
    office.put(make_flowrun("run", uid="another", created=at(30).isoformat()))
    assert events(office.look(LATE, 70)) == []
    assert events(office.look(LATE, 91)) == ["run late"]


def test_long_running() -> None:
    """Counted from the start of the attempt; a run that has ended is not told of."""
    long = begun(make_automation({"longRunning": {"afterSeconds": 60}}))
    office = Office(run_in("RUNNING", name="long"), run_in("RUNNING", name="short"))
    office.look(long)
    office.put(run_in("RUNNING", "COMPLETED", name="short"))
    assert events(office.look(long, 100)) == ["long longrunning"]


@pytest.mark.parametrize("opened_first", [True, False], ids=["seen", "found"])
def test_last_success(opened_first: bool) -> None:
    """The last run that COMPLETED counts, whether it was seen to or found."""
    quiet = begun(make_automation({"noSuccess": {"forSeconds": 60}}))
    runs = [run_in("RUNNING", "COMPLETED"), run_in("COMPLETED", name="before", since=0), run_in("FAILED", name="bad")]
    office = Office(*([] if opened_first else runs))
    office.look(quiet)
    for run in runs if opened_first else ():
        office.put(run)
    found: datetime | None = office.look(quiet).last_success
    assert found == at(2)
    assert office.woken == []


def test_many_runs_that_do_not_count_cost_little() -> None:
    """Ten thousand finished runs are walked through once, when the desk is opened, and not at each change."""
    office = Office(*[run_in("COMPLETED", name=f"run-{number}", since=-9000) for number in range(300)])

    class Counting:
        walks = 0

        def get(self, *place: str) -> Any:
            return office.store.get(*place)

        def all(self, plural: str) -> Any:
            Counting.walks += 1
            return office.store.all(plural)

    office.desks = Desks(Counting())
    for number in range(50):
        office.look(TELL)
        office.put(run_in("FAILED", name=f"new-{number}"))
    assert Counting.walks == 1
    assert len(office.look(TELL).found) == 50
