"""What can be said of a wish without waiting: pure."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote

from towpath.concurrency.arithmetic import Limit
from towpath.concurrency.port import Admitted, Answer, Refused, Wish
from towpath.errors import ConcurrencySlotAcquisitionError


def verdict(wish: Wish, limits: Mapping[str, Limit]) -> Answer | None:
    """Give the answer to a wish that needs no place in the queue; None for one that does."""
    missing = sorted(wish.names - limits.keys())
    known = [limits[name] for name in sorted(wish.names & limits.keys())]
    active = [limit for limit in known if limit.is_active]
    if wish.strict and missing:
        return _refused(f"{_there_is_none(missing)}. {_how_to_make(missing[0])}")
    for limit in active:
        if not wish.keeps and not limit.decay:
            return _refused(
                f"The limit {limit.name!r} has no slot decay, so what a rate limit takes would never come free. Say how"
                f" fast it does: towpath limits set {quote(limit.name)} --slot-decay-per-second 1"
            )
        if 0 < limit.slots < wish.occupy:
            return _refused(
                f"{wish.occupy} slots of {limit.name!r} are wanted, which has {limit.slots}. Ask for fewer, or set it"
                f" to more: towpath limits set {quote(limit.name)} {wish.occupy}"
            )
    if not known or not (wish.keeps or active):
        return Admitted(warning(wish, limits))
    return None


def warning(wish: Wish, limits: Mapping[str, Limit]) -> str:
    """Say what limits of a wish limit nothing, as there are none; empty if there are, or if it is for tags."""
    missing = sorted(wish.names - limits.keys())
    if wish.is_task or not missing:
        return ""
    return f"{_there_is_none(missing)}, so nothing is held back by it. {_how_to_make(missing[0])}"


def _there_is_none(names: list[str]) -> str:
    return f"There is no limit {' or '.join(map(repr, names))} on this machine"


def _how_to_make(name: str) -> str:
    return f"Make it: towpath limits set {quote(name)} 1"


def _refused(message: str) -> Refused:
    return Refused(ConcurrencySlotAcquisitionError(message))
