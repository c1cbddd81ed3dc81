"""Runs that wait in their process: paused in a thread or a loop, resumed from another."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest
from tests.sdk.pausing.conftest import Going, Scene, until
from tests.sdk.pausing.flows import Approval, pauses

from towpath import (
    apause_flow_run,
    aresume_flow_run,
    flow,
    pause_flow_run,
    resume_flow_run,
    runtime,
    task,
)
from towpath.engine.interrupts import Interrupt
from towpath.errors import (
    FlowPauseTimeout,
    MissingContext,
    NotPausedError,
    ParameterError,
    PauseError,
    RunTimeout,
)
from towpath.pausing.asking import ask
from towpath.runs import FlowRun
from towpath.states import StateType


def test_a_paused_run_goes_on_with_the_input(scene: Scene, tmp_path: Path) -> None:
    """It is PAUSED in the history while it waits, and RUNNING again after; the input is of the type that was wanted."""
    going = Going(lambda: pauses(str(tmp_path)))
    run = scene.waiting("pauses")
    assert run.process is not None
    resume_flow_run(run.name, run_input={"granted": "yes", "by": "ada"})
    assert going.result() == [1, True, "ada"]
    assert scene.states(run.id) == ["Running", "Paused", "Running", "Completed"]
    assert scene.run(run.id).run_count == 1


def test_wrong_input_is_refused_and_the_run_waits_on(scene: Scene, tmp_path: Path) -> None:
    """By the schema, and by a validator that only the run itself has; both before it goes on."""
    going = Going(lambda: pauses(str(tmp_path)))
    run = scene.waiting("pauses")
    with pytest.raises(ParameterError, match=r"granted='perhaps' must be true or false; surname='x' is not a field"):
        resume_flow_run(run.id, run_input={"granted": "perhaps", "surname": "x"})
    with pytest.raises(ParameterError, match="nobody of that name decides"):
        resume_flow_run(run.id, run_input={"granted": True, "by": "eve"})
    assert scene.run(run.id).state.name == "Paused"
    resume_flow_run(run.id, run_input={"granted": False})
    assert going.result() == [1, False, "nobody"]


def test_nobody_resumes_it_in_time(scene: Scene, tmp_path: Path) -> None:
    """The flow gets an exception that says for how long it waited, and has FAILED."""
    with pytest.raises(FlowPauseTimeout, match=r"nobody resumed it within 0\.05 s"):
        pauses(str(tmp_path), timeout=0.05)
    run = scene.run()
    assert (run.state.type, run.state.name) == (StateType.FAILED, "Failed")
    with pytest.raises(NotPausedError, match=f"towpath runs retry {run.name}"):
        resume_flow_run(run.id, run_input={"granted": True})


def test_of_many_who_resume_it_one_does(scene: Scene, tmp_path: Path) -> None:
    """The others are told that they were too late, and their input is not taken."""
    going = Going(lambda: pauses(str(tmp_path)))
    run = scene.waiting("pauses")
    names = [f"person-{n}" for n in range(6)]
    together = threading.Barrier(len(names))

    def resume(name: str) -> str:
        together.wait()
        try:
            resume_flow_run(run.id, run_input={"granted": True, "by": name})
        except NotPausedError:
            return ""
        return name

    took = [
        name for name in [one.result() for one in [Going(lambda name=name: resume(name)) for name in names]] if name
    ]
    assert len(took) == 1
    assert going.result() == [1, True, took[0]]


def test_several_pauses_are_told_apart(scene: Scene) -> None:
    """By their number in the code, or by a key; each has its own answer."""

    @flow
    def twice() -> list[int]:
        first = pause_flow_run(wait_for_input=int)
        second = pause_flow_run(wait_for_input=int)
        return [first, second, pause_flow_run(wait_for_input=int, key="last")]

    going = Going(twice)
    for answer in (1, 2, 3):
        until(partial(has_paused, scene, "twice", times=answer), "the pause")
        resume_flow_run(scene.run().id, run_input=answer)
    assert going.result() == [1, 2, 3]


def has_paused(scene: Scene, flow_name: str, *, times: int) -> bool:
    """Tell whether a run has paused so often, and waits."""
    return scene.states(scene.waiting(flow_name).id).count("Paused") == times


def test_a_pause_that_was_answered_is_passed_when_the_run_is_tried_again(scene: Scene) -> None:
    """The answer of the first try is that of the second, and nobody is asked again."""
    tries = []

    @flow(retries=1)
    def flaky() -> int:
        answer = pause_flow_run(wait_for_input=int)
        tries.append(answer)
        if len(tries) == 1:
            raise LookupError("not yet")
        return answer

    going = Going(flaky)
    resume_flow_run(scene.waiting("flaky").id, run_input=7)
    assert going.result() == 7
    assert tries == [7, 7]
    assert scene.states().count("Paused") == 1


def test_a_flow_in_a_flow_pauses_alone(scene: Scene, tmp_path: Path) -> None:
    """Whoever called it runs on; it may be resumed by its own name, or that of the run above it."""

    @flow
    def outer() -> object:
        return [pauses(str(tmp_path)), pauses(str(tmp_path))]

    going = Going(outer)
    inner = scene.waiting("pauses")
    assert scene.run(inner.parent_id).state.name == "Running"
    resume_flow_run(inner.name, run_input={"granted": True})
    until(lambda: scene.waiting("pauses").id != inner.id, "the second call")
    resume_flow_run(scene.run().name, run_input={"granted": False})
    assert going.result() == [[1, True, "nobody"], [2, False, "nobody"]]


def test_several_below_a_run_have_to_be_told_apart(scene: Scene, tmp_path: Path) -> None:
    """Whose name fits them all is told which there are."""

    @flow
    def outer() -> object:
        return [one.result() for one in [pauses.submit(str(tmp_path)), pauses.submit(str(tmp_path))]]

    going = Going(outer)
    until(lambda: sum(run.state.name == "Paused" for run in scene.runs()) == 2, "both pauses")
    names = sorted(run.name for run in scene.runs() if run.flow == "pauses")
    with pytest.raises(PauseError, match=f"{names[0]!r}, {names[1]!r}. Say which"):
        resume_flow_run(scene.run().name, run_input={"granted": True})
    for name in names:
        resume_flow_run(name, run_input={"granted": True})
    assert len(going.result()) == 2


def test_async_flows_wait_in_their_loop(scene: Scene) -> None:
    """The same function is awaited there; other work of the loop goes on, and may be what resumes the run."""

    @flow
    async def asks() -> list[int | None]:
        me = runtime.flow_run.id
        assert me is not None

        async def answer(value: int) -> None:
            await asyncio.to_thread(scene.waiting, "asks")
            await aresume_flow_run(me, run_input=value)

        answering = asyncio.create_task(answer(1))
        first = await pause_flow_run(wait_for_input=int)  # type: ignore[misc]
        await answering
        answering = asyncio.create_task(answer(2))
        second = await apause_flow_run(wait_for_input=int)
        await answering
        return [first, second]

    assert asyncio.run(asks()) == [1, 2]


def test_the_end_of_an_async_pause_is_heard_in_time(scene: Scene) -> None:
    """Nobody resumes it: the same exception as in synchronous code."""

    @flow
    async def waits() -> None:
        await apause_flow_run(timeout=0.05)

    with pytest.raises(FlowPauseTimeout):
        asyncio.run(waits())


@pytest.mark.parametrize("cancelled", [True, False], ids=["cancelled", "told to stop"])
def test_a_paused_run_can_be_ended(scene: Scene, tmp_path: Path, cancelled: bool) -> None:
    """A cancel, or a signal, ends the wait at once."""
    from towpath.engine.clock import SYSTEM
    from towpath.engine.drive import run_flow

    interrupt = Interrupt()
    run = FlowRun("pauses")
    going = Going(
        lambda: run_flow(pauses, {"folder": str(tmp_path)}, run=run, interrupt=interrupt, recorder=SYSTEM.recorder)
    )
    scene.waiting("pauses")
    # Python 3.11 hands an exception for a thread that just starts another one to the new one: not while that is so.
    until(going.is_blocked, "the wait for input")
    interrupt.end("Enough.", cancelled=cancelled)
    state = going.result()
    assert state.type is (StateType.CANCELLED if cancelled else StateType.CRASHED)
    assert scene.run(run.id).state.message == "Enough."


def test_the_clock_of_a_flow_goes_on_while_it_is_paused(scene: Scene) -> None:
    """Its own timeout ends the wait."""

    @flow(timeout_seconds=0.2)
    def waits() -> None:
        pause_flow_run()

    with pytest.raises(RunTimeout):
        waits()
    assert scene.run().state.name == "TimedOut"


def test_tasks_and_code_outside_of_flows_cannot_be_paused(scene: Scene) -> None:
    """Each is told what can be."""

    @task
    def pausing() -> None:
        pause_flow_run()

    @flow
    def calls() -> None:
        pausing()

    with pytest.raises(PauseError, match="Task runs cannot be paused, only flow runs: task run 'pausing-0'"):
        calls()
    with pytest.raises(MissingContext, match="no flow run here that could be paused"):
        pause_flow_run()
    with pytest.raises(ValueError, match="timeout must be seconds, 0 or more"):
        flow(lambda: pause_flow_run(timeout=-1), name="wrong")()


def test_where_nothing_is_kept_nothing_can_wait(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of a pod that does not run the flow, and without a history, there is a clear error."""
    waits = flow(pause_flow_run, name="waits")
    monkeypatch.setenv("TOWPATH_RUN", "some-run")
    with pytest.raises(PauseError, match="does not run its flow"):
        waits()
    monkeypatch.delenv("TOWPATH_RUN")
    monkeypatch.setenv("TOWPATH_HISTORY", "off")
    with pytest.raises(PauseError, match="The history is switched off"):
        waits()


def test_initial_values_and_a_description_go_along(scene: Scene) -> None:
    """Whoever resumes the run sees them, and need not give what has a value."""
    from towpath.cli.pauses import pauses_of

    @flow
    def asks() -> Approval:
        return pause_flow_run(wait_for_input=Approval.with_initial_data(description="Publish?", granted=True))

    going = Going(asks)
    run = scene.waiting("asks")
    (waits,) = pauses_of(run.id)
    assert waits.description == "Publish?"
    assert waits.input is not None
    assert waits.input["properties"]["granted"] == {"default": True, "title": "Granted", "type": "boolean"}
    resume_flow_run(run.id)
    assert going.result().granted is True


@task
def step() -> None:
    """Be called."""


@task
async def async_step() -> None:
    """Be called."""


@pytest.mark.parametrize("how", ["called", "submitted", "awaited"])
def test_a_run_is_asked_from_outside_to_wait(scene: Scene, how: str) -> None:
    """It does so at its next call of a task, once, and goes on when it is resumed."""
    enough = threading.Event()

    @flow
    def goes_on() -> str:
        while not enough.is_set():
            step() if how == "called" else step.submit().wait()
        return "enough"

    @flow(name="goes-on")
    async def awaits() -> str:
        while not enough.is_set():
            await async_step()
            await asyncio.sleep(0)
        return "enough"

    going = Going((lambda: asyncio.run(awaits())) if how == "awaited" else goes_on)
    run = until(lambda: next(iter(scene.runs()), None), "the run")
    ask(run.name, is_suspension=False)
    waits = scene.waiting("goes-on")
    assert (waits.state.message or "").startswith("Somebody asked for it. To resume: towpath runs resume")
    with pytest.raises(PauseError, match="is Paused already"):
        ask(run.name, is_suspension=False)
    enough.set()
    resume_flow_run(run.id)
    assert going.result() == "enough"
    assert scene.states().count("Paused") == 1
    with pytest.raises(PauseError, match="it has ended, Completed"):
        ask(run.name, is_suspension=False)
