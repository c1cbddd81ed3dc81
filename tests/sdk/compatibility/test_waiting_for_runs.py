"""`wait_for_flow_run`: waiting for a run that somebody else has started, as scripts for Prefect do."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.builders import make_flowrun
from tests.sdk.cluster.memory import MemoryCluster

from towpath import flow, runtime
from towpath.api.v1alpha1 import transitions
from towpath.deployments import FlowRunHandle
from towpath.errors import MissingResult, NoSuchRun, RunTimeout
from towpath.flow_runs import wait_for_flow_run
from towpath.history.recorder import RECORDER
from towpath.states import StateType

PATIENCE_SECONDS = 60.0


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A history of the test's own, and no cluster."""
    RECORDER.close()
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("TOWPATH_RUN", raising=False)
    yield
    RECORDER.close()


class Going:
    """A flow that goes on in a thread until it is let go."""

    def __init__(self, end: Callable[[], Any]) -> None:
        self.may_end, self._begun = threading.Event(), threading.Event()
        self.id = self.name = ""

        @flow
        def going() -> Any:
            self.id, self.name = runtime.flow_run.id, runtime.flow_run.name
            self._begun.set()
            assert self.may_end.wait(PATIENCE_SECONDS)
            return end()

        self.thread = threading.Thread(target=lambda: going(return_state=True), daemon=True)
        self.thread.start()
        assert self._begun.wait(PATIENCE_SECONDS)
        RECORDER.flush()


def waited(run_id: str, **options: Any) -> FlowRunHandle:
    """Wait for a run in an event loop of its own."""
    return asyncio.run(wait_for_flow_run(run_id, **options))


def fail() -> None:
    """Fail."""
    raise ValueError("it is broken")


@pytest.mark.parametrize(
    ("end", "type_"), [(lambda: 1, StateType.COMPLETED), (fail, StateType.FAILED)], ids=["ok", "bad"]
)
@pytest.mark.parametrize("by", ["id", "name"])
def test_the_end_of_a_run_in_the_history_is_waited_for(by: str, end: Callable[[], Any], type_: StateType) -> None:
    """A run of another script is known by its id or name, and its end comes with its state."""
    going = Going(end)
    threading.Timer(0.1, going.may_end.set).start()

    run = waited(getattr(going, by), timeout=PATIENCE_SECONDS)

    assert (run.id, run.name, run.state.type) == (going.id, going.name, type_)


def test_a_value_that_is_in_another_process_is_said_to_be_missing() -> None:
    """Only runs of deployments hand their values on: asking for one says so, and waiting does not fail."""
    going = Going(lambda: 1)
    going.may_end.set()

    with pytest.raises(MissingResult, match="towpath results"):
        waited(going.id).result()


def test_a_run_that_does_not_end_in_time_is_a_timeout() -> None:
    """The error names the run, how long it was waited for, and where it stands."""
    going = Going(lambda: 1)
    try:
        with pytest.raises(RunTimeout, match=rf"{going.name}' has not ended within 0\.05 s; it is Running"):
            waited(going.id, timeout=0.05)
    finally:
        going.may_end.set()


def test_states_are_logged_when_that_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    """With log_states, where the run stands and how it ends is told."""
    going = Going(lambda: 1)

    def let_go() -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "is Running" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        going.may_end.set()

    with caplog.at_level(logging.INFO, logger="towpath.flow_runs"):
        threading.Thread(target=let_go, daemon=True).start()
        waited(going.id, log_states=True)

    assert f"Flow run '{going.name}' is Completed" in caplog.text


@pytest.mark.parametrize("which", ["no-such-run", uuid4()], ids=["name", "UUID"])
def test_a_run_that_is_nowhere_is_said_to_be(which: Any) -> None:
    """Neither the history has it, nor is there a cluster to ask: the error says both."""
    Going(lambda: 1).may_end.set()

    with pytest.raises(NoSuchRun, match=r"no run '.*' in this machine's history, and no cluster can be asked for it"):
        waited(which)


@pytest.mark.parametrize("by", ["name", "uid"])
def test_a_run_in_the_cluster_is_waited_for(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine has not is looked for in the cluster, by name or UID, and its value is there."""
    cluster = MemoryCluster()
    run = cluster.create_run(make_flowrun("nightly-1", namespace="default", flow_ref="etl"))
    monkeypatch.setattr("towpath.cluster.connect.connect", lambda: cluster)
    ended = transitions.state(StateType.COMPLETED, transitions.datetime.now(transitions.UTC))
    operations = transitions.transition({}, ended, attempt=1, fields={"result": {"inline": "42", "serializer": "json"}})
    threading.Timer(0.1, lambda: cluster.patch_status("nightly-1", operations)).start()

    assert waited(run["metadata"][by], timeout=PATIENCE_SECONDS).result() == 42


def test_a_run_that_the_cluster_has_not_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the namespace that was looked in."""
    monkeypatch.setattr("towpath.cluster.connect.connect", MemoryCluster)

    with pytest.raises(NoSuchRun, match=r"no FlowRun 'no-such-run' in namespace 'default'"):
        waited("no-such-run")
