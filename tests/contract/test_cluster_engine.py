"""The process of a run, from its start to its exit code: real processes, a fake API."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.fake_api import FakeApi
from tests.contract.local_pods import CANCELLING, LocalPods, local_pods

FLOWS = """
import asyncio, multiprocessing, os, sys, threading, time
from pathlib import Path
from towpath import flow, get_run_logger, task

@flow
def add(x: int, y: int = 1) -> int:
    return x + y

@flow
def total(n: int) -> int:
    return sum(future.result() for future in [add.submit(i, i) for i in range(n)])

@flow
async def async_add(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1

@flow
async def async_total(n: int) -> int:
    return sum(await asyncio.gather(*(async_add(i) for i in range(n))))

class OutOfStock(Exception):
    def __init__(self, item: str) -> None:
        super().__init__(f"no {item} left")
        self.item = item

@flow
def sell(item: str) -> str:
    raise OutOfStock(item)

@flow
def shop(item: str) -> str:
    try:
        return sell(item)
    except OutOfStock as error:
        return f"sorry: {error.item}, {error.__notes__[0].splitlines()[0]}"

@flow
def nap(seconds: float) -> str:
    Path("napping").touch()
    try:
        time.sleep(seconds)
    finally:
        print("cleaned up")
    return "awake"

@nap.on_cancellation
def cancelled(flow, run, state):
    print("hook: cancelled")

@nap.on_crashed
def crashed(flow, run, state):
    print("hook: crashed")

@flow
async def async_nap(seconds: float) -> None:
    Path("napping").touch()
    await asyncio.sleep(seconds)

@flow
def waits_for_child() -> str:
    return nap(300)

@flow
async def awaits_child() -> str:
    return await async_nap(300)

@flow
def stubborn() -> None:
    Path("napping").touch()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

@flow(retries=1)
def second_try(folder: str) -> list[int]:
    values = [add(1), add(1), add(2)]
    if not Path(folder, "tried").exists():
        Path(folder, "tried").touch()
        raise RuntimeError("once")
    return values

@flow
def flaky(folder: str) -> int:
    if not Path(folder, "flaked").exists():
        Path(folder, "flaked").touch()
        raise RuntimeError("the first child")
    return 7

@flow(retries=1)
def retries_child(folder: str) -> int:
    return flaky(folder)

@flow
def pooled() -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:  # leaving it sends SIGTERM to its processes
        return pool.map(abs, [-1, -2])

@flow
def letter(size: int) -> str:
    return "x" * size

@flow
def exits() -> None:
    sys.exit(3)

@flow
def lingers() -> int:
    threading.Thread(target=time.sleep, args=(300,)).start()
    return 1

@task
def step(x: int) -> int:
    return x

@flow(log_prints=True)
def talks(x: int) -> None:
    print("printed")
    get_run_logger().warning("logged")
    step(x)

@flow
def endless(n: int) -> int:
    return endless(n + 1)

if os.environ.get("BREAK_IMPORT"):
    raise RuntimeError("broken at import")
"""

#: In the paths by which a run follows itself once it has lasted a while, as it does on a busy machine.
OWN = "fieldSelector=metadata.name"


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """Give a fake API on loopback."""
    with FakeApi() as api:
        yield api


@pytest.fixture
def pods(api: FakeApi, tmp_path: Path) -> Iterator[LocalPods]:
    """Give what runs FlowRuns as processes."""
    (tmp_path / "flows.py").write_text(FLOWS)
    with local_pods(api, tmp_path) as pods:
        yield pods


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not appear"
        time.sleep(0.01)


def test_a_run_is_read_once_and_written_twice(pods: LocalPods, api: FakeApi) -> None:
    """A run that goes well costs one read and two writes, over one connection, and exits with 0."""
    pods.create("add", {"x": 2})
    status = pods.ended()
    assert pods.exited() == 0
    assert (status["state"]["type"], status["result"]["inline"]) == ("COMPLETED", "3")
    assert [entry["type"] for entry in status["history"]] == ["RUNNING", "COMPLETED"]
    assert [method for method, path, _ in api.requests if OWN not in path] == ["GET", "PATCH", "PATCH"]
    assert pods.message()["result"]["inline"] == "3"


@pytest.mark.parametrize("function", ["total", "async_total"])
def test_children_run_as_runs_of_their_own(pods: LocalPods, api: FakeApi, function: str) -> None:
    """Calls become FlowRuns owned by the parent, side by side, and one watch brings all their values back."""
    run = pods.create(function, {"n": 3})
    status = pods.ended()
    assert status["result"]["inline"] == str(0 + 2 + 4 if function == "total" else 1 + 2 + 3)
    assert status["children"] == {"total": 3, "completed": 3, "failed": 0, "running": 0}
    children = pods.children()
    assert len(children) == 3
    for child in children:
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["name"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
            "top",
            run["metadata"]["uid"],
            True,
            False,
        )
        assert child["spec"]["parent"]["depth"] == 1
        assert child["spec"]["flow"]["image"] == "shop:1"
        assert child["metadata"]["labels"]["towpath.dev/root-run"] == "top"
    assert sum("watch=1" in path and OWN not in path for _, path, _ in api.requests) == 1


def test_the_parent_raises_the_childs_own_exception(pods: LocalPods) -> None:
    """It can be caught by its class, has its attributes, and says which run it comes from."""
    pods.create("shop", {"item": "tea"})
    answer = json.loads(pods.ended()["result"]["inline"])
    assert answer.startswith("sorry: tea, Raised in flow run 'top-sell-")


def test_a_childs_exception_that_nobody_catches_ends_the_parent(pods: LocalPods) -> None:
    """The parent FAILED with the child's exception as its own."""
    pods.create("sell", {"item": "milk"})
    error = pods.ended()["error"]
    assert (error["type"], error["message"], error["kind"]) == ("flows.OutOfStock", "no milk left", "User")
    assert error["traceback"].splitlines()[1].endswith("in sell")


@pytest.mark.parametrize(
    ("function", "parameters", "reason", "words"),
    [
        ("add", {"x": "many"}, "InvalidParameters", "x='many' must be a whole number"),
        ("nothing", {}, "EntrypointNotFound", "there is no 'nothing'. It has the flows 'add',"),
        ("letter", {"size": 20_000}, "ResultTooLarge", "Set result_storage"),
        ("exits", {}, "Exited", "sys.exit(3)"),
        ("endless", {"n": 0}, "FlowFailed", "levels below"),
    ],
)
def test_what_goes_wrong_has_its_reason(
    pods: LocalPods, function: str, parameters: dict[str, object], reason: str, words: str
) -> None:
    """Each failure ends with a reason, words that help, and exit code 0, because it is reported."""
    pods.environment["TOWPATH_MAX_DEPTH"] = "2"
    pods.create(function, parameters)
    status = pods.ended()
    assert (status["state"]["reason"], status["error"]["code"]) == (reason, reason)
    assert words in status["state"]["message"]
    assert pods.exited() == 0


def test_a_module_that_cannot_be_imported_is_a_failure_with_its_traceback(pods: LocalPods) -> None:
    """The traceback of the import is in the status and in the log."""
    pods.environment["BREAK_IMPORT"] = "1"
    pods.create("add", {"x": 1})
    status = pods.ended()
    assert status["state"]["reason"] == "EntrypointNotFound"
    assert "RuntimeError: broken at import" in status["error"]["traceback"]
    pods.exited()
    assert "broken at import" in pods.output()


def test_a_large_result_travels_by_reference(pods: LocalPods, tmp_path: Path) -> None:
    """With a storage the status holds a reference only."""
    pods.create("letter", {"size": 20_000}, resultStorage=str(tmp_path / "kept"))
    result = pods.ended()["result"]
    assert json.loads(Path(result["ref"]).read_text()) == "x" * 20_000


@pytest.mark.parametrize("function", ["nap", "async_nap"])
def test_a_cancelled_run_cleans_up_and_says_so(pods: LocalPods, api: FakeApi, tmp_path: Path, function: str) -> None:
    """SIGTERM after a cancel interrupts user code, runs `finally` and hooks, and ends the run CANCELLED."""
    pods.create(function, {"seconds": 300})
    wait_for(tmp_path / "napping")
    api.set_status("top", state=CANCELLING)
    pods.terminate("top")
    assert pods.ended()["state"]["type"] == "CANCELLED"
    assert pods.exited() == 0
    if function == "nap":
        assert "hook: cancelled" in (output := pods.output())
        assert "cleaned up" in output


def test_a_stopped_run_leaves_the_next_step_to_the_operator(pods: LocalPods, tmp_path: Path) -> None:
    """SIGTERM that nobody asked for: hooks run, the termination message says CRASHED, the API still says RUNNING."""
    pods.create("nap", {"seconds": 300})
    wait_for(tmp_path / "napping")
    pods.terminate("top")
    assert pods.exited() == 143
    assert pods.api.read("flowruns", "top")["status"]["state"]["type"] == "RUNNING"
    message = pods.message()
    assert (message["state"]["type"], message["state"]["reason"], message["error"]["kind"]) == (
        "CRASHED",
        "Terminated",
        "Infrastructure",
    )
    assert "hook: crashed" in pods.output()


@pytest.mark.parametrize("function", ["waits_for_child", "awaits_child"])
def test_a_run_that_waits_for_a_child_can_be_stopped(
    pods: LocalPods, api: FakeApi, tmp_path: Path, function: str
) -> None:
    """Waiting for a child's end is interrupted like any other work."""
    pods.create(function)
    wait_for(tmp_path / "napping")
    api.set_spec("top", cancel=True)
    pods.terminate("top")
    assert pods.ended()["state"]["type"] == "CANCELLED"
    assert pods.exited() == 0


def test_a_run_that_refuses_to_stop_is_ended_at_the_end_of_its_grace_period(pods: LocalPods, tmp_path: Path) -> None:
    """Whatever the code catches, the process is gone in time."""
    pods.environment["TOWPATH_GRACE_SECONDS"] = "0.5"
    pods.create("stubborn")
    wait_for(tmp_path / "napping")
    pods.terminate("top")
    assert pods.exited(timeout=10) == 143


def test_a_second_signal_ends_the_process_at_once(pods: LocalPods, tmp_path: Path) -> None:
    """Who asks twice means it."""
    pods.create("stubborn")
    wait_for(tmp_path / "napping")
    pods.terminate("top")
    time.sleep(0.3)  # two signals at once would be one
    pods.terminate("top")
    assert pods.exited(timeout=10) == 143


def test_a_parent_that_tries_again_takes_what_its_children_gave(pods: LocalPods) -> None:
    """Children that completed in the first try are not run again: same calls, same runs."""
    pods.create("second_try", {"folder": str(pods.folder)})
    assert pods.ended()["result"]["inline"] == "[2,2,3]"
    assert len(pods.children()) == 3
    history = [entry["name"] for entry in pods.api.read("flowruns", "top")["status"]["history"]]
    assert history == ["Running", "AwaitingRetry", "Retrying", "Completed"]


def test_a_parent_that_tries_again_runs_anew_what_failed(pods: LocalPods) -> None:
    """A child that failed in the first try gets a run of its own in the second, beside the first."""
    pods.create("retries_child", {"folder": str(pods.folder)})
    assert pods.ended()["result"]["inline"] == "7"
    first, second = sorted(pods.children(), key=lambda run: len(run["spec"]["parent"]["call"]))
    assert second["spec"]["parent"]["call"] == first["spec"]["parent"]["call"] + "-r1"


def test_the_next_attempt_goes_on_with_the_live_child(pods: LocalPods, tmp_path: Path) -> None:
    """A parent whose pod was killed finds its child still running, and makes no second one."""
    run = pods.create("waits_for_child")
    wait_for(tmp_path / "napping")
    pods.processes["top"].kill()
    pods.exited()
    (child,) = pods.children()
    pods.start(run, attempt=2)
    pods.reached("RUNNING")
    uid, name = child["metadata"]["uid"], child["metadata"]["name"]
    pods.api.patch_status(
        name, "default", [{"op": "add", "path": "/status/result", "value": {"inline": '"found"', "serializer": "json"}}]
    )
    pods.api.set_status(name, state={"type": "COMPLETED", "name": "Completed", "since": "2026-01-01T00:00:00Z"})
    assert pods.ended()["result"]["inline"] == '"found"'
    assert [each["metadata"]["uid"] for each in pods.children()] == [uid]


def test_a_pod_that_comes_too_late_runs_nothing(pods: LocalPods, api: FakeApi, tmp_path: Path) -> None:
    """An attempt that another one has followed exits quietly."""
    pods.held.add("nap")
    run = pods.create("nap", {"seconds": 0})
    api.set_status("top", attempt=2)
    pods.start_process(run, attempt=1)
    assert pods.exited() == 0
    assert not (tmp_path / "napping").exists()


def test_an_api_that_is_away_for_a_while_costs_nothing_but_time(pods: LocalPods, api: FakeApi) -> None:
    """429, 500, a hung-up connection and a lost answer are all ridden out."""
    api.faults.answer("GET", 0)
    api.faults.answer("PATCH", 429, headers={"Retry-After": "0"}, path="/top/")
    api.faults.answer("PATCH", 500, path="/top/")
    api.faults.lose_answer("PATCH")
    pods.create("add", {"x": 2})
    status = pods.ended()
    assert status["result"]["inline"] == "3"
    assert [entry["type"] for entry in status["history"]] == ["RUNNING", "COMPLETED"]


def test_watches_that_break_lose_no_child(pods: LocalPods, api: FakeApi) -> None:
    """A watch cut in the middle of a line, then one that is too old, and the parent still gets each value."""
    api.faults.cut_watch(after=1)
    api.faults.error_in_watch(410)
    pods.create("total", {"n": 3})
    assert pods.ended()["result"]["inline"] == "6"


def test_the_log_is_json_and_holds_no_token(pods: LocalPods) -> None:
    """Every line is an object that names the run; the credentials are nowhere."""
    pods.create("talks", {"x": 1})
    pods.ended()
    pods.exited()
    output = pods.output()
    lines = [json.loads(line) for line in output.splitlines()]
    assert {"printed", "logged"} <= {line["message"] for line in lines}
    assert {line["run"] for line in lines} == {"top"}
    assert "a-secret-token" not in output


def test_processes_that_user_code_forks_are_not_the_run(pods: LocalPods, api: FakeApi) -> None:
    """A signal to a worker of a pool ends the worker, and nothing is reported of it."""
    pods.create("pooled")
    status = pods.ended()
    assert status["result"]["inline"] == "[1,2]"
    assert pods.exited() == 0
    assert [method for method, path, _ in api.requests if OWN not in path] == ["GET", "PATCH", "PATCH"]


def test_a_pod_that_cannot_reach_any_cluster_says_so_by_its_last_words(pods: LocalPods) -> None:
    """A broken environment is no infrastructure failure that another attempt would mend."""
    pods.environment |= {"KUBECONFIG": "/no/such/file", "HOME": "/no/such/home"}
    pods.create("add", {"x": 1})
    deadline = time.monotonic() + 20
    while "top" not in pods.processes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pods.exited() == 1
    message = pods.message()
    assert (message["state"]["type"], message["error"]["kind"]) == ("FAILED", "User")
    assert "No cluster is named" in message["state"]["message"]


def test_threads_left_behind_do_not_keep_the_pod(pods: LocalPods) -> None:
    """After the report the process goes, even if user code forgot a thread."""
    pods.environment["TOWPATH_GRACE_SECONDS"] = "0.5"
    pods.create("lingers")
    pods.ended()
    assert pods.exited(timeout=20) == 0


def test_outside_a_pod_the_engine_says_what_it_is_for(tmp_path: Path) -> None:
    """Started by hand it names what is missing and what to do instead."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "towpath.engine"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 1
    assert "To run a flow here, call it" in done.stderr
