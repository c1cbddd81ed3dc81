"""What a Dask worker does for a flow run: a task of Dask's takes a seat in one of its threads, and makes one call.

So Dask decides when and where a task runs, and the flow run what is called there, and whether at all: a task that Dask
hands out again, because a worker has gone, takes a seat again, but no function is called twice unasked.

Messages to the flow's process are events of Dask's, which go by the scheduler, as the client may not be reachable from
here. The scheduler remembers events for a while; so what is large waits here until it is fetched.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import distributed

from towpath import loggers
from towpath.context import current
from towpath.engine.parcels import dumps, loads
from towpath.engine.remote import Lines, RemoteScope, Worker
from towpath.engine.threads import Lane
from towpath.slugs import new_id

#: Larger messages are fetched; the scheduler keeps the latest thousand events of a run.
LARGE: Final = 16 * 1024
#: How many flow runs' facts a worker remembers.
_RUNS: Final = 16

#: By Dask's key; a key is in one thread of a worker at a time.
_seats: Final[dict[str, Seat]] = {}
#: Keys that Dask has no use for any more, while their tasks have not ended.
_unwanted: Final[set[str]] = set()
_parcels: Final[dict[str, bytes]] = {}
_facts: Final[OrderedDict[str, Any]] = OrderedDict()
_lock: Final = threading.Lock()
#: Topics of the flow runs in this very process, where a cluster without processes has its workers.
at_home: Final[set[str]] = set()


def sit(topic: str, key: str) -> None:
    """Offer a thread of this worker to a flow run, and make the call that it wants; run by Dask.

    Args:
        topic: of the flow run.
        key: Dask's name of this task.
    """
    seat = Seat(EventWire(distributed.get_worker(), topic, key), topic)
    _seats[key] = seat
    try:
        if key not in _unwanted:
            seat.serve()
    finally:
        if _seats.get(key) is seat:
            del _seats[key]


def deliver(messages: Sequence[tuple[str, str, bytes]]) -> list[str]:
    """Hand messages to seats, each the key, the sitting and what it is told; gives the keys of those that have gone.

    Run by Dask in the worker's event loop, so nothing in it may take long.
    """
    gone = []
    for key, sitting, data in messages:
        seat = _seats.get(key)
        if seat is None or seat.sitting != sitting:
            gone.append(key)
            continue
        name, args = loads(data)
        getattr(seat, f"on_{name}")(*args)
    return gone


def fetch(parcel: str) -> bytes:
    """Give a message that was too large to be an event, once."""
    return _parcels.pop(parcel)


class Seat(Worker):
    """A thread of a Dask worker that makes a call for a flow run."""

    def __init__(self, wire: EventWire, topic: str) -> None:
        super().__init__(wire)
        self.sitting = wire.sitting
        self.lane = DaskLane()
        self._topic = topic

    def serve(self) -> None:
        """Say that somebody sits here, and make the call, if there is one."""
        if self._topic not in at_home:
            _show_nothing_here()
        self.wire.send("sits", self._topic in _facts)
        if (data := self.jobs.get()) is not None:
            self.facts = _facts.get(self._topic, (None, None))
            self.make(data)

    def on_begin(self, level: int, facts: bytes) -> None:
        """Take up how things are in the flow's process."""
        if self._topic not in at_home:
            logging.getLogger("towpath").setLevel(level)
        with _lock:
            _facts[self._topic] = loads(facts)
            while len(_facts) > _RUNS:
                _facts.popitem(last=False)

    def on_rise(self) -> None:
        """Leave the seat: nobody wants anything called here."""
        self.jobs.put(None)


class EventWire:
    """The way to the process of a flow run.

    Args:
        worker: Dask's.
        topic: of the flow run.
        key: Dask's name of the task that sits here.
    """

    def __init__(self, worker: distributed.Worker, topic: str, key: str) -> None:
        self.sitting = new_id()
        self._worker = worker
        self._topic = topic
        self._from = (key, self.sitting, worker.address)

    def send(self, name: str, *args: Any) -> None:
        """Have something done there."""
        data = dumps((name, args))
        parcel = ""
        if len(data) > LARGE:
            parcel = new_id()
            _parcels[parcel] = data
            data = b""
        self._worker.log_event(self._topic, (*self._from, data, parcel))


class DaskLane(Lane):
    """The place of a running task: a thread of the worker's pool, which gets another one meanwhile."""

    def __init__(self) -> None:
        super().__init__(1)

    def leave(self) -> None:
        """Give the place up while the task waits for others."""
        distributed.secede()

    def rejoin(self) -> None:
        """Take a place again."""
        distributed.rejoin()


class Attendant(distributed.WorkerPlugin):  # type: ignore[misc]
    """Ends what runs for a flow run that has gone: Dask forgets its tasks then, but does not end what they do."""

    name = "towpath"

    def transition(self, key: str, start: str, finish: str, **_: Any) -> None:
        """Look after a task that changes its state in the worker; called by Dask in the worker's event loop."""
        if start in ("executing", "long-running") and finish == "released":
            _unwanted.add(key)  # first this, then the look; whoever takes a seat does it the other way round
            if (seat := _seats.get(key)) is not None:
                seat.part()
                seat.on_rise()
        else:
            _unwanted.discard(key)


class _LinesOfSeats(logging.Handler):
    """Sends what tasks log to their flow runs' processes, and leaves the worker's own lines alone."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        context = current()
        if context is not None and isinstance(context.scope, RemoteScope):
            Lines(context.scope.worker.wire).emit(record)


_handler: Final = _LinesOfSeats()


def _show_nothing_here() -> None:
    with _lock:
        if _handler not in logging.getLogger().handlers:
            loggers.hand_over(_handler)
