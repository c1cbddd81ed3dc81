"""A wish of the code that runs here: asked, waited for in a thread or in an event loop, and given back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from towpath.concurrency.place import slots
from towpath.concurrency.port import Admitted, Answer, Refused, Ticket, Waits, Wish
from towpath.context import current, current_claims
from towpath.errors import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    ConfigurationError,
)

#: How long to wait for the first answer, whatever the timeout: that takes the file, not a slot.
_FIRST_SECONDS: Final = 5.0
#: How long a wait may take before the log says that there is one.
QUIET_SECONDS: Final = 1.0
#: Warnings of which it is remembered that they were given.
_REMEMBERED: Final = 1000
_warned: Final[set[str]] = set()


class Request:
    """A wish, and what has been answered so far.

    Args:
        wish: what is wanted.
        timeout_seconds: how long it may take; None: as long as it takes.
        patient: whether it waits at all.
    """

    def __init__(self, wish: Wish, timeout_seconds: float | None = None, *, patient: bool = True) -> None:
        self.wish = wish
        self.ring: Callable[[], None] = silence
        """Called, from any thread, at each answer."""
        self._timeout_seconds = timeout_seconds
        self._patient = patient
        self._answer: Answer | None = None
        self._told: Answer | None = None
        self._slots = slots()
        self._ticket = Ticket(wish, self._take)
        self._is_asked = False
        self._has_said = False
        self._began = time.monotonic()

    @property
    def number(self) -> int | None:
        """Of its claim, where it has one."""
        return self._ticket.number

    def ask(self) -> None:
        """Ask, if that has not been done, and return at once."""
        if not self._is_asked:
            self._is_asked = True
            self._slots.ask(self._ticket)

    def leave(self) -> None:
        """Give back what it has, or give up."""
        self._slots.leave(self._ticket)

    def is_admitted(self) -> bool:
        """Tell whether the slots are taken.

        Raises:
            ConcurrencySlotAcquisitionError: they cannot be had.
            AcquireConcurrencySlotTimeoutError: they could not be had in time.
        """
        answer = self._answer
        if answer is not self._told:
            self._told = answer
            self.on_answer(answer)
        match answer:
            case Admitted():
                return True
            case Refused(error):
                if isinstance(error, ConcurrencySlotAcquisitionError):
                    raise error
                raise ConcurrencySlotAcquisitionError(f"No slots of {self._names()} can be had. {error}") from error
            case Waits(why) if not self._patient:
                raise ConcurrencySlotAcquisitionError(
                    f"No slots of {self._names()} were free, and max_retries says not to wait. {why}"
                )
        self._say_that_it_waits()
        if (left := self.seconds_left()) is not None and left <= 0:
            why = answer.why if isinstance(answer, Waits) else "Nothing was heard of them."
            raise AcquireConcurrencySlotTimeoutError(
                f"No slots of {self._names()} came free within {self._timeout_seconds:g} s. {why}"
            )
        return False

    def seconds_left(self) -> float | None:
        """Tell how long it may still take; None: as long as it takes."""
        if self._timeout_seconds is None:
            return None
        allowed = self._timeout_seconds if self._answer is not None else max(self._timeout_seconds, _FIRST_SECONDS)
        return self._began + allowed - time.monotonic()

    def pause(self) -> float | None:
        """Tell when to look again though nothing is heard; None: there is no need."""
        left = self.seconds_left()
        if self._has_said:
            return left
        quiet = max(0.0, self._began + QUIET_SECONDS - time.monotonic())
        return quiet if left is None else min(quiet, left)

    def on_answer(self, answer: Answer | None) -> None:
        """See to what the author has to know of an answer."""
        if isinstance(answer, (Admitted, Waits)) and answer.warning:
            warn_once(answer.warning)

    def _say_that_it_waits(self) -> None:
        if self._has_said or time.monotonic() < self._began + QUIET_SECONDS:
            return
        self._has_said = True
        if isinstance(self._answer, Waits) and not self.wish.is_task:
            _logger().info("Waits for %s. %s", self.wanted, self._answer.why)

    def _take(self, answer: Answer) -> None:
        self._answer = answer
        self.ring()

    @property
    def wanted(self) -> str:
        """What is wanted, in words."""
        occupy = self.wish.occupy
        return f"{occupy} slot{'' if occupy == 1 else 's'} of {self._names()}"

    def _names(self) -> str:
        return ", ".join(map(repr, sorted(self.wish.names)))


def acquire(request: Request) -> None:
    """Wait in this thread until a request is admitted; an interrupt of the run ends the wait.

    Raises:
        ConcurrencySlotAcquisitionError: the slots cannot be had.
        AcquireConcurrencySlotTimeoutError: they could not be had in time.
    """
    from towpath.engine.threads import block

    bell = threading.Lock()
    bell.acquire()

    def ring() -> None:
        with suppress(RuntimeError):  # it has been rung already
            bell.release()

    request.ring = ring
    try:
        request.ask()
        while not request.is_admitted():
            block(bell, request.pause())
    except BaseException:
        request.leave()
        raise


async def acquire_async(request: Request) -> None:
    """Wait in this event loop until a request is admitted.

    Raises:
        ConcurrencySlotAcquisitionError: the slots cannot be had.
        AcquireConcurrencySlotTimeoutError: they could not be had in time.
    """
    import asyncio

    loop, bell = asyncio.get_running_loop(), asyncio.Event()

    def ring() -> None:
        with suppress(RuntimeError):  # the loop has closed: nobody waits there any more
            loop.call_soon_threadsafe(bell.set)

    request.ring = ring
    try:
        request.ask()
        while not request.is_admitted():
            with suppress(TimeoutError):
                async with asyncio.timeout(request.pause()):
                    await bell.wait()
            bell.clear()
    except BaseException:
        request.leave()
        raise


def wish_of(names: str | Iterable[str], occupy: int, *, keeps: bool, strict: bool) -> Wish | None:
    """Make a wish of what an author wrote; None if no limit is named.

    Raises:
        ConfigurationError: it cannot be understood.
    """
    given = [names] if names and isinstance(names, str) else list(names or ())
    if any(not isinstance(name, str) or not name for name in given):
        raise ConfigurationError(f"Limits are named by texts that are not empty; got {names!r}.")
    if not isinstance(occupy, int) or isinstance(occupy, bool) or occupy < 1:
        raise ConfigurationError(f"occupy is a number of slots, 1 or more; got {occupy!r}.")
    if not given:
        return None
    return Wish(names=frozenset(given), occupy=occupy, keeps=keeps, strict=strict, within=current_claims(), **who())


def who() -> dict[str, Any]:
    """Give what a wish says of the run that it comes from."""
    context = current()
    if context is None:
        return {}
    flow_run, task_run = context.flow_run, context.task_run
    return {
        "run_id": flow_run and flow_run.id,
        "run": flow_run and flow_run.name,
        "task_run": task_run and task_run.name,
    }


def warn_once(text: str) -> None:
    """Warn of something, the first time that it is said in this process."""
    if text not in _warned:
        if len(_warned) >= _REMEMBERED:
            _warned.clear()
        _warned.add(text)
        _logger().warning("%s", text)


def _logger() -> Any:
    from towpath.loggers import configure, get_logger, run_logger

    configure()
    context = current()
    return get_logger("towpath.concurrency") if context is None else run_logger(context)


def silence() -> None:
    """Tell nobody."""
