"""`with_context`: a function of the current run, in threads and processes that the author starts."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from towpath import flow, runtime, tags, task
from towpath.context import current_tags, with_context
from towpath.logging import get_run_logger

Where = tuple[str | None, str | None, Any, int]


def where(x: int) -> Where:
    """Tell of which run the current code is part, and log it."""
    get_run_logger().info("part of a run")
    return runtime.flow_run.name, runtime.task_run.name, runtime.flow_run.parameters, x


@task
def in_threads() -> list[Where]:
    """Ask in threads, several at a time."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(with_context(where), range(8)))


@task
def in_processes() -> list[Where]:
    """Ask in processes."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(with_context(where), range(3)))


@flow(flow_run_name="main")
def main(n: int) -> list[list[Where]]:
    """Ask everywhere."""
    with ThreadPoolExecutor(1) as pool:
        return [in_threads(), in_processes(), [pool.submit(with_context(where), 9).result()]]


def test_a_function_takes_its_run_along() -> None:
    """Into threads and processes alike: the flow run, the task run and the logger."""
    threads, processes, of_flow = main(3)
    assert threads == [("main", "in_threads-0", {"n": 3}, x) for x in range(8)]
    assert processes == [("main", "in_processes-0", {"n": 3}, x) for x in range(3)]
    assert of_flow == [("main", None, {"n": 3}, 9)]


def test_it_takes_along_what_was_in_force_where_it_was_made() -> None:
    """Tags, for example; and outside of any run, it is the plain function."""
    with tags("a"):
        tagged = with_context(current_tags)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(tagged).result() == {"a"}
    assert current_tags() == frozenset()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(with_context(abs), -1).result() == 1
