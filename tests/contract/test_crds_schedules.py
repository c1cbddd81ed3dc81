"""What the API server takes as a Deployment's schedules, with which words it refuses the rest, and what kubectl shows."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import make_deployment
from tests.contract.own_group import PLURALS, OwnGroup, refusal_of
from tests.kube import Body

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

CRON_WORDS = "a cron expression has five fields: minute, hour, day of month, month, day of week"
ONE_KIND = "set exactly one of cron, intervalSeconds and rrule"


def with_schedules(*schedules: Body, **spec: Any) -> Body:
    """Build a Deployment with schedules; each has a name unless it brings one."""
    named = [{"name": f"s{number}", **schedule} for number, schedule in enumerate(schedules)]
    return make_deployment(spec={"schedules": named, **spec})


GOOD = {
    "cron": {"cron": "*/15 9-17 * * MON-FRI"},
    "cron with spaces": {"cron": "  0\t9  1 1 * "},
    "nickname": {"cron": "@daily"},
    "cron with all": {"cron": "0 9 L * MON#2", "timezone": "America/Argentina/Buenos_Aires", "dayOr": False},
    "interval": {"intervalSeconds": 1},
    "interval with all": {
        "intervalSeconds": 3_153_600_000,
        "anchor": "2026-01-31T09:00:00+01:00",
        "timezone": "Europe/Oslo",
    },
    "rrule": {"rrule": "freq=monthly;byday=-1fr", "timezone": "UTC"},
    "lines": {"rrule": "DTSTART:20260101T080000\nRRULE:FREQ=DAILY\nEXDATE:20260103T080000"},
    "dates": {"rrule": "RDATE:20260105T080000Z"},
    "parameters": {"cron": "@daily", "parameters": {"null": None, "deep": {"list": [1.5, None]}}},
    "suspended": {"cron": "@daily", "suspend": True},
}


@pytest.mark.parametrize("schedule", GOOD.values(), ids=GOOD)
def test_a_good_schedule_is_kept_as_it_is(kinds: OwnGroup, schedule: Body) -> None:
    """The API server gives back exactly what was sent."""
    body = with_schedules(schedule)
    assert kinds.create(body)["spec"] == body["spec"]


def test_what_goes_with_schedules_is_kept(kinds: OwnGroup) -> None:
    """Twenty schedules, policy, deadline, suspend."""
    body = with_schedules(
        *[{"rrule": "FREQ=DAILY;BYHOUR=" + ",".join(["9"] * 450)}] * 20,
        suspend=True,
        missedRunPolicy="All",
        startingDeadlineSeconds=60,
    )
    assert kinds.create(body)["spec"] == body["spec"]


BAD = {
    "nothing": (with_schedules({}), ONE_KIND),
    "two kinds": (with_schedules({"cron": "@daily", "intervalSeconds": 60}), ONE_KIND),
    "three kinds": (with_schedules({"cron": "@daily", "intervalSeconds": 60, "rrule": "FREQ=DAILY"}), ONE_KIND),
    "four fields": (with_schedules({"cron": "0 9 * *"}), CRON_WORDS),
    "six fields": (with_schedules({"cron": "0 0 9 * * *"}), CRON_WORDS),
    "words": (with_schedules({"cron": "every day"}), CRON_WORDS),
    "dayOr without cron": (with_schedules({"intervalSeconds": 60, "dayOr": True}), "dayOr goes with cron"),
    "anchor without interval": (
        with_schedules({"cron": "@daily", "anchor": "2026-01-31T09:00:00Z"}),
        "anchor goes with intervalSeconds",
    ),
    "anchor without zone": (
        with_schedules({"intervalSeconds": 60, "anchor": "2026-01-31 09:00"}),
        "anchor in body must be of type date-time",
    ),
    "no interval": (
        with_schedules({"intervalSeconds": 0}),
        "intervalSeconds in body should be greater than or equal to 1",
    ),
    "no rule": (with_schedules({"rrule": "daily"}), "an rrule says how often (FREQ=...), such as 'FREQ=MONTHLY"),
    "long rule": (with_schedules({"rrule": "FREQ=DAILY;" * 100}), "rrule: Too long: may not be more than 1024"),
    "no name": (make_deployment(spec={"schedules": [{"cron": "@daily"}]}), "schedules[0].name: Required value"),
    "name of two words": (
        with_schedules({"name": "two words", "cron": "@daily"}),
        "schedules[0].name in body should match",
    ),
    "the same name twice": (
        with_schedules({"name": "a", "cron": "@daily"}, {"name": "a", "cron": "@hourly"}),
        'schedules[1]: Duplicate value: {"name":"a"}',
    ),
    "very many": (with_schedules(*[{"cron": "@daily"}] * 21), "schedules: Too many: 21: must have at most 20 items"),
    "unknown policy": (with_schedules(missedRunPolicy="Some"), 'supported values: "Skip", "Latest", "All"'),
    "no deadline": (
        with_schedules(startingDeadlineSeconds=0),
        "startingDeadlineSeconds in body should be greater than or equal to 1",
    ),
    "suspend as a word": (with_schedules(suspend="yes"), 'spec.suspend: Invalid value: "string"'),
}


@pytest.mark.parametrize(("body", "words"), BAD.values(), ids=BAD)
def test_a_bad_schedule_is_refused(kinds: OwnGroup, body: Body, words: str) -> None:
    """What a schema can know is refused at once, and the refusal says what is wrong."""
    assert words in refusal_of(kinds.create, body).message


STATUS = {
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": "2026-03-01T12:00:00Z"},
        {
            "type": "Scheduled",
            "status": "False",
            "reason": "InvalidSchedule",
            "message": "Schedule 'b': no.",
            "lastTransitionTime": "2026-03-01T12:00:00Z",
        },
    ],
    "active": 2,
    "counted": "2026-03-01T12:00:00.000000Z",
    "lastScheduled": "2026-03-01T12:00:00Z",
    "lastSucceeded": "2026-03-01T12:00:07.123456Z",
    "nextRuns": [{"time": f"2999-01-0{day}T00:00:00Z", "schedule": "a"} for day in range(1, 6)],
    "schedules": [
        {
            "name": "a",
            "definition": "0123abcd",
            "seenUntil": "2026-03-01T12:00:00Z",
            "lastScheduleTime": "2026-03-01T12:00:00Z",
        },
        {"name": "b", "definition": "0123abcd", "seenUntil": "2026-03-01T12:00:00.5Z", "problem": "p" * 1024},
    ],
}


def test_a_list_of_deployments_says_how_their_schedules_stand(kinds: OwnGroup) -> None:
    """Whether and why, live runs, the last run and the next; with -o wide also what is wrong, in a sentence."""
    body = with_schedules({"name": "a", "cron": "@daily"}, {"name": "b", "cron": "0 25 * * *"})
    made = kinds.create({**body, "status": STATUS}, "scheduled")
    assert made["status"] == STATUS

    def shown(*arguments: str) -> list[list[str]]:
        printed = kinds.apiserver.cluster.kubectl(
            "--namespace",
            kinds.apiserver.namespace,
            "get",
            f"{PLURALS['Deployment']}.{kinds.group}",
            "scheduled",
            *arguments,
        )
        return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in printed.splitlines()]

    head, row = shown()
    assert head == ["NAME", "FLOW", "READY", "REASON", "SCHEDULED", "ACTIVE", "LAST RUN", "NEXT RUN", "AGE"]
    assert [*row[1:6], row[7]] == ["main", "True", "Ready", "InvalidSchedule", "2", "2999-01-01T00:00:00Z"]
    head, row = shown("--output", "wide")
    assert dict(zip(head, row, strict=True))["PROBLEM"] == "Schedule 'b': no."
