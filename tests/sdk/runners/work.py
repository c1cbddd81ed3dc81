"""What the tests have done by task runners: tasks in a module, as most are, so that they travel by their names."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from towpath import TaskRunner, flow, get_run_logger, runtime, task
from towpath.cache_policies import INPUTS


class Odd(Exception):
    """Cannot be built from its args."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{why} ({code})")
        self.code = code


@task
def double(x: int) -> int:
    return 2 * x


@task
async def double_async(x: int) -> int:
    return 2 * x


@task
def count_to(n: int) -> Any:
    yield from range(n)


@task
def fail() -> None:
    raise Odd(7, why="no")


@task
def fib(n: int) -> int:
    if n < 2:
        return n
    first, second = fib.submit(n - 1), fib.submit(n - 2)
    return first.result() + second.result()


@task
def call_another(x: int) -> int:
    return double(x) + 1


@task
def tell() -> tuple[Any, ...]:
    return runtime.flow_run.name, runtime.task_run.name, runtime.task_run.parameters, runtime.task_run.tags


@task
def say(word: str) -> None:
    get_run_logger().warning("said %s", word)
    logging.getLogger("elsewhere").warning("also %s", word)


@task(log_prints=True)
def show(word: str) -> None:
    print(word)


@task
def doze(trace: Path) -> None:
    trace.with_suffix(".begun").write_text(str(os.getpid()), encoding="utf-8")
    try:
        for _ in range(2000):
            time.sleep(0.01)
    finally:
        trace.write_text("tidied", encoding="utf-8")


@task(retries=2)
def count_tries(trace: Path) -> int:
    with trace.open("a", encoding="utf-8") as file:
        file.write("x")
    if len(trace.read_text(encoding="utf-8")) < 3:
        raise ValueError("again")
    return len(trace.read_text(encoding="utf-8"))


@task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task
def die_after(trace: Path) -> None:
    with trace.open("a", encoding="utf-8") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


@task
def submit_and_wait(trace: Path) -> None:
    try:
        doze.submit(trace).result()
    finally:
        trace.with_name("outer").touch()


@task
def leave() -> None:
    raise SystemExit(3)


@task
def pass_on_much() -> int:
    made = [task(lambda i: bytes([i]) * 1_000_000).submit(i) for i in range(4)]
    return sum(task(len).map(made).result())


@task(cache_policy=INPUTS)
def kept(trace: Path) -> int:
    with trace.open("a", encoding="utf-8") as file:
        file.write("x")
    return len(trace.read_text(encoding="utf-8"))


@task
def submit_kept(trace: Path) -> int:
    return kept.submit(trace).result()


@task
def submit_a_lock() -> str:
    lock: Any = threading.Lock()
    return str(double.submit(lock).wait())


@task
def pid(_: Any = None) -> int:
    return os.getpid()


def within(runner: TaskRunner, body: Callable[[], Any]) -> Any:
    """Run a body as a flow."""
    return flow(name="main", task_runner=runner)(body)()
