"""Pausing, suspending and resuming flow runs, and waiting for their ends.

    @flow(persist_result=True)
    def publish(day: str) -> str:
        report = write(day)
        approval = pause_flow_run(wait_for_input=Approval, timeout=24 * 3600)
        return upload(report) if approval.granted else "dropped"

    resume_flow_run("witty-otter", run_input={"granted": True})   # or: towpath runs resume witty-otter -p granted=true

In an async flow `pause_flow_run` and `suspend_flow_run` give a coroutine: `await pause_flow_run(...)`; so does
`resume_flow_run` in code that runs in an event loop. Their typed twins are `apause_flow_run`, and so on.
"""

# ruff: noqa: ASYNC109 timeouts as the synchronous twins have them
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, overload

from towpath.context import current
from towpath.elsewhere import wait_for_flow_run
from towpath.pausing.waiting import Waits, current_flow, wait_here, waited, waited_async

if TYPE_CHECKING:
    from uuid import UUID

    from towpath.pausing.wanted import Wanted

__all__ = [
    "apause_flow_run",
    "aresume_flow_run",
    "asuspend_flow_run",
    "pause_flow_run",
    "resume_flow_run",
    "suspend_flow_run",
    "wait_for_flow_run",
]

T = TypeVar("T")


@overload
def pause_flow_run(
    wait_for_input: None = None,
    timeout: float | None = 3600,
    poll_interval: float | None = None,
    key: str | None = None,
) -> None: ...
@overload
def pause_flow_run(
    wait_for_input: type[T],
    timeout: float | None = 3600,
    poll_interval: float | None = None,
    key: str | None = None,
) -> T: ...
def pause_flow_run(
    wait_for_input: type[T] | None = None,
    timeout: float | None = 3600,
    poll_interval: float | None = None,
    key: str | None = None,
) -> T | None:
    """Have the current flow run wait in its process until somebody resumes it; gives the input.

    Tasks that were submitted before go on. A cancel, Ctrl-C, SIGTERM and the flow's own `timeout_seconds`, whose clock
    goes on, end the wait. A pause that was answered, before the run was suspended, retried or tried again, is passed.

    Args:
        wait_for_input: what input to wait for: a `RunInput`, a pydantic model, or a type such as int or list[str].
        timeout: seconds; None: as long as it takes.
        poll_interval: taken for compatibility; a resumed run goes on within a moment.
        key: names the pause, which by default is known by its number in the run's code.

    Raises:
        FlowPauseTimeout: nobody has resumed the run in time.
        PauseError: a task cannot be paused; or what is wanted cannot be told to others.
        MissingContext: there is no flow run here.
    """
    del poll_interval
    return _in_flow(_wait(wait_for_input, timeout, key, is_suspension=False))


@overload
async def apause_flow_run(
    wait_for_input: None = None,
    timeout: float | None = 3600,
    poll_interval: float | None = None,
    key: str | None = None,
) -> None: ...
@overload
async def apause_flow_run(
    wait_for_input: type[T],
    timeout: float | None = 3600,
    poll_interval: float | None = None,
    key: str | None = None,
) -> T: ...
async def apause_flow_run(
    wait_for_input: type[T] | None = None,
    timeout: float | None = 3600,
    poll_interval: float | None = None,
    key: str | None = None,
) -> T | None:
    """Do as `pause_flow_run`, in an event loop."""
    del poll_interval
    return await waited_async(_wait(wait_for_input, timeout, key, is_suspension=False))


@overload
def suspend_flow_run(
    wait_for_input: None = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> None: ...
@overload
def suspend_flow_run(
    wait_for_input: type[T],
    flow_run_id: UUID | str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> T: ...
def suspend_flow_run(
    wait_for_input: type[T] | None = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> T | None:
    """End the current flow run's process until somebody resumes it; then the flow begins anew and this gives the input.

    What the flow did before is done again, unless its results are kept: `@flow(persist_result=True)`. Flows that called
    it in its process are suspended with it. What was submitted before is waited for.

    Args:
        wait_for_input: as in `pause_flow_run`.
        flow_run_id: id or name of another run, which is then suspended at its next call of a task or flow.
        timeout: seconds; who resumes it later comes too late, and it has FAILED. None: as long as it takes.
        key: as in `pause_flow_run`.

    Raises:
        FlowSuspended: unwinds the flow; nothing to be caught.
        PauseError: no process could begin the run anew, or it is a task that calls.
        MissingContext: there is no flow run here.
    """
    if flow_run_id is not None:
        return in_place(_ask(str(flow_run_id), wait_for_input))
    return _in_flow(_wait(wait_for_input, timeout, key, is_suspension=True))


@overload
async def asuspend_flow_run(
    wait_for_input: None = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> None: ...
@overload
async def asuspend_flow_run(
    wait_for_input: type[T],
    flow_run_id: UUID | str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> T: ...
async def asuspend_flow_run(
    wait_for_input: type[T] | None = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> T | None:
    """Do as `suspend_flow_run`, in an event loop."""
    if flow_run_id is not None:
        return await waited_async(_ask(str(flow_run_id), wait_for_input))
    return await waited_async(_wait(wait_for_input, timeout, key, is_suspension=True))


def resume_flow_run(flow_run_id: UUID | str, run_input: Any = None) -> None:
    """Resume a run that is paused or suspended: one of this machine, or else of the cluster that the kubeconfig names.

    A run that is paused goes on. One that is suspended begins anew: its server starts it, the operator in a cluster, or
    a new process if it is neither served here nor in a cluster.

    Args:
        flow_run_id: id or name of the run, or of one above the only run that waits.
        run_input: the input: an object with its fields, a model, or the value where a plain type is wanted.

    Raises:
        NoSuchRun: there is none.
        NotPausedError: it does not wait; somebody else may have been faster.
        ParameterError: the input is wrong, with each field; the run waits on.
        PauseError: several runs below it wait, or it cannot begin anew.
    """
    return in_place(_resume(str(flow_run_id), run_input))


async def aresume_flow_run(flow_run_id: UUID | str, run_input: Any = None) -> None:
    """Do as `resume_flow_run`, in an event loop."""
    await waited_async(_resume(str(flow_run_id), run_input))


def _wait(
    wait_for_input: type[T] | None, timeout: float | None, key: str | None, *, is_suspension: bool
) -> Waits[T | None]:
    current_flow("suspended" if is_suspension else "paused")  # before anything is loaded
    wanted: Wanted[T] | None = None
    if wait_for_input is not None:
        from towpath.pausing.wanted import Wanted

        wanted = Wanted(wait_for_input)
    return (yield from wait_here(wanted, seconds=timeout, key=key, is_suspension=is_suspension))


def _ask(which: str, wait_for_input: Any) -> Waits[None]:
    from towpath.pausing.asking import ask

    if wait_for_input is not None:
        raise TypeError("Another run is suspended without input: leave out wait_for_input, or flow_run_id.")
    ask(which, is_suspension=True)
    yield from ()


def _resume(which: str, run_input: Any) -> Waits[None]:
    from towpath.pausing.port import Next
    from towpath.pausing.resuming import resume, start_elsewhere

    begun = yield from resume(which, run_input)
    if begun.then is Next.TO_BE_STARTED:
        start_elsewhere(begun.run_id)


def _in_flow(steps: Waits[T]) -> T:
    """Go through steps: in a synchronous flow here and now, in an async one when what this gives is awaited."""
    context = current()
    if context is not None and context.flow is not None and context.flow.is_async:
        in_loop: Any = waited_async(steps)
        return in_loop  # type: ignore[no-any-return]
    return waited(steps)


def in_place(steps: Waits[T]) -> T:
    """Go through steps: here and now, or in an event loop when what this gives is awaited."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return waited(steps)
    in_loop: Any = waited_async(steps)
    return in_loop  # type: ignore[no-any-return]
