"""Runs that wait for somebody, in their own processes as pods have them, and whoever steers them: over a fake API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.contract.fake_api import FakeApi
from tests.contract.local_pods import CANCELLING, LocalPods, local_pods

from towpath.cluster.access import Access, FixedToken
from towpath.cluster.console import Console
from towpath.cluster.http import HttpCluster
from towpath.cluster.listening import LISTEN_SECONDS
from towpath.cluster.steering import ClusterSteering
from towpath.cluster.stopping import TOLD_TO_STOP
from towpath.errors import NoSuchRun, NotPausedError, ParameterError, PauseError
from towpath.pausing.asking import ask
from towpath.pausing.port import Begun, Next
from towpath.pausing.resuming import resume
from towpath.pausing.waiting import waited

FLOWS = """
import asyncio, signal, threading, time
from pathlib import Path
from pydantic import Field, field_validator
from towpath import flow, pause_flow_run, resume_flow_run, suspend_flow_run, task
from towpath.errors import FlowPauseTimeout
from towpath.input import RunInput, send_input

class Approval(RunInput):
    granted: bool
    by: str = "nobody"

    @field_validator("by")
    @classmethod
    def known(cls, by):
        if by == "mallory":
            raise ValueError("mallory may not")
        return by

@task
def count(file: str) -> int:
    with Path(file).open("a") as lines:
        lines.write("x")
    return len(Path(file).read_text())

@flow
def asks(timeout: float | None = None) -> str:
    approval = pause_flow_run(wait_for_input=Approval, timeout=timeout)
    return f"{approval.granted} by {approval.by}"

@flow
async def asks_async() -> str:
    approval = await pause_flow_run(wait_for_input=Approval, timeout=None)
    return f"{approval.granted} by {approval.by}"

@flow
def asks_and_goes_on() -> str:
    try:
        pause_flow_run(timeout=0.2)
    except FlowPauseTimeout:
        return count("counted") and "went on"

@flow(persist_result=True, result_storage="results")
def leaves(file: str) -> str:
    before = count(file)
    approval = suspend_flow_run(wait_for_input=Approval.with_initial_data(description="Publish?"), timeout=None)
    return f"{before} {count.fn(file)} {approval.by}"

@flow
def inner() -> str:
    return suspend_flow_run(wait_for_input=str, timeout=None)

@flow
def outer() -> str:
    return inner.with_options(inline=True)()

@flow
def works() -> str:
    while not Path("enough").exists():
        count("worked")
        time.sleep(0.02)
    return "worked"

@flow
async def works_async() -> None:
    while not Path("enough").exists():
        await awaited()
        await asyncio.sleep(0.02)

@task
async def awaited() -> None:
    count.fn("worked")

@flow
def asks_twice_at_once() -> list[str]:
    return sorted(future.result() for future in [asks_inline.submit(name) for name in ("a", "b")])

@flow(inline=True)
def asks_inline(name: str) -> str:
    return name + pause_flow_run(wait_for_input=str, key=name, timeout=None)

@flow
def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

@flow
def wants_too_much() -> None:
    pause_flow_run(wait_for_input=Approval.with_initial_data(**{f"field_{n}": "x" * 50 for n in range(60)}))

@flow
def steers(other: str) -> None:
    resume_flow_run(other)

@flow
def sends(other: str) -> None:
    send_input(1, other)
"""
SECONDS = 60


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


@pytest.fixture
def steering(api: FakeApi) -> Iterator[ClusterSteering]:
    """Give what steers the runs, over HTTP."""
    cluster = HttpCluster(Access(api.url, "default", FixedToken("t")), patience_seconds=5)
    yield ClusterSteering(cluster, Console(cluster, "default"))
    cluster.close()


def status(pods: LocalPods, name: str = "top") -> dict[str, Any]:
    return pods.api.read("flowruns", name).get("status", {})


def answer(steering: ClusterSteering, given: Any = None, which: str = "top") -> Begun:
    return waited(resume(which, given, steering))


def until(pods: LocalPods, fits: Any, name: str = "top") -> dict[str, Any]:
    """Wait until a run's status fits, and give it."""
    with pods.api.changed:
        assert pods.api.changed.wait_for(lambda: fits(status(pods, name)), SECONDS), (
            f"{status(pods, name)}\n{pods.output(name)}"
        )
    return status(pods, name)


@pytest.mark.parametrize("function", ["asks", "asks_async"])
def test_a_pod_waits_in_its_process_for_an_answer_that_fits(
    pods: LocalPods, steering: ClusterSteering, function: str
) -> None:
    """It says what it waits for; wrong input changes nothing; what its own check refuses is said; the right one is taken."""
    pods.create(function)
    pods.reached("PAUSED", timeout=SECONDS)
    told = status(pods)
    assert (told["state"]["name"], told["state"]["reason"]) == ("Paused", "AwaitingInput")
    assert set(json.loads(told["pause"]["wanted"])["properties"]) == {"granted", "by"}
    before = pods.api.version
    with pytest.raises(ParameterError, match="granted='perhaps' must be true or false"):
        answer(steering, {"granted": "perhaps"})
    assert pods.api.version == before, "nothing was written"
    with pytest.raises(ParameterError, match="mallory may not"):
        answer(steering, {"granted": True, "by": "mallory"})
    assert "mallory may not" in until(pods, lambda now: now["pause"].get("refused"))["pause"]["refused"]
    with pytest.raises(ParameterError, match="mallory may not"):
        answer(steering, {"granted": True, "by": "mallory"})
    assert answer(steering, {"granted": True, "by": "ada"}).then is Next.GOES_ON
    ended = pods.ended(timeout=SECONDS)
    assert (json.loads(ended["result"]["inline"]), pods.exited()) == ("True by ada", 0)
    assert "pause" not in ended
    assert [entry["type"] for entry in ended["history"]] == ["RUNNING", "PAUSED", "PAUSED", "RUNNING", "COMPLETED"]
    with pytest.raises(NotPausedError):
        answer(steering, {"granted": True})


def test_a_pause_that_nobody_answers_in_time_fails_the_run(pods: LocalPods) -> None:
    """As on one machine: FlowPauseTimeout, and FAILED if the flow does not catch it."""
    pods.create("asks", {"timeout": 0.1})
    ended = pods.ended(timeout=SECONDS)
    assert (ended["state"]["type"], ended["state"]["reason"]) == ("FAILED", "TimedOut")
    assert "nobody resumed it within 0.1 s" in ended["error"]["message"]


def test_a_flow_that_goes_on_without_an_answer_runs_again(pods: LocalPods) -> None:
    """It does not look as if it still waited."""
    pods.create("asks_and_goes_on")
    ended = pods.ended(timeout=SECONDS)
    assert [entry["type"] for entry in ended["history"]] == ["RUNNING", "PAUSED", "RUNNING", "COMPLETED"]


def test_a_suspended_run_goes_and_begins_anew_with_what_it_has_kept(
    pods: LocalPods, steering: ClusterSteering, tmp_path: Path
) -> None:
    """The process exits with 0 and says what the run waits for; the next attempt passes what is kept, and the answer."""
    run = pods.create("leaves", {"file": "counted"}, resultStorage=str(tmp_path / "results"))
    assert pods.exited(*_appeared(pods)) == 0
    told = status(pods)
    assert (told["state"]["type"], told["state"]["name"]) == ("PAUSED", "Suspended")
    assert (told["pause"]["description"], told["tasks"]["total"]) == ("Publish?", 1)
    assert steering.find("top").pauses[0].is_suspension
    with pytest.raises(ParameterError, match="granted is missing"):
        answer(steering, {"by": "ada"})

    steering.answer(steering.find("top").pauses[0], {"granted": True, "by": "ada"})
    with pytest.raises(NotPausedError, match="resumed already"):
        steering.answer(steering.find("top").pauses[0], {"granted": False})
    pods.start(run, attempt=2)
    ended = pods.ended(timeout=SECONDS)
    assert json.loads(ended["result"]["inline"]) == "1 2 ada", "the task was not run again"


def test_an_answer_that_the_run_itself_refuses_suspends_it_again(pods: LocalPods, steering: ClusterSteering) -> None:
    """And says why, with the digest by which the operator knows that this input was looked at."""
    run = pods.create("leaves", {"file": "counted"}, answers=[_answer({"granted": True, "by": "mallory"})])
    until(pods, lambda now: now.get("pause"))
    told = status(pods)["pause"]
    assert "mallory may not" in told["refused"]
    assert len(told["refusedInput"]) == 16
    steering.answer(steering.find(run["metadata"]["uid"]).pauses[0], {"granted": True})
    pods.exited()
    pods.start(run, attempt=2)
    assert pods.ended(timeout=SECONDS)["state"]["type"] == "COMPLETED"


def test_a_flow_called_in_the_process_suspends_all_of_the_run(pods: LocalPods, steering: ClusterSteering) -> None:
    """Its pause has a key of its own among those of the FlowRun."""
    run = pods.create("outer")
    told = until(pods, lambda now: now.get("pause"))
    assert told["pause"]["key"].startswith("inner")
    pods.exited()
    steering.answer(steering.find("top").pauses[0], {"value": "done"})
    pods.start(run, attempt=2)
    assert json.loads(pods.ended(timeout=SECONDS)["result"]["inline"]) == "done"


@pytest.mark.parametrize("function", ["works", "works_async"])
def test_a_run_heeds_a_wish_to_pause_at_its_next_call(
    pods: LocalPods, steering: ClusterSteering, function: str, tmp_path: Path
) -> None:
    """It stands still in its process until the wish is taken back."""
    pods.create(function)
    pods.reached("RUNNING", timeout=SECONDS)
    ask("top", is_suspension=False, book=steering)
    told = until(pods, lambda now: now["state"]["type"] == "PAUSED")
    assert (told["state"]["name"], told["state"]["reason"]) == ("Paused", "PausedByRequest")
    assert "pause" not in told
    with pytest.raises(PauseError, match="Paused already"):
        ask("top", is_suspension=False, book=steering)
    (tmp_path / "enough").touch()
    assert answer(steering).then is Next.GOES_ON
    ended = pods.ended(timeout=SECONDS)
    assert [entry["type"] for entry in ended["history"]] == ["RUNNING", "PAUSED", "RUNNING", "COMPLETED"]


def test_a_run_heeds_a_wish_to_be_suspended(pods: LocalPods, steering: ClusterSteering, tmp_path: Path) -> None:
    """Also one that was there before it began: at its first call."""
    pods.create("works", suspend=True)
    assert pods.exited(*_appeared(pods)) == 0
    told = status(pods)
    assert (told["state"]["name"], told["state"]["reason"]) == ("Suspended", "PausedByRequest")
    assert "pause" not in told
    answer(steering)
    assert "suspend" not in pods.api.read("flowruns", "top")["spec"]
    with pytest.raises(PauseError, match="begin anew already"):
        answer(steering)
    (tmp_path / "enough").touch()
    pods.start(pods.api.read("flowruns", "top"), attempt=2)
    assert pods.ended(timeout=SECONDS)["state"]["type"] == "COMPLETED"


def test_a_run_that_waits_can_be_cancelled(pods: LocalPods) -> None:
    """SIGTERM ends the wait, and the run is CANCELLED."""
    pods.create("asks")
    pods.reached("PAUSED", timeout=SECONDS)
    pods.api.set_spec("top", cancel=True)
    pods.api.set_status("top", state=CANCELLING)
    pods.terminate("top")
    assert pods.ended(timeout=SECONDS)["state"]["type"] == "CANCELLED"


@pytest.mark.parametrize("by", ["spec", "state"])
def test_a_run_that_is_killed_ends_itself_whatever_its_code_does(pods: LocalPods, by: str) -> None:
    """Also one that ignores SIGTERM, and that a kubelet would wait for: by its own spec, or because one above is killed."""
    pods.create("deaf")
    pods.reached("RUNNING", timeout=SECONDS)
    if by == "spec":
        pods.api.set_spec("top", cancel=True, cancelMode="Now")
    else:
        pods.api.set_status("top", state={**CANCELLING, "reason": "CancelledNow"})
    assert pods.exited(timeout=SECONDS) == TOLD_TO_STOP
    assert status(pods)["state"]["type"] in {"RUNNING", "CANCELLING"}, "the operator writes the end"


def test_several_flows_of_one_process_wait_side_by_side(pods: LocalPods, steering: ClusterSteering) -> None:
    """One is shown, then the next; each gets its own answer, and the run goes on when none waits any more."""
    pods.create("asks_twice_at_once")
    for _ in range(2):
        key = until(pods, lambda now: now.get("pause") and _key(now) not in _answered(pods))["pause"]["key"]
        answer(steering, key[-1].upper())
    assert json.loads(pods.ended(timeout=SECONDS)["result"]["inline"]) == ["aA", "bB"]


def test_what_is_too_large_to_be_described_is_refused(pods: LocalPods) -> None:
    """A schema beyond 4 KiB is a clear error in the flow."""
    pods.create("wants_too_much")
    ended = pods.ended(timeout=SECONDS)
    assert "its JSON Schema takes" in ended["error"]["message"]


def test_answers_beyond_2_kib_are_refused_before_they_are_written(pods: LocalPods, steering: ClusterSteering) -> None:
    """In a sentence that says how much fits."""
    pods.create("asks")
    pods.reached("PAUSED", timeout=SECONDS)
    with pytest.raises(PauseError, match="2048 fit"):
        answer(steering, {"granted": True, "by": "a" * 3000})
    assert "answers" not in pods.api.read("flowruns", "top")["spec"]


def test_a_pod_may_not_steer_other_runs(pods: LocalPods, api: FakeApi) -> None:
    """It is told so, and from where it can be done."""
    pods.held.add("asks")
    api.set_status(pods.create("asks", name="other", pause=True)["metadata"]["name"], state={"type": "RUNNING"} | NAMED)
    for _ in range(2):
        api.faults.answer("PATCH", 403, path="flowruns/other")
    pods.create("steers", {"other": "other"})
    assert "Do so from outside" in pods.ended(timeout=SECONDS)["error"]["message"]


def test_runs_in_a_cluster_do_not_send_each_other_messages(pods: LocalPods) -> None:
    """They are told what to do instead."""
    pods.create("sends", {"other": "x"})
    assert "queue or a database of your own" in pods.ended(timeout=SECONDS)["error"]["message"]


def test_nobody_is_resumed_who_is_not_there(steering: ClusterSteering) -> None:
    """Neither by name nor by UID."""
    with pytest.raises(NoSuchRun, match="no FlowRun 'nobody' in namespace 'default'"):
        answer(steering, which="nobody")


def test_a_short_run_does_not_follow_itself(pods: LocalPods, api: FakeApi, tmp_path: Path) -> None:
    """Only one that lasts, or waits, opens a watch."""
    (tmp_path / "enough").touch()
    pods.create("works")
    history = {entry["type"]: datetime.fromisoformat(entry["at"]) for entry in pods.ended(timeout=SECONDS)["history"]}
    lasted = (history["COMPLETED"] - history["RUNNING"]).total_seconds()
    watches = [path for method, path, _ in api.requests if method == "GET" and "watch=1" in path]
    assert watches == [] or lasted > LISTEN_SECONDS


NAMED = {"name": "Running", "since": "2026-01-01T00:00:00.000000Z"}


def _appeared(pods: LocalPods, name: str = "top") -> tuple[str, int]:
    """Wait until a run has a process, and give what `exited` takes."""
    pods.reached("PAUSED", name, timeout=SECONDS)
    return name, SECONDS


def _key(told: dict[str, Any]) -> str:
    key: str = told["pause"]["key"]
    return key


def _answered(pods: LocalPods) -> set[str]:
    return {one["pause"] for one in pods.api.read("flowruns", "top")["spec"].get("answers", ())}


def _answer(given: dict[str, Any]) -> dict[str, Any]:
    return {"pause": "0", "input": given}
