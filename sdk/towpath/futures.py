"""Runs that go on elsewhere: in a thread, or as a FlowRun in a cluster.

future = load.submit(path)             # goes on in a thread
total = add_up(future)                 # a future as an argument is its value, and this call waits for it
state = future.state; future.wait(5); future.result()
done, not_done = wait(futures, timeout=60)
for future in as_completed(futures): ...
results = load.map(paths).result()
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from towpath.engine.threads import block
from towpath.states import State, StateType

if TYPE_CHECKING:
    from towpath.runs import FlowRun, TaskRun

R = TypeVar("R")

#: One lock for all futures: it is held for a few bytecodes, and ten thousand locks would be ten thousand objects.
_LOCK: Final = threading.Lock()


class Future(Generic[R]):
    """A run that goes on elsewhere, and its end once there is one.

    As an argument of a task or flow it stands for the run's value. `await future` gives the value too.
    """

    __slots__ = ("__weakref__", "_callbacks", "_run", "_state", "_then")

    def __init__(self, run: TaskRun | FlowRun | None = None) -> None:
        self._run = run
        self._state: State[R] | None = None
        self._callbacks: list[Callable[[Future[R]], None]] | None = None
        self._then: Callable[[Future[R]], None] | None = None  # whoever started the run; told first

    @property
    def state(self) -> State[R]:
        """Where the run stands now."""
        return self._state or (self._run and self._run.state) or State(StateType.PENDING)

    @property
    def run(self) -> TaskRun | FlowRun | None:
        """The run's facts; None where they are not in this process."""
        return self._run

    @property
    def id(self) -> str | None:
        """The run's identifier, if it is known here."""
        return self._run.id if self._run else None

    @property
    def task_run_id(self) -> str | None:
        """The run's identifier, by the name that a task's author looks for."""
        return self.id

    @property
    def name(self) -> str | None:
        """The run's name, if it is known here."""
        return self._run.name if self._run else None

    def done(self) -> bool:
        """Whether the run has ended, or will never begin."""
        return self._state is not None

    def wait(self, timeout: float | None = None) -> State[R]:
        """Wait until the run has ended, or for `timeout` seconds; give the state that it is in then."""
        if self._state is None:
            bell = threading.Lock()
            bell.acquire()
            if self._watch(ring := _once(bell)) and not block(bell, timeout):
                self._unwatch(ring)
        return self.state

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """Wait for the run and give its value.

        Args:
            timeout: seconds; None: as long as it takes.
            raise_on_failure: if False, what a run left that did not complete is returned instead of raised: its
                exception as a rule.

        Raises:
            TimeoutError: the run has not ended in time.
            BaseException: the run's own exception.
        """
        state = self._state
        while state is None:
            self.wait(timeout)
            state = self._state
            if state is None and timeout is not None:
                raise TimeoutError(f"{self!r} has not ended within {timeout:g} s.")
        return state.result(raise_on_failure)

    def add_done_callback(self, fn: Callable[[Future[R]], None]) -> None:
        """Call `fn` with the future when the run has ended, in whichever thread ends it; at once if it has."""
        if not self._watch(fn):
            fn(self)

    def __await__(self) -> Generator[Any, None, R]:
        yield from _arrival(self).__await__()
        return self.result()

    def complete(self, state: State[R]) -> bool:
        """Give the run its end; for whoever runs it. Only the first end counts.

        Args:
            state: terminal, or PENDING for a run that will never begin.

        Returns:
            Whether this was the first.
        """
        with _LOCK:
            if self._state is not None:
                return False
            self._state = state
            callbacks, self._callbacks = self._callbacks, None
            then, self._then = self._then, None
        if then is not None:
            then(self)
        for callback in callbacks or ():
            try:
                callback(self)
            except Exception:
                from towpath.loggers import get_logger

                get_logger("towpath.futures").exception("A callback of %r raised an exception.", self)
        return True

    def told_first(self, fn: Callable[[Future[R]], None]) -> None:
        """Have `fn` called before all callbacks; for whoever watches over the run, once."""
        with _LOCK:
            if self._state is None:
                self._then = fn
                return
        fn(self)

    def __repr__(self) -> str:
        return f"Future({self.name!r}, {self.state.name})"

    def _watch(self, fn: Callable[[Future[R]], None]) -> bool:
        with _LOCK:
            if self._state is not None:
                return False
            if self._callbacks is None:
                self._callbacks = []
            self._callbacks.append(fn)
        return True

    def _unwatch(self, fn: Callable[[Future[R]], None]) -> None:
        with _LOCK:
            if self._callbacks and fn in self._callbacks:
                self._callbacks.remove(fn)


class FutureList(list[Future[R]], Generic[R]):
    """The futures of a `.map`, in the order of what was mapped over."""

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all have ended, or for `timeout` seconds."""
        wait(self, timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:
        """Wait for all and give their values, in order; the first failure is raised as soon as it happens.

        Args:
            timeout: seconds for all of them together; None: as long as it takes.
            raise_on_failure: if False, exceptions are put in their values' places.

        Raises:
            TimeoutError: not all have ended in time.
            BaseException: the exception of the first that did not complete.
        """
        for future in as_completed(self, timeout):
            if raise_on_failure:
                future.result()
        return [future.result(raise_on_failure=raise_on_failure) for future in self]


#: What scripts that came from elsewhere call them.
PrefectFuture = Future
PrefectFutureList = FutureList


class DoneAndNotDone(NamedTuple, Generic[R]):
    """What `wait` gives."""

    done: set[Future[R]]
    not_done: set[Future[R]]


def wait(futures: Iterable[Future[R]], timeout: float | None = None) -> DoneAndNotDone[R]:
    """Wait until all futures have ended, or for `timeout` seconds; give those that have and those that have not."""
    unique = set(futures)
    deadline = _deadline(timeout)
    for future in unique:
        if not future.done():
            future.wait(None if deadline is None else deadline - time.monotonic())
    done = {future for future in unique if future.done()}
    return DoneAndNotDone(done, unique - done)


def as_completed(futures: Iterable[Future[R]], timeout: float | None = None) -> Iterator[Future[R]]:
    """Give each future when it has ended, the first to end first.

    Raises:
        TimeoutError: not all have ended within `timeout` seconds.
    """
    deadline = _deadline(timeout)
    unique = list(dict.fromkeys(futures))
    ended: list[Future[R]] = []
    bell = threading.Lock()  # released whenever one more has ended; found released, it says "look again", no more
    bell.acquire()

    def note(future: Future[R]) -> None:
        ended.append(future)
        _ring(bell)

    for future in unique:
        future.add_done_callback(note)
    for seen in range(len(unique)):
        while len(ended) <= seen:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(f"{len(unique) - seen} of {len(unique)} runs have not ended within {timeout:g} s.")
            block(bell, left)
        yield ended[seen]


def after(futures: Iterable[Future[Any]], fn: Callable[[], None]) -> None:
    """Call `fn` when all futures have ended, in the thread that ends the last; at once if there is none."""
    waited = list(futures)
    left = len(waited) + 1

    def count(_: Future[Any] | None) -> None:
        nonlocal left
        with _LOCK:
            left -= 1
            last = left == 0
        if last:
            fn()

    for future in waited:
        future.add_done_callback(count)
    count(None)


def _deadline(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if timeout < 0:
        raise ValueError(f"timeout must be seconds, 0 or more; got {timeout!r}.")
    return time.monotonic() + timeout


def _ring(bell: threading.Lock) -> None:
    try:
        bell.release()
    except RuntimeError:  # it has been rung already
        return


def _once(bell: threading.Lock) -> Callable[[Future[Any]], None]:
    def ring(_: Future[Any]) -> None:
        _ring(bell)

    return ring


async def _arrival(future: Future[Any]) -> None:
    """Wait for a future's end in an event loop."""
    import asyncio

    if future.done():
        return
    loop = asyncio.get_running_loop()
    arrived = loop.create_future()

    def tell(_: Future[Any]) -> None:
        if not arrived.done():
            arrived.set_result(None)

    def call(ended: Future[Any]) -> None:
        try:
            loop.call_soon_threadsafe(tell, ended)
        except RuntimeError:  # the loop has closed: nobody waits any more
            return

    future.add_done_callback(call)
    await arrived


async def arrive(futures: Iterable[Future[Any]]) -> None:
    """Wait in an event loop until all futures have ended."""
    for future in futures:
        await _arrival(future)
