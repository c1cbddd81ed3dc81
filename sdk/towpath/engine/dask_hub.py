"""The flow run's end of a Dask cluster: asks for seats, and says what is to be called in them (see `dask_seat`)."""

from __future__ import annotations

import logging
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import distributed

from towpath.context import RunContext
from towpath.engine import dask_seat
from towpath.engine.jobs import Counterpart, Job, facts_of, outcome, packed
from towpath.engine.parcels import dumps, loads
from towpath.engine.task_execution import TaskExecution
from towpath.engine.threads import THREADS, Lane, Work, block
from towpath.loggers import get_logger
from towpath.slugs import new_id

if TYPE_CHECKING:
    from towpath.futures import Future
    from towpath.runners import TaskCall

#: Dask's own topic, which tells of workers that have gone.
_EVERYTHING: Final = "all"


class Hub:
    """What a flow run has to do with a cluster.

    Args:
        client: of the cluster, for this run alone.
    """

    def __init__(self, client: distributed.Client) -> None:
        self.client = client
        self.lane = Lane(None)  # Dask counts
        self.topic = f"towpath-{new_id()}"
        self._seats: dict[str, Chair] = {}
        self._facts: bytes | None = None
        self._lock = threading.Lock()
        self._outboxes: dict[str, deque[tuple[str, str, bytes]]] = {}  # of workers that are being sent something
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        dask_seat.at_home.add(self.topic)
        client.register_plugin(dask_seat.Attendant())
        client.subscribe_topic(self.topic, self._inbox.put)
        client.subscribe_topic(_EVERYTHING, self._inbox.put)
        THREADS.start(self._read)

    def submit(self, call: TaskCall) -> None:
        """Have a call made, as soon as Dask has a seat for it."""
        chair = self.seat(call.task.name, call)
        errand = Errand(self, chair)
        call.take_to(errand)
        call.future.add_done_callback(errand.done)
        chair.ask()

    def seat(self, name: str, begin: Work) -> Chair:
        """Make a seat that can be asked for.

        Args:
            name: of the task, for Dask's pages.
            begin: done in a thread when there is one, or when there will never be.
        """
        chair = Chair(self, f"{name}-{new_id()}", begin)
        self._seats[chair.key] = chair
        return chair

    def forget(self, chair: Chair) -> None:
        """Let go of a seat."""
        self._seats.pop(chair.key, None)

    def facts(self, context: RunContext) -> bytes:
        """Give the flow and its run, written down."""
        if self._facts is None:
            self._facts = facts_of(context)
        return self._facts

    def post(self, address: str, key: str, sitting: str, data: bytes) -> None:
        """Send something to a worker, in order; what is to be sent meanwhile goes together."""
        with self._lock:
            outbox = self._outboxes.get(address)
            if outbox is not None:
                outbox.append((key, sitting, data))
                return
            self._outboxes[address] = deque([(key, sitting, data)])
        THREADS.start(lambda: self._send(address))

    def close(self) -> None:
        """Let go of the cluster; all calls have ended, or are left to themselves."""
        dask_seat.at_home.discard(self.topic)
        for topic in (self.topic, _EVERYTHING):
            self.client.unsubscribe_topic(topic)
        self._inbox.put(None)
        self.client.close()

    def _send(self, address: str) -> None:
        while True:
            with self._lock:
                messages = tuple(self._outboxes[address])
                self._outboxes[address].clear()
                if not messages:
                    del self._outboxes[address]
                    return
            try:
                gone = self.client.run(dask_seat.deliver, messages, workers=[address])[address]
            except Exception as error:
                reason = f"cannot be reached: {error!r}."
                gone = [key for key, _, _ in messages]
            else:
                reason = "has left its seat."
            for key in gone:
                if (chair := self._seats.get(key)) is not None and chair.address == address:
                    chair.lose(reason)

    def _read(self) -> None:
        while (event := self._inbox.get()) is not None:
            try:
                self._take(event[1])
            except Exception:
                get_logger("towpath.dask").exception("A message from a Dask worker made no sense.")

    def _take(self, message: Any) -> None:
        if isinstance(message, dict):
            if message.get("action") == "remove-worker":
                for chair in tuple(self._seats.values()):
                    if chair.address == message["worker"]:
                        chair.lose("has gone with its Dask worker. Perhaps it was killed, or had no memory left.")
            return
        key, sitting, address, data, parcel = message
        if parcel:
            data = self.client.run(dask_seat.fetch, parcel, workers=[address])[address]
        name, args = loads(data)
        wanted = self._seats.get(key)
        if name == "sits":
            if wanted is None or not wanted.take(sitting, address, *args):
                self.post(address, key, sitting, dumps(("rise", ())))
        elif wanted is not None and wanted.sitting == sitting:
            getattr(wanted, f"on_{name}")(*args)


class Chair(Counterpart):
    """A seat that was asked for.

    Args:
        hub: of the flow run.
        key: Dask's name of it.
        begin: done in a thread when somebody sits there, or nobody ever will.
    """

    def __init__(self, hub: Hub, key: str, begin: Work) -> None:
        super().__init__(self)
        self.key = key
        self.address = ""
        self.sitting = ""
        self._hub = hub
        self._begin: Work | None = begin
        self._knows_facts = False
        self._lost: str | None = None
        self._future: distributed.Future | None = None

    def ask(self) -> None:
        """Ask Dask."""
        self._future = self._hub.client.submit(dask_seat.sit, self._hub.topic, self.key, key=self.key, pure=False)
        self._future.add_done_callback(self._look)

    def take(self, sitting: str, address: str, knows_facts: bool) -> bool:
        """Take note that a worker sits there; tell whether it is wanted, and not the second after one that has gone."""
        if self.sitting:
            self.lose("has gone with its Dask worker.")
            return False
        self.sitting, self.address, self._knows_facts = sitting, address, knows_facts
        self._start()
        return True

    def send(self, name: str, *args: Any) -> None:
        """Have the worker do something."""
        self._hub.post(self.address, self.key, self.sitting, dumps((name, args)))

    def run(self, job: Job, data: bytes) -> tuple[str, Any]:
        """Have a call made and wait for it; if the wait is ended, so is the call."""
        self.job = job
        if self._lost is not None:  # first the job, then this look; `lose` does it the other way round
            job.answer("lost", self._lost)
        elif not self._knows_facts:
            self.send("begin", logging.getLogger("towpath").getEffectiveLevel(), self._hub.facts(job.run_context))
        return super().run(job, data)

    def lose(self, why: str) -> None:
        """Take note that nobody sits there any more, or ever will."""
        self._lost = self._lost or why
        if self.job is not None:
            self.job.answer("lost", self._lost)
        self._start()

    def leave(self) -> None:
        """Let go of it."""
        self._hub.forget(self)
        if self.sitting and self.job is None:
            self.send("rise")
        if self._future is not None:
            self._future.release()

    def _start(self) -> None:
        begin, self._begin = self._begin, None
        if begin is not None:
            THREADS.start(begin)

    def _look(self, future: distributed.Future) -> None:
        """See how Dask's task has ended; called by Dask in a thread of its own."""
        if future.status in ("error", "cancelled", "lost"):
            why = repr(future.exception()) if future.status == "error" else "the cluster has gone"
            self.lose(f"could not run in the Dask cluster: {why}")


class Errand:
    """The place where a submitted task calls its function: another seat for each try.

    Args:
        hub: of the flow run.
        chair: the seat for the first try.
    """

    def __init__(self, hub: Hub, chair: Chair) -> None:
        self._hub = hub
        self._chair: Chair | None = chair

    def __call__(self, execution: TaskExecution) -> Any:
        """Call the function in a worker, and give its value or raise its exception.

        Raises:
            Lost: the worker has gone.
        """
        data = packed(execution)
        chair = self._chair or self._next(execution.definition.name)
        self._chair = None
        try:
            kind, value = chair.run(Job(execution.context, self._hub.lane), data)
        finally:
            chair.leave()
        return outcome(execution, kind, value)

    def done(self, _: Future[Any]) -> None:
        """Let go of a seat that was not needed: the run was cancelled, or found what it would have made."""
        if self._chair is not None:
            self._chair.leave()

    def _next(self, name: str) -> Chair:
        bell = threading.Lock()
        bell.acquire()
        chair = self._hub.seat(name, bell.release)
        chair.ask()
        try:
            block(bell, keep_place=True)
        except BaseException:
            chair.leave()
            raise
        return chair
