"""The one thread of a process that deals in slots.

Whoever gives slots back chooses, in the same transaction, who gets them, and rings the bell of that process; so they
change hands within milliseconds, and whoever waits costs nothing. A process that was killed has rung no bell: those who
wait look twice a second whether the others are still there.

The connection lives in this thread's frames only: a forked child, in which this thread does not exist, must neither use
it nor close it, and this way cannot.
"""

from __future__ import annotations

import _thread
import sqlite3
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from towpath.concurrency.dealer import Dealer
from towpath.concurrency.desk import Desk
from towpath.concurrency.port import Ticket
from towpath.errors import HistoryError
from towpath.history import database
from towpath.history.alive import Alive, alive_beside
from towpath.history.lines import warn
from towpath.serving.bell import Bell, remove_left_over, ring

#: How often those who wait look whether the others are still there.
LOOK_SECONDS: Final = 0.5
#: How long the thread stays when there is nothing to do.
IDLE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0
_PASSES: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


@dataclass(frozen=True, slots=True)
class _Flush:
    """Somebody waits until what came before is done."""

    done: threading.Lock
    """Held; the thread releases it."""
    rest: bool


class Keeper:
    """Keeps the slots of this process in one history file.

    Args:
        path: of the file; absolute.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process has to: thread and slots are its parent's."""
        self.at_work = threading.Lock()
        """Held while SQLite is at work: whoever forks then would take its locks along."""
        self._lock = threading.RLock()  # a signal handler that ends a wait may run in the very thread that holds it
        self._bell: Bell | None = None  # there while the thread is
        self._dealer: Dealer | None = None
        self._alive: Alive | None = None
        self._messages: deque[Ticket | _Flush] = deque()
        self._identity: tuple[int, int] | None = None
        self._has_told = False

    def ask(self, ticket: Ticket) -> None:
        """Take up a wish.

        Raises:
            HistoryError: the file is no history, or one of a newer Towpath.
            sqlite3.Error: it cannot be opened.
            OSError: nothing can be written beside it.
            RuntimeError: no thread can be had, as at the very end of the process.
        """
        self._post(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Give a wish up, and back what it has."""
        ticket.has_left = True
        if self._dealer is not None:  # else it was the parent's, before a fork
            with suppress(OSError, RuntimeError, sqlite3.Error):  # the process is about to end, and its slots with it
                self._post(None)

    def flush(self, seconds: float, *, rest: bool = False) -> bool:
        """Wait until what was asked and left before is in the file, or cannot be; tell whether that was so in time.

        Args:
            seconds: how long to wait at most.
            rest: let the thread end, if nobody waits for a slot.
        """
        if self._bell is None:
            return True
        flush = _Flush(threading.Lock(), rest)
        flush.done.acquire()
        self._post(flush)
        return flush.done.acquire(timeout=seconds)

    def _post(self, message: Ticket | _Flush | None) -> None:
        with self._lock:
            if message is not None:
                self._messages.append(message)
            bell = self._bell
        if bell is not None:
            bell.ring()
        else:
            self._start()

    def _start(self) -> None:
        """Start the thread; one too many ends at once.

        Its first act is to say that it is there, and nobody waits for that: an interrupt of the run that arrives here
        must not leave a thread that nobody knows of.
        """
        with self._lock:
            if self._dealer is None:
                database.connect(self._path, warn).close()  # first: it refuses what only has the name of a history
                self._alive = alive_beside(self._path)
                self._dealer = Dealer(self._alive.announce(), self._alive.is_alive)
        _thread.start_new_thread(self._run, (self._dealer,))

    def _run(self, dealer: Dealer) -> None:
        bell: Bell | None = None
        try:
            with self._lock:
                if self._bell is not None or self._dealer is not dealer:
                    return
                remove_left_over(self._path, alive_beside(self._path))
                bell = self._bell = Bell(self._path, dealer.token)
            self._work(bell, dealer)
        except Exception as error:  # whatever it is, nobody may wait for ever
            with self._lock:
                self._bell = None
                if bell is not None:
                    bell.take_down()
                flushes = self._take_up(dealer)
            dealer.refuse(self._failed(error))
            for flush in flushes:
                flush.done.release()

    def _work(self, bell: Bell, dealer: Dealer) -> None:
        connection: sqlite3.Connection | None = None
        busy = time.monotonic()
        has_ended = False
        while not has_ended:
            flushes = self._take_up(dealer)
            connection, pause = self._turn(connection, dealer)
            if pause is not None:
                busy = time.monotonic()
            elif any(flush.rest for flush in flushes) or time.monotonic() - busy >= IDLE_SECONDS:
                has_ended = self._rest(bell, dealer)
            for flush in flushes:
                flush.done.release()
            if not has_ended:
                bell.wait(IDLE_SECONDS if pause is None else pause)
        if connection is not None:
            with self.at_work:
                connection.close()

    def _take_up(self, dealer: Dealer) -> list[_Flush]:
        flushes = []
        for _ in range(len(self._messages)):
            message = self._messages.popleft()
            if isinstance(message, Ticket):
                dealer.ask(message)
            else:
                flushes.append(message)
        return flushes

    def _rest(self, bell: Bell, dealer: Dealer) -> bool:
        """Let the thread end, unless something has come in the last moment."""
        with self._lock:
            if self._messages or dealer.has_work:
                return False
            self._bell = None
            bell.take_down()
            return True

    def _turn(
        self, connection: sqlite3.Connection | None, dealer: Dealer
    ) -> tuple[sqlite3.Connection | None, float | None]:
        """Do what there is to do; gives the connection, and in how many seconds to look again (None: no need)."""
        if not (dealer.has_work or dealer.waits):
            return connection, None
        strangers: set[int] = set()
        pause = LOOK_SECONDS
        try:
            with self.at_work:
                connection = self._connected(connection, dealer)
                if connection is None:
                    dealer.lose()
                    return None, None
                if dealer.has_work or dealer.sees_change(Desk(connection, time.time())):
                    strangers = dealer.deal(connection)
                if dealer.waits:
                    again_in = Desk(connection, time.time()).next().again_in
                    pause = LOOK_SECONDS if again_in is None else min(again_in, LOOK_SECONDS)
        except (sqlite3.Error, OSError, HistoryError) as error:
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
            return None, self._pause_after(error, dealer)
        for process in strangers:
            ring(self._path, process)
        return connection, pause if dealer.waits or dealer.has_work else None

    def _connected(self, connection: sqlite3.Connection | None, dealer: Dealer) -> sqlite3.Connection | None:
        """Give a connection to the file that is there now, where this process is known to be alive; None without one.

        A file that is gone is not made again: what was in it has gone, too.
        """
        identity = database.identity_of(self._path)
        if connection is not None:
            if identity == self._identity:
                return connection
            connection.close()
        if identity is None:
            return None
        connection = database.connect(self._path, warn)
        self._identity = database.identity_of(self._path)
        if (alive := alive_beside(self._path)) is not self._alive:
            self._alive = alive
            dealer.move(alive.announce(), alive.is_alive)
        return connection

    def _pause_after(self, error: Exception, dealer: Dealer) -> float | None:
        """See to trouble with the file: what passes is waited for."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is None or code & 0xFF not in _PASSES:
            dealer.refuse(self._failed(error))
            return None
        if not self._has_told:
            self._has_told = True
            warn(f"Slots of limits have to wait: the history at {str(self._path)!r} cannot be written now: {error}.")
        return RETRY_SECONDS

    def _failed(self, error: Exception) -> HistoryError:
        if isinstance(error, HistoryError):
            return error
        return HistoryError(f"The history at {str(self._path)!r} cannot be used: {error} ({type(error).__name__}).")
