"""The side of the run: it waits at a pause, in its process or without one, until somebody resumes it.

Written once for synchronous and asynchronous flows, as a generator of what has to be waited for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from towpath.context import current
from towpath.engine.standing import stand
from towpath.errors import FlowPauseTimeout, FlowSuspended, MissingContext, ParameterError, PauseError
from towpath.futures import Future, arrive
from towpath.names import ENV_NAMESPACE, ENV_RUN
from towpath.pausing.exiting import exit_quietly
from towpath.pausing.here import pauses
from towpath.pausing.port import Pause
from towpath.states import State, StateType

if TYPE_CHECKING:
    from towpath.context import RunContext
    from towpath.engine.scope import Scope
    from towpath.pausing.wanted import Wanted
    from towpath.runs import FlowRun

T = TypeVar("T")

#: Python hears of a signal that comes just before a blocking call when that returns; Ctrl-C is not to wait for days.
_SLICE_SECONDS: Final = 1.0
_ASKED: Final = "Somebody asked for it. "


@dataclass(frozen=True, slots=True)
class Wait:
    """Something to wait for, until it is there or it is too late."""

    future: Future[Any]
    until: float | None
    """On the clock that never jumps; None: as long as it takes."""

    @property
    def seconds(self) -> float | None:
        """How long is left; never below zero."""
        return None if self.until is None else max(0.0, self.until - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether there is no more to wait for."""
        return self.future.done() or self.seconds == 0.0


Waits: TypeAlias = Generator[Wait, None, T]


def waited(steps: Waits[T]) -> T:
    """Go through steps that have to wait, in synchronous code."""
    try:
        wait = next(steps)
        while True:
            while not wait.is_over:
                wait.future.wait(_SLICE_SECONDS if wait.seconds is None else min(wait.seconds, _SLICE_SECONDS))
            wait = steps.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def waited_async(steps: Waits[T]) -> T:
    """Go through steps that have to wait, in an event loop."""
    import asyncio

    try:
        wait = next(steps)
        while True:
            try:
                async with asyncio.timeout(wait.seconds):
                    await arrive([wait.future])
            except TimeoutError:
                pass
            wait = steps.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def deadline(seconds: float | None) -> float | None:
    """Give when a number of seconds is over, on the clock that never jumps."""
    return None if seconds is None else time.monotonic() + seconds


def current_flow(verb: str) -> tuple[RunContext, FlowRun, Scope]:
    """Give the flow run whose code calls.

    Args:
        verb: what is to be done, for messages: `paused`.

    Raises:
        MissingContext: there is none.
        PauseError: it is a task that calls.
    """
    context = current()
    if context is None or context.flow_run is None or context.scope is None:
        raise MissingContext(f"There is no flow run here that could be {verb}. Call this within a flow.")
    if context.task_run is not None:
        raise PauseError(
            f"Task runs cannot be {verb}, only flow runs: task run {context.task_run.name!r} called this. Call it in"
            " the flow, before or after the task."
        )
    return context, context.flow_run, context.scope


def wait_here(
    wanted: Wanted[T] | None,
    *,
    seconds: float | None,
    key: str | None,
    is_suspension: bool,
    is_asked_for: bool = False,
) -> Waits[T | None]:
    """Have the current flow run wait until it is resumed; gives the input.

    Args:
        wanted: what input; None for none.
        seconds: how long to wait at most; None: as long as it takes.
        key: which pause of the run it is; None: the next in its code.
        is_suspension: whether the process is to end meanwhile, by FlowSuspended.
        is_asked_for: whether somebody outside wants it.

    Raises:
        FlowPauseTimeout: it was not resumed in time.
        FlowSuspended: to unwind the flow.
    """
    context, run, scope = current_flow("suspended" if is_suspension else "paused")
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"timeout must be seconds, 0 or more, or None for no limit; got {seconds!r}.")
    since = datetime.now(UTC)
    book = pauses()
    pause = book.enter(
        Pause(
            run_id=run.id,
            identity=run.identity,
            key=str(scope.number("pause")) if key is None else f"key {key}",
            is_suspension=is_suspension,
            wanted=None if wanted is None else wanted.schema,
            description=None if wanted is None else wanted.description,
            since=since,
            until=None if seconds is None else since + timedelta(seconds=seconds),
            is_asked_for=is_asked_for,
        )
    )
    until, stands, refused = deadline(seconds), False, ""
    while True:
        if pause.is_answered:
            try:
                value = None if wanted is None else wanted.read(pause.answer, f"run {run.name!r}")
            except ParameterError as error:
                refused = f"The input was refused. {error} "
                book.refuse(pause, str(error))
                if not is_suspension:
                    _log(context, f"{refused}The run waits on.")
            else:
                if stands:
                    goes_on: State[Any] = State(StateType.RUNNING, message="The run was resumed.")
                    stand(context, goes_on)
                    book.tell(pause, goes_on)
                return value
        if is_suspension:
            exit_quietly()
            asked = _ASKED if is_asked_for else ""
            raise FlowSuspended(f"{asked}{refused}{_suspended(context, run, wanted)}")
        if not stands:
            waits: State[Any] = State(StateType.PAUSED, message=_paused(run, pause, wanted, is_asked_for))
            stand(context, waits)
            book.tell(pause, waits)
            stands = True
        answered = book.answered(pause)
        yield Wait(answered, until)
        pause = answered.result() if answered.done() else book.enter(pause)  # a last look
        if not pause.is_answered:
            book.tell(pause, State(StateType.RUNNING, message="Nobody resumed the run in time."))
            raise FlowPauseTimeout(
                f"Flow run {run.name!r} was paused, and nobody resumed it within {seconds:g} s. Give it more time:"
                " pause_flow_run(timeout=…), in seconds; None for as long as it takes."
            )


def _paused(run: FlowRun, pause: Pause, wanted: Wanted[Any] | None, is_asked_for: bool) -> str:
    asked = _ASKED if is_asked_for else ""
    until = "" if pause.until is None else f" It waits until {pause.until.astimezone():%Y-%m-%d %H:%M:%S %Z}."
    return f"{asked}To resume: {_command(run, wanted)}.{until}"


def _suspended(context: RunContext, run: FlowRun, wanted: Wanted[Any] | None) -> str:
    if not context.persists:
        _log(
            context,
            "Of what was done so far, only results of tasks with persist_result=True are kept: the rest is done again."
            f" @flow(persist_result=True) keeps all of {run.flow_name!r}.",
        )
    return f"To resume: {_command(run, wanted)}. It begins anew then, and passes what is kept."


def _command(run: FlowRun, wanted: Wanted[Any] | None) -> str:
    fields = "" if wanted is None else "".join(f" -p {name}=…" for name in wanted.schema.get("required") or ())
    name, place = os.environ.get(ENV_RUN) or run.name, os.environ.get(ENV_NAMESPACE)
    flags = f" -n {place}" if os.environ.get(ENV_RUN) and place else ""
    return f"towpath runs resume {name}{flags}{fields}"


def _log(context: RunContext, message: str) -> None:
    from towpath.loggers import configure, run_logger

    configure()
    run_logger(context).warning("%s", message)
