"""`towpath runs …`: see and steer runs, on this machine and in a cluster."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from towpath.cli import loglines, whens
from towpath.cli.exits import Exit
from towpath.cli.output import (
    age,
    note,
    say,
    say_json,
    say_json_line,
    style_of,
    table,
)
from towpath.cli.page import page
from towpath.cli.port import LogQuery, Query
from towpath.cli.seen import as_json
from towpath.cli.target import runs_meant
from towpath.cli.tree import draw, explained, nested
from towpath.console.looks import duration
from towpath.errors import ConfigurationError
from towpath.states import StateType

if TYPE_CHECKING:
    import argparse

    from towpath.cli.output import Style


def ls(asked: argparse.Namespace) -> int:
    """List runs."""
    now = datetime.now(UTC)
    if asked.limit < 0:
        raise ConfigurationError(f"--limit takes a whole number, 0 or more; got {asked.limit}.")
    query = Query(
        flow=asked.flow,
        states=frozenset(map(_state, asked.state)),
        since=whens.since(asked.since, now) if asked.since else None,
        children=asked.all,
        limit=asked.limit or None,
    )
    with runs_meant(asked) as runs:
        found = runs.list(query)
        if asked.json:
            say_json(found)
        elif found:
            say(_listed(found, now, style_of(sys.stdout)))
        else:
            note(f"There are no {'such ' if _narrows(query) else ''}runs {runs.place}.")
    return Exit.OK


def inspect(asked: argparse.Namespace) -> int:
    """Show a run."""
    with runs_meant(asked) as runs:
        run = runs.get(asked.run)
        tasks = runs.tasks(run)
        if asked.json:
            say_json(as_json(run) | {"task_runs": as_json(tasks)})
        else:
            say(page(run, tasks, runs.flags, datetime.now(UTC), style_of(sys.stdout)))
    return Exit.OK


def tree(asked: argparse.Namespace) -> int:
    """Draw a run and those below it."""
    with runs_meant(asked) as runs:
        found = runs.tree(runs.get(asked.run))
    if asked.json:
        say_json(nested(found, as_json)[0])
    else:
        say(draw(found, datetime.now(UTC), style_of(sys.stdout)), *explained(found))
    return Exit.OK


def logs(asked: argparse.Namespace) -> int:
    """Print a run's log."""
    if asked.tail is not None and asked.tail < 0:
        raise ConfigurationError(f"--tail takes a whole number, 0 or more; got {asked.tail}.")
    level = loglines.level_named(asked.level) if asked.level else 0
    style = style_of(sys.stdout)
    with runs_meant(asked) as runs:
        for line in runs.logs(
            runs.get(asked.run), LogQuery(follow=asked.follow, tail=asked.tail, attempt=asked.attempt)
        ):
            if not loglines.reaches(line, level):
                continue
            if asked.json:
                say_json_line(line)
            else:
                say(loglines.show(line, style))
                if asked.follow:
                    sys.stdout.flush()
    return Exit.OK


def watch(asked: argparse.Namespace) -> int:
    """Show runs until they have ended."""
    from towpath.cli.watching import watch as watch_run

    with runs_meant(asked) as runs:
        run = runs.get(asked.run) if asked.run else None
        return watch_run(runs, run, timeout_seconds=asked.timeout, as_json=asked.json)


def cancel(asked: argparse.Namespace) -> int:
    """Cancel runs."""
    with runs_meant(asked) as runs:
        chosen = [runs.get(name, whole=True) for name in asked.run]  # all of them, before anything is done
        for run in chosen:
            runs.cancel(run, now=asked.now)
            if not asked.json:
                say(f"{run.name} is being {'killed' if asked.now else 'cancelled'}.")
        if asked.json:
            say_json([runs.get(run.name, whole=True) for run in chosen])
    return Exit.OK


def delete(asked: argparse.Namespace) -> int:
    """Delete runs."""
    with runs_meant(asked) as runs:
        chosen = [runs.get(name, whole=True) for name in asked.run]
        for run in chosen:
            runs.delete(run, force=asked.force)
            if not asked.json:
                say(f"{run.name} is deleted.")
        if asked.json:
            say_json(chosen)
    return Exit.OK


def _state(text: str) -> StateType:
    if text.upper() not in StateType.__members__:
        raise ConfigurationError(f"--state takes one of {', '.join(StateType)}; got {text!r}.")
    return StateType(text.upper())


def _narrows(query: Query) -> bool:
    return bool(query.flow or query.states or query.since)


def _listed(found: Any, now: datetime, style: Style) -> str:
    rows = [
        (
            run.name,
            run.flow or "",
            style.state(run.state),
            duration(run.seconds(now)),
            age(run.created, now),
            "" if run.children is None or not run.children.total else str(run.children.total),
            run.state.reason or "" if run.state.type is not StateType.COMPLETED else "",
            "" if run.has_ended else (run.waiting_for or "").replace("\n", ", "),
        )
        for run in found
    ]
    return table([("RUN", "FLOW", "STATE", "TIME", "AGE", "CHILDREN", "REASON", "WAITS FOR"), *rows])
