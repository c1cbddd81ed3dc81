"""What schedules of all kinds have in common, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from towpath.errors import ConfigurationError
from towpath.schedules import Cron, Interval, RRule, Schedule, zones

START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday
MAKERS: tuple[Callable[..., Schedule], ...] = (
    lambda **options: Cron("0 9 * * *", **options),
    lambda **options: Interval(3600, **options),
    lambda **options: RRule("FREQ=DAILY", **options),
)


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 9 * * *", ["01 09:00", "02 09:00"]),
        ("*/20 * * * *", ["01 00:20", "01 00:40"]),
        ("0 9 * * MON-FRI", ["01 09:00", "02 09:00", "05 09:00"]),
        ("0 0 13 * FRI", ["02 00:00", "09 00:00", "13 00:00"]),
        ("0 0 * * 0", ["04 00:00"]),
        ("0 0 * * 7", ["04 00:00"]),
        ("0 0 L * *", ["31 00:00"]),
        ("0 0 LW * *", ["30 00:00"]),
        ("0 0 * * 5L", ["30 00:00"]),
        ("0 0 * * MON#2", ["12 00:00"]),
        ("0 0 * jan mon", ["05 00:00"]),
        ("@daily", ["02 00:00", "03 00:00"]),
        (" @Weekly ", ["04 00:00"]),
    ],
)
def test_cron_expressions_mean_what_they_mean_to_cron(cron: str, expected: list[str]) -> None:
    """Fields, lists, ranges, steps, names and nicknames; two restricted days mean either of them."""
    due = Cron(cron).next_times(START, len(expected))
    assert [format(one, "%d %H:%M") for one in due] == expected


def test_both_days_may_have_to_fit() -> None:
    """With day_or=False the 13th has to be a Friday."""
    due = Cron("0 0 13 * FRI", day_or=False).next_times(START, 2)
    assert [one.date() for one in due] == [date(2026, 2, 13), date(2026, 3, 13)]


def test_the_clock_hangs_where_the_timezone_says() -> None:
    """Nine in the morning is another instant in winter than in summer, and in another place."""
    due = [Cron("0 9 1 1,7 *", zone).next_times(START, 2) for zone in ("Europe/Berlin", "Asia/Tokyo", None)]
    assert [[one.hour for one in times] for times in due] == [[8, 7], [0, 0], [9, 9]]


def test_an_interval_is_counted_from_its_anchor_in_both_directions() -> None:
    """The anchor is one of the times, not the first of them; without one, two servers count from the same Monday."""
    anchored = Interval(timedelta(hours=6), anchor_date=datetime(2030, 1, 1, 1, tzinfo=UTC))
    assert [one.hour for one in anchored.next_times(START, 4)] == [1, 7, 13, 19]
    weekly = Interval(timedelta(weeks=1)).next_times(START, 1)[0]
    assert (weekly.weekday(), weekly.hour) == (0, 0)


def test_an_anchor_brings_its_zone() -> None:
    """Unless a zone is named, the clock hangs where the anchor's does; a time without a zone is read on it."""
    winter = datetime(2026, 1, 1, 9, tzinfo=ZoneInfo("America/New_York"))
    naive = winter.replace(tzinfo=None)
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    for schedule in (Interval(timedelta(days=1), winter), Interval(timedelta(days=1), naive, "America/New_York")):
        assert schedule.next_times(summer, 1)[0].hour == 13


@pytest.mark.parametrize("make", MAKERS, ids=["cron", "interval", "rrule"])
def test_the_next_time_is_later_than_asked(make: Callable[..., Schedule]) -> None:
    """Asked at a time that is due, a schedule gives the one after; a stretch includes its end and not its beginning."""
    first, second, third = make().next_times(START, 3)
    assert make().next_times(first, 1) == [second]
    assert make().next_times(first - timedelta(microseconds=1), 1) == [first]
    assert make().times_between(first, third) == [second, third]
    assert make().times_between(third, first) == []


@pytest.mark.parametrize("make", MAKERS, ids=["cron", "interval", "rrule"])
def test_the_end_of_the_calendar_is_no_mistake(make: Callable[..., Schedule]) -> None:
    """Shortly before the year 10000 there are few times left, and then none."""
    due = list(make().times_after(datetime(9999, 12, 30, tzinfo=UTC)))
    assert len(due) < 50
    assert all(before < after for before, after in pairwise(due))


@pytest.mark.parametrize("make", MAKERS, ids=["cron", "interval", "rrule"])
def test_schedules_are_told_apart_by_what_they_say(make: Callable[..., Schedule]) -> None:
    """The key stays while a schedule is switched off and on, changes with what it says, and is the slug if it has one."""
    keys = {make().key, make(parameters={"day": 1}).key, make(timezone="Europe/Berlin").key, make(slug="mornings").key}
    assert len(keys) == 4
    assert "mornings" in keys
    assert make(active=False).key == make().key


@pytest.mark.parametrize("make", MAKERS, ids=["cron", "interval", "rrule"])
def test_schedules_are_values(make: Callable[..., Schedule]) -> None:
    """Equal when they say the same, fit for sets and pickles."""
    schedule = make(parameters={"x": [1]}, slug="s")
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert {schedule, make(parameters={"x": [1]}, slug="s")} == {schedule}


@pytest.mark.parametrize("make", MAKERS, ids=["cron", "interval", "rrule"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timezone": "Europe/Berln"}, "timezone='Europe/Berln'.*Did you mean 'Europe/Berlin'"),
        ({"timezone": "qqq"}, "'America/New_York' or 'UTC'"),
        ({"timezone": "../../etc/passwd"}, "not the name of a time zone"),
        ({"timezone": "Europe"}, "not the name of a time zone"),
        ({"timezone": 3}, "timezone=3 is not"),
        ({"active": "yes"}, "active must be True or False; got 'yes'"),
        ({"slug": " "}, "slug must be a text such as 'every-morning'; got ' '"),
        ({"parameters": [1]}, r"parameters must be values by name.*got \[1\]"),
        ({"parameters": {1: 2}}, "parameters must be values by name"),
    ],
    ids=str,
)
def test_fields_that_cannot_be_are_refused_in_words(
    make: Callable[..., Schedule], options: dict[str, Any], words: str
) -> None:
    """A wrong field is named with its value, and with what would do."""
    with pytest.raises(ConfigurationError, match=words):
        make(**options)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("61 * * * *", "minute '61' is not 0-59"),
        ("0 24 * * *", "hour '24' is not 0-23"),
        ("0 0 0 * *", "day-of-month '0' is not 1-31, L or LW"),
        ("0 0 ? * *", "day-of-month '\\?'"),
        ("0 0 1 13 *", "month '13' is not 1-12 or JAN-DEC"),
        ("0 0 * * 8", "day-of-week '8' is not 0-7 or SUN-SAT"),
        ("0 0 * * MON#6", "day-of-week 'MON#6'"),
        ("0 0 LW/x * *", "day-of-month"),
        ("*/0 * * * *", "minute '\\*/0'"),
        ("5-1 * * * *", "minute '5-1'"),
        ("H * * * *", "minute 'H'"),
        ("* * * *", "it has 4 fields, and needs five"),
        ("0 * * * * *", "it has 6 fields, and needs five"),
        ("hourly", "it has 1 field, and needs five"),
        ("@reboot", "the names for one are @yearly, @annually"),
        ("", "it has 0 fields"),
        (None, "must be a text of five fields"),
        ("0 0 30 2 *", "never due: there is no such day"),
        ("0 0 31 4,6 *", "never due"),
    ],
)
def test_what_is_no_cron_expression_is_refused_in_words(cron: Any, words: str) -> None:
    """The field that cannot be read is named, with its value and what it takes."""
    with pytest.raises(ConfigurationError, match=words):
        Cron(cron)


@pytest.mark.parametrize(
    "interval", [0, -5, 0.5, timedelta(0), "5m", None, True, float("nan"), float("inf"), 1e20], ids=repr
)
def test_an_interval_is_at_least_a_second(interval: Any) -> None:
    """What is no length of time, or too short to be meant, is refused with an example."""
    with pytest.raises(ConfigurationError, match="interval must be at least one second, for example timedelta"):
        Interval(interval)


def test_an_anchor_is_a_datetime() -> None:
    """A text is not guessed at."""
    with pytest.raises(ConfigurationError, match="anchor_date must be a datetime, for example"):
        Interval(60, anchor_date="2026-01-01")  # type: ignore[arg-type]


def test_instants_are_asked_for_with_a_zone() -> None:
    """A time without a zone is no instant; it would be taken for one of the machine's."""
    naive = datetime(2026, 1, 1)
    with pytest.raises(ValueError, match="give it a zone"):
        Interval(60).next_times(naive, 1)
    with pytest.raises(ValueError, match="give it a zone"):
        Interval(60).times_between(START, naive)


def test_a_machine_without_zone_data_is_told_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no zone data, UTC still does, and other zones say what to install."""
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    assert zones.zone_named("UTC") is UTC
    with pytest.raises(ConfigurationError, match=r"no zone data.*pip install tzdata"):
        zones.zone_named("Europe/Nowhere")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 s"), (1.5, "1.5 s"), (90, "1 min 30 s"), (3600, "1 h"), (86_400, "1 d"), (93_600, "1 d 2 h")],
)
def test_an_interval_says_how_often_it_is(seconds: float, words: str) -> None:
    """In units that people use."""
    assert str(Interval(seconds)) == f"every {words} from 2024-01-01 00:00:00+00:00"
