"""Schedules where clocks are changed: nothing is skipped, nothing is doubled."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.schedules.zones import FROM, UNTIL, ZONES, Change, a_century_of_changes, offset

from towpath.schedules import Cron, Interval, RRule, Schedule

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")


def shown(schedule: Schedule, day: date, zone: ZoneInfo = BERLIN) -> list[str]:
    """Tell what the clock shows, and its offset, when runs of a day are due."""
    begin = datetime.combine(day, time(), zone).astimezone(UTC)
    end = datetime.combine(day + DAY, time(), zone).astimezone(UTC)
    due = schedule.times_between(begin - timedelta(seconds=1), end - timedelta(seconds=1))
    return [format(one.astimezone(zone), "%H:%M%z") for one in due]


SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)  # 02:00 becomes 03:00, and 03:00 becomes 02:00


@pytest.mark.parametrize(
    ("schedule", "day", "expected"),
    [
        (Cron("30 2 * * *", "Europe/Berlin"), SPRING, ["03:00+0200"]),
        (Cron("30 2 * * *", "Europe/Berlin"), AUTUMN, ["02:30+0200"]),
        (Cron("0 2 * * *", "Europe/Berlin"), SPRING, ["03:00+0200"]),
        (Cron("0 3 * * *", "Europe/Berlin"), AUTUMN, ["03:00+0100"]),
        (Cron("0 2,3 * * *", "Europe/Berlin"), SPRING, ["03:00+0200"]),
        (Cron("5,10 2 * * *", "Europe/Berlin"), SPRING, ["03:00+0200"]),
        (Cron("0 1-3 * * *", "Europe/Berlin"), AUTUMN, ["01:00+0200", "02:00+0200", "03:00+0100"]),
        (Cron("0 */6 * * *", "Europe/Berlin"), AUTUMN, ["00:00+0200", "06:00+0100", "12:00+0100", "18:00+0100"]),
        (Interval(DAY, datetime(2026, 1, 1, 2, 30), "Europe/Berlin"), SPRING, ["03:00+0200"]),
        (Interval(DAY, datetime(2026, 1, 1, 2, 30), "Europe/Berlin"), AUTUMN, ["02:30+0200"]),
        (Interval(DAY, datetime(2026, 1, 1, 9, tzinfo=BERLIN)), SPRING, ["09:00+0200"]),
        (Interval(DAY, datetime(2026, 1, 1, 9, tzinfo=UTC)), SPRING, ["11:00+0200"]),
        (
            Interval(6 * 3600, datetime(2026, 1, 1, tzinfo=BERLIN)),
            SPRING,
            ["00:00+0100", "07:00+0200", "13:00+0200", "19:00+0200"],
        ),
        (RRule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "Europe/Berlin"), SPRING, ["03:00+0200"]),
        (RRule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "Europe/Berlin"), AUTUMN, ["02:30+0200"]),
    ],
    ids=lambda value: str(value) if isinstance(value, Schedule) else None,
)
def test_a_time_that_does_not_exist_comes_after_the_gap_and_one_that_exists_twice_comes_once(
    schedule: Schedule, day: date, expected: list[str]
) -> None:
    """A time in a gap becomes the first instant after it; a time in a fold counts when it comes first."""
    assert shown(schedule, day) == expected


@pytest.mark.parametrize("day", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize(
    ("schedule", "every"),
    [
        (Cron("0 * * * *", "Europe/Berlin"), 60),
        (Cron("20 * * * *", "Europe/Berlin"), 60),
        (Cron("*/15 * * * *", "Europe/Berlin"), 15),
        (Cron("@hourly", "Europe/Berlin"), 60),
        (Interval(3600, timezone="Europe/Berlin"), 60),
        (Interval(timedelta(minutes=7), timezone="Europe/Berlin"), 7),
        (RRule("FREQ=HOURLY", "Europe/Berlin"), 60),
        (RRule("FREQ=MINUTELY;INTERVAL=20", "Europe/Berlin"), 20),
        (RRule("FREQ=MINUTELY;INTERVAL=5;BYMINUTE=0,20,40", "Europe/Berlin"), 20),
    ],
    ids=str,
)
def test_what_repeats_itself_as_often_as_clocks_move_goes_on_as_if_they_had_not(
    schedule: Schedule, every: int, day: date
) -> None:
    """A schedule for every hour or quarter of an hour neither pauses nor has a run too many."""
    noon = datetime.combine(day, time(12), UTC)
    due = schedule.times_between(noon - DAY, noon)
    assert {after - before for before, after in pairwise(due)} == {every * MINUTE}
    assert len(due) == pytest.approx(24 * 60 / every, abs=1)


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/30 * * * *", [30, 30, 30, 30, 30, 30]),
        ("45 * * * *", [60, 90, 60]),
        ("0 12 * * *", [24.5 * 60, 24 * 60]),
    ],
)
def test_half_an_hour_more(cron: str, expected: list[float]) -> None:
    """Lord Howe's clocks go back by 30 minutes: what is due once an hour is due once in the hour that takes longer."""
    start = datetime(2026, 4, 4, 0, 50, tzinfo=UTC) if cron.startswith("0 12") else datetime(2026, 4, 4, 13, tzinfo=UTC)
    due = Cron(cron, "Australia/Lord_Howe").next_times(start, len(expected) + 1)  # the change is at 15:00 UTC
    assert [(after - before) / MINUTE for before, after in pairwise(due)] == expected


def test_a_day_that_was_left_out() -> None:
    """Samoa had no 30th of December 2011: a daily run keeps its pace, one for that day comes as the day after begins."""
    eve = datetime(2011, 12, 29, 18, tzinfo=UTC)  # 08:00 on the 29th
    daily = Cron("0 9 * * *", "Pacific/Apia").next_times(eve, 2)
    assert [format(one.astimezone(ZoneInfo("Pacific/Apia")), "%d %H:%M") for one in daily] == ["29 09:00", "31 09:00"]
    assert daily[1] - daily[0] == DAY

    fridays = Cron("0 9 * * FRI", "Pacific/Apia").next_times(eve, 2)
    assert [format(one.astimezone(ZoneInfo("Pacific/Apia")), "%d %H:%M") for one in fridays] == ["31 00:00", "06 09:00"]


def reference(change: Change, times_of_day: set[time], unchanged: bool) -> list[datetime]:
    """Say when a daily schedule is due round a change, wall time by wall time."""
    due = set()
    for days in range(-3, 4):
        for at in times_of_day:
            wall = datetime.combine(change.wall.date() + days * DAY, at, UTC)
            passes = [wall - by for by in (change.before, change.after) if offset(change.zone, wall - by) == by]
            if not unchanged:
                passes = [min(passes)] if passes else [change.at]
            due.update(passes)
    begin, end = change.at - 2 * DAY, change.at + 2 * DAY
    return sorted(one for one in due if begin < one <= end)


def test_a_century_of_clock_changes() -> None:
    """Every kind of change in a hundred years of zone data: a run a day, at each time of day that the change touches."""
    for change in a_century_of_changes():
        edges = (change.wall, change.wall + change.forward)
        touched = {edge + minutes * MINUTE for edge in edges for minutes in (-60, -30, -1, 0, 1, 30, 59)}
        for at in {wall.time().replace(second=0) for wall in touched}:
            schedule = Cron(f"{at.minute} {at.hour} * * *", change.zone.key)
            unchanged = abs(change.forward) == DAY
            due = schedule.times_between(change.at - 2 * DAY, change.at + 2 * DAY)
            assert due == reference(change, {at}, unchanged), (change, at)


@settings(deadline=None)
@given(
    change=st.deferred(lambda: st.sampled_from(a_century_of_changes())),
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=5),
    hours=st.one_of(st.just(set(range(24))), st.sets(st.integers(0, 23), min_size=1, max_size=5)),
)
def test_any_times_of_day_at_any_change(change: Change, minutes: set[int], hours: set[int]) -> None:
    """Any minutes of any hours, at any change: each of the day's times once, and the pace kept where it can be."""
    said = {time(hour, minute) for hour in hours for minute in minutes}
    day = {(at.hour * 60 + at.minute) * MINUTE for at in said}
    moved = {(at + abs(change.forward)) % DAY for at in day}
    schedule = Cron(f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *", change.zone.key)
    due = schedule.times_between(change.at - 2 * DAY, change.at + 2 * DAY)
    assert due == reference(change, said, unchanged=day == moved)


SCHEDULES = st.one_of(
    st.builds(
        Cron,
        st.sampled_from(["*/7 * * * *", "0 0 * * *", "30 1-4 * * *", "15 2 1 * *", "0 3 * * SUN", "@hourly"]),
        st.sampled_from(ZONES),
    ),
    st.builds(
        Interval,
        st.timedeltas(timedelta(minutes=10), timedelta(days=40)),
        st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)),
        st.sampled_from(ZONES),
    ),
    st.builds(
        RRule,
        st.sampled_from(
            ["HOURLY", "DAILY;BYHOUR=0,2;BYMINUTE=5", "MONTHLY;BYDAY=1SU;BYHOUR=2", "MINUTELY;INTERVAL=45"]
        ).map("DTSTART:19200101T000000\nRRULE:FREQ={}".format),
        st.sampled_from(ZONES),
    ),
)
INSTANTS = st.datetimes(FROM.replace(tzinfo=None), UNTIL.replace(tzinfo=None), timezones=st.just(UTC))


@settings(deadline=None)
@given(schedule=SCHEDULES, start=INSTANTS, lengths=st.tuples(*[st.timedeltas(timedelta(), timedelta(days=3))] * 2))
def test_stretches_that_meet_share_nothing_and_lose_nothing(
    schedule: Schedule, start: datetime, lengths: tuple[timedelta, timedelta]
) -> None:
    """Whoever asks from where the last asker stopped, as a restarted server does, sees every time once, in order."""
    middle = start + lengths[0]
    end = middle + lengths[1]
    whole = schedule.times_between(start, end)
    assert schedule.times_between(start, middle) + schedule.times_between(middle, end) == whole
    assert all(before < after for before, after in pairwise(whole))
    assert all(start < due <= end for due in whole)
    assert all(due.tzinfo is UTC for due in whole)


@settings(deadline=None)
@given(start=INSTANTS, zone=st.sampled_from(ZONES), seconds=st.integers(1, 24 * 3600 - 1))
def test_short_intervals_go_by_time_as_it_passes(start: datetime, zone: str, seconds: int) -> None:
    """Intervals shorter than a day are as long as they say, whatever the clock on the wall does."""
    due = Interval(seconds, timezone=zone).next_times(start, 5)
    assert {after - before for before, after in pairwise(due)} == {timedelta(seconds=seconds)}
