"""Which times of a schedule are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.schedules import Cron, Interval, RRule
from towpath.serving import agenda
from towpath.serving.agenda import MissedRuns

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("missed", "ago", "expected"),
    [
        (MissedRuns.ALL, 0, []),
        (MissedRuns.ALL, 60, [0]),
        (MissedRuns.ALL, 200, [-180, -120, -60, 0]),
        (MissedRuns.LATEST, 200, [0]),
        (MissedRuns.SKIP, 200, [0]),
    ],
)
def test_what_is_due_lies_between_mark_and_now(missed: MissedRuns, ago: float, expected: list[float]) -> None:
    """What is due at this very moment is due; what was due at the mark has been seen to."""
    due = agenda.due(Interval(60), NOW - timedelta(seconds=ago), NOW, missed)
    assert [(time - NOW).total_seconds() for time in due.times] == expected
    assert due.left_out == (missed is not MissedRuns.ALL and ago == 200)


def test_a_schedule_that_has_ended_is_due_no_more() -> None:
    """A rule that ran until yesterday."""
    assert agenda.due(RRule("FREQ=DAILY;UNTIL=20260104"), NOW - timedelta(hours=13), NOW, MissedRuns.ALL).times == ()


@given(
    length=st.timedeltas(timedelta(), timedelta(days=20)),
    every=st.sampled_from([Interval(7), Interval(3600), Cron("*/10 8-16 * * MON-FRI", "Europe/Berlin")]),
    n=st.integers(1, 300),
)
def test_the_latest_times_are_the_last_of_all(length: timedelta, every: Interval | Cron, n: int) -> None:
    """However they are found: the last n of the stretch, and word of whether there are more."""
    everything = every.times_between(NOW - length, NOW) if length < timedelta(days=1) else None
    times, are_all = every.last_times(NOW - length, NOW, n)
    assert len(times) <= n
    assert times == every.times_between(times[0] - timedelta(microseconds=1), NOW) if times else True
    if everything is not None:
        assert times == everything[-n:]
        assert are_all == (len(everything) <= n)
