"""What the current run is, for code that would rather ask than be handed it.

    from towpath import runtime

    runtime.flow_run.name, runtime.flow_run.parameters, runtime.flow_run.run_count
    runtime.task_run.name, runtime.task_run.tags
    runtime.deployment.name

Outside of any run everything is None, or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from towpath.context import current
from towpath.runs import FlowRun, TaskRun


class _FlowRun:
    """The flow run that the current code belongs to."""

    id: str | None
    name: str | None
    flow_name: str | None
    flow_version: str | None
    tags: list[str]
    parameters: dict[str, Any]
    run_count: int
    attempt: int
    parent_flow_run_id: str | None
    root_flow_run_id: str | None
    scheduled_start_time: datetime | None

    def __getattr__(self, name: str) -> Any:
        context = current()
        return _look_up(_FLOW_RUN, name, None if context is None else context.flow_run)

    def __dir__(self) -> list[str]:
        return sorted(_FLOW_RUN)


class _TaskRun:
    """The task run that the current code belongs to."""

    id: str | None
    name: str | None
    task_name: str | None
    tags: list[str]
    parameters: dict[str, Any]
    run_count: int

    def __getattr__(self, name: str) -> Any:
        context = current()
        return _look_up(_TASK_RUN, name, None if context is None else context.task_run)

    def __dir__(self) -> list[str]:
        return sorted(_TASK_RUN)


class _Deployment:
    """The deployment that the current flow run comes from."""

    name: str | None
    flow_run_name: str | None

    def __getattr__(self, name: str) -> Any:
        context = current()
        return _look_up(_DEPLOYMENT, name, None if context is None else context.flow_run)

    def __dir__(self) -> list[str]:
        return sorted(_DEPLOYMENT)


#: From the name here to the run's own, and what it is where there is no run.
_FLOW_RUN: Final[Mapping[str, tuple[str, Any]]] = {
    "id": ("id", None),
    "name": ("name", None),
    "flow_name": ("flow_name", None),
    "flow_version": ("flow_version", None),
    "tags": ("tags", []),
    "parameters": ("parameters", {}),
    "run_count": ("run_count", 0),
    "attempt": ("attempt", 0),
    "parent_flow_run_id": ("parent_id", None),
    "root_flow_run_id": ("root_id", None),
    "scheduled_start_time": ("scheduled_time", None),
}
_TASK_RUN: Final[Mapping[str, tuple[str, Any]]] = {
    "id": ("id", None),
    "name": ("name", None),
    "task_name": ("task_name", None),
    "tags": ("tags", []),
    "parameters": ("parameters", {}),
    "run_count": ("run_count", 0),
}
_DEPLOYMENT: Final[Mapping[str, tuple[str, Any]]] = {
    "name": ("deployment", None),
    "flow_run_name": ("name", None),
}


def _look_up(names: Mapping[str, tuple[str, Any]], name: str, run: FlowRun | TaskRun | None) -> Any:
    if name not in names:
        raise AttributeError(f"The runtime knows no {name!r}; it knows {', '.join(sorted(names))}.")
    own, nothing = names[name]
    value = nothing if run is None else getattr(run, own)
    if isinstance(nothing, list):
        return sorted(value)
    return dict(value) if isinstance(nothing, dict) else value


flow_run: Final = _FlowRun()
task_run: Final = _TaskRun()
deployment: Final = _Deployment()
