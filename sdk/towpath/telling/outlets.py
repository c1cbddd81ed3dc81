"""Where what is told goes from here."""

from __future__ import annotations

import os

from towpath.context import current
from towpath.names import ENV_RUN
from towpath.telling.port import Origin, Outlet


def outlet() -> Outlet:
    """Give the place for what the current code tells.

    In a process of its own that only calls a task, it is where the process of the flow run says; else the history of
    this machine, unless this is a pod, or the history is switched off.
    """
    context = current()
    if context is not None and context.scope is not None and context.scope.surroundings.outlet is not None:
        return context.scope.surroundings.outlet
    if is_pod() or not _keeps_history():
        from towpath.telling.lines import LINES

        return LINES
    from towpath.history.recorder import RECORDER
    from towpath.telling.local import HistoryOutlet

    return HistoryOutlet(RECORDER)


def origin() -> Origin:
    """Tell which run the current code belongs to."""
    context = current()
    if context is None:
        return Origin()
    flow_run, task_run = context.flow_run, context.task_run
    return Origin(
        None if flow_run is None else flow_run.id,
        None if flow_run is None else flow_run.name,
        None if task_run is None else task_run.id,
        None if task_run is None else task_run.name,
    )


def is_pod() -> bool:
    """Tell whether this process runs a FlowRun in its pod."""
    return bool(os.environ.get(ENV_RUN))


def _keeps_history() -> bool:
    from towpath.history.place import history_file

    try:
        return history_file() is not None
    except OSError:  # the recorder has told, and records nothing
        return False
