"""What the current run is, for code that would rather ask than be handed it.

    from towpath import runtime

    runtime.flow_run.name, runtime.flow_run.parameters, runtime.flow_run.run_count
    runtime.task_run.name, runtime.task_run.tags
    runtime.deployment.name

Outside of any run everything is None, or empty, but for `scheduled_start_time`, which is now. `api_url`, `ui_url`,
`job_variables` and `parent_deployment_id` are so everywhere: scripts that came from elsewhere ask for them, and no
server is there to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
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
    parent_deployment_id: None
    root_flow_run_id: str | None
    job_variables: dict[str, Any]
    api_url: None
    ui_url: None

    def __getattr__(self, name: str) -> Any:
        context = current()
        return _look_up(_FLOW_RUN, name, None if context is None else context.flow_run)

    @property
    def scheduled_start_time(self) -> datetime:
        """When the run was due; of one that nobody had scheduled, when it began; now, where there is none."""
        context = current()
        run = None if context is None else context.flow_run
        known = None if run is None else run.expected_start_time
        return known or datetime.now(UTC)

    def __dir__(self) -> list[str]:
        return sorted((*_FLOW_RUN, "scheduled_start_time"))


class _TaskRun:
    """The task run that the current code belongs to."""

    id: str | None
    name: str | None
    task_name: str | None
    tags: list[str]
    parameters: dict[str, Any]
    run_count: int
    api_url: None
    ui_url: None

    def __getattr__(self, name: str) -> Any:
        context = current()
        return _look_up(_TASK_RUN, name, None if context is None else context.task_run)

    def __dir__(self) -> list[str]:
        return sorted(_TASK_RUN)


class _Deployment:
    """The deployment that the current flow run comes from."""

    id: str | None
    name: str | None
    flow_run_id: str | None
    flow_run_name: str | None

    def __getattr__(self, name: str) -> Any:
        context = current()
        return _look_up(_DEPLOYMENT, name, None if context is None else context.flow_run)

    def __dir__(self) -> list[str]:
        return sorted(_DEPLOYMENT)


_UNKNOWN: Final[tuple[str, Any]] = ("", None)
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
    "parent_deployment_id": _UNKNOWN,
    "root_flow_run_id": ("root_id", None),
    "job_variables": ("", {}),
    "api_url": _UNKNOWN,
    "ui_url": _UNKNOWN,
}
_TASK_RUN: Final[Mapping[str, tuple[str, Any]]] = {
    "id": ("id", None),
    "name": ("name", None),
    "task_name": ("task_name", None),
    "tags": ("tags", []),
    "parameters": ("parameters", {}),
    "run_count": ("run_count", 0),
    "api_url": _UNKNOWN,
    "ui_url": _UNKNOWN,
}
_DEPLOYMENT: Final[Mapping[str, tuple[str, Any]]] = {
    "id": ("deployment", None),
    "name": ("deployment", None),
    "flow_run_id": ("id", None),
    "flow_run_name": ("name", None),
}


def _look_up(names: Mapping[str, tuple[str, Any]], name: str, run: FlowRun | TaskRun | None) -> Any:
    if name not in names:
        raise AttributeError(f"The runtime knows no {name!r}; it knows {', '.join(sorted(names))}.")
    own, nothing = names[name]
    value = nothing if run is None or not own else getattr(run, own)
    if isinstance(nothing, list):
        return sorted(value)
    return dict(value) if isinstance(nothing, dict) else value


flow_run: Final = _FlowRun()
task_run: Final = _TaskRun()
deployment: Final = _Deployment()
