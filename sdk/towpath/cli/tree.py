"""Draws runs as a tree: who called whom, where each stands, how long it took. Pure: runs in, text out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from towpath.cli import bodies
from towpath.cli.output import PLAIN, Style, table
from towpath.cli.seen import Run
from towpath.console.looks import duration
from towpath.console.rows import branches, families
from towpath.states import StateType

Body = Mapping[str, Any]
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def run_tree(runs: Sequence[Body], now: datetime) -> str:
    """Draw FlowRuns as a table whose first column is their tree.

    Args:
        runs: bodies of FlowRuns, in any order; a run whose parent is not among them is drawn as a root.
        now: until when the time of a run that has not ended is counted; timezone-aware.
    """
    return draw([bodies.run_of(run) for run in runs], now)


def draw(runs: Sequence[Run], now: datetime, style: Style = PLAIN) -> str:
    """Draw runs as `run_tree` does, without the columns in which there is nothing."""
    rows = [
        (
            prefix + run.name,
            style.state(run.state),
            duration(run.seconds(now)),
            "" if run.attempt is None else str(run.attempt),
            run.job or "",
        )
        for prefix, run in branches(in_order(runs))
    ]
    return table([("RUN", "STATE", "TIME", "ATTEMPT", "JOB"), *rows])


def explained(runs: Iterable[Run]) -> list[str]:
    """Say, in a line each, why runs are where they are that have neither completed nor just run."""
    settled = {StateType.COMPLETED, StateType.RUNNING}
    return [f"{run.name}: {run.state.why}" for run in runs if run.state.type not in settled and run.state.why]


def nested(runs: Sequence[Run], say: Callable[[Run], dict[str, Any]]) -> list[dict[str, Any]]:
    """Give runs as objects that hold those below them.

    Args:
        runs: in any order.
        say: gives the object of a run; its `children` become the list of objects below it.
    """
    below = families(in_order(runs))

    def of(parent: str | None) -> list[dict[str, Any]]:
        return [{**say(run), "children": of(run.id)} for run in below.get(parent, ())]

    return of(None)


def state_of(run: Body) -> Mapping[str, Any]:
    """Give a FlowRun's state; one that nobody has looked at yet is waiting for the operator."""
    return (run.get("status") or {}).get("state") or {"type": "SCHEDULED", "name": "New", "since": None}


def explain(run: Body) -> str:
    """Say in a line why a FlowRun is where it is; empty if its state says it all."""
    return bodies.state_of(run).why


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Sort runs by when they were created."""
    return sorted(runs, key=lambda run: (run.created or _LONG_AGO, run.name))
