"""Slots for flows in pods: real processes of runs, a fake API, somebody who grants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.fake_api import FakeApi
from tests.contract.granting import Granter, granting
from tests.contract.local_pods import LocalPods, local_pods
from tests.sdk.concurrency.crowd import until

from towpath.cluster.access import Access, FixedToken
from towpath.cluster.http import HttpCluster

FLOWS = """
import asyncio, os, time
from pathlib import Path
from towpath import ProcessPoolTaskRunner, flow, task
from towpath.concurrency.asyncio import concurrency as concurrency_async
from towpath.concurrency.sync import concurrency, rate_limit
from towpath.errors import ConcurrencySlotAcquisitionError

def alone(number):
    mark = Path(f"inside-{os.getpid()}-{number}")
    mark.touch()
    try:
        time.sleep(0.01)
        return len(list(Path().glob("inside-*")))
    finally:
        mark.unlink()

@flow
def block() -> int:
    most = 0
    for number in range(3):
        with concurrency("db"):
            most = max(most, alone(number))
    return most

@flow
async def async_block() -> int:
    async with concurrency_async("db"):
        return alone(0)

@task(tags=["heavy"])
def heavy(number):
    return alone(number)

@task
def in_block(number):
    with concurrency("db"):
        return alone(number)

@flow
def tagged() -> int:
    return max(future.result() for future in heavy.map(range(4)))

@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def in_processes() -> int:
    return max(future.result() for future in in_block.map(range(4)))

@flow
def paced() -> float:
    began = time.monotonic()
    for _ in range(4):
        rate_limit("api")
    return time.monotonic() - began

@flow
def strict() -> str:
    try:
        with concurrency("nowhere", strict=True):
            return "in"
    except ConcurrencySlotAcquisitionError as error:
        return str(error)

@flow
def holds_for_ever() -> None:
    with concurrency("db"):
        Path("holding").touch()
        time.sleep(600)

@flow
def forks() -> str:
    read, write = os.pipe()
    if not (child := os.fork()):
        with concurrency("db"):
            os.write(write, b"let in")
        os._exit(0)
    os.waitpid(child, 0)
    return os.read(read, 100).decode()

@flow
def plain() -> int:
    return 1
"""


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """Give a fake API with some limits."""
    with FakeApi() as api:
        limits: dict[str, dict[str, Any]] = {
            "db": {"limit": 1},
            "heavy-tasks": {"limit": 1, "tag": "heavy"},
            "api": {"limit": 1, "slotDecayPerSecond": "20"},
        }
        for name, spec in limits.items():
            api.create("concurrencylimits", {"metadata": {"name": name}, "spec": spec})
        yield api


@pytest.fixture
def granter(api: FakeApi) -> Iterator[Granter]:
    """Give who grants slots."""
    cluster = HttpCluster(Access(api.url, "default", FixedToken()))
    with granting(cluster) as granter:
        yield granter
    cluster.close()


@pytest.fixture
def pods(api: FakeApi, granter: Granter, tmp_path: Path) -> Iterator[LocalPods]:
    """Give what runs FlowRuns as processes."""
    (tmp_path / "flows.py").write_text(FLOWS)
    with local_pods(api, tmp_path) as pods:
        yield pods


@pytest.mark.parametrize("function", ["block", "async_block", "tagged", "in_processes"])
def test_code_of_two_runs_is_never_inside_at_once(pods: LocalPods, function: str) -> None:
    """Blocks, tagged tasks, and blocks of tasks in processes of their own keep to a limit of one; nothing is left."""
    for name in ("top", "other"):
        pods.create(function, name=name)
    for name in ("top", "other"):
        status = pods.ended(name, timeout=60)
        assert (status["state"]["type"], status["result"]["inline"]) == ("COMPLETED", "1"), pods.output(name)
        assert pods.exited(name) == 0
        assert not status.keys() & {"slotsWanted", "slotsGranted"}


def test_a_rate_is_kept_in_a_pod(pods: LocalPods) -> None:
    """One slot at once, then twenty a second."""
    pods.create("paced")
    assert float(pods.ended()["result"]["inline"]) >= 3 / 20 - 0.01


def test_a_killed_pod_leaves_its_slots(pods: LocalPods, api: FakeApi, tmp_path: Path) -> None:
    """As soon as its run is known to have ended, the next gets in."""
    pods.create("holds_for_ever")
    until((tmp_path / "holding").exists)
    pods.processes["top"].kill()
    pods.create("block", name="next")
    pods.reached("RUNNING", "next")
    crashed = {"type": "CRASHED", "name": "Crashed", "since": "2026-01-01T00:00:00.000000Z"}
    api.set_status("top", state=crashed)
    assert pods.ended("next", timeout=60)["result"]["inline"] == "1"


def test_strict_in_a_pod_says_how_to_make_the_limit(pods: LocalPods) -> None:
    """The command is one for the run's own namespace."""
    pods.create("strict")
    told = pods.ended()["result"]["inline"]
    assert (
        "There is no limit 'nowhere' in namespace 'default'. Make it: towpath limits set nowhere 1 -n default" in told
    )


def test_a_forked_process_is_let_in_with_a_warning(pods: LocalPods) -> None:
    """It cannot count for the run, and does not wait for ever either."""
    pods.create("forks")
    assert pods.ended()["result"]["inline"] == '"let in"'
    assert "slots are counted in the process of the run's flow" in pods.output()


def test_a_run_that_uses_no_limits_asks_nothing_about_them(pods: LocalPods, api: FakeApi) -> None:
    """No list of limits, no watch of the run, no writes beside those of its states."""
    pods.create("plain")
    pods.ended()
    assert pods.exited() == 0
    own = [path for method, path, _ in api.requests if "watch=1" in path]
    assert own == []
