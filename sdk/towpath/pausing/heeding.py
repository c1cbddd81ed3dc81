"""What a run does that somebody outside has asked to wait: it does so at its next call of a task or flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towpath.context import RunContext, current
from towpath.engine.calls import call
from towpath.history.wishes import ANY, WISHES
from towpath.pausing.here import pauses
from towpath.pausing.waiting import Waits, wait_here, waited, waited_async
from towpath.slugs import new_id

if TYPE_CHECKING:
    from towpath.definitions import Definition


def heed(definition: Definition[..., Any]) -> bool:
    """Wait, if the run that calls was asked to; tell whether it has yet to, because only `call_later` can.

    Args:
        definition: what is about to be called.
    """
    context = current()
    if context is None or context.task_run is not None or context.flow_run is None:
        return False
    if context.flow_run.id not in WISHES and ANY not in WISHES:
        return False
    if context.flow is None or not context.flow.is_async:
        waited(_wait(context))
        return False
    return definition.is_async  # a call that nobody awaits would hold up the event loop: the next one then


async def call_later(definition: Definition[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Wait, and make the call then."""
    context = current()
    assert context is not None
    await waited_async(_wait(context))
    return await call(definition, args, kwargs)


def _wait(context: RunContext) -> Waits[None]:
    run = context.flow_run
    assert run is not None
    is_suspension = WISHES.pop(run.id, WISHES.get(ANY))
    if is_suspension is not None and pauses().heed(run.id):
        yield from wait_here(None, seconds=None, key=new_id(), is_suspension=is_suspension, is_asked_for=True)
