"""The server: makes runs of what is due, starts those that may start, and sees to those that have gone or must go.

Everything that must survive it is in the book. What it holds in memory can be had again from there: so it can be killed
at any moment, and started again, by the side of another even, and no run is doubled or lost.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from towpath.serving.admission import Candidate, admitted
from towpath.serving.orders import OpenOrder, cancelled
from towpath.serving.stops import Stops, Stranger
from towpath.serving.timetable import Timetable
from towpath.states import State, StateType

if TYPE_CHECKING:
    from towpath.serving.book import Book
    from towpath.serving.children import Child, Processes
    from towpath.serving.deployment import ServedDeployment

#: How long before a run is due its process is started, so that Python and the flow's modules are loaded on the second.
LEAD: Final = timedelta(seconds=5)
#: How often a server looks round even if nobody rings: somebody may have died, or set the clock.
LOOK_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 5.0
log = logging.getLogger("towpath.serving")


class Server:
    """Serves deployments, a turn at a time.

    Args:
        deployments: whose keys differ.
        book: what there is to do.
        processes: starts children.
        token: of this process, alive.
        limit: how many runs go on at once; None for no limit.
        grace_seconds: how long a run may take to end in order.
        monotonic: seconds on a clock that never jumps.
    """

    def __init__(
        self,
        deployments: Sequence[ServedDeployment],
        book: Book,
        processes: Processes,
        token: int,
        *,
        limit: int | None,
        grace_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deployments = {deployment.key: deployment for deployment in deployments}
        self._book, self._processes, self._token = book, processes, token
        self._limit = limit
        self._limits = {key: deployment.concurrency_limit for key, deployment in self._deployments.items()}
        self._timetable = Timetable(self._deployments, book)
        self._children: dict[str, Child] = {}  # by the id of the run
        self._ready: dict[str, Child] = {}  # by deployment: loaded, and not told yet what to run
        self._put_off: set[str] = set()
        self._stops = Stops(grace_seconds, monotonic)
        self._monotonic = monotonic
        self._looked: float | None = None
        self._not_before = 0.0  # when processes are tried again, after the system had none
        self._next_order: datetime | None = None  # when the next order is due that waits for its time
        self._unready: dict[str, datetime] = {}  # deployments whose process ended while it waited, and until when

    def open(self, now: datetime) -> None:
        """Begin to serve."""
        self._timetable.open(self._token, now)

    def turn(self, now: datetime) -> float:
        """Do what is to be done now; give the seconds until the next turn, unless somebody rings before."""
        made = self._timetable.make_runs(now)
        if made or self._is_time_to_look(now) or self._book.has_changed() or self._has_news():
            self._look(now)
        self._get_ready(now)
        times = [*self._timetable.next_times().values(), *([] if self._next_order is None else [self._next_order])]
        overdue = self._stops.turn()
        waits = [LOOK_SECONDS, *((when - now).total_seconds() for when in times)]
        return max(0.0, min(waits if overdue is None else [*waits, overdue]))

    def close(self) -> None:
        """Begin no more, and ask all runs to end; `turn_down` until none of their processes is left."""
        for child in self._ready.values():
            child.dismiss()
        self._ready.clear()
        for run_id, child in self._children.items():
            self._stops.stop(run_id, child)

    def turn_down(self, now: datetime, *, at_once: bool = False) -> bool:
        """See to runs that are ending; tell whether any of their processes is left.

        Args:
            now: the time.
            at_once: give them no more time.
        """
        if at_once:
            for child in self._children.values():
                child.kill()
        self._stops.turn()
        self._bury_children(now)
        return self.has_children

    @property
    def has_children(self) -> bool:
        """Whether processes are there that it has started for runs."""
        return any(child.exit_code is None for child in self._children.values())

    def sign_off(self, now: datetime, *, pauses: bool) -> None:
        """Say that it serves no more.

        Args:
            now: the time.
            pauses: whether schedules make no runs until they are served again.
        """
        self._book.stop(self._deployments, self._token, now, pauses=pauses)

    def next_times(self) -> dict[str, datetime]:
        """Tell when a run of each deployment is due next; those are left out that no schedule makes runs of."""
        return self._timetable.next_times()

    def _is_time_to_look(self, now: datetime) -> bool:
        late = self._next_order is not None and self._next_order <= now
        return late or self._looked is None or self._monotonic() - self._looked >= LOOK_SECONDS

    def _has_news(self) -> bool:
        return any(child.exit_code is not None for child in self._children.values())

    def _look(self, now: datetime) -> None:
        if self._looked is None or self._monotonic() - self._looked >= LOOK_SECONDS:
            self._book.sweep()
            self._looked = self._monotonic()
        self._timetable.see_pauses(now)
        self._bury_children(now)
        orders = self._book.open_orders(self._deployments)
        if any([self._is_left_over(order, now) for order in orders]):  # noqa: C419 all are to be seen to
            orders = self._book.open_orders(self._deployments)
        orders = [order for order in orders if not self._is_anothers(order)]
        for order in orders:
            if order.cancel_wanted or self._must_end_with_parent(order):
                self._cancel(order, now)
        self._start(orders, now)

    def _bury_children(self, now: datetime) -> None:
        """See to runs whose process of ours has ended: most have told how, and some have not."""
        for run_id, child in list(self._children.items()):
            if (code := child.exit_code) is None:
                continue
            taken_by = self._book.taken_by(run_id)
            is_anothers = taken_by is not None and self._book.alive.is_alive(taken_by)  # which was faster
            if not (is_anothers or self._book.is_given_back(run_id)):
                self._end_untold(run_id, _how(code), now)
            del self._children[run_id]

    def _end_untold(self, run_id: str, how: str, now: datetime) -> None:
        end = self._book.end_untold(run_id, how, now)
        if end is not None and end.is_crashed():
            log.error("Run %s: %s", run_id, end.message)

    def _is_left_over(self, order: OpenOrder, now: datetime) -> bool:
        """See to an order that was begun with by somebody who has gone; tell whether it was one."""
        if order.is_suspended and order.has_ended:
            self._book.end(order.run_id, State(StateType.FAILED), now)  # the end that it has counts
            return True
        if order.run_id in self._children:
            return False
        if order.process is not None and not self._book.alive.is_alive(order.process):
            self._end_untold(order.run_id, "has gone", now)
            return True
        if order.process is not None or order.server is None or self._is_anothers(order):
            return False
        self._book.release(order.run_id, order.server, "The server that was to start it has not.", now)
        return True

    def _is_anothers(self, order: OpenOrder) -> bool:
        """Tell whether a server beside this one is about to start an order."""
        is_begun = order.process is not None or order.server in {None, self._token}
        return not is_begun and order.server is not None and self._book.alive.is_alive(order.server)

    def _must_end_with_parent(self, order: OpenOrder) -> bool:
        return order.parent_ended is not None and not order.outlives_parent

    def _cancel(self, order: OpenOrder, now: datetime) -> None:
        if not order.cancel_wanted:
            self._book.want_cancelled(order.run_id, now)
        child = self._children.get(order.run_id)
        if child is not None:
            self._stops.stop(order.run_id, child)
        elif order.process is not None and order.pid is not None:
            token = order.process
            self._stops.stop(order.run_id, Stranger(order.pid, lambda: self._book.alive.is_alive(token)))
        else:
            self._book.end(order.run_id, cancelled(order), now)

    def _start(self, orders: Sequence[OpenOrder], now: datetime) -> None:
        live = [_candidate(order) for order in orders if order.server is not None or order.process is not None]
        queue = [
            order
            for order in orders
            if order.server is None and order.process is None and not (order.cancel_wanted or order.is_suspended)
        ]
        self._next_order = min((order.due for order in queue if order.due > now), default=None)
        if self._monotonic() < self._not_before:
            return
        waiting = [_candidate(order) for order in queue if order.due <= now]
        chosen = admitted(waiting, live, self._limit, self._limits)
        for run in chosen:
            if self._book.claim(run.run_id, self._token, now):
                self._begin(run, now)
        held_back = {run.run_id for run in waiting} - {run.run_id for run in chosen}
        if new := held_back - self._put_off:
            self._book.put_off(new, now)
        self._put_off = held_back

    def _begin(self, run: Candidate, now: datetime) -> None:
        child = self._ready.pop(run.deployment, None)
        if child is not None and child.begin(run.run_id):
            self._children[run.run_id] = child
            return
        try:
            child = self._processes.start(self._deployments[run.deployment])
        except OSError as error:
            self._not_before = self._monotonic() + _RETRY_SECONDS
            log.error("No process can be started: %s. It is tried again in %g s.", error, _RETRY_SECONDS)  # noqa: TRY400
            self._book.release(run.run_id, self._token, f"No process could be started: {error}.", now)
            return
        child.begin(run.run_id)  # if it has gone already, its exit code says so
        self._children[run.run_id] = child

    def _get_ready(self, now: datetime) -> None:
        """Have a process ready for each deployment with a run that is due soon; dismiss those that none is due for."""
        times = self._timetable.next_times()
        for key in self._deployments:
            due = times.get(key)
            is_soon = due is not None and due <= now + LEAD
            child = self._ready.get(key)
            if child is not None and child.exit_code is not None and due is not None:
                self._unready[key] = due  # something is wrong with it, which the run itself will show
            if child is not None and (child.exit_code is not None or not is_soon):
                child.dismiss()
                del self._ready[key]
            is_full = self._limit is not None and len(self._children) + len(self._ready) >= self._limit
            if is_soon and key not in self._ready and not is_full and self._unready.get(key) != due:
                try:
                    self._ready[key] = self._processes.start(self._deployments[key])
                except OSError:
                    return  # there is time left, and it will be said when it matters


def _candidate(order: OpenOrder) -> Candidate:
    return Candidate(order.run_id, order.deployment, None if order.outlives_parent else order.parent_id)


def _how(code: int) -> str:
    """Say how a process ended, from its exit code as subprocess has it."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", perhaps because there was no memory left" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"
