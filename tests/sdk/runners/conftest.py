"""Task runners of each kind; Dask's work on clusters that all tests of a session share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import distributed
import pytest

from towpath import DaskTaskRunner, ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

ROOT = Path(__file__).parents[3]
#: From a runner's name to how to make it of what the clusters are found by.
RUNNERS: Mapping[str, Callable[[pytest.FixtureRequest], TaskRunner]] = {
    "threads": lambda _: ThreadPoolTaskRunner(),
    "one thread": lambda _: ThreadPoolTaskRunner(max_workers=1),
    "four threads": lambda _: ThreadPoolTaskRunner(max_workers=4),
    "one process": lambda _: ProcessPoolTaskRunner(max_workers=1),
    "two processes": lambda _: ProcessPoolTaskRunner(max_workers=2),
    "Dask, one thread": lambda request: DaskTaskRunner(cluster=request.getfixturevalue("dask_cluster")),
    "Dask, at an address": lambda request: DaskTaskRunner(address=request.getfixturevalue("dask_address")),
}


@pytest.fixture(params=list(RUNNERS))
def runner(request: pytest.FixtureRequest) -> TaskRunner:
    """Give a runner of each kind."""
    return RUNNERS[request.param](request)


@pytest.fixture(scope="session")
def dask_cluster() -> Iterator[Any]:
    """Make a cluster with a single thread, in a process of its own."""
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def dask_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a scheduler and two workers as one does by hand; gives the scheduler's address."""
    folder = tmp_path_factory.mktemp("dask")
    where = folder / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    commands = [
        ["dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", ":0", "--no-show"],
        ["dask_worker", "--nthreads", "2", "--dashboard-address", ":0", "--local-directory", str(folder)],
        ["dask_worker", "--nthreads", "2", "--dashboard-address", ":0", "--local-directory", str(folder)],
    ]
    started = []
    try:
        with (folder / "log").open("wb") as log:
            for command, *options in commands:
                started.append(
                    subprocess.Popen(
                        [sys.executable, "-m", f"distributed.cli.{command}", *options, "--scheduler-file", str(where)],
                        cwd=folder, env=environment, stdout=log, stderr=log,
                    )
                )  # fmt: skip
        yield address_in(where, folder / "log")
    finally:
        for process in reversed(started):
            process.kill()
        for process in started:
            process.wait(30)


def address_in(where: Path, log: Path) -> str:
    """Wait until a scheduler has told its address, and two workers are there."""
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline:
        if where.exists():
            with distributed.Client(scheduler_file=str(where), set_as_default=False) as client:
                client.wait_for_workers(2, timeout=45)
                return str(client.scheduler.address)
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))
