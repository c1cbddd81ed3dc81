"""Runs that wait without a process: unwound, kept in the history, and begun anew."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.pausing import flows
from tests.sdk.pausing.conftest import PATIENCE_SECONDS, Going, Scene, until

from towpath import flow, resume_flow_run, suspend_flow_run, task
from towpath.engine.interrupts import Interrupt
from towpath.errors import EntrypointError, FlowSuspended, HistoryError, NotPausedError, ParameterError, PauseError
from towpath.history import open_history
from towpath.history.port import RecordedRun
from towpath.history.reader import SQLiteHistory
from towpath.origins import origin_of
from towpath.pausing.again import load_origin, run_again
from towpath.pausing.here import local_pauses
from towpath.pausing.port import Next
from towpath.pausing.resuming import resume, retry
from towpath.pausing.waiting import waited
from towpath.serving.cancelling import cancel
from towpath.states import State, StateType


def begin_anew(run_id: str) -> State[Any]:
    """Begin a run anew in this process, as the command line does in its own."""
    book = local_pauses()
    origin = book.find(run_id).origin
    assert isinstance(origin, Mapping)
    ended = run_again(book, run_id, load_origin(origin, book.path), Interrupt())  # type: ignore[attr-defined]
    assert ended is not None
    return ended[1]


def resume_here(which: str, run_input: Any = None) -> State[Any]:
    """Resume a run, and begin it anew in this process."""
    begun = waited(resume(which, run_input))
    assert begun.then is Next.TO_BE_STARTED
    return begin_anew(begun.run_id)


@pytest.fixture
def startable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have flows that are local to a test count as if a process could begin them anew."""
    monkeypatch.setattr("towpath.engine.calls.origin_of", lambda _: origin_of(flows.suspends))


def suspended(scene: Scene, call: Any) -> str:
    """Call a flow that suspends itself; give the name of its run."""
    with pytest.raises(FlowSuspended, match="To resume: towpath runs resume"):
        call()
    return scene.run().name


def test_a_suspended_run_begins_anew_and_passes_what_is_kept(scene: Scene, tmp_path: Path) -> None:
    """The same run, its next attempt: the kept result of its first part is found, the input is there."""
    name = suspended(scene, lambda: flows.suspends(str(tmp_path)))
    run = scene.run(name)
    assert (run.state.type, run.state.name, run.process) == (StateType.PAUSED, "Suspended", None)
    state = resume_here(name, {"granted": True, "by": "ada"})
    assert state.result() == [1, True, "ada"]
    assert (tmp_path / "calls").read_text(encoding="utf-8") == "x"
    again = scene.run(name)
    assert (again.id, again.attempt) == (run.id, 2)
    assert scene.states(name) == ["Running", "Suspended", "Resuming", "Pending", "Running", "Completed"]


def test_wrong_input_is_refused_before_anything_begins(scene: Scene, tmp_path: Path) -> None:
    """What only the run itself finds wrong has it wait on as well, and says why."""
    name = suspended(scene, lambda: flows.suspends(str(tmp_path)))
    with pytest.raises(ParameterError, match="granted='perhaps' must be true or false"):
        resume_flow_run(name, run_input={"granted": "perhaps"})
    assert scene.run(name).attempt == 1
    state = resume_here(name, {"granted": True, "by": "eve"})
    assert (state.type, state.name) == (StateType.PAUSED, "Suspended")
    assert "nobody of that name decides" in (scene.run(name).state.message or "")
    assert resume_here(name, {"granted": True, "by": "bob"}).result() == [1, True, "bob"]


def test_flows_that_called_it_are_suspended_with_it(scene: Scene, tmp_path: Path) -> None:
    """The whole tree ends and begins anew; the flow within keeps its run and finds its answer."""
    name = suspended(scene, lambda: flows.calls_one(str(tmp_path)))
    (inner,) = [run for run in scene.runs() if run.flow == "suspends"]
    assert [run.state.name for run in scene.runs()] == ["Suspended", "Suspended"]
    assert resume_here(inner.name, {"granted": False}).result() == [1, False, "nobody"]
    assert {run.id for run in scene.runs()} == {inner.id, scene.run(name).id}
    assert [run.state.name for run in scene.runs()] == ["Completed", "Completed"]


@pytest.mark.parametrize("asks", [True, False], ids=["asks for the value", "returns"])
def test_a_submitted_flow_suspends_whoever_has_begun_it(
    scene: Scene, tmp_path: Path, startable: None, asks: bool
) -> None:
    """A parent that asks for the value is unwound there; one that does not is suspended when it returns."""

    @flow
    def outer() -> object:
        future = flows.suspends.submit(str(tmp_path))
        return future.result() if asks else "done"

    suspended(scene, outer)
    assert [run.state.name for run in scene.runs()] == ["Suspended", "Suspended"]


def test_asked_for_its_state_a_flow_gives_it(scene: Scene, tmp_path: Path) -> None:
    """Nobody above is to be unwound."""
    state = flows.suspends(str(tmp_path), return_state=True)
    assert (state.type, state.name) == (StateType.PAUSED, "Suspended")


def test_submitted_tasks_end_before_the_process_does(scene: Scene, startable: None) -> None:
    """What was begun is waited for, and recorded."""
    done = []

    @task
    def slow() -> None:
        time.sleep(0.1)
        done.append(True)

    @flow
    def outer() -> None:
        slow.submit()
        suspend_flow_run()

    suspended(scene, outer)
    assert done == [True]


def test_who_cannot_begin_anew_cannot_be_suspended(scene: Scene, request: pytest.FixtureRequest) -> None:
    """It is told at once, and why; pausing is what is left."""

    @flow
    def local(value: object = None) -> None:
        suspend_flow_run()

    with pytest.raises(PauseError, match=r"local to a function.*pause_flow_run waits in this process instead"):
        local()
    assert scene.run().state.name == "Failed"
    request.getfixturevalue("startable")
    with pytest.raises(PauseError, match="its parameters are too large to be recorded"):
        local(object())


def test_async_flows_are_suspended_as_others_are(scene: Scene, startable: None) -> None:
    """The same function is awaited there."""

    @flow
    async def outer() -> None:
        await suspend_flow_run()  # type: ignore[func-returns-value]

    suspended(scene, lambda: asyncio.run(outer()))


def test_one_of_those_who_resume_it_takes_hold(scene: Scene, tmp_path: Path) -> None:
    """And of processes that come to begin it anew, one takes it."""
    name = suspended(scene, lambda: flows.suspends(str(tmp_path)))
    begun = waited(resume(name, {"granted": True}))
    with pytest.raises(NotPausedError, match="it is Resuming"):
        waited(resume(name, {"granted": False}))
    book = local_pauses()
    assert book.take(begun.run_id) is not None
    assert book.take(begun.run_id) is None


def test_who_looks_while_another_resumes_it_is_told_that_it_is_too_late(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State and pauses of a run are of one moment: nobody takes one that was just answered for one without input."""
    name = suspended(scene, lambda: flows.suspends(str(tmp_path)))
    tree = SQLiteHistory.tree

    def overtaken(history: SQLiteHistory, run_id: str) -> list[RecordedRun]:
        found = tree(history, run_id)
        monkeypatch.setattr(SQLiteHistory, "tree", tree)
        waited(resume(name, {"granted": True}))
        return found

    monkeypatch.setattr(SQLiteHistory, "tree", overtaken)
    with pytest.raises(NotPausedError, match="it is Resuming"):
        waited(resume(name, {"granted": False}))


def test_a_run_that_was_resumed_and_not_begun_can_be_begun_by_a_retry(scene: Scene, tmp_path: Path) -> None:
    """Whoever resumed it was killed in between: nothing is lost."""
    name = suspended(scene, lambda: flows.suspends(str(tmp_path)))
    waited(resume(name, {"granted": True}))
    begun = retry(name)
    assert begun.then is Next.TO_BE_STARTED
    assert begin_anew(begun.run_id).result() == [1, True, "nobody"]
    assert scene.run(name).attempt == 2


def test_nobody_resumes_it_in_time(scene: Scene, startable: None) -> None:
    """Whoever looks next finds it FAILED, with the flows that called it; it can be tried again."""

    @flow
    def inner() -> None:
        suspend_flow_run(timeout=0)

    @flow
    def outer() -> None:
        inner()

    suspended(scene, outer)
    for run in scene.runs():
        assert (run.state.type, run.state.message) == (StateType.FAILED, scene.run().state.message)
        assert "nobody resumed it until" in (run.state.message or "")
    with pytest.raises(NotPausedError, match="To try it again: towpath runs retry"):
        resume_flow_run(scene.run().name)


def test_a_suspended_run_can_be_cancelled(scene: Scene, tmp_path: Path) -> None:
    """With those that are suspended with it; until then it cannot be deleted."""
    suspended(scene, lambda: flows.calls_one(str(tmp_path)))
    top = scene.run()
    with open_history(scene.file) as history, pytest.raises(HistoryError, match="kept until it has ended"):
        history.delete(top.id)
    assert cancel(top.id)
    assert [run.state.name for run in scene.runs()] == ["Cancelled", "Cancelled"]
    assert not cancel(top.id)
    with open_history(scene.file) as history:
        assert history.delete(top.id) == 2


def test_a_failed_run_is_tried_again_as_the_same_run(scene: Scene, tmp_path: Path) -> None:
    """Kept results are taken; what has completed, goes on or was called by another run is left alone."""
    with pytest.raises(LookupError):
        flows.fails_once(str(tmp_path))
    name = scene.run().name
    (tmp_path / "mended").touch()
    assert begin_anew(retry(name).run_id).result() == 1
    assert scene.run(name).attempt == 2
    with pytest.raises(PauseError, match="has completed"):
        retry(name)
    going = Going(lambda: flows.pauses(str(tmp_path), timeout=None))
    paused = scene.waiting("pauses")
    with pytest.raises(PauseError, match=r"is Paused\. To have it go on: towpath runs resume"):
        retry(paused.name)
    resume_flow_run(paused.name, {"granted": True})
    going.result()

    @flow
    def fails() -> None:
        raise LookupError

    @flow
    def outer() -> None:
        fails()

    with pytest.raises(LookupError):
        outer()
    with pytest.raises(PauseError, match="cannot begin anew: its flow 'outer' cannot be loaded from a file"):
        retry(scene.run().name)
    with pytest.raises(PauseError, match="was called by run"):
        retry(next(run.name for run in scene.runs() if run.flow == "fails"))


def test_a_pause_that_was_answered_before_a_crash_is_passed(scene: Scene, tmp_path: Path) -> None:
    """The answer belongs to the run, not to its process."""
    going = Going(lambda: flows.pauses(str(tmp_path)))
    run = scene.waiting("pauses")
    resume_flow_run(run.id, {"granted": True, "by": "ada"})
    going.result()
    book = local_pauses()
    with book._transaction() as connection:  # type: ignore[attr-defined]
        connection.execute("UPDATE flow_runs SET state_type = 'CRASHED' WHERE id = ?", (run.id,))
    assert begin_anew(retry(run.name).run_id).result() == [1, True, "ada"]
    assert scene.states(run.id).count("Paused") == 1


def test_code_that_is_gone_leaves_a_run_as_it_was(scene: Scene, tmp_path: Path) -> None:
    """Its origin names what cannot be loaded."""
    file = tmp_path / "gone.py"
    with pytest.raises(EntrypointError, match=r"there is no file .*gone\.py"):
        load_origin({"entrypoint": f"{file}:etl", "folder": str(tmp_path), "path": []}, scene.file)
    with pytest.raises(PauseError, match="cannot be entered"):
        load_origin({"entrypoint": f"{file}:etl", "folder": str(tmp_path / "no"), "path": []}, scene.file)


def test_another_run_is_not_suspended_with_input() -> None:
    """Only a flow's own code knows what input it can take."""
    with pytest.raises(TypeError, match="without input"):
        suspend_flow_run(wait_for_input=int, flow_run_id="some")


def test_without_a_pause_a_paused_state_is_the_authors(scene: Scene) -> None:
    """A flow that returns a Paused state may be begun anew, and wants no input."""
    from towpath.states import Paused

    paused = flow(Paused, name="says-so")
    assert paused(return_state=True).is_paused()
    with pytest.raises(ParameterError, match="waits for no input"):
        resume_flow_run(scene.run().name, {"x": 1})
    with pytest.raises(PauseError, match="cannot begin anew"):
        resume_flow_run(scene.run().name)


def test_who_resumes_a_run_that_is_still_being_unwound_waits_for_that(
    scene: Scene, tmp_path: Path, startable: None
) -> None:
    """The flow within is suspended already, the one that called it has something to tidy up."""
    tidied = threading.Event()

    @flow
    def outer() -> object:
        try:
            return flows.suspends(str(tmp_path))
        finally:
            assert tidied.wait(PATIENCE_SECONDS)

    going = Going(outer)
    inner = scene.waiting("suspends", "Suspended")
    resuming = Going(lambda: waited(resume(inner.name, {"granted": True})))
    time.sleep(0.1)  # so that it comes too early, mostly
    tidied.set()
    with pytest.raises(FlowSuspended):
        going.result()
    assert resuming.result().then is Next.TO_BE_STARTED
    assert scene.run().state.name == "Resuming"


def test_a_run_that_waits_in_its_process_is_not_taken(scene: Scene) -> None:
    """For its next try, for example: nobody else begins it meanwhile."""

    @flow(retries=1, retry_delay_seconds=0.3)
    def flaky() -> None:
        raise LookupError

    going = Going(flaky)
    run = until(
        lambda: next((run for run in scene.runs() if run.state.name in {"AwaitingRetry", "Failed"}), None), "the wait"
    )
    assert local_pauses().take(run.id) is None
    with pytest.raises(PauseError):
        retry(run.name)
    with pytest.raises(LookupError):
        going.result()
