"""Slots of ConcurrencyLimits for the code of runs at work: what each run wants, has, and is promised.

A run writes what it wants in all, the operator answers in the run's status with what it grants. Counted as taken is
what was granted, as the run's status says it, and what is promised and not written yet. A promise lasts until the
run is seen to have changed: the write that would fulfil it is conditional on how the run was seen, so afterwards it is
either done and seen, or can never be done any more.

Of a limit with a rate slots are not held: they are taken once, from a bucket whose level is in the limit's own status.
What was taken from it for a run stays promised to that run.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from towpath.states import SUSPENDED, StateType
from towpath_operator.observe import Key
from towpath_operator.reconcile.claims import LIMITS, Order, has_rate, is_over, is_suspended
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import integer, mapping, mappings, text


@dataclass(slots=True)
class _Claim:
    """What one run wants of one limit, and has of it."""

    run: Key
    attempt: int
    version: str
    """Of the run, as it was seen."""
    priority: int = 0
    wanted: int = 0
    number: int = 0
    """Of the wish."""
    granted: int = 0
    """As the run's status says it."""
    answered: int = 0
    """Number of the wish that the grant answers."""
    promised: int = 0
    """What it is to have; not less than what it was granted."""
    paid: int = 0
    """Of a limit with a rate: what was taken from the bucket for it."""
    is_lent: bool = False
    """Whether the run, or one above it, holds a slot of this limit as a run: its code needs no more."""
    serial: int = 0
    """When it began to want more than it has, among all."""

    @property
    def lacks(self) -> int:
        """How many slots it waits for."""
        return max(0, self.wanted - self.promised)

    @property
    def target(self) -> int:
        """How many slots it should be granted now."""
        return self.wanted if self.is_lent else min(self.wanted, self.promised)

    @property
    def is_settled(self) -> bool:
        """Whether its grant says what it should; nobody has to be told that nothing is granted yet."""
        if self.target != self.granted:
            return False
        return self.answered == self.number or not self.target


class Slots:
    """All that the code of runs wants and has."""

    def __init__(self) -> None:
        self._claims: defaultdict[Key, dict[Key, _Claim]] = defaultdict(dict)  # by limit and run
        self._limits: dict[Key, frozenset[Key]] = {}  # by run
        self._serials = itertools.count(1)

    def run_changed(self, run: Key, body: Body | None, order: Order, lent: Collection[Key]) -> frozenset[Key]:
        """Note what a run wants and has; give the limits that it has to do with, or had.

        Args:
            run: which.
            body: the FlowRun; None if it is gone.
            order: its place among others.
            lent: limits of which it, or a run above it, holds a slot as a run.
        """
        known = self._limits.get(run, frozenset())
        claims = dict(_claims_in(run, body))
        for at in known - claims.keys():
            del self._claims[at][run]
            if not self._claims[at]:
                del self._claims[at]
        for at, claim in claims.items():
            before = self._claims[at].get(run)
            claim.priority, claim.is_lent, claim.promised = order.priority, at in lent, claim.granted
            if before is not None and before.attempt == claim.attempt:
                claim.serial, claim.paid = before.serial, before.paid
                if before.version == claim.version:
                    claim.promised = before.promised
            if claim.wanted <= claim.granted:
                claim.serial = 0
            elif not claim.serial:
                claim.serial = next(self._serials)
            self._claims[at][run] = claim
        if claims:
            self._limits[run] = frozenset(claims)
        else:
            self._limits.pop(run, None)
        return known | claims.keys()

    def allot(self, at: Key, limit: Body | None, runs: int) -> list[Key]:
        """Promise what is free of a limit to those who wait for it; give the runs whose status has to say so.

        Args:
            at: which limit.
            limit: its body; None if it is gone: nobody is granted anything, and nobody asks for long.
            runs: how many slots runs hold as such.
        """
        claims = self._claims.get(at, {}).values()
        if is_suspended(limit):
            for claim in claims:
                claim.promised = max(claim.promised, claim.wanted)
        elif has_rate(limit):
            for claim in claims:
                claim.promised = max(claim.granted, claim.paid)
        elif limit is not None:
            counted = (claim.promised for claim in claims if not claim.is_lent)
            free = max(0, (integer(limit, "spec", "limit") or 0) - runs - sum(counted))
            for claim in self._waiting(at):
                give = min(claim.lacks, free)
                claim.promised += give
                free -= give
        return [claim.run for claim in claims if not claim.is_settled]

    def given(self, at: Key, gives: Mapping[str, int]) -> list[Key]:
        """Note what was taken for runs, by their names, out of the bucket of a limit with a rate."""
        concerned = []
        for run, claim in self._claims.get(at, {}).items():
            if give := gives.get(run.name):
                claim.paid = claim.promised + give
                claim.promised = claim.paid
                concerned.append(run)
        return concerned

    def lacking(self, at: Key) -> list[tuple[str, int]]:
        """Give who waits for slots of a limit, the first first, and for how many."""
        return [(claim.run.name, claim.lacks) for claim in self._waiting(at)]

    def claimed(self, at: Key, most: int) -> int:
        """Count the slots that code has, or comes before runs to have: it is at work, and they have not begun.

        Args:
            at: which limit.
            most: how many slots it has: code may want more, but gets no more.
        """
        claims = [claim for claim in self._claims.get(at, {}).values() if not claim.is_lent]
        wanted, promised = (sum(max(c.wanted, c.promised) for c in claims), sum(c.promised for c in claims))
        return max(promised, min(wanted, most))

    def holders(self, at: Key) -> list[tuple[str, int]]:
        """Give the runs whose code has slots of a limit, and how many."""
        return [(claim.run.name, claim.granted) for claim in self._claims.get(at, {}).values() if claim.granted]

    def grants(self, run: Key) -> list[dict[str, Any]] | None:
        """Give what a run's status should say that it is granted; None if it says so."""
        claims = {at.name: self._claims[at][run] for at in self._limits.get(run, ())}
        if all(claim.is_settled for claim in claims.values()):
            return None
        return [
            {"limit": name, "slots": claim.target, "number": claim.answered if claim.is_settled else claim.number}
            for name, claim in sorted(claims.items())
            if claim.target
        ]

    def _waiting(self, at: Key) -> Iterable[_Claim]:
        waiting = [claim for claim in self._claims.get(at, {}).values() if claim.lacks and not claim.is_lent]
        return sorted(waiting, key=lambda claim: (claim.priority, claim.serial, claim.run.name))


def _claims_in(run: Key, body: Body | None) -> Iterator[tuple[Key, _Claim]]:
    """Read what the code of a run wants and has; of one whose process has gone, nothing."""
    state = mapping(body, "status", "state")
    if is_over(body) or (state.get("type") == StateType.PAUSED and state.get("name") == SUSPENDED):
        return
    attempt = integer(body, "status", "attempt") or 0
    is_going = bool(text(body, "metadata", "deletionTimestamp"))
    wanted = {text(one, "limit"): one for one in mappings(body, "status", "slotsWanted")}
    granted = {text(one, "limit"): one for one in mappings(body, "status", "slotsGranted")}
    for name in wanted.keys() | granted.keys():
        claim = _Claim(run, attempt, text(body, "metadata", "resourceVersion"))
        claim.granted = max(0, integer(granted.get(name), "slots") or 0)
        claim.answered = integer(granted.get(name), "number") or 0
        claim.wanted = max(0, integer(wanted.get(name), "slots") or 0)
        claim.number = integer(wanted.get(name), "number") or claim.answered
        if is_going:
            claim.wanted = min(claim.wanted, claim.granted)
        yield Key(LIMITS, run.namespace, name), claim
