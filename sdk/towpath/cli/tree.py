"""Draws runs as a tree: who called whom, where each stands, how long it took. Pure: bodies of FlowRuns in, text out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from towpath.states import StateType

Body = Mapping[str, Any]

MARKS: dict[str, str] = {
    StateType.COMPLETED: "✔",
    StateType.FAILED: "✘",
    StateType.CRASHED: "✘",
    StateType.CANCELLED: "■",
    StateType.RUNNING: "▶",
    StateType.CANCELLING: "■",
}
WAITING = "·"


def run_tree(runs: Sequence[Body], now: datetime) -> str:
    """Draw the runs as a table whose first column is their tree.

    Args:
        runs: bodies of FlowRuns, in any order; a run whose parent is not among them is drawn as a root.
        now: until when the time of a run that has not ended is counted; timezone-aware.
    """
    known = {run["metadata"]["uid"] for run in runs}
    below: defaultdict[str | None, list[Body]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run["metadata"].get("creationTimestamp", ""), run["metadata"]["name"])):
        parent = (run["spec"].get("parent") or {}).get("uid")
        below[parent if parent in known else None].append(run)
    rows = [_row(prefix, run, now) for prefix, run in _walk(below, None, "")]
    return _table([("RUN", "STATE", "TIME", "ATTEMPT", "JOB"), *rows])


def state_of(run: Body) -> Mapping[str, Any]:
    """Give the run's state; one that nobody has looked at yet is waiting for the operator."""
    return (run.get("status") or {}).get("state") or {"type": "SCHEDULED", "name": "New", "since": None}


def explain(run: Body) -> str:
    """Say in a line why a run is where it is; empty if its state says it all."""
    state = state_of(run)
    return ": ".join(part for part in (state.get("reason"), state.get("message")) if part)


def _walk(below: Mapping[str | None, Sequence[Body]], parent: str | None, indent: str) -> Iterable[tuple[str, Body]]:
    children = below.get(parent, ())
    for index, run in enumerate(children):
        last = index == len(children) - 1
        branch, deeper = ("", "") if parent is None else ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield indent + branch, run
        yield from _walk(below, run["metadata"]["uid"], indent + deeper)


def _row(prefix: str, run: Body, now: datetime) -> tuple[str, ...]:
    status = run.get("status") or {}
    state = state_of(run)
    return (
        prefix + run["metadata"]["name"],
        f"{MARKS.get(state['type'], WAITING)} {state['name']}",
        _duration(status, now),
        str(status.get("attempt", "")),
        status.get("job", ""),
    )


def _duration(status: Mapping[str, Any], now: datetime) -> str:
    if not status.get("startTime"):
        return ""
    start = datetime.fromisoformat(status["startTime"])
    end = datetime.fromisoformat(status["completionTime"]) if status.get("completionTime") else now
    seconds = max(0.0, (end - start).total_seconds())
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
