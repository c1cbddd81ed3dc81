"""Where submitted tasks run: the task runners, under the module's name that authors know."""

from __future__ import annotations

from towpath.dask_runner import DaskTaskRunner
from towpath.process_runner import ProcessPoolTaskRunner
from towpath.runners import TaskRunner, ThreadPoolTaskRunner

__all__ = ["ConcurrentTaskRunner", "DaskTaskRunner", "ProcessPoolTaskRunner", "TaskRunner", "ThreadPoolTaskRunner"]

ConcurrentTaskRunner = ThreadPoolTaskRunner
