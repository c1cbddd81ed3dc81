"""Putting a flow run into a state in the midst of its code: it waits for somebody, and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towpath.engine.reports import log_entry

if TYPE_CHECKING:
    from towpath.context import RunContext
    from towpath.states import State


def stand(context: RunContext, state: State[Any]) -> None:
    """Put the current flow run into a state that its code goes on from; in the history when this returns.

    Args:
        context: of the run, in its own code.
        state: PAUSED, or RUNNING after that; neither a new try nor an end.
    """
    run, scope = context.flow_run, context.scope
    assert run is not None
    assert scope is not None
    now = scope.surroundings.clock.now()
    state.stamp(now)
    run.state = state
    log_entry(context, state)
    if (recorder := scope.surroundings.recorder) is not None:
        recorder.enter(run, state, now)
        recorder.flush()
    if (screen := scope.surroundings.screen) is not None:
        screen.enter(run)
