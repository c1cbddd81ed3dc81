"""Limits and claims as rows of the history file, seen and changed within one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from towpath.concurrency.arithmetic import Admission, Claim, Limit, admission, never_fits, taken
from towpath.concurrency.port import Wish
from towpath.history.ledger import text

_LIMITS: Final = "SELECT name, slots, decay, is_active, level, at FROM limits ORDER BY name"
_CLAIMS: Final = (
    "SELECT number, names, occupy, is_task, within, process, pid, run_id, run, task_run, asked, held FROM slot_claims"
    " ORDER BY number"
)
_ENTER: Final = (
    "INSERT INTO slot_claims (process, pid, names, occupy, is_task, within, run_id, run, task_run, asked)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A claim, and whose it is."""

    claim: Claim
    process: int
    """Its token."""
    pid: int
    run_id: str | None
    run: str | None
    task_run: str | None
    asked: float
    held: float | None
    """Since when it has its slots; None while it waits."""

    @property
    def who(self) -> str:
        """Whose it is, in words."""
        if self.task_run is not None:
            return f"task run {self.task_run!r}"
        return f"process {self.pid}" if self.run is None else f"flow run {self.run!r}"


class Desk:
    """What there is of limits and claims.

    Args:
        connection: to the history file; with a transaction open, if anything is to be changed.
        now: seconds since the epoch.
    """

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._connection = connection
        self.now = now
        self.limits = {
            row[0]: Limit(row[0], row[1], row[2], bool(row[3]), row[4], row[5]) for row in connection.execute(_LIMITS)
        }
        self.entries = {entry.claim.number: entry for entry in map(_entry, connection.execute(_CLAIMS))}

    @classmethod
    @contextmanager
    def opened(cls, connection: sqlite3.Connection, clock: Callable[[], float]) -> Iterator[Self]:
        """Open it for changes, all of which take hold together, or none of them."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            desk = cls(connection, clock())
            yield desk
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # some errors have rolled back already
                connection.execute("ROLLBACK")
            raise

    @property
    def held(self) -> list[Entry]:
        """Those who have their slots."""
        return [entry for entry in self.entries.values() if entry.held is not None]

    @property
    def waiting(self) -> list[Entry]:
        """Those who wait, in the order of the queue."""
        return [entry for entry in self.entries.values() if entry.held is None]

    def next(self) -> Admission:
        """Tell who gets slots now."""
        held, waiting = ([entry.claim for entry in entries] for entries in (self.held, self.waiting))
        return admission(self.limits, held, waiting, self.now)

    def enter(self, wish: Wish, process: int, pid: int) -> int:
        """Put a wish at the end of the queue, and give its number."""
        run, task_run = (name and text(name) for name in (wish.run, wish.task_run))
        cursor = self._connection.execute(
            _ENTER,
            (
                process,
                pid,
                json.dumps(sorted(wish.names)),
                wish.occupy,
                wish.is_task,
                json.dumps(sorted(wish.within)),
                wish.run_id,
                run,
                task_run,
                self.now,
            ),
        )
        number = cursor.lastrowid
        assert number is not None, "an INSERT gives a number"
        self.entries[number] = Entry(
            claim=Claim(number, wish.names, wish.occupy, wish.is_task, wish.within),
            process=process,
            pid=pid,
            run_id=wish.run_id,
            run=run,
            task_run=task_run,
            asked=self.now,
            held=None,
        )
        return number

    def admit(self) -> list[Entry]:
        """Give slots to those whose turn it is."""
        chosen = self.next()
        for claim in chosen.admitted:
            self._connection.execute("UPDATE slot_claims SET held = ? WHERE number = ?", (self.now, claim.number))
            self.entries[claim.number] = replace(self.entries[claim.number], held=self.now)
        for limit in chosen.limits.values():
            self._keep(limit)
        return [self.entries[claim.number] for claim in chosen.admitted]

    def remove(self, number: int, *, gives_back: bool) -> None:
        """Take a claim out, if it is there.

        Args:
            number: of the claim.
            gives_back: whether slots that come free by themselves come free at once.
        """
        entry = self.entries.pop(number, None)
        if entry is None:
            return
        self._connection.execute("DELETE FROM slot_claims WHERE number = ?", (number,))
        if entry.held is None or not gives_back:
            return
        for name in entry.claim.names & self.limits.keys():
            if (limit := self.limits[name]).decay:
                self._keep(limit.giving_back(entry.claim.occupy, entry.held, self.now))

    def mend_clock(self) -> None:
        """See to limits that were used later than now: the clock was set back, and slots must not wait for its hour."""
        for limit in self.limits.values():
            if limit.at > self.now:
                self._keep(replace(limit, at=self.now))

    def why(self, number: int) -> str:
        """Say what a claim that waits waits for."""
        claim = self.entries[number].claim
        wanted = [limit for name in sorted(claim.names) if (limit := self.limits.get(name)) and limit.is_active]
        if reasons := [_closed(limit, claim) for limit in wanted if never_fits([limit], claim.occupy)]:
            return " ".join(reasons)
        full = [self._full(limit, claim) for limit in wanted]
        before = sum(1 for entry in self.waiting if entry.claim.number < number and entry.claim.names & claim.names)
        queue = [f"{before} {'waits' if before == 1 else 'wait'} before it."] if before else []
        return " ".join([*filter(None, full), *queue]) or "It is next."

    def _full(self, limit: Limit, claim: Claim) -> str:
        if limit.decay:
            seconds = limit.seconds_until_free(claim.occupy, self.now)
            return f"The next of {limit.name!r} comes free in {seconds:.3g} s." if seconds else ""
        own = [entry for entry in self.held if limit.name in entry.claim.names]
        count = taken(limit.name, [entry.claim for entry in own])
        if count + claim.occupy <= limit.slots:
            return ""
        names = [entry.who for entry in own[:_NAMES_SHOWN]]
        more = f" and {len(own) - len(names)} more" if len(own) > len(names) else ""
        return f"{count} of {limit.slots} slots of {limit.name!r} are taken by {', '.join(names)}{more}."

    def _keep(self, limit: Limit) -> None:
        if self.limits[limit.name] == limit:
            return
        self.limits[limit.name] = limit
        values = (limit.slots, limit.decay, limit.is_active, limit.level, limit.at, limit.name)
        self._connection.execute(
            "UPDATE limits SET slots = ?, decay = ?, is_active = ?, level = ?, at = ? WHERE name = ?", values
        )


def _limit(row: tuple[Any, ...]) -> Limit:
    name, slots, decay, is_active, level, at = row
    return Limit(name, slots, decay, bool(is_active), level, at)


def _entry(row: tuple[Any, ...]) -> Entry:
    number, names, occupy, is_task, within, process, pid, run_id, run, task_run, asked, held = row
    return Entry(
        claim=Claim(number, frozenset(json.loads(names)), occupy, bool(is_task), frozenset(json.loads(within))),
        process=process,
        pid=pid,
        run_id=run_id,
        run=run,
        task_run=task_run,
        asked=asked,
        held=held,
    )


def _closed(limit: Limit, claim: Claim) -> str:
    if limit.slots == 0:
        return f"The limit {limit.name!r} has 0 slots, so nobody gets in until it is set to more."
    return f"The limit {limit.name!r} has {limit.slots} slots by now, fewer than the {claim.occupy} that are wanted."
