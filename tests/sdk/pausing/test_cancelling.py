"""Runs that no server has started are cancelled from outside, whatever they are at and wherever they go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.pausing.conftest import PATIENCE_SECONDS, Going, Scene, until
from tests.sdk.pausing.test_processes import Processes

from towpath import flow, pause_flow_run, task
from towpath.cli.exits import Exit
from towpath.errors import FlowRunCancelled
from towpath.futures import Future
from towpath.serving.cancelling import cancel

HEARD: list[str] = []
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def processes(scene: Scene, tmp_path: Path) -> Iterator[Processes]:
    """Give what starts processes; ends them after the test."""
    made = Processes(scene, tmp_path)
    yield made
    made.end()


def tell(flow: object, run: Any, state: Any) -> None:
    """Keep what a hook is told."""
    del flow
    HEARD.append(f"{run.name} {state.name}")


@flow(on_cancellation=[tell])
def computes() -> None:
    """Go on between two bytecodes, for as long as the test has patience."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        time.sleep(0.01)


@flow(on_cancellation=[tell])
async def awaits() -> None:
    """Wait in an event loop."""
    await asyncio.sleep(PATIENCE_SECONDS)


@flow(on_cancellation=[tell])
def pauses() -> None:
    """Wait for somebody."""
    pause_flow_run(timeout=PATIENCE_SECONDS)


@task
def never() -> None:
    """Wait for a future that nobody completes."""
    Future[None]().wait(PATIENCE_SECONDS)


@flow(on_cancellation=[tell])
def waits_for_a_task() -> None:
    """Wait for what a task gives."""
    never.submit().result()


def awaited() -> None:
    """Run the async one."""
    asyncio.run(awaits())


@pytest.mark.parametrize(
    ("call", "name"),
    [
        pytest.param(computes, "computes", id="at work"),
        pytest.param(awaited, "awaits", id="in an event loop"),
        pytest.param(pauses, "pauses", id="paused"),
        pytest.param(waits_for_a_task, "waits-for-a-task", id="waiting for a task"),
        pytest.param(lambda: computes.submit().result(), "computes", id="submitted"),
    ],
)
def test_a_run_is_cancelled_in_its_process(scene: Scene, call: Any, name: str) -> None:
    """It is unwound, its hooks run, it is CANCELLED; whoever called it hears that, and the process goes on."""
    HEARD.clear()
    going = Going(call)
    run = until(lambda: next((run for run in scene.runs() if run.flow == name and run.is_live), None), "the run")
    if name == "pauses":
        scene.waiting(name)
    assert cancel(run.id, scene.file)
    with pytest.raises(BaseException, match="was cancelled"):
        going.result()
    until(lambda: scene.run(run.id).state.type.is_terminal, "the end")
    assert scene.run(run.id).state.name == "Cancelled"
    assert scene.states(run.id)[-2:] == ["Cancelling", "Cancelled"]
    assert [f"{run.name} Cancelled"] == HEARD
    assert not cancel(run.id, scene.file)


def test_whoever_calls_a_run_that_is_cancelled_can_go_on(scene: Scene) -> None:
    """The call raises an ordinary exception, or gives the state to those who asked for it."""
    for options, expected in (({}, FlowRunCancelled), ({"return_state": True}, None)):
        going = Going(partial(computes, **options))
        run = until(lambda: next((run for run in scene.runs() if run.is_live), None), "the run")
        assert cancel(run.id, scene.file)
        if expected is None:
            assert going.result().is_cancelled()
        else:
            with pytest.raises(expected):
                going.result()


def test_a_run_that_is_tried_again_forgets_that_it_was_cancelled(processes: Processes) -> None:
    """A script is cancelled by the command; tried again, the run completes, in a process that nobody wants to end."""
    script = processes.script("goes_on")
    run = until(lambda: next((run for run in processes.scene.runs() if run.is_live), None), "the run")
    code, out, err = processes.towpath("runs", "cancel", run.name)
    assert (code, "is being cancelled" in out + err) == (Exit.OK, True)
    _, err = script.communicate(timeout=PATIENCE_SECONDS)
    assert script.returncode == 1
    assert "FlowRunCancelled: The run was cancelled." in err
    (processes.folder / "enough").touch()
    code, out, _ = processes.towpath("runs", "retry", run.name)
    assert (code, out.strip()) == (Exit.OK, "enough")
