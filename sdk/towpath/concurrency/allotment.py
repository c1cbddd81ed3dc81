"""What the code of one run in a cluster wants of limits, and who of it gets what the run was granted. Pure.

The queue within a run is that of one machine (`arithmetic`), with what others hold in the cluster as one claim more:
all slots but those that the run may use. What is given back goes to the next in this process, without a word to the
cluster, if that one comes within a moment; else fewer slots are wished for. Every few seconds they go back to the
cluster even so: a run with thousands of tasks does not come before all others.

Slots of several limits come one after the other, in the order of the limits' names: two runs that want the same two
never wait for each other.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from towpath.concurrency.account import Account
from towpath.concurrency.arithmetic import Claim, Limit, admission, taken
from towpath.concurrency.backlog import Backlog, count
from towpath.concurrency.port import Admitted, Answer, Refused, Ticket, Waits
from towpath.concurrency.roster import Roster
from towpath.concurrency.verdicts import HERE, Ground, verdict, warning
from towpath.errors import ConcurrencySlotAcquisitionError
from towpath.limits import SLOT_LIMITS

#: For how long what was given back is kept for the next in this process.
KEEP_SECONDS: Final = 0.075
#: How long slots may go round in this process; then those that are given back go to the cluster, whoever waits here.
SHIFT_SECONDS: Final = 5.0
_OTHERS: Final = -1  # number of the claim that stands for all that others hold
_BEHIND: Final = Waits("Others in the same process wait before it.")


class Allotment:
    """The wishes of one process, and the accounts that they come down to; used by one thread.

    Args:
        ground: where its limits are, in words.
    """

    def __init__(self, ground: Ground = HERE) -> None:
        self.roster = Roster()
        """What limits there are; to be kept up to date."""
        self._ground = ground
        self._accounts: dict[str, Account] = {}
        self._new: set[Ticket] = set()
        self._backlog = Backlog()
        self._waiting: dict[int, tuple[Ticket, Claim]] = {}
        self._held: dict[int, tuple[Ticket, Claim]] = {}
        self._numbers = itertools.count(1)
        self._told: dict[int, Answer] = {}

    @property
    def waits(self) -> bool:
        """Whether there are wishes that have not come true."""
        return bool(self._backlog or self._waiting)

    @property
    def wished(self) -> list[dict[str, Any]]:
        """What the run wants of each limit, as its status says it."""
        return [
            {"limit": name, "slots": account.wished, "number": account.number}
            for name, account in sorted(self._accounts.items())
            if account.wished
        ]

    def ask(self, ticket: Ticket) -> None:
        """Take up a wish."""
        self._backlog.add(ticket)
        self._new.add(ticket)

    def go_on_from(self, wished: Iterable[Mapping[str, Any]]) -> None:
        """Go on where another process of the same attempt has ended, which held what is wished for in the status."""
        for wish in wished:
            self._accounts[wish["limit"]] = Account(wish["number"], wish["slots"], used=wish["slots"])

    def hear(self, granted: Iterable[Mapping[str, Any]]) -> None:
        """Take what the operator has granted, as the run's status says it."""
        for grant in granted:
            if (account := self._accounts.get(grant["limit"])) is not None:
                account.hear(grant["slots"], grant["number"])

    def turn(self, now: float) -> bool:
        """Let those in whose turn it is, tell who has to know, and tell whether the run wants something else by now.

        Args:
            now: seconds of a clock that only goes forward.
        """
        for kept in (self._held, self._waiting):
            for number in [number for number, (ticket, _) in kept.items() if ticket.has_left]:
                del kept[number]
                self._told.pop(number, None)
        has_given_way = self._give_way(now)
        self._admit()
        while fresh := list(self._backlog.take(*map(count, (self._tickets(self._waiting), self._tickets(self._held))))):
            for ticket in fresh:
                self._enter(ticket)
            self._admit()
        new, self._new = self._new, set()
        for ticket in new:
            if not ticket.has_left:
                ticket.tell(_BEHIND)
        self._say_why()
        return self._wish(now) or has_given_way

    def written(self) -> None:
        """Note that the cluster knows what is wished for."""
        for account in self._accounts.values():
            account.gives_way = False

    def again_at(self) -> float | None:
        """Tell when passing time changes what the run wants; None if it does not."""
        return min((at for account in self._accounts.values() if (at := account.lowers_at) is not None), default=None)

    def give_all_back(self) -> bool:
        """Want nothing any more, as at the end of the process; tell whether that is a change."""
        self._held.clear()
        self._waiting.clear()
        changed = False
        for name, account in self._accounts.items():
            if account.wished != (left := account.used if self._has_rate(name) else 0):
                account.wish(left)
                changed = True
        return changed

    def delay(self, why: str) -> None:
        """Tell those who have just come that nothing can be said of their wishes yet."""
        for ticket in self._new:
            ticket.tell(Waits(why))

    def refuse(self, error: Exception) -> None:
        """Give up what is wanted; what is held goes on."""
        self._new = set()
        waiting, self._waiting = list(self._tickets(self._waiting)), {}
        for ticket in (*self._backlog.clear(), *waiting):
            ticket.has_left = True
            ticket.tell(Refused(error))

    def _enter(self, ticket: Ticket) -> None:
        self._new.discard(ticket)
        wish = replace(ticket.wish, names=self.roster.meant(ticket.wish.names))
        answer = verdict(wish, self.roster.limits, self._ground)
        if answer is None and len(limits := self._at_hand(wish.names)) > SLOT_LIMITS:
            answer = Refused(_too_many(limits))
        if answer is not None:
            ticket.tell(answer)
            return
        ticket.number = number = next(self._numbers)
        self._waiting[number] = ticket, Claim(number, wish.names, wish.occupy, wish.is_task, wish.within)

    def _admit(self) -> None:
        """Let those in whose turn it is."""
        if not self._waiting:
            return
        wanted = frozenset[str]().union(*(claim.names for _, claim in self._waiting.values()))
        limits, others = {}, []
        for limit in (self.roster.limits[name] for name in wanted & self.roster.limits.keys()):
            usable = self._usable(limit)
            slots = max(limit.slots, usable)  # a grant may know of more than the roster
            limits[limit.name] = replace(limit, slots=slots, decay=0.0)
            if slots > usable:
                others.append(Claim(_OTHERS, frozenset({limit.name}), slots - usable))
        rates = {name for name in limits if self._has_rate(name)}  # of these nothing is held: each claim takes anew
        held = [replace(claim, names=claim.names - rates) for _, claim in self._held.values()]
        waiting = [claim for _, claim in self._waiting.values()]
        for claim in admission(limits, [*others, *held], waiting, 0.0).admitted:
            ticket, _ = self._waiting.pop(claim.number)
            self._told.pop(claim.number, None)
            for name in claim.names & rates:
                if limits[name].is_active:
                    self._accounts[name].used += claim.occupy
            if ticket.wish.keeps:
                self._held[claim.number] = ticket, claim
            wish = replace(ticket.wish, names=claim.names)
            ticket.tell(Admitted(warning(wish, self.roster.limits, self._ground)))

    def _give_way(self, now: float) -> bool:
        """Give free slots back to the cluster, although somebody waits for them here, if it is time for that."""
        held = [claim for _, claim in self._held.values()]
        wanted = frozenset[str]().union(*(claim.names for _, claim in self._waiting.values()))
        changed = False
        for name, account in self._accounts.items():
            if self._has_rate(name) or name not in wanted or now < account.shift_began + SHIFT_SECONDS:
                continue
            if (count := taken(name, held)) < account.usable:
                account.wish(count)
                account.shift_began, account.gives_way = now, True
                changed = True
        return changed

    def _wish(self, now: float) -> bool:
        """Bring what is wished for up to what is needed; fewer only when nobody has taken it over for a while.

        At a rate no more are wished for until those are there that are: else who always wants more would always be the
        first in the cluster's line.
        """
        needed = self._needed()
        for name in needed:
            self._accounts.setdefault(name, Account())
        in_use = sum(1 for name, account in self._accounts.items() if account.wished or needed.get(name))
        changed = False
        for name, account in self._accounts.items():
            slots = needed.get(name, account.used if self._has_rate(name) else 0)
            if slots < account.wished:
                account.lowers_at = now + KEEP_SECONDS if account.lowers_at is None else account.lowers_at
                if now < account.lowers_at and (slots or in_use <= SLOT_LIMITS):
                    continue
            account.lowers_at = None
            has_to_wait = account.gives_way or (self._has_rate(name) and account.usable < account.wished)
            if slots < account.wished or (slots > account.wished and not has_to_wait):
                if not account.wished:
                    account.shift_began = now
                account.wish(slots)
                changed = True
        return changed

    def _needed(self) -> dict[str, int]:
        """Tell how many slots of each limit are of use now: to those who hold them, and to who could go on with more.

        Of several limits, the next is of use only to who has enough of the one before.
        """
        at: defaultdict[str, list[Claim]] = defaultdict(list)
        for _, claim in self._held.values():
            for name in self._at_limits(claim):
                if not self._has_rate(name):
                    at[name].append(claim)
        needed = {name: taken(name, claims) for name, claims in at.items()}
        for _, claim in self._waiting.values():
            for name in self._at_limits(claim):
                limit = self.roster.limits[name]
                at[name].append(claim)
                most = max(limit.slots, self._usable(limit), 1)
                needed[name] = used = min(taken(name, at[name]), most)
                if limit.decay:
                    needed[name] += self._account(name).used
                if used > self._usable(limit) or used < taken(name, at[name]):
                    break
        return needed

    def _at_limits(self, claim: Claim) -> Iterator[str]:
        """Give the limits that a claim takes slots of, in the order in which runs ask for them."""
        for name in sorted(claim.names & self.roster.limits.keys()):
            if self.roster.limits[name].is_active or claim.number in self._held:
                yield name

    def _usable(self, limit: Limit) -> int:
        """Tell how many slots of a limit may be used now; with a rate, beside those that were."""
        account = self._account(limit.name)
        return max(0, account.usable - account.used) if limit.decay else account.usable

    def _account(self, name: str) -> Account:
        return self._accounts.get(name) or Account()

    def _has_rate(self, name: str) -> bool:
        limit = self.roster.limits.get(name)
        return limit is not None and limit.decay > 0

    def _at_hand(self, names: frozenset[str]) -> frozenset[str]:
        """Give the limits that the run has to do with at once, if a claim for some comes in."""
        claims = (claim.names for _, claim in (*self._held.values(), *self._waiting.values()))
        rates = {name for name, account in self._accounts.items() if account.used and self._has_rate(name)}
        return names.union(rates, *claims) & self.roster.limits.keys()

    def _say_why(self) -> None:
        """Tell those who wait what for, when that has changed."""
        held = [claim for _, claim in self._held.values()]
        for number, (ticket, claim) in self._waiting.items():
            limits = (self.roster.limits[name] for name in self._at_limits(claim))
            own = {limit.name: 0 if limit.decay else taken(limit.name, held) for limit in limits}
            short = [
                self.roster.why(name, count)
                for name, count in own.items()
                if self._usable(self.roster.limits[name]) < count + claim.occupy
            ]
            why = " ".join(short) or _BEHIND.why
            wish = replace(ticket.wish, names=claim.names)
            answer = Waits(why, warning(wish, self.roster.limits, self._ground))
            if self._told.get(number) != answer:
                self._told[number] = answer
                ticket.tell(answer)

    @staticmethod
    def _tickets(kept: Mapping[int, tuple[Ticket, Claim]]) -> Iterator[Ticket]:
        return (ticket for ticket, _ in kept.values())


def _too_many(names: frozenset[str]) -> ConcurrencySlotAcquisitionError:
    return ConcurrencySlotAcquisitionError(
        f"The code of a run in a cluster has slots of at most {SLOT_LIMITS} limits at once, counting all whose rate it"
        f" has used; this would be {len(names)}: {', '.join(map(repr, sorted(names)))}. Leave one block before entering"
        " the next, or let one limit stand for several things."
    )
