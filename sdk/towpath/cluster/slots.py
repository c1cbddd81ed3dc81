"""Slots of the limits of a cluster, for the code of a run: the place that `towpath.concurrency` asks in a run's pod.

What the run's code wants goes into the run's own status, for which the pod has the right anyway; the operator counts
all runs together and answers there. When a run has ended, nobody counts what it had: nothing can be left over.

One thread writes and hears, begun by the first who asks for slots of a limit. Each write says all that is wanted by
then, so a thousand wishes of one moment are one request.
"""

from __future__ import annotations

import _thread
import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from towpath.cluster.backoff import Backoff
from towpath.cluster.own import OwnRun
from towpath.cluster.own_watch import OwnRunWatch
from towpath.cluster.port import Body, Cluster
from towpath.cluster.standing import Standing, as_seen, standing
from towpath.concurrency import port
from towpath.concurrency.allotment import Allotment
from towpath.concurrency.port import Claimant, LimitInUse, Ticket
from towpath.concurrency.roster import Roster, roster_of
from towpath.concurrency.verdicts import Ground
from towpath.errors import (
    ClusterError,
    ConcurrencySlotAcquisitionError,
    ConfigurationError,
    Conflict,
    NotFound,
    Refused,
    Unreachable,
)

#: How old what is known of the limits may be: they are listed at most so often, and only while somebody asks or waits.
FRESH_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 3.0
_BACKOFF: Final = Backoff(first_seconds=0.02, most_seconds=2.0)
_ENDS: Final = "The process is about to end."
log = logging.getLogger("towpath.cluster")


@dataclass(frozen=True, slots=True)
class _Seen:
    """The run as it was seen; None: it is gone."""

    body: Body | None


@dataclass(frozen=True, slots=True)
class _Look:
    """Somebody wants to know which limits there are."""


@dataclass(frozen=True, slots=True)
class _Close:
    """The process is about to end."""

    done: threading.Event


class ClusterSlots:
    """The limits of the namespace that a run is in.

    Args:
        cluster: where it is.
        own: the run whose attempt this process is.
        watch: follows that run.
    """

    def __init__(
        self,
        cluster: Cluster,
        own: OwnRun,
        watch: OwnRunWatch,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._cluster, self._at_once, self._own, self._watch = cluster, cluster.with_patience(0), own, watch
        self._monotonic, self._chance = monotonic, chance
        self.process = os.getpid()
        """The process that it serves; one forked off that has none of its slots."""
        self._messages: queue.SimpleQueue[Ticket | _Seen | _Look | _Close | None] = queue.SimpleQueue()
        self._guard = threading.RLock()  # a signal handler that ends a wait may run in the very thread that holds it
        self._has_thread = self._is_closed = False
        self._allotment = Allotment(Ground(f"in namespace {cluster.namespace!r}", f"-n {cluster.namespace}"))
        self._roster: Roster | None = None
        self._tags: frozenset[str] | None = None
        self._look_at = self._write_at = 0.0
        self._looks = self._writes = 0  # how often each has failed in a row
        self._seen: Body | None = None  # the run as last written or read; None: to be read
        self._has_begun = self._has_news = self._is_asked = False
        self._over: str | None = None
        """Why nothing can be had any more; None: it can."""

    def ask(self, ticket: Ticket) -> None:
        """Take up a wish, and return at once."""
        if self._is_closed:
            ticket.tell(port.Refused(_none_any_more(_ENDS)))
            return
        self._messages.put(ticket)
        self._start()

    def leave(self, ticket: Ticket) -> None:
        """Give back what a wish has been given, or give it up."""
        ticket.has_left = True
        if self.process == os.getpid():  # else it is the parent's, before a fork
            self._messages.put(None)

    def tag_limits(self) -> frozenset[str]:
        """Give the names of the limits of tags, as they were some seconds ago."""
        tags = self._tags
        if tags is None:
            return self._first_tags()
        if self._monotonic() >= self._look_at and not self._is_closed:
            self._messages.put(_Look())
            self._start()
        return tags

    def limits(self) -> list[LimitInUse]:
        """Give all limits of the namespace by name, and who holds their slots.

        Raises:
            ClusterError: they cannot be read.
        """
        return [_in_use(body) for body in self._cluster.list_limits().items]

    def set(self, name: str, *_: object) -> NoReturn:
        """Refuse: a run has no right to change limits.

        Raises:
            ConfigurationError: always.
        """
        self._refuse_to_change("set", name)

    def delete(self, name: str) -> NoReturn:
        """Refuse: a run has no right to change limits.

        Raises:
            ConfigurationError: always.
        """
        self._refuse_to_change("delete", name)

    def close(self) -> None:
        """Give back what the process has, unless its run has ended; nothing can be had any more."""
        with self._guard:
            was_closed, self._is_closed = self._is_closed, True
            has_thread = self._has_thread
        if has_thread and not was_closed:
            closing = _Close(threading.Event())
            self._messages.put(closing)
            closing.done.wait(_CLOSE_SECONDS)

    def _start(self) -> None:
        """Start the thread; one too many ends at once.

        Its first act is to say that it is there, and nobody waits for that: an interrupt of the run that arrives here
        must not leave a thread that nobody knows of.
        """
        if not self._has_thread:
            _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        with self._guard:
            if self._has_thread:
                return
            self._has_thread = True
        pause: float | None = 0.0
        while (closing := self._take_up(pause)) is None:
            try:
                pause = self._turn()
            except Exception as error:  # whatever it is, nobody may wait for ever
                log.exception("Slots of limits cannot be had any more.")
                self._over, pause = f"It is a fault of Towpath's: {error!r}.", 0.0
        try:
            self._give_back()
        finally:
            closing.done.set()

    def _take_up(self, pause: float | None) -> _Close | None:
        """Wait for something to happen, then take all that has."""
        try:
            message = self._messages.get(timeout=pause)
            while True:
                match message:
                    case Ticket():
                        self._allotment.ask(message)
                    case _Seen(body):
                        self._see(body)
                    case _Look():
                        self._is_asked = True
                    case _Close():
                        return message
                message = self._messages.get_nowait()
        except queue.Empty:
            return None

    def _turn(self) -> float | None:
        """Do what there is to do; gives in how many seconds there is more, None if that takes news."""
        if self._over is not None:
            self._allotment.refuse(_none_any_more(self._over))
            return None
        if (self._is_asked or self._allotment.waits) and self._monotonic() >= self._look_at:
            self._look()
        if not (self._has_begun or self._allotment.waits):
            return None
        if self._roster is None or not (self._has_begun or self._begin()):
            return max(0.0, self._look_at - self._monotonic())
        self._has_news |= self._allotment.turn(self._monotonic())
        if self._has_news and self._monotonic() >= self._write_at:
            self._write()
            if not self._has_news:
                self._has_news = self._allotment.turn(self._monotonic())  # the answer may have granted something
        return self._pause()

    def _pause(self) -> float | None:
        moments = [] if (at := self._allotment.again_at()) is None else [at]
        if self._has_news:
            moments.append(self._write_at)
        if self._allotment.waits:
            moments.append(self._look_at)
        return max(0.0, min(moments) - self._monotonic()) if moments else None

    def _look(self) -> None:
        """See what limits there are."""
        try:
            self._know(roster_of(self._at_once.list_limits().items))
        except NotFound:  # not even the kind is known to the cluster
            self._know(Roster())
        except ClusterError as error:
            self._look_at = self._later(self._looks)
            self._looks += 1
            if isinstance(error, Refused):
                self._allotment.refuse(error)
            else:
                self._allotment.delay(str(error))

    def _know(self, roster: Roster) -> None:
        self._roster = self._allotment.roster = roster
        self._tags = frozenset(roster.tagged)
        self._looks, self._is_asked = 0, False
        self._look_at = self._monotonic() + FRESH_SECONDS

    def _begin(self) -> bool:
        """Go on where another process of this attempt has ended, and hear of the run from now on."""
        try:
            self._seen = self._at_once.get_run(self._own.name)
        except NotFound:
            self._over = self._gone()
        except ClusterError as error:
            self._look_at = self._later(self._looks)
            self._looks += 1
            self._allotment.delay(str(error))
            return False
        else:
            status = self._seen.get("status") or {}
            self._allotment.go_on_from(status.get("slotsWanted") or ())
            self._allotment.hear(status.get("slotsGranted") or ())
            self._watch.subscribe(lambda body: self._messages.put(_Seen(body)))
        self._has_begun = True
        return True

    def _see(self, body: Body | None) -> None:
        """Take note of the run as it is now, or was a moment ago."""
        if body is None or standing(body, self._own.uid, self._own.attempt) is Standing.OVER:
            self._over = self._gone()
            return
        self._seen = body
        self._allotment.hear(body.get("status", {}).get("slotsGranted") or ())

    def _write(self) -> None:
        """Say what is wanted now."""
        problem: ClusterError
        try:
            run = self._seen or self._at_once.get_run(self._own.name)
            stands = standing(run, self._own.uid, self._own.attempt)
            if stands is Standing.OVER:
                self._over = self._gone()
                return
            self._seen = None
            if stands is not Standing.EARLY:
                self._see(self._at_once.patch_status(self._own.name, self._patch(run)))
                self._has_news, self._writes, self._write_at = False, 0, 0.0
                self._allotment.written()
                return
            problem = Conflict(f"The operator has not written attempt {self._own.attempt} yet.")
        except NotFound:
            self._over = self._gone()
            return
        except Refused as error:
            self._allotment.refuse(error)
            problem = error
        except ClusterError as error:
            problem = error
        if isinstance(problem, Unreachable) and not self._writes:
            log.warning("What slots are wanted cannot be said now; it is tried again. %s", problem)
        self._write_at = self._later(self._writes)
        self._writes += 1

    def _patch(self, run: Body) -> list[dict[str, Any]]:
        """Write down what is wanted; good for the attempt and the state that the run was seen in."""
        status, wished = run["status"], self._allotment.wished
        patch: list[dict[str, Any]] = as_seen(run, self._own.attempt)
        if wished:
            patch.append({"op": "add", "path": "/status/slotsWanted", "value": wished})
        elif "slotsWanted" in status:
            patch.append({"op": "remove", "path": "/status/slotsWanted"})
        return patch

    def _give_back(self) -> None:
        self._allotment.refuse(_none_any_more(_ENDS))
        if self._over is not None or not self._has_begun:
            return
        self._has_news |= self._allotment.give_all_back()
        until = self._monotonic() + _CLOSE_SECONDS
        while self._has_news and self._over is None and self._monotonic() < until:
            time.sleep(max(0.0, min(self._write_at, until) - self._monotonic()))
            self._write()

    def _first_tags(self) -> frozenset[str]:
        try:
            self._know(roster_of(self._cluster.list_limits().items))
        except NotFound:
            self._know(Roster())
        except ClusterError as error:
            log.warning("The limits of tags cannot be read, so none holds for now. %s", error)
            self._tags, self._look_at = frozenset(), self._later(self._looks)
        return self._tags or frozenset()

    def _gone(self) -> str:
        return f"Run {self._own.name!r} has ended, or goes on with another attempt."

    def _later(self, failures: int) -> float:
        return self._monotonic() + _BACKOFF.delay(failures, self._chance())

    def _refuse_to_change(self, verb: str, name: str) -> NoReturn:
        raise ConfigurationError(
            f"A run in a cluster has no right to {verb} limits. Do it from outside: towpath limits {verb} {name!r}"
            f" -n {self._cluster.namespace}"
        )


def _none_any_more(why: str) -> ConcurrencySlotAcquisitionError:
    return ConcurrencySlotAcquisitionError(f"No slots of limits can be had any more. {why}")


def _in_use(body: Body) -> LimitInUse:
    spec, status = body["spec"], body.get("status") or {}
    name = body["metadata"]["name"]
    return LimitInUse(
        name=name,
        slots=spec["limit"],
        slot_decay_per_second=float(spec.get("slotDecayPerSecond") or 0),
        active=not spec.get("suspend"),
        taken=status.get("active") or 0,
        holders=[
            Claimant(run=holder["run"], run_id=None, task_run=None, process=None, occupy=holder["slots"], limits=[name])
            for holder in status.get("holders") or ()
        ],
        waiting=[],
    )
