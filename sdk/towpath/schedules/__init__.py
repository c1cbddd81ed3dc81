"""Schedules: when a deployment's runs are due.

    Cron("0 9 * * MON-FRI", timezone="Europe/Berlin")
    Interval(timedelta(hours=6), anchor_date=datetime(2026, 1, 1, 3, tzinfo=UTC))
    RRule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17;BYMINUTE=0", timezone="America/New_York")

Each may have `parameters` of its own, which go over the deployment's, a `slug` to be named by, and be switched off with
`active=False`. What a schedule gives depends on nothing but its fields: two processes, or one that was started again,
agree on every time.

Where clocks are changed nothing is skipped and nothing doubled; `towpath.schedules.wall_clock` has the rule. Intervals
shorter than a day, and only they, go by time as it passes.
"""

from __future__ import annotations

from towpath.schedules.base import ANCHOR, Schedule
from towpath.schedules.cron import Cron
from towpath.schedules.interval import Interval
from towpath.schedules.rrule import RRule

__all__ = ["ANCHOR", "Cron", "Interval", "RRule", "Schedule"]
