"""Slots that are taken at a rate: how many are there to be taken, and whose they are. Pure.

The bucket is kept in the ConcurrencyLimit's status, as it was at one moment. It is written before anything of it is
granted: what an operator took and did not come to grant is lost, and nothing is ever granted twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from towpath.api.v1alpha1.transitions import rfc3339
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import integer, moment, text

#: How long those who wait for slots at a rate are left to gather, so that each write takes as many as there are.
_GATHER_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Draught:
    """What is taken from a bucket at one moment."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of the status."""
    gives: Mapping[str, int] = field(default_factory=dict)
    """Slots by the names of the runs whose code gets them."""
    again_seconds: float | None = None
    """When there is more for those who wait, or everything has come free; None: neither will be."""
    level: float = 0.0
    """Slots that have not come free again after that."""


def draw(limit: Body, lacking: Sequence[tuple[str, int]], now: datetime) -> Draught:
    """Take what there is for those who wait.

    Args:
        limit: a ConcurrencyLimit with a rate.
        lacking: names of the runs whose code waits, the first first, and for how many slots.
        now: the time.
    """
    taken, at = (integer(limit, "status", "takenMillis") or 0) / 1000, moment(limit, "status", "takenAt")
    fields: dict[str, Any] = {}
    if at is None or at > now + timedelta(seconds=1):  # written by a clock that was ahead
        at = now
        fields = {"takenAt": rfc3339(now), "takenMillis": math.ceil(taken * 1000)} if taken else {}
    rate, most = float(text(limit, "spec", "slotDecayPerSecond")), integer(limit, "spec", "limit") or 0
    level = max(0.0, taken - rate * max(0.0, (now - at).total_seconds()))
    free, gives = max(0, int(most - level + 1e-6)), {}
    for run, slots in lacking:
        if give := min(slots, free):
            gives[run] = give
            free -= give
    if gives:
        level += sum(gives.values())
        fields = {"takenAt": rfc3339(now), "takenMillis": math.ceil(level * 1000)}
    waits = most > 0 and sum(slots for _, slots in lacking) > sum(gives.values())
    if not (waits or level):
        return Draught(fields, gives, level=level)
    due_in = (level - (most - 1) if waits else level) / rate
    return Draught(fields, gives, min(max(due_in, _GATHER_SECONDS), _LONGEST_SECONDS), level)
