"""What can be said of a wish without waiting: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Final

from towpath.concurrency.arithmetic import Limit
from towpath.concurrency.port import Admitted, Answer, Refused, Wish
from towpath.errors import ConcurrencySlotAcquisitionError


@dataclass(frozen=True, slots=True)
class Ground:
    """Where limits are, in words."""

    place: str = "on this machine"
    flags: str = ""
    """What follows a command of `towpath limits` that speaks of them."""

    def to_set(self, name: str, rest: str) -> str:
        """Give what to type to set a limit."""
        return f"towpath limits set {quote(name)} {rest}{self.flags and f' {self.flags}'}"


HERE: Final = Ground()


def verdict(wish: Wish, limits: Mapping[str, Limit], ground: Ground = HERE) -> Answer | None:
    """Give the answer to a wish that needs no place in the queue; None for one that does."""
    missing = sorted(wish.names - limits.keys())
    known = [limits[name] for name in sorted(wish.names & limits.keys())]
    active = [limit for limit in known if limit.is_active]
    if wish.strict and missing:
        return _refused(f"{_there_is_none(missing, ground)}. Make it: {ground.to_set(missing[0], '1')}")
    for limit in active:
        if not wish.keeps and not limit.decay:
            return _refused(
                f"The limit {limit.name!r} has no slot decay, so what a rate limit takes would never come free. Say how"
                f" fast it does: {ground.to_set(limit.name, '--slot-decay-per-second 1')}"
            )
        if 0 < limit.slots < wish.occupy:
            return _refused(
                f"{wish.occupy} slots of {limit.name!r} are wanted, which has {limit.slots}. Ask for fewer, or set it"
                f" to more: {ground.to_set(limit.name, str(wish.occupy))}"
            )
    if not known or not (wish.keeps or active):
        return Admitted(warning(wish, limits, ground))
    return None


def warning(wish: Wish, limits: Mapping[str, Limit], ground: Ground = HERE) -> str:
    """Say what limits of a wish limit nothing, as there are none; empty if there are, or if it is for tags."""
    missing = sorted(wish.names - limits.keys())
    if wish.is_task or not missing:
        return ""
    none = _there_is_none(missing, ground)
    return f"{none}, so nothing is held back by it. Make it: {ground.to_set(missing[0], '1')}"


def _there_is_none(names: list[str], ground: Ground) -> str:
    return f"There is no limit {' or '.join(map(repr, names))} {ground.place}"


def _refused(message: str) -> Refused:
    return Refused(ConcurrencySlotAcquisitionError(message))
