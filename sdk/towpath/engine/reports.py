"""What is said in the log of a run's way: enough to follow it, and each exception's traceback once."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Any

from towpath.context import RunContext
from towpath.states import AWAITING_RETRY, AWAITING_SLOT, State, StateType

_TOLD = "_towpath_told"


def log_entry(context: RunContext, state: State[Any]) -> None:
    """Log that a run has entered a state. Task runs that go well are silent; so a million of them cost nothing."""
    if context.task_run is not None and (
        state.type in {StateType.RUNNING, StateType.COMPLETED} or state.name == AWAITING_SLOT
    ):
        return
    from towpath.loggers import configure, run_logger

    configure()
    logger = run_logger(context)
    if state.type is StateType.RUNNING:
        if state.message:  # it goes on after a pause
            logger.info("%s", state.message)
        elif context.flow_run is not None and context.flow_run.run_count == 1:
            kind = "subflow" if context.flow_run.depth else "flow"
            logger.info("Beginning %s run %r for flow %r", kind, context.flow_run.name, context.flow_run.flow_name)
    elif state.name == AWAITING_RETRY:
        logger.warning("%s", state.message)
    elif state.type is StateType.COMPLETED:
        logger.info("Finished in state %s", state)
    elif state.type is StateType.PAUSED:
        logger.info("%s: %s", state.name, state.message or "the run waits for somebody to resume it.")
    else:
        logger.error("Finished in state %s", state, exc_info=_news(state.data))


def log_error(context: RunContext, message: str, error: Exception) -> None:
    """Log something that went wrong beside the run itself."""
    from towpath.loggers import configure, run_logger

    configure()
    run_logger(context).error("%s", message, exc_info=error)


def authors_part(at: TracebackType | None) -> TracebackType | None:
    """Give a traceback from the first frame on that is not the engine's own."""
    while at is not None and at.tb_frame.f_globals.get("__name__", "").startswith("towpath."):
        at = at.tb_next
    return at


def _news(error: Any) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    """Give an exception with the part of its traceback that is the author's; None for one that was told before."""
    if not isinstance(error, Exception) or getattr(error, _TOLD, False):
        return None
    at = authors_part(error.__traceback__)
    with suppress(AttributeError, TypeError):  # an exception with slots only is told again
        setattr(error, _TOLD, True)
    return (type(error), error, at) if at is not None else None
