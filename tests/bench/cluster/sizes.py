"""How much is done: `small` to see that all works, `full` for figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of runs, Jobs and so on."""

    rounds: int
    """How often raw Jobs and FlowRuns take turns."""
    stock: int
    """Of each in a round, at stock flags of the controller-manager: three a second go through."""
    faster: int
    """Of each in a round, at flags that let three times as many through."""
    tuned: int
    """Of each in a round, at tuned flags."""
    paced: int
    """Of each, one at a time, twice a second."""
    finished: int
    """Finished runs that stand around."""
    live: int
    """Runs that go on."""
    burst: int
    """Runs at once."""
    children: int
    """Children of one parent."""
    deployments: int
    """Deployments with a schedule for the same minute."""
    grown: int
    """Runs that come and go, each time."""
    queued: int
    """Runs in one queue."""
    idle_seconds: int
    """How long the operator is watched doing nothing."""


SIZES: Final = {
    "small": Sizes(1, 10, 20, 40, 10, 200, 20, 50, 50, 50, 40, 40, 5),
    "full": Sizes(2, 100, 150, 300, 40, 10_000, 500, 1000, 1000, 1000, 200, 1000, 30),
}
