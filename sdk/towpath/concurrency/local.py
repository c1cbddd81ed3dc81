"""Limits of one machine: in the history file, so that all its processes share them and none has to be there."""

from __future__ import annotations

import atexit
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from towpath.concurrency.arithmetic import Limit, taken
from towpath.concurrency.desk import Desk, Entry
from towpath.concurrency.keeper import Keeper
from towpath.concurrency.port import Admitted, Claimant, LimitInUse, Refused, Ticket
from towpath.concurrency.verdicts import verdict
from towpath.errors import ConfigurationError, HistoryError
from towpath.history import database
from towpath.history.alive import alive_beside
from towpath.history.lines import warn
from towpath.serving.bell import ring

_FLUSH_SECONDS: Final = 10.0
_FORK_SECONDS: Final = 2.0
_SET: Final = (
    "INSERT INTO limits (name, slots, decay, is_active, level, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO"
    " UPDATE SET slots = excluded.slots, decay = excluded.decay, is_active = excluded.is_active,"
    " level = excluded.level, at = excluded.at"
)


class LocalSlots:
    """The limits in a history file.

    Args:
        path: of the file; absolute. It need not be there: then there are no limits.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.keeper = Keeper(path)

    def ask(self, ticket: Ticket) -> None:
        """Take up a wish, and return at once."""
        if not self._path.exists():
            ticket.tell(verdict(ticket.wish, {}) or Admitted())
            return
        try:
            self.keeper.ask(ticket)
        except HistoryError as error:
            ticket.tell(Refused(error))
        except (sqlite3.Error, OSError, RuntimeError) as error:
            ticket.tell(Refused(self._failed(error)))

    def leave(self, ticket: Ticket) -> None:
        """Give back what a wish has been given, or give it up."""
        self.keeper.leave(ticket)

    def tag_limits(self) -> frozenset[str]:
        """Give the names of the limits of tags."""
        if not self._path.exists():
            return frozenset()
        try:
            with closing(database.connect_to_read(self._path)) as connection:
                rows = connection.execute("SELECT name FROM limits WHERE name >= 'tag:' AND name < 'tag;'").fetchall()
        except (sqlite3.Error, OSError, HistoryError):  # whoever writes to the history says what is wrong with it
            return frozenset()
        return frozenset(name for (name,) in rows)

    def limits(self) -> list[LimitInUse]:
        """Give all limits by name, and who is at them.

        Raises:
            HistoryError: the history cannot be read.
        """
        if not self._path.exists():
            return []
        self.keeper.flush(_FLUSH_SECONDS)
        with self._open() as connection:
            desk = Desk(connection, datetime.now(UTC).timestamp())
        alive = alive_beside(self._path)
        living = {token for token in {entry.process for entry in desk.entries.values()} if alive.is_alive(token)}
        entries = [entry for entry in desk.entries.values() if entry.process in living]
        return [_in_use(limit, entries, desk.now) for limit in desk.limits.values()]

    def set(self, name: str, slots: int | None, decay: float | None, active: bool | None) -> None:
        """Make a limit, or change it; what is None stays as it is, or gets its default.

        Raises:
            ConfigurationError: there is none of this name, and it is not said how many slots it has.
            HistoryError: the history cannot be written.
        """
        with self._open() as connection, Desk.opened(connection, _now) as desk:
            known = desk.limits.get(name)
            if known is None and slots is None:
                raise ConfigurationError(f"There is no limit {name!r} on this machine yet: say how many slots it has.")
            was = known or Limit(name, slots or 0)
            limit = Limit(
                name,
                was.slots if slots is None else slots,
                was.decay if decay is None else decay,
                was.is_active if active is None else active,
                was.level_at(desk.now) if was.decay else 0.0,
                desk.now,
            )
            values = (name, limit.slots, limit.decay, limit.is_active, limit.level, limit.at)
            connection.execute(_SET, values)
        self._tell_those_who_wait(desk)

    def delete(self, name: str) -> bool:
        """Delete a limit; who waits for it waits no longer. Tells whether there was one.

        Raises:
            HistoryError: the history cannot be written.
        """
        if not self._path.exists():
            return False
        with self._open() as connection, Desk.opened(connection, _now) as desk:
            deleted = connection.execute("DELETE FROM limits WHERE name = ?", (name,)).rowcount
        self._tell_those_who_wait(desk)
        return bool(deleted)

    def _tell_those_who_wait(self, desk: Desk) -> None:
        for process in {entry.process for entry in desk.waiting}:
            ring(self._path, process)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(database.connect(self._path, warn)) as connection:
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> HistoryError:
        what = (isinstance(error, OSError) and error.strerror) or str(error)
        return HistoryError(
            f"The history at {str(self._path)!r}, which limits are kept in, cannot be used: {what}. Name a file in"
            " another place in TOWPATH_HISTORY."
        )


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _in_use(limit: Limit, entries: list[Entry], now: float) -> LimitInUse:
    own = [entry for entry in entries if limit.name in entry.claim.names]
    held = [entry for entry in own if entry.held is not None]
    return LimitInUse(
        name=limit.name,
        slots=limit.slots,
        slot_decay_per_second=limit.decay,
        active=limit.is_active,
        taken=limit.level_at(now) if limit.decay else taken(limit.name, [entry.claim for entry in held]),
        holders=[_claimant(entry) for entry in held],
        waiting=[_claimant(entry) for entry in own if entry.held is None],
    )


def _claimant(entry: Entry) -> Claimant:
    return Claimant(
        run=entry.run,
        run_id=entry.run_id,
        task_run=entry.task_run,
        process=entry.pid,
        occupy=entry.claim.occupy,
        limits=sorted(entry.claim.names),
        since=datetime.fromtimestamp(entry.asked if entry.held is None else entry.held, UTC),
    )


_opened: Final[dict[Path, LocalSlots]] = {}
_opening = threading.RLock()
_forking: Final[list[Keeper]] = []


def local_slots(path: Path) -> LocalSlots:
    """Give the one object for the limits in a history file in this process."""
    known = _opened.get(path)
    if known is None:
        with _opening:
            known = _opened.setdefault(path, LocalSlots(path))
    return known


def _flush() -> None:
    for slots in list(_opened.values()):
        slots.keeper.flush(_FLUSH_SECONDS, rest=True)


def _before_fork() -> None:
    for slots in list(_opened.values()):
        if slots.keeper.at_work.acquire(timeout=_FORK_SECONDS):
            _forking.append(slots.keeper)


def _after_fork() -> None:
    while _forking:
        _forking.pop().at_work.release()


def _forget() -> None:
    global _opening
    _opening = threading.RLock()
    _forking.clear()
    for slots in _opened.values():
        slots.keeper.forget()


atexit.register(_flush)
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_forget)
