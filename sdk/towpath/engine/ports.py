"""What the engine asks of the world: a clock, somewhere to report to, and somewhere to run a flow that a flow calls.

On a laptop nothing is plugged in: states are logged, a subflow runs in its parent's process. In a pod the entry plugs
in the cluster's adapters:

    state = run_flow(                      # towpath.engine.drive; never raises what user code raised
        flow, parameters,
        run=FlowRun(flow_name=flow.name, name=..., id=..., attempt=1, depth=0),
        reporter=reporter, launcher=launcher,
        retries=None, timeout_seconds=None,    # what the resource says; None: as the flow was decorated
        interrupt=interrupt,                   # interrupt.end(cancelled=True) from a signal handler or another thread
    )

Order of a run: parameters are bound and validated (wrong ones: FAILED with a ParameterError, never RUNNING, and
`run.run_count` is 0) → `reporter.report(run, RUNNING)` returns → user code → its submitted tasks have ended → hooks →
`reporter.report(run, end)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from towpath.concurrency.port import Slots
    from towpath.flows import Flow
    from towpath.futures import Future
    from towpath.runs import FlowRun, TaskRun
    from towpath.states import State
    from towpath.telling.port import Outlet


class Clock(Protocol):
    """Where the engine takes time from."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait in a thread; an interrupt of the run ends the wait."""

    async def sleep_async(self, seconds: float) -> None:
        """Wait in an event loop."""


class Reporter(Protocol):
    """Who is told how a flow run goes."""

    def report(self, run: FlowRun, state: State[Any]) -> None:
        """Take note of a state before it takes hold: RUNNING, AwaitingRetry, Retrying, the end.

        User code waits for this to return. What it raises ends the process's work on the run: it leaves `run_flow` as
        it is, and no user code runs after it.

        Args:
            run: name, id, `parameters` (validated), `tasks` (counts of its task calls), `run_count` and times so far.
            state: the new state, with `type`, `name`, `message`, `timestamp`, and `data`: the value of a COMPLETED run,
                the exception of one that is not.
        """


@dataclass(frozen=True, slots=True)
class FlowCall:
    """A flow called in a flow: everything a launcher needs to run it elsewhere."""

    flow: Flow[Any, Any]
    """What to run; `image`, `resources`, `template`, `retries`, `result_storage` … are attributes of it."""
    parameters: Mapping[str, Any]
    """Bound and validated Python values, defaults included; `towpath.parameters.to_json` makes them fit for travel."""
    parent: FlowRun
    """The run that calls."""
    tags: frozenset[str] = frozenset()
    """Tags in force where the call stands (`with tags(...)`), the parent's included."""


class Launcher(Protocol):
    """How a flow called in a flow runs, unless it is `inline=True`."""

    def launch(self, call: FlowCall) -> Future[Any]:
        """Start the call and return at once (one request to an API may be waited for).

        The launcher gives the future its end with `future.complete(state)`, from any thread: a terminal State whose
        `data` is the value, or the exception to raise in the parent. What `launch` raises becomes the call's own
        exception.
        """


class Recorder(Protocol):
    """Who keeps the record of runs on this machine; unlike a reporter's, its troubles are never a run's."""

    def enter(self, run: FlowRun | TaskRun, state: State[Any], now: float) -> None:
        """Take note that a run has entered a state, at `now` seconds since the epoch."""

    def leave(self, run: FlowRun, state: State[Any]) -> None:
        """Take note that a flow run has told a state of its own, its hooks for it done."""

    def flush(self) -> None:
        """Wait until all that was noted can be read by others, or cannot be."""


class Screen(Protocol):
    """Where a person sees the flow runs of this process while they go; what it does is never a run's trouble."""

    def enter(self, run: FlowRun) -> None:
        """Take note that a flow run has entered a state."""

    def leave(self, run: FlowRun) -> None:
        """Take note that a flow run has told its end, its hooks for it done."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run finds round it, and hands on to the runs that it calls in its process."""

    clock: Clock
    dice: Callable[[], float]
    """Gives a number from 0 up to 1, each as likely; spreads retries."""
    launcher: Launcher | None = None
    """Runs children elsewhere; None: in this process."""
    recorder: Recorder | None = None
    """Keeps the record; None: somebody else does."""
    screen: Screen | None = None
    """Shows the runs; None: nobody watches."""
    outlet: Outlet | None = None
    """Takes artifacts and events; None: as this process is set up (`towpath.telling.outlets`)."""
    slots: Slots | None = None
    """Where limits are kept; None: as this process is set up (`towpath.concurrency.place`)."""
