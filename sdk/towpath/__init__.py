"""Towpath: Python flows on Kubernetes.

    from towpath import flow, task

    @task(retries=3)
    def fetch(url: str) -> bytes: ...

    @flow
    def crawl(urls: list[str]) -> int:
        return sum(len(page) for page in fetch.map(urls).result())

This module loads nothing but itself; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towpath import (
        artifacts,
        blocks,
        cache_policies,
        events,
        filesystems,
        locking,
        results,
        runtime,
        serializers,
        transactions,
        variables,
    )
    from towpath.annotations import allow_failure, opaque, quote, unmapped
    from towpath.context import get_run_context, tags
    from towpath.dask_runner import DaskTaskRunner
    from towpath.deployments import arun_deployment, run_deployment
    from towpath.flow_runs import (
        apause_flow_run,
        aresume_flow_run,
        asuspend_flow_run,
        pause_flow_run,
        resume_flow_run,
        suspend_flow_run,
    )
    from towpath.flows import Flow, flow
    from towpath.futures import Future, FutureList, as_completed, wait
    from towpath.loggers import get_run_logger
    from towpath.process_runner import ProcessPoolTaskRunner
    from towpath.retries import exponential_backoff
    from towpath.runners import TaskRunner, ThreadPoolTaskRunner
    from towpath.serving.session import aserve, serve
    from towpath.states import (
        AwaitingRetry,
        Cancelled,
        Cancelling,
        Completed,
        Crashed,
        Failed,
        Paused,
        Pending,
        Retrying,
        Running,
        Scheduled,
        State,
        StateType,
    )
    from towpath.tasks import Task, task

_HOMES = {
    "annotations": "allow_failure opaque quote unmapped",
    "context": "get_run_context tags",
    "dask_runner": "DaskTaskRunner",
    "deployments": "arun_deployment run_deployment",
    "flow_runs": "apause_flow_run aresume_flow_run asuspend_flow_run pause_flow_run resume_flow_run suspend_flow_run",
    "flows": "Flow flow",
    "futures": "Future FutureList as_completed wait",
    "loggers": "get_run_logger",
    "process_runner": "ProcessPoolTaskRunner",
    "retries": "exponential_backoff",
    "runners": "TaskRunner ThreadPoolTaskRunner",
    "serving.session": "aserve serve",
    "states": "AwaitingRetry Cancelled Cancelling Completed Crashed Failed Paused Pending Retrying Running Scheduled"
    " State StateType",
    "tasks": "Task task",
}
_MODULES = frozenset(
    {
        "artifacts",
        "blocks",
        "cache_policies",
        "events",
        "filesystems",
        "locking",
        "results",
        "runtime",
        "serializers",
        "transactions",
        "variables",
    }
)
_HOME_OF = {name: f"towpath.{module}" for module, names in _HOMES.items() for name in names.split()}

__version__ = "0.1.0"
__all__ = [
    "AwaitingRetry",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "DaskTaskRunner",
    "Failed",
    "Flow",
    "Future",
    "FutureList",
    "Paused",
    "Pending",
    "ProcessPoolTaskRunner",
    "Retrying",
    "Running",
    "Scheduled",
    "State",
    "StateType",
    "Task",
    "TaskRunner",
    "ThreadPoolTaskRunner",
    "__version__",
    "allow_failure",
    "apause_flow_run",
    "aresume_flow_run",
    "artifacts",
    "arun_deployment",
    "as_completed",
    "aserve",
    "asuspend_flow_run",
    "blocks",
    "cache_policies",
    "events",
    "exponential_backoff",
    "filesystems",
    "flow",
    "get_run_context",
    "get_run_logger",
    "locking",
    "opaque",
    "pause_flow_run",
    "quote",
    "results",
    "resume_flow_run",
    "run_deployment",
    "runtime",
    "serializers",
    "serve",
    "suspend_flow_run",
    "tags",
    "task",
    "transactions",
    "unmapped",
    "variables",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"towpath.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'towpath' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
