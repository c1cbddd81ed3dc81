"""Loggers, under the module's name that authors know.

from towpath.logging import disable_run_logger, get_logger, get_run_logger

def test_the_plain_function():
    with disable_run_logger():
        assert fetch.fn("https://example.org") == "text"    # its get_run_logger() says nothing, and needs no run
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from towpath import loggers
from towpath.context import RunContext
from towpath.loggers import RunLogger, get_run_logger, run_logger

if TYPE_CHECKING:
    from towpath.flows import Flow
    from towpath.runs import FlowRun, TaskRun
    from towpath.tasks import Task

__all__ = ["disable_run_logger", "flow_run_logger", "get_logger", "get_run_logger", "task_run_logger"]


def flow_run_logger(flow_run: FlowRun, flow: Flow[..., Any] | None = None) -> RunLogger:
    """Give the logger of a flow run, such as one that a hook is told of."""
    return run_logger(RunContext(flow=flow, flow_run=flow_run, scope=None, log_prints=False))


def task_run_logger(task_run: TaskRun, task: Task[..., Any] | None = None) -> RunLogger:
    """Give the logger of a task run, such as one that a hook is told of."""
    return run_logger(
        RunContext(flow=None, flow_run=task_run.flow_run, scope=None, log_prints=False, task=task, task_run=task_run)
    )


def get_logger(name: str | None = None) -> logging.Logger:
    """Give a logger below `towpath`, which writes as runs do; the one at the top by default.

    Args:
        name: for example `etl`, for `towpath.etl`.
    """
    if name is None or name == "towpath" or name.startswith("towpath."):
        return loggers.get_logger(name or "towpath")
    return loggers.get_logger(f"towpath.{name}")


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Let runs log nothing within the block, and `get_run_logger()` give a silent logger where there is no run."""
    silenced = [loggers.get_logger(name) for name in loggers.OF_RUNS]
    before = [logger.disabled for logger in silenced]
    try:
        for logger in silenced:
            logger.disabled = True
        yield
    finally:
        for logger, was in zip(silenced, before, strict=True):
            logger.disabled = was
