"""Recurrence rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from towpath.errors import ConfigurationError
from towpath.schedules import RRule
from towpath.schedules.recurrence import parse

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@pytest.mark.parametrize(
    ("rrule", "expected"),
    [
        ("FREQ=DAILY", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("FREQ=DAILY;BYHOUR=9,17;BYMINUTE=30", ["2026-01-01 09:30", "2026-01-01 17:30"]),
        ("FREQ=WEEKLY", ["2026-01-05 00:00", "2026-01-12 00:00"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH", ["2026-01-13 00:00", "2026-01-15 00:00"]),
        ("RRULE:FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17", ["2026-01-30 17:00", "2026-02-27 17:00"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31", ["2026-01-31 00:00", "2026-03-31 00:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO", ["2027-01-04 00:00", "2028-01-03 00:00"]),
        ("FREQ=YEARLY;BYYEARDAY=-1", ["2026-12-31 00:00", "2027-12-31 00:00"]),
        ("FREQ=HOURLY;INTERVAL=7", ["2026-01-01 05:00", "2026-01-01 12:00"]),
        ("freq=minutely;interval=90;byday=sa", ["2026-01-03 00:00", "2026-01-03 01:30"]),
        ("FREQ=DAILY;UNTIL=20260103", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("FREQ=DAILY;UNTIL=20260102T120000Z", ["2026-01-02 00:00"]),
        ("DTSTART:20260110T080000\nRRULE:FREQ=WEEKLY", ["2026-01-10 08:00", "2026-01-17 08:00"]),
        ("DTSTART;TZID=America/New_York:20260110T080000\nRRULE:FREQ=WEEKLY", ["2026-01-10 13:00", "2026-01-17 13:00"]),
        (
            "DTSTART:20260101T080000\nRRULE:FREQ=DAILY\nEXDATE:20260101T080000,20260103T080000",
            ["2026-01-02 08:00", "2026-01-04 08:00"],
        ),
        ("RDATE:20260105T080000Z\nRDATE:20260104T070000", ["2026-01-04 07:00", "2026-01-05 08:00"]),
        ("RRULE:FREQ=DAILY\nRRULE:FREQ=DAILY;BYHOUR=0,6", ["2026-01-01 06:00", "2026-01-02 00:00"]),
    ],
    ids=lambda value: value.replace("\n", " ") if isinstance(value, str) else None,
)
def test_rules_give_the_times_that_they_say(rrule: str, expected: list[str]) -> None:
    """Rules as people write them, and the first two times after the new year began."""
    assert [format(due, "%Y-%m-%d %H:%M") for due in RRule(rrule).next_times(START, 2)] == expected


@pytest.mark.parametrize(
    ("rrule", "words"),
    [
        ("", "must be a text"),
        (7, "must be a text"),
        ("every day", "'EVERY DAY' is not of the form NAME=VALUE"),
        ("FREQ=FORTNIGHTLY", "FREQ must be one of SECONDLY, MINUTELY"),
        ("BYHOUR=3", "FREQ must be one of"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ twice"),
        ("FREQ=DAILY;COUNT=10", "COUNT cannot be used.*UNTIL"),
        ("FREQ=DAILY;BYEASTER=0", "'BYEASTER' is none of"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL must be a whole number from 1"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR '24' must be a whole number from 0 to 23"),
        ("FREQ=DAILY;BYMONTHDAY=0", "BYMONTHDAY '0' must be a whole number from 1 to 31 or -31 to -1"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY 'XX' must be one of MO"),
        ("FREQ=WEEKLY;BYDAY=1MO", "FREQ=WEEKLY does not have"),
        ("FREQ=WEEKLY;WKST=1", "WKST must be one of"),
        ("FREQ=HOURLY;BYSETPOS=1", "BYSETPOS cannot be used with FREQ=HOURLY"),
        ("FREQ=DAILY;UNTIL=tomorrow", "'TOMORROW' is no time such as"),
        ("EXRULE:FREQ=DAILY", "'EXRULE' is none of"),
        ("DTSTART:20260101T000000", "neither a rule nor an RDATE"),
        ("DTSTART:20260101\nDTSTART:20260102\nRRULE:FREQ=DAILY", "more than one DTSTART"),
        ("DTSTART;TZID=Nowhere/Land:20260101\nRRULE:FREQ=DAILY", "TZID=Nowhere/Land is not the name"),
        ("DTSTART;X=1:20260101\nRRULE:FREQ=DAILY", "'X=1' cannot be used"),
        ("FREQ=DAILY;BYSECOND=" + ",".join("0" * 4000), "at most 6500 characters"),
    ],
    ids=lambda value: str(value)[:40].replace("\n", " "),
)
def test_what_is_no_rule_is_refused_in_words(rrule: str, words: str) -> None:
    """A text that cannot be understood is refused when the schedule is made, saying which part and why."""
    with pytest.raises(ConfigurationError, match=words):
        RRule(rrule)


@pytest.mark.parametrize(
    "rrule",
    [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=HOURLY;BYMONTH=4;BYMONTHDAY=31",
        "FREQ=DAILY;BYSETPOS=2",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
        "FREQ=DAILY;UNTIL=20231231",
        "FREQ=MINUTELY;INTERVAL=60;BYMINUTE=30",
        "DTSTART:20260101T080000\nRDATE:20260101T080000\nEXDATE:20260101T080000",
    ],
    ids=lambda value: value.replace("\n", " "),
)
def test_a_rule_that_is_never_due_is_refused(rrule: str) -> None:
    """A day that does not exist, or that an interval always steps over, is said at once and not searched for."""
    with pytest.raises(ConfigurationError, match="never due"):
        RRule(rrule)


def test_a_rule_may_be_seldom_due() -> None:
    """The 29th of February on a Monday comes every 28 years."""
    due = RRule("FREQ=MONTHLY;BYMONTHDAY=29;BYMONTH=2;BYDAY=MO").next_times(START, 2)
    assert [one.year for one in due] == [2044, 2072]


def test_a_rule_is_followed_from_anywhere() -> None:
    """A rule for every second that began a century ago gives the next one without counting up to it."""
    assert RRule("DTSTART:19260101T000000\nRRULE:FREQ=SECONDLY").next_times(START, 1) == [START + timedelta(seconds=1)]


def numbers(first: int, last: int) -> st.SearchStrategy[str]:
    """Give lists of numbers as they stand in a rule."""
    return st.lists(st.integers(first, last).filter(bool), min_size=1, max_size=3, unique=True).map(
        lambda chosen: ",".join(map(str, chosen))
    )


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Draw a rule that dateutil understands as RFC 5545 means it."""
    frequency = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"]))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 40))}"]
    days = st.sampled_from(WEEKDAYS)
    if frequency in {"YEARLY", "MONTHLY"}:
        nth = st.tuples(st.sampled_from(["1", "2", "-1"]), days).map("".join)
        days = draw(st.sampled_from([days, nth]))  # dateutil takes a mixture for what is in both
    choices = {
        "BYMONTH": numbers(1, 12),
        "BYMONTHDAY": numbers(-31, 31),
        "BYDAY": st.lists(days, min_size=1, max_size=3, unique=True).map(",".join),
        "BYHOUR": numbers(0, 23),
        "BYMINUTE": numbers(0, 59),
        "BYSECOND": numbers(0, 59),
    }
    if frequency == "YEARLY":
        # dateutil does not see that the last days of a year may be in the next one's week 1, counted from its end
        choices |= {"BYWEEKNO": numbers(-51, 53), "BYYEARDAY": numbers(-366, 366)}
    if frequency in {"YEARLY", "MONTHLY", "DAILY"}:  # dateutil counts a first week that is not whole from its anchor
        choices["BYSETPOS"] = numbers(-3, 3)
    chosen = draw(st.lists(st.sampled_from(sorted(choices)), max_size=4, unique=True))
    parts += [f"{name}={draw(choices[name])}" for name in chosen]
    if draw(st.booleans()):
        parts.append(f"WKST={draw(st.sampled_from(WEEKDAYS))}")
    return ";".join(parts)


@settings(deadline=None)
@given(
    rule=rules(),
    anchor=st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(microsecond=0)),
)
def test_rules_mean_what_they_mean_to_others(rule: str, anchor: datetime) -> None:
    """python-dateutil, which many calendars rely on, gives the same first times for any rule that is ever due."""
    try:
        series = parse(rule, UTC, anchor).series[0]
    except ConfigurationError:
        reject()  # it is never due, which dateutil would look for until the year 9999
    ours = list(islice(series.walls(anchor), 3))
    theirs = rrulestr(f"{rule};UNTIL={ours[-1]:%Y%m%dT%H%M%S}", dtstart=anchor)
    assert ours == list(islice(theirs, 3))
