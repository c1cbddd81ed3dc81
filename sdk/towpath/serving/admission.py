"""Which of the runs that wait may start. Pure.

A run that waits for runs of its own lends them its place: otherwise a server with one place could never run a flow
that runs a deployment. So what is counted is not runs that are alive, but those without a live one below them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that waits, or is alive."""

    run_id: str
    deployment: str
    parent_id: str | None = None
    """The run that waits for it, if one does."""


def admitted(
    waiting: Iterable[Candidate],
    live: Iterable[Candidate],
    limit: int | None,
    limits: Mapping[str, int | None],
) -> list[Candidate]:
    """Choose the runs that start now: the first in the queue for whom there is a place.

    Args:
        waiting: in the order of the queue.
        live: that have been started and have not ended.
        limit: of runs at once.
        limits: the same of single deployments.
    """
    running = {run.run_id: run for run in live}
    chosen = []
    for run in waiting:
        together = {**running, run.run_id: run}
        if _fits(together, run.deployment, limit, limits):
            running = together
            chosen.append(run)
    return chosen


def _fits(
    running: Mapping[str, Candidate], deployment: str, limit: int | None, limits: Mapping[str, int | None]
) -> bool:
    waited_for = {run.parent_id for run in running.values()}
    busy = Counter(run.deployment for run in running.values() if run.run_id not in waited_for)
    own = limits.get(deployment)
    return (limit is None or busy.total() <= limit) and (own is None or busy[deployment] <= own)
