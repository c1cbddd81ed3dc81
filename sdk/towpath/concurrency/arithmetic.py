"""Who gets slots next. Pure: no clock, no file.

Claims are served in the order in which they were made. One that has to wait holds up all that come later and want a
slot of the same limit, however few: so a claim for many slots gets its turn, and one for several limits as well.
Three rules keep that order from becoming a deadlock:

- A claim that cannot be met whoever leaves, because its limit has fewer slots altogether, holds up nobody.
- Code that holds slots, and wants more within, does not stand behind those who wait for what it holds.
- A task run that holds a slot for its tags lends it to the task runs that it calls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

_CLOSE: Final = 1e-9  # what two ways to the same number of slots may differ by


@dataclass(frozen=True, slots=True)
class Limit:
    """So many slots, and no more."""

    name: str
    slots: int
    decay: float = 0.0
    """Slots that come free by themselves in a second; 0: each is taken until it is given back."""
    is_active: bool = True
    """Whether it limits anything."""
    level: float = 0.0
    """Of one that decays: how many slots had been taken, and had not come free, `at`."""
    at: float = 0.0
    """Seconds since the epoch."""

    def level_at(self, now: float) -> float:
        """Tell how many slots are taken of one that decays; a clock that was set back frees none."""
        return max(0.0, self.level - self.decay * max(0.0, now - self.at))

    def taking(self, occupy: int, now: float) -> Limit:
        """Give the limit with slots taken."""
        return replace(self, level=self.level_at(now) + occupy, at=now)

    def giving_back(self, occupy: int, since: float, now: float) -> Limit:
        """Give the limit without slots taken at `since`, as far as they cannot have come free by themselves."""
        left = max(0.0, occupy - self.decay * max(0.0, now - since))
        return replace(self, level=max(0.0, self.level_at(now) - left), at=now)

    def seconds_until_free(self, occupy: int, now: float) -> float:
        """Tell when so many slots of one that decays are free, if nobody takes any until then."""
        return max(0.0, (self.level_at(now) + occupy - self.slots) / self.decay)


@dataclass(frozen=True, slots=True)
class Claim:
    """Slots that somebody holds, or waits for: of each of some limits as many."""

    number: int
    names: frozenset[str]
    occupy: int = 1
    lends: bool = False
    """Whether a task run has it for its tags: it lends it to those that it calls."""
    within: frozenset[int] = frozenset()
    """Numbers of the claims that the code round it holds."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who gets slots now."""

    admitted: tuple[Claim, ...]
    limits: Mapping[str, Limit]
    """As they are after that."""
    again_in: float | None
    """Seconds until passing time lets somebody in; None if it does not."""


def admission(limits: Mapping[str, Limit], held: Sequence[Claim], waiting: Iterable[Claim], now: float) -> Admission:
    """Choose who gets slots.

    Args:
        limits: by name; what a claim says of others does not count.
        held: claims that have their slots.
        waiting: in the order of the queue.
        now: seconds since the epoch.
    """
    limits, inside = dict(limits), list(held)
    names_of = {claim.number: claim.names for claim in held}
    queues: dict[str, frozenset[str]] = {}  # by limit: what is wanted by those in its queue, or in a queue they are in
    admitted, again = [], []
    for claim in waiting:
        wanted = [limits[name] for name in claim.names if name in limits and limits[name].is_active]
        if never_fits(wanted, claim.occupy):
            continue
        own = frozenset[str]().union(*(names_of.get(number, ()) for number in claim.within))
        is_next = all(limit.name not in queues or own & queues[limit.name] for limit in wanted)
        pause = _pause(wanted, claim, inside, now) if is_next else None
        if pause == 0:
            admitted.append(claim)
            inside.append(claim)
            limits |= {limit.name: limit.taking(claim.occupy, now) for limit in wanted if limit.decay}
            continue
        if pause is not None:
            again.append(pause)
        together = frozenset(limit.name for limit in wanted)
        together = together.union(*(queues.get(name, ()) for name in together))
        queues |= dict.fromkeys(together, together)
    return Admission(tuple(admitted), limits, min(again, default=None))


def never_fits(wanted: Iterable[Limit], occupy: int) -> bool:
    """Tell whether a limit has fewer slots altogether than are wanted."""
    return any(limit.slots < occupy for limit in wanted)


def taken(name: str, claims: Collection[Claim]) -> int:
    """Count the slots of a limit that claims take, where none decays; what is lent counts once."""
    own = [claim for claim in claims if name in claim.names]
    borrowed = frozenset[int]().union(*(claim.within for claim in own if claim.lends))
    return sum(claim.occupy for claim in own if not (claim.lends and claim.number in borrowed))


def _pause(wanted: Iterable[Limit], claim: Claim, inside: list[Claim], now: float) -> float | None:
    """Tell in how many seconds a claim fits in, if nobody leaves; None if never."""
    pause = 0.0
    for limit in wanted:
        if not limit.decay:
            if taken(limit.name, [*inside, claim]) > limit.slots:
                return None
        elif (until := limit.seconds_until_free(claim.occupy, now)) > _CLOSE:
            pause = max(pause, until)
    return pause
