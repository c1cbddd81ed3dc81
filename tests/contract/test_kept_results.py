"""A run whose pod is killed goes on, in its next attempt, where it was: real processes, a fake API, a shared folder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.fake_api import FakeApi
from tests.contract.local_pods import LocalPods, local_pods

FLOWS = """
import time
from pathlib import Path
from towpath import flow, task

@task
def load(x: int) -> int:
    with Path("loaded").open("a") as log:
        log.write(f"{x}\\n")
    return x * 10

@flow(inline=True)
def within(x: int) -> int:
    return load(x)

@flow(persist_result=True)
def etl() -> list[int]:
    values = [load(1), *load.map([2, 3]).result(), within(4)]
    if not Path("go on").exists():
        Path("half way").touch()
        time.sleep(300)
    return [*values, load(5)]

@flow
def forgets() -> list[int]:
    values = [load(1)]
    if not Path("go on").exists():
        Path("half way").touch()
        time.sleep(300)
    return values
"""


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[LocalPods]:
    """What runs FlowRuns as processes, each with a home of its own, as pods have."""
    (tmp_path / "flows.py").write_text(FLOWS)
    with FakeApi() as api, local_pods(api, tmp_path) as pods:
        pods.environment["TOWPATH_HOME"] = str(tmp_path / "home of the pod")
        yield pods


def kill_half_way(pods: LocalPods, folder: Path, function: str, **spec: str) -> None:
    """Run a flow to the middle, and take its pod away as a lost node does; then start the next attempt elsewhere."""
    run = pods.create(function, **spec)
    deadline = time.monotonic() + 30
    while not (folder / "half way").exists():
        assert time.monotonic() < deadline, pods.output()
        time.sleep(0.01)
    pods.processes["top"].kill()
    pods.exited()
    (folder / "go on").touch()
    pods.environment["TOWPATH_HOME"] = str(folder / "home of another pod")
    pods.start(run, attempt=2)


def test_the_next_attempt_skips_tasks_whose_results_are_kept(pods: LocalPods, tmp_path: Path) -> None:
    """Nothing is done twice; the status counts what was taken from the first attempt."""
    kill_half_way(pods, tmp_path, "etl", resultStorage=str(tmp_path / "shared"))
    status = pods.ended()
    assert json.loads(status["result"]["inline"]) == [10, 20, 30, 40, 50]
    assert sorted((tmp_path / "loaded").read_text().split()) == ["1", "2", "3", "4", "5"]
    assert status["tasks"] == {"total": 4, "completed": 4, "failed": 0, "running": 0, "cached": 3}
    assert not (tmp_path / "home of the pod").exists()


def test_without_kept_results_it_begins_anew(pods: LocalPods, tmp_path: Path) -> None:
    """A place for large results alone asks for nothing to be kept."""
    kill_half_way(pods, tmp_path, "forgets", resultStorage=str(tmp_path / "shared"))
    assert json.loads(pods.ended()["result"]["inline"]) == [10]
    assert (tmp_path / "loaded").read_text().split() == ["1", "1"]
