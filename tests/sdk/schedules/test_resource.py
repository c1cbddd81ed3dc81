"""Schedules as a Deployment says them: understood, told apart from edited ones, and their runs named."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath import names
from towpath.errors import ConfigurationError
from towpath.schedules import Cron, Interval, RRule, Schedule
from towpath.schedules.resource import definition_of, run_manifest, schedule_of, written

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"cron": "0 9 * * MON-FRI"}, Cron("0 9 * * MON-FRI")),
        (
            {"cron": "0 9 1 * MON", "timezone": "Europe/Oslo", "dayOr": False},
            Cron("0 9 1 * MON", "Europe/Oslo", day_or=False),
        ),
        ({"intervalSeconds": 90}, Interval(90)),
        (
            {"intervalSeconds": 86_400, "anchor": "2026-01-01T09:00:00+01:00", "timezone": "Europe/Oslo"},
            Interval(86_400, datetime(2026, 1, 1, 8, tzinfo=UTC), "Europe/Oslo"),
        ),
        ({"rrule": "FREQ=DAILY;BYHOUR=9", "timezone": "Asia/Tokyo"}, RRule("FREQ=DAILY;BYHOUR=9", "Asia/Tokyo")),
    ],
    ids=str,
)
def test_what_a_deployment_says_is_the_schedule_that_python_has(entry: dict[str, Any], expected: Schedule) -> None:
    """The same times, whichever way it is written; name, parameters and nulls say nothing about them."""
    found = schedule_of({"name": "s", "parameters": {"x": 1}, "suspend": None, **entry})
    assert found.next_times(NOON, 5) == expected.next_times(NOON, 5)
    assert type(found) is type(expected)


@pytest.mark.parametrize("entry", [{}, {"cron": "@daily", "intervalSeconds": 5}, {"cron": None}], ids=str)
def test_exactly_one_kind_is_asked_for(entry: dict[str, Any]) -> None:
    """Where the API server's checks are off, we say it."""
    with pytest.raises(ConfigurationError, match="exactly one of cron, intervalSeconds and rrule"):
        schedule_of(entry)


@pytest.mark.parametrize("value", [0, 1.5, True, "x", [], {}, [None], {"a": 1}], ids=repr)
@pytest.mark.parametrize("field", ["cron", "intervalSeconds", "rrule", "anchor", "timezone", "dayOr"])
def test_nothing_that_is_said_is_too_odd(field: str, value: Any) -> None:
    """Whatever somebody got past the API server is understood, or refused in words."""
    entry = (
        {"cron": "@daily"} if field in {"timezone", "dayOr"} else {"intervalSeconds": 5} if field == "anchor" else {}
    )
    with contextlib.suppress(ConfigurationError):
        schedule_of({**entry, field: value}).next_times(NOON, 2)


def test_an_edited_schedule_is_another() -> None:
    """What says when it is due counts, and nothing else."""
    entry = {"name": "s", "cron": "@daily"}
    same = [entry | {"parameters": {"x": 1}}, entry | {"suspend": True}, entry | {"timezone": None}]
    other = [entry | {"cron": "@hourly"}, entry | {"timezone": "UTC"}, entry | {"dayOr": False}]
    assert {definition_of(one) for one in same} == {definition_of(entry)}
    assert len({definition_of(one) for one in [entry, *other]}) == 4


NAMES = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
TIMES = st.datetimes(
    datetime(1900, 1, 1), datetime(2999, 1, 1), timezones=st.sampled_from([UTC, ZoneInfo("Asia/Tokyo")])
)


@given(deployment=NAMES, schedule=NAMES, due=TIMES)
def test_a_run_has_a_name_of_its_own(deployment: str, schedule: str, due: datetime) -> None:
    """A DNS label, the same for the same instant in any zone, another for another schedule, deployment or time."""
    name = names.scheduled_run_name(deployment, schedule, due)
    assert names.slug(name) == name
    assert len(name) <= 63
    assert name == names.scheduled_run_name(deployment, schedule, due.astimezone(ZoneInfo("America/Lima")))
    others = [(deployment + "x", schedule, due), (deployment, schedule + "x", due), (schedule, deployment + "y", due)]
    others += [(deployment, schedule, due + timedelta(seconds=1)), (deployment, schedule, due + timedelta.resolution)]
    assert name not in {names.scheduled_run_name(*other) for other in others}


def test_a_run_without_parameters_has_none() -> None:
    """Nothing is written that says nothing."""
    assert run_manifest("ns", "d", "s", NOON, {})["spec"] == {
        "deploymentRef": "d",
        "scheduledTime": "2026-03-01T12:00:00Z",
    }
    assert written(NOON + timedelta(milliseconds=5)) == "2026-03-01T12:00:00.005000Z"
