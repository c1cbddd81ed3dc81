"""What the core's effects mean for a flow run and for a task run.

Whatever may have to be awaited is written once, as a generator of awaitables (`loops.settled`); the synchronous driver
runs each, the asynchronous one awaits it.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from towpath import resolve, settings
from towpath.context import RunContext
from towpath.engine.effects import READY, Answer, Enter, Event, Plan, Raised, Returned, Settle, TimedOut
from towpath.engine.reports import log_entry, log_error
from towpath.futures import arrive
from towpath.retries import delays_of
from towpath.states import TERMINAL, State, StateType

if TYPE_CHECKING:
    from towpath.definitions import Definition
    from towpath.engine.interrupts import Stretch
    from towpath.engine.ports import Surroundings
    from towpath.runs import FlowRun, TaskRun

HOOKS_OF: Final[Mapping[StateType, str]] = {
    StateType.RUNNING: "on_running",
    StateType.COMPLETED: "on_completion",
    StateType.FAILED: "on_failure",
    StateType.CANCELLED: "on_cancellation",
    StateType.CRASHED: "on_crashed",
}
Steps = Generator[Awaitable[Any], Any, Any]


class Execution:
    """One run, and how to do with it what the core wants done."""

    __slots__ = (
        "args",
        "context",
        "definition",
        "kwargs",
        "plan",
        "run",
        "stretch",
        "surroundings",
        "timeout_seconds",
        "unfit",
        "wait_for",
    )
    context: RunContext
    definition: Definition[..., Any]
    plan: Plan
    run: FlowRun | TaskRun
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    wait_for: Any
    surroundings: Surroundings
    stretch: Stretch | None
    """How the run may be ended from outside; None if only together with the run that it is called in."""
    timeout_seconds: float | None

    def prepare(self) -> Event:
        """Resolve what comes from other runs, wait for it if need be, and see that the arguments fit."""
        raise NotImplementedError

    async def prepare_async(self) -> Event:
        """Prepare, without blocking the event loop while other runs are waited for."""
        await arrive(resolve.pending(self.args, self.kwargs, self.wait_for))
        return self.prepare()

    def admit(self) -> Event:
        """Wait for slots of limits, in this thread."""
        return READY

    async def admit_async(self) -> Event:
        """Wait for slots of limits, in this event loop."""
        return READY

    def enter(self, effect: Enter) -> None:
        """Put the run into a state."""
        state, run = effect.state, self.run
        now = self.surroundings.clock.now()
        state.stamp(now)
        if effect.due_in_seconds is not None:
            state.scheduled_time = datetime.fromtimestamp(now + effect.due_in_seconds, UTC)
        run.state = state
        if state.type is StateType.RUNNING:
            run.run_count += 1
            if run.started is None:
                run.started = now
        elif state.type in TERMINAL:
            run.ended = now
        if (recorder := self.surroundings.recorder) is not None:
            recorder.enter(run, state, now)  # before the log: the record's first note has the log's lines noted too
        log_entry(self.context, state)

    def hooks(self, state: State[Any]) -> Steps:
        """Run the hooks of a state; what they raise is logged and changes nothing."""
        for hook in self.definition.hooks(HOOKS_OF[state.type]):
            try:
                answer = hook(self.definition, self.run, state)
                if isinstance(answer, Awaitable):
                    yield answer
            except Exception as error:
                log_error(self.context, f"Hook {_name_of(hook)!r} failed; the run goes on.", error)

    def ask(self, state: State[Any]) -> Generator[Awaitable[Any], Any, Answer]:
        """Ask the retry condition; if it fails, there is no further try."""
        assert self.definition.retry_condition_fn is not None
        try:
            answer = self.definition.retry_condition_fn(self.definition, self.run, state)
            if isinstance(answer, Awaitable):
                answer = yield answer
            return Answer(bool(answer))
        except Exception as error:
            log_error(self.context, "The retry condition failed, so there is no further try.", error)
            return Answer(retry=False)

    def call(self) -> Event:
        """Call user code in this thread."""
        if self.timeout_seconds is not None:
            from towpath.engine.timeouts import within

            event = within(self.timeout_seconds, self._value)
            return Raised(event.error, unfit=True) if self.unfit and isinstance(event, Raised) else event
        try:
            return Returned(self._value())
        except Exception as error:
            return Raised(error, unfit=self.unfit)

    async def call_async(self) -> Event:
        """Call user code in this event loop."""
        try:
            if self.timeout_seconds is None:
                return Returned(await self._value_async())
            import asyncio

            limit = asyncio.timeout(self.timeout_seconds)
            try:
                async with limit:
                    value = await self._value_async()
            except TimeoutError:
                if not limit.expired():
                    raise
            return TimedOut(self.timeout_seconds) if limit.expired() else Returned(value)
        except Exception as error:
            return Raised(error, unfit=self.unfit)

    def release(self) -> None:
        """Let go of the arguments: the run has ended, its facts may be kept for long."""
        self.args, self.kwargs, self.wait_for = (), {}, None

    def report(self, state: State[Any]) -> None:
        """Tell the reporter; of a task run nobody is told."""

    def settle(self, effect: Settle) -> Event:
        """Bring to its end what user code has started; what a task starts belongs to its flow."""

    async def settle_async(self, effect: Settle) -> Event:
        """Bring to its end what user code has started."""

    def cause(self, error: BaseException) -> BaseException:
        """Give the exception that the run was ended with from outside for the one that came through."""
        return self.stretch.cause(error) if self.stretch is not None else error

    def _value(self) -> Any:
        value = self._start()
        if type(value) in resolve.ATOMS:
            return value
        if isinstance(value, types.GeneratorType):
            value = list(value)
        elif isinstance(value, (Coroutine, types.AsyncGeneratorType)):
            from towpath.engine.loops import run_anywhere

            value = run_anywhere(_awaited(value))
        return resolve.to_states(value) if self._may_hold_runs(value) else value

    async def _value_async(self) -> Any:
        value = await _awaited(self._start())
        if self._may_hold_runs(value):
            await arrive(resolve.pending(value))
            value = resolve.to_states(value)
        return value

    def _start(self) -> Any:
        try:
            return self.definition.fn(*self.args, **self.kwargs)
        except TypeError as error:
            at = error.__traceback__
            self.unfit = at is not None and at.tb_next is None  # raised by the call itself: no user code has run
            raise

    def _may_hold_runs(self, value: Any) -> bool:
        raise NotImplementedError


def plan_of(definition: Definition[..., Any], *, is_flow: bool) -> Plan:
    """Give what the core has to know of a flow or task; kept until a hook is added."""
    plan = definition.plan
    if plan is None:
        plan = definition.plan = Plan(
            noun="Flow run" if is_flow else "Task run",
            retries=definition.retries,
            delays=delays_of(definition.retry_delay_seconds, definition.retries),
            jitter_factor=definition.retry_jitter_factor or 0.0,
            asks=definition.retry_condition_fn is not None,
            is_flow=is_flow,
            hooked=frozenset(type_ for type_, hook in HOOKS_OF.items() if definition.hooks(hook)),
        )
    return plan


def prints_logged(wish: bool | None, outer: RunContext | None) -> bool:
    """Tell whether `print` goes to the log: as wished, else as in the run round it, else as set."""
    wanted = wish if wish is not None else outer.log_prints if outer is not None else settings.log_prints()
    if wanted:
        from towpath.loggers import show_prints_in_log

        show_prints_in_log()
    return wanted


def persists_in(definition: Definition[..., Any], outer: RunContext | None) -> bool:
    """Tell whether results are kept: as the definition says, else as in the run round it, else as set."""
    said: bool | None = definition.persists
    if said is not None:
        return said
    return outer.persists if outer is not None else settings.persist_by_default()


def rendered(template: str | Callable[..., str], parameters: Mapping[str, Any], fn: Callable[..., Any]) -> str:
    """Make a run's name from a template over the parameters, or by a function that may take them.

    Args:
        template: which; that of a method may name `self`, or `cls`.
        parameters: by name.
        fn: what runs.
    """
    if isinstance(template, str):
        subject = getattr(fn, "__self__", None)
        own = {} if subject is None else {"cls" if isinstance(subject, type) else "self": subject}
        return template.format(**{**own, **parameters})
    import inspect

    takes = "parameters" in inspect.signature(template).parameters
    name = template(parameters=dict(parameters)) if takes else template()
    if not isinstance(name, str) or not name:
        raise TypeError(f"The function that names runs gave {name!r}; it has to give a text.")
    return name


async def _awaited(value: Any) -> Any:
    if isinstance(value, types.AsyncGeneratorType):
        return [item async for item in value]
    return await value if isinstance(value, Awaitable) else value


def _name_of(hook: Callable[..., Any]) -> str:
    return getattr(hook, "__name__", None) or repr(hook)
