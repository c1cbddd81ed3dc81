"""Where what is told goes from here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from towpath.context import current
from towpath.names import ENV_RUN
from towpath.telling.port import Origin, Outlet

if TYPE_CHECKING:
    from towpath.engine.ports import Recorder


def outlet() -> Outlet:
    """Give the place for what the current code tells: the history, unless this is a pod, or it is switched off."""
    if is_pod() or not _keeps_history():
        from towpath.telling.lines import LINES

        return LINES
    from towpath.telling.local import HistoryOutlet

    return HistoryOutlet(_recorder())


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


def _recorder() -> Recorder:
    """Give what takes notes for the current run: this process's recorder, or the way to that of the flow run."""
    from towpath.history.recorder import RECORDER

    context = current()
    scope = None if context is None else context.scope
    return (None if scope is None else scope.surroundings.recorder) or RECORDER
