"""How it is said what a run waits for: in words that stay the same for as long as they can, for each costs a write."""

from __future__ import annotations

from typing import Final

from towpath_operator.reconcile.claims import LIMITS, QUEUES

_KINDS: Final = {QUEUES: "Queue", LIMITS: "ConcurrencyLimit", "deployments": "Deployment"}
_STEPS: Final = (1, 2, 5)
#: How long words about a place may be old: the further back, the longer.
_SHORTEST_SECONDS: Final = 30.0
_LONGEST_SECONDS: Final = 600.0
_SECONDS_A_PLACE: Final = 0.3


def lane_name(plural: str, name: str) -> str:
    """Name a lane."""
    return f"{_KINDS[plural]} {name}"


def place(plural: str, name: str, *, limit: int | None, is_open: bool, ahead: int) -> str:
    """Say where a run stands in a lane.

    Args:
        plural: the lane's kind.
        name: the lane's name.
        limit: how many slots the lane has.
        is_open: whether it lets anybody begin.
        ahead: how many wait before the run.
    """
    if not is_open:
        return f"{lane_name(plural, name)}, which is suspended"
    if limit == 0:
        return f"{lane_name(plural, name)}, whose limit is 0"
    many = "any number" if limit is None else limit
    return f"{lane_name(plural, name)}: {many} at once; {about(ahead)}"


def about(ahead: int) -> str:
    """Say roughly how many are before somebody."""
    if ahead == 0:
        return "it is the next"
    rounded = rough(ahead)
    return f"{rounded} before it" if rounded <= 3 and rounded == ahead else f"about {rounded} before it"


def rough(number: int) -> int:
    """Round a number down to one of 1, 2, 3, 5, 10, 20, 50, 100, 200 and so on."""
    if number <= 3:
        return number
    scale = 10 ** (len(str(number)) - 1)
    return max(step * scale for step in _STEPS if step * scale <= number) if number >= 5 else 3


def again_seconds(ahead: int) -> float:
    """Tell when the words about a place should be looked at again."""
    return min(_LONGEST_SECONDS, max(_SHORTEST_SECONDS, ahead * _SECONDS_A_PLACE))
