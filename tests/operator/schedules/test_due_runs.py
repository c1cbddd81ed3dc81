"""Which runs a Deployment's schedules make, and when: new, edited, suspended, late, wrong and refused ones."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.builders import NAMESPACE, make_flow
from tests.operator.schedules.deciding import (
    HOURLY,
    NOON,
    Body,
    after,
    at,
    decide,
    due,
    edited,
    made_by_and_by,
    missed,
    runs,
    scheduled,
    scheduled_condition,
    settled,
)

from towpath import names
from towpath_operator.reconcile.decision import CreateRun, EmitEvent, PatchStatus

MINUTE = timedelta(minutes=1)
OFTEN: Body = {"name": "often", "intervalSeconds": 10}


def test_a_run_is_made_when_it_is_due_and_not_before() -> None:
    """The first look says when to look again; at that moment there is one run, and the status says so after it."""
    body = scheduled(HOURLY, created=at(12, 20))
    first = decide(body, at(12, 20))
    assert due(first) == []
    assert first.requeue_after == 40 * 60

    body = after(body, first)
    assert due(decide(body, at(12, 59, 59.999))) == []
    decision = decide(body, at(13))
    assert [type(action) for action in decision.actions] == [CreateRun, PatchStatus]
    assert due(decision) == [at(13)]
    assert decision.requeue_after == 3600

    body = after(body, decision)
    assert body["status"]["lastScheduled"] == "2026-03-01T13:00:00Z"
    assert decide(body, at(13), active=1).actions == ()


def test_a_run_says_where_it_comes_from() -> None:
    """It names its Deployment, schedule and time, is labelled by them, and has the parameters of both."""
    weekly = {"name": "weekly", "cron": "0 13 * * SUN", "parameters": {"full": True, "day": "sunday"}}
    body = settled(scheduled(weekly, parameters={"full": False, "city": "Oslo"}), NOON)
    (run,) = runs(decide(body, at(13)))

    metadata, spec = run.manifest["metadata"], run.manifest["spec"]
    assert metadata["namespace"] == run.namespace == NAMESPACE
    assert metadata["name"] == names.scheduled_run_name("nightly", "weekly", at(13))
    assert metadata["name"].startswith("nightly-20260301t130000z-")
    assert metadata["labels"] == {
        names.LABEL_RUN: metadata["name"],
        names.LABEL_ROOT_RUN: metadata["name"],
        names.LABEL_DEPLOYMENT: "nightly",
        names.LABEL_SCHEDULE: "weekly",
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }
    assert spec == {
        "deploymentRef": "nightly",
        "scheduledTime": "2026-03-01T13:00:00Z",
        "parameters": {"full": True, "city": "Oslo", "day": "sunday"},
    }
    assert "ownerReferences" not in metadata


def test_schedules_that_are_due_together_make_a_run_each() -> None:
    """Two schedules of one Deployment, and of two Deployments, never share a run."""
    both = [HOURLY, {"name": "noonish", "cron": "0 13 * * *"}]
    made = [
        run.manifest["metadata"]["name"]
        for name in ("a", "b")
        for run in runs(decide(settled(scheduled(*both, name=name), NOON), at(13)))
    ]
    assert len(set(made)) == 4


def test_the_coming_runs_of_all_schedules_are_told() -> None:
    """The next five of all schedules together, in order, with the schedule of each."""
    body = settled(scheduled(HOURLY, {"name": "daily", "cron": "30 14 * * *"}), at(12, 20))
    assert [(one["time"][11:16], one["schedule"]) for one in body["status"]["nextRuns"]] == [
        ("13:00", "hourly"),
        ("14:00", "hourly"),
        ("14:30", "daily"),
        ("15:00", "hourly"),
        ("16:00", "hourly"),
    ]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"cron": "0 2 * * *", "timezone": "Europe/Berlin"}, at(1, day=2)),
        ({"cron": "0 0 13 * FRI", "dayOr": False}, at(0, day=13)),
        ({"cron": "0 0 13 * FRI"}, at(0, day=6)),
        ({"intervalSeconds": 7 * 3600, "anchor": "2026-03-01T10:00:00+00:00"}, at(17)),
        ({"intervalSeconds": 86_400, "timezone": "America/New_York"}, at(5, day=2)),
        ({"rrule": "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17"}, at(17, day=27)),
        ({"rrule": "FREQ=DAILY;BYHOUR=9", "timezone": "Asia/Tokyo"}, at(0, day=2)),
    ],
    ids=str,
)
def test_every_kind_of_schedule_is_understood(schedule: Body, expected: datetime) -> None:
    """Cron with zone and dayOr, intervals with an anchor or a zone, recurrence rules."""
    body = settled(scheduled({"name": "s", **schedule}), NOON)
    assert datetime.fromisoformat(body["status"]["nextRuns"][0]["time"]) == expected
    assert scheduled_condition(body)[:2] == ("True", "Scheduled")


def test_a_schedule_that_has_ended_is_quiet() -> None:
    """After its last time there is nothing to wait for."""
    body = settled(scheduled({"name": "s", "rrule": "FREQ=DAILY;UNTIL=20260302"}), NOON)
    decision = decide(body, at(0, day=2))
    assert due(decision) == [at(0, day=2)]
    assert decision.requeue_after is None
    assert "nextRuns" not in after(body, decision)["status"]


# ---- new and edited


def test_a_new_deployment_begins_with_its_creation() -> None:
    """What was due after it was applied, but before an operator saw it, is not lost."""
    assert due(decide(scheduled(HOURLY, created=at(11, 50)), at(12, 0, 20))) == [at(12)]


def test_nothing_is_due_before_the_deployment_was_created() -> None:
    """By the API server's clock, even if the operator's is behind it."""
    body = settled(scheduled(HOURLY, created=at(12, 5)), at(11, 59, 59))
    assert due(decide(body, at(12))) == []
    assert due(decide(body, at(13))) == [at(13)]


@pytest.mark.parametrize(
    "change",
    [{"cron": "*/5 * * * *"}, {"timezone": "Asia/Kolkata"}, {"name": "other"}, {"dayOr": False}],
    ids=str,
)
def test_an_edited_schedule_takes_effect_at_once_and_has_no_past(change: Body) -> None:
    """However long its times go back: from now on it is due as it says now, and was never due before."""
    body = settled(scheduled(HOURLY, missedRunPolicy="All", created=at(0)), at(0))
    body = edited(body, schedules=[HOURLY | change])
    decision = decide(body, at(12, 30))
    assert due(decision) == []
    assert missed(decision) == {}
    (seen,) = after(body, decision)["status"]["schedules"]
    assert datetime.fromisoformat(seen["seenUntil"]) == at(12, 30)


def test_an_edit_of_anything_else_loses_nothing() -> None:
    """Other parameters, or a schedule beside it, leave a schedule's own times alone; its next run has the new ones."""
    body = settled(scheduled(HOURLY), NOON)
    body = edited(body, schedules=[OFTEN | {"suspend": True}, HOURLY | {"parameters": {"x": 2}}], tags=["new"])
    (run,) = runs(decide(body, at(13, 0, 30)))
    assert (run.due, run.manifest["spec"]["parameters"]) == (at(13), {"x": 2})


def test_a_schedule_that_is_taken_away_is_forgotten() -> None:
    """It makes no run, the status has nothing of it, and when it comes back it begins anew."""
    body = settled(scheduled(HOURLY, missedRunPolicy="All"), NOON)
    gone = settled(edited(body, schedules=None), at(12, 30))
    assert gone["status"].keys().isdisjoint({"schedules", "nextRuns"})
    assert [one["type"] for one in gone["status"]["conditions"]] == ["Ready"]
    assert decide(gone, at(13)).requeue_after is None

    back = edited(gone, schedules=[HOURLY])
    assert due(decide(back, at(15, 30))) == []


# ---- suspended


@pytest.mark.parametrize("whole", [True, False], ids=["deployment", "schedule"])
@pytest.mark.parametrize("policy", ["Skip", "Latest", "All"])
def test_what_is_suspended_makes_no_runs_and_what_is_resumed_does_not_flood(whole: bool, policy: str) -> None:
    """Suspended, nothing is due and nothing waits; resumed, what was due meanwhile stays left out, and is not missed."""
    body = settled(scheduled(HOURLY, missedRunPolicy=policy), NOON)
    off: Body = {"suspend": True} if whole else {"schedules": [HOURLY | {"suspend": True}]}
    on: Body = {"suspend": None, "schedules": [HOURLY]}

    body = edited(body, **off)
    decision = decide(body, at(12, 30))
    assert decision.requeue_after is None
    body = after(body, decision)
    assert scheduled_condition(body)[:2] == ("False", "Suspended")
    assert body["status"].keys().isdisjoint({"schedules", "nextRuns"})
    assert decide(body, at(15, 30)).actions == ()

    body = edited(body, **on)
    decision = decide(body, at(16, 30))
    assert (due(decision), missed(decision), decision.requeue_after) == ([], {}, 1800)
    body = after(body, decision)
    assert scheduled_condition(body)[:2] == ("True", "Scheduled")
    assert due(decide(body, at(17))) == [at(17)]


def test_one_suspended_schedule_leaves_the_others_alone() -> None:
    """Only if each is suspended does the condition say so."""
    body = settled(scheduled(HOURLY | {"suspend": True}, {"name": "other", "cron": "0 * * * *"}), NOON)
    assert scheduled_condition(body)[:2] == ("True", "Scheduled")
    (run,) = runs(decide(body, at(13)))
    assert run.schedule == "other"


# ---- missed


@pytest.mark.parametrize(
    ("spec", "late", "expected", "left_out"),
    [
        ({}, 30, [at(16)], 3),
        ({"missedRunPolicy": "Latest"}, 30 * 60, [at(16)], 3),
        ({"missedRunPolicy": "All"}, 30 * 60, [at(13), at(14), at(15), at(16)], 0),
        ({"missedRunPolicy": "Skip"}, 30 * 60, [], 4),
        ({"missedRunPolicy": "Skip"}, 59, [at(16)], 3),
        ({"missedRunPolicy": "Skip", "startingDeadlineSeconds": 2 * 3600}, 30 * 60, [at(15), at(16)], 2),
        ({"missedRunPolicy": "Skip", "startingDeadlineSeconds": 5}, 6, [], 4),
        ({"missedRunPolicy": "Latest", "startingDeadlineSeconds": 600}, 30 * 60, [], 4),
        ({"missedRunPolicy": "Latest", "startingDeadlineSeconds": 600}, 300, [at(16)], 3),
        ({"missedRunPolicy": "All", "startingDeadlineSeconds": 2 * 3600}, 30 * 60, [at(15), at(16)], 2),
    ],
    ids=str,
)
def test_what_was_due_while_nobody_looked(spec: Body, late: int, expected: list[datetime], left_out: int) -> None:
    """An operator that comes back long after makes up for it as the policy says, once, and tells what is left out."""
    body = settled(scheduled(HOURLY, **spec), NOON)
    decision = decide(body, at(16, 0, late))

    assert due(decision) == expected
    assert missed(decision) == ({"hourly": left_out} if left_out else {})
    told = [action.message for action in decision.actions if isinstance(action, EmitEvent)]
    assert len(told) == bool(left_out)
    assert all(f"Runs of schedule 'hourly' are left out, at least {left_out}:" in message for message in told)
    assert all(" --from TIME` makes them" in message for message in told)  # a command that can be typed
    body = after(body, decision)
    assert decide(body, at(16, 0, late), active=len(expected)).actions == ()
    assert due(decide(body, at(17))) == [at(17)]


@pytest.mark.parametrize(("policy", "count"), [("Skip", 6), ("Latest", 6), ("All", 30)])
def test_runs_that_are_a_little_late_are_not_missed(policy: str, count: int) -> None:
    """An operator that is restarted, or busy for some seconds, costs a fast schedule none of its runs."""
    body = settled(scheduled(OFTEN, missedRunPolicy=policy), NOON)
    assert made_by_and_by(body, [at(12, 0, 59)]) == [at(12, 0, second) for second in range(10, 60, 10)]
    assert len(made_by_and_by(body, [at(12, 5)])) in {count, count + 1}


def test_of_very_many_missed_runs_the_latest_hundred_are_made_a_few_at_a_time() -> None:
    """However long nobody looked, and whatever the operator is killed at: in order, and each batch is marked."""
    body = settled(scheduled(OFTEN, missedRunPolicy="All"), NOON)
    decision = decide(body, at(12, day=9))
    assert len(due(decision)) == 10
    assert missed(decision) == {"often": 1}
    assert missed(decide(after(body, decision), at(12, day=9))) == {}
    assert made_by_and_by(body, [at(12, day=9)]) == [
        at(12, day=9) - timedelta(seconds=10 * n) for n in reversed(range(100))
    ]


# ---- the clock


def test_a_clock_that_goes_back_a_little_doubles_nothing() -> None:
    """What has been made is not made again, and the next one comes when it is due."""
    body = settled(scheduled(OFTEN, missedRunPolicy="All"), NOON)
    assert made_by_and_by(body, [at(12, 0, 10), at(11, 59, 40), at(12, 0, 10), at(12, 0, 20)]) == [
        at(12, 0, 10),
        at(12, 0, 20),
    ]


def test_a_clock_that_was_far_ahead_does_not_stop_a_schedule() -> None:
    """A mark in the year 2036 is taken back once: what was made too early is made again under the same name."""
    body = settled(scheduled(HOURLY), NOON)
    body = settled(body, at(12).replace(year=2036))
    decision = decide(body, at(12, 30))
    assert due(decision) == []
    assert len(decision.actions) == 1
    body = after(body, decision)
    assert decide(body, at(12, 30), active=1).actions == ()
    assert due(decide(body, at(13))) == [at(13)]


# ---- wrong and refused


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"cron": "0 25 * * *"}, "its hour '25' is not 0-23"),
        ({"cron": "0 0 30 2 *"}, "never due: there is no such day"),
        ({"cron": "0 2 * * *", "timezone": "Europe/Berln"}, "Did you mean 'Europe/Berlin'"),
        ({"intervalSeconds": 60, "timezone": "Mars"}, "timezone='Mars' is not the name of a time zone"),
        ({"intervalSeconds": 60, "anchor": "soon"}, "anchor must be a time such as 2026-01-31T09:00:00Z; got 'soon'"),
        ({"intervalSeconds": 0}, "interval must be at least one second"),
        ({"rrule": "FREQ=DAILY;COUNT=3"}, "COUNT cannot be used"),
        ({"rrule": "FREQ=FORTNIGHTLY"}, "its FREQ must be one of"),
        ({}, "exactly one of cron, intervalSeconds and rrule; this one says none"),
        ({"cron": "@daily", "rrule": "FREQ=DAILY"}, "this one says cron and rrule"),
    ],
    ids=str,
)
def test_a_schedule_that_cannot_be_understood_says_why_and_others_go_on(schedule: Body, words: str) -> None:
    """The condition names the schedule and what to do; its neighbour makes its runs."""
    body = settled(scheduled({"name": "wrong", **schedule}, HOURLY), NOON)

    status, reason, message = scheduled_condition(body)
    assert (status, reason) == ("False", "InvalidSchedule")
    assert message.startswith("Schedule 'wrong': ")
    assert words in message
    assert message[-1] in ".?"
    assert message[-2] not in ".?"
    assert {one["name"]: "problem" in one for one in body["status"]["schedules"]} == {"wrong": True, "hourly": False}
    assert decide(body, at(12, 30)).actions == ()
    assert due(decide(body, at(13))) == [at(13)]


def test_a_schedule_that_is_put_right_begins_then() -> None:
    """The condition turns, and the time when it was wrong is not made up for."""
    body = settled(scheduled({"name": "s", "cron": "0 25 * * *"}, missedRunPolicy="All"), NOON)
    body = settled(edited(body, schedules=[{"name": "s", "cron": "0 * * * *"}]), at(15, 30))
    assert scheduled_condition(body)[:2] == ("True", "Scheduled")
    assert "problem" not in body["status"]["schedules"][0]
    assert due(decide(body, at(16))) == [at(16)]


def test_runs_that_are_refused_to_one_schedule_are_made_later_and_others_go_on() -> None:
    """What the API server says is in the condition, its times stay due, and it is asked again half a minute later."""
    other = {"name": "other", "cron": "0 * * * *"}
    body = settled(scheduled(HOURLY, other), NOON)
    decision = decide(body, at(13), refused={"hourly": "exceeded quota: count/flowruns"})

    assert [run.schedule for run in runs(decision)] == ["other"]
    assert decision.requeue_after == 30
    body = after(body, decision)
    status, reason, message = scheduled_condition(body)
    assert (status, reason) == ("False", "RunRefused")
    assert "Schedule 'hourly': exceeded quota" in message

    again = decide(body, at(13, 0, 30))
    assert [(run.schedule, run.due) for run in runs(again)] == [("hourly", at(13))]
    assert scheduled_condition(after(body, again))[:2] == ("True", "Scheduled")


SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


@pytest.mark.parametrize(
    ("given", "words"), [({}, "x"), ({"x": "five"}, "x='five' must be a whole number"), ({"x": 5}, None)], ids=str
)
def test_parameters_that_make_runs_fail_are_told_before_they_do(given: Body, words: str | None) -> None:
    """Nobody else can give what a schedule's runs need; they are made all the same, and fail for all to see."""
    body = scheduled(HOURLY | {"parameters": given})
    body = settled(body, NOON, flow=make_flow(spec={"parameters": SCHEMA}))
    status, reason, message = scheduled_condition(body)
    if words is None:
        assert (status, reason, message) == ("True", "Scheduled", "")
    else:
        assert (status, reason) == ("False", "InvalidParameters")
        assert words in message
    assert due(decide(body, at(13), flow=make_flow(spec={"parameters": SCHEMA}))) == [at(13)]


# ---- counts


def counted(body: Body, now: datetime, **observed: Any) -> tuple[Body, float | None]:
    """Let an operator look, and give the status and when it looks again."""
    decision = decide(body, now, **observed)
    return after(body, decision), decision.requeue_after


def test_live_runs_and_the_last_success_are_told() -> None:
    """They are written when they change, but for their own sake not more than every ten seconds."""
    body = settled(scheduled(), NOON)
    body, _ = counted(body, at(12, 1), active=2)
    assert body["status"]["active"] == 2

    same, again = counted(body, at(12, 1, 4), active=1, last_success=at(12, 1, 3))
    assert same == body
    assert again == 6
    body, again = counted(body, at(12, 1, 10), active=1, last_success=at(12, 1, 3))
    assert (body["status"]["active"], body["status"]["lastSucceeded"]) == (1, "2026-03-01T12:01:03.000000Z")
    assert again is None
    assert decide(body, at(12, 2), active=1, last_success=None).actions == ()


def test_a_deployment_that_is_being_deleted_makes_no_runs() -> None:
    """Nor is anything written to it."""
    body = settled(scheduled(HOURLY), NOON)
    body["metadata"]["deletionTimestamp"] = "2026-03-01T12:30:00Z"
    assert decide(body, at(13)).actions == ()
