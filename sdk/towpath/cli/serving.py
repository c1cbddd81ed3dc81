"""`towpath serve`: serves a flow as a deployment of this machine, until told to stop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from towpath.cli import given, whens
from towpath.cli.exits import Exit
from towpath.cli.files import read_text
from towpath.cli.running import load, schema_for
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from towpath.schedules import Schedule


def serve(asked: argparse.Namespace) -> int:
    """Serve a flow."""
    from towpath.serving.session import LIMIT

    if asked.json:
        os.environ["TOWPATH_LOG_FORMAT"] = "json"  # also for the processes of its runs
    flow = load(asked.flow)
    if asked.timezone and not (asked.cron or asked.interval or asked.rrule):
        raise ConfigurationError("--timezone goes with --cron, --interval or --rrule: it says where their clock hangs.")
    flow.serve(
        asked.name,
        schedules=_schedules(asked),
        parameters=given.parameters(asked.param, asked.params_json, schema_for(flow, asked.param), read_text),
        tags=asked.tag,
        paused=asked.paused,
        missed_runs=asked.missed,
        limit=LIMIT if asked.limit is None else asked.limit or None,
    )
    return Exit.OK


def _schedules(asked: argparse.Namespace) -> list[Schedule]:
    from towpath.schedules import Cron, Interval, RRule

    zone = asked.timezone
    return [
        *(Cron(one, timezone=zone) for one in asked.cron),
        *(Interval(whens.length(one, "--interval"), timezone=zone) for one in asked.interval),
        *(RRule(one, timezone=zone) for one in asked.rrule),
    ]
