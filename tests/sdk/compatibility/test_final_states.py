"""The state that a run ends in: each rule, for functions, coroutines and generators, for flows and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from towpath import (
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Flow,
    Future,
    Paused,
    Pending,
    State,
    StateType,
    Task,
    allow_failure,
    flow,
    task,
)

BOOM = ValueError("boom")
Make = Callable[[], Any]


@task
def good() -> int:
    """Give a value."""
    return 1


@task
def bad() -> int:
    """Fail."""
    raise BOOM


@flow
def bad_child() -> int:
    """Fail as a child."""
    raise BOOM


def raising() -> Any:
    """Raise."""
    raise BOOM


def unobserved() -> Any:
    """Start what fails, and look away."""
    bad.submit()
    return 5


def not_ready() -> Any:
    """Give the future of what never runs."""
    return good.submit(wait_for=[bad.submit()])


ENDS: dict[str, tuple[Make, str]] = {
    "a value": (lambda: 5, "Completed"),
    "nothing": (lambda: None, "Completed"),
    "an empty list": (list, "Completed"),
    "an exception raised": (raising, "Failed"),
    "an exception as a value": (lambda: BOOM, "Completed"),
    "a task that failed unobserved": (unobserved, "Completed"),
    "a completed state": (lambda: Completed(message="m"), "Completed"),
    "a completed state with a name": (lambda: Completed(name="Skipped"), "Skipped"),
    "a failed state": (lambda: Failed(message="m"), "Failed"),
    "a failed state with a name": (lambda: Failed(name="Refused"), "Refused"),
    "a cancelled state": (Cancelled, "Cancelled"),
    "a crashed state": (Crashed, "Crashed"),
    "the state of a run": (lambda: good(return_state=True), "Completed"),
    "the state of a run that failed": (lambda: bad(return_state=True), "Failed"),
    "the state of a child that failed": (lambda: bad_child(return_state=True), "Failed"),
    "a future": (good.submit, "Completed"),
    "a future that fails": (bad.submit, "Failed"),
    "a future that is never ready": (not_ready, "Failed"),
    "futures": (lambda: [good.submit(), good.submit()], "Completed"),
    "futures, one fails": (lambda: (good.submit(), bad.submit()), "Failed"),
    "a future and a value": (lambda: [bad.submit(), 5], "Completed"),
    "futures in a dictionary": (lambda: {"a": bad.submit()}, "Completed"),
    "states": (lambda: [Completed(), Completed(name="Skipped")], "Completed"),
    "states, one failed": (lambda: [Completed(), Failed()], "Failed"),
    "states, one crashed": (lambda: [Completed(), Crashed()], "Failed"),
    "states, one unfinished": (lambda: {Completed(), Pending()}, "Failed"),
    "states, one paused": (lambda: [Completed(), Failed(), Paused()], "Paused"),
    "states, one cancelled": (lambda: [Failed(), Paused(), Cancelled(), Crashed()], "Cancelled"),
}
ITEMS: dict[str, tuple[list[Make], str]] = {
    "nothing": ([], "Completed"),
    "values": ([lambda: 1, lambda: 2], "Completed"),
    "futures": ([good.submit, good.submit], "Completed"),
    "futures, one fails": ([good.submit, bad.submit], "Failed"),
    "a future that fails and a value": ([bad.submit, lambda: 5], "Completed"),
    "states, one cancelled": ([Failed, Cancelled], "Cancelled"),
    "an exception after a value": ([lambda: 1, raising], "Failed"),
}
KINDS = pytest.mark.parametrize("kind", [flow, task], ids=["flow", "task"])


def end_of(definition: Flow[[], Any] | Task[[], Any]) -> State[Any]:
    """Run a flow, or a task in a flow, and give the state that it ends in."""
    within: Any = definition
    if isinstance(definition, Task):

        @flow
        def main() -> Any:
            return [definition(return_state=True)]

        @flow
        async def main_async() -> Any:
            called: Any = definition(return_state=True)
            return [await called]

        within = main_async if definition.is_async else main
    ended: Any = within(return_state=True)
    if definition.is_async:
        ended = asyncio.run(ended)
    state: State[Any] = ended.data[0] if isinstance(definition, Task) else ended
    return state


@KINDS
@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine"])
@pytest.mark.parametrize(("make", "name"), ENDS.values(), ids=ENDS)
def test_how_a_run_ends(kind: Any, is_async: bool, make: Make, name: str) -> None:
    """What was returned or raised decides, and nothing else."""

    def work() -> Any:
        return make()

    async def work_async() -> Any:
        return make()

    state = end_of(kind(work_async if is_async else work))
    assert state.name == name


@KINDS
@pytest.mark.parametrize("is_async", [False, True], ids=["generator", "async generator"])
@pytest.mark.parametrize(("makes", "name"), ITEMS.values(), ids=ITEMS)
def test_how_a_run_that_yields_ends(kind: Any, is_async: bool, makes: list[Make], name: str) -> None:
    """The list of what was yielded decides, as if it had been returned; futures in it are waited for."""

    def work() -> Any:
        for make in makes:
            yield make()

    async def work_async() -> Any:
        for make in makes:
            yield make()

    state = end_of(kind(work_async if is_async else work))
    assert state.name == name
    if state.type is StateType.COMPLETED:
        assert len(state.result()) == len(makes)
        assert not any(isinstance(item, Future) for item in state.result())


@pytest.mark.parametrize(
    ("error", "message"),
    [(KeyboardInterrupt(), "keyboard"), (SystemExit(3), r"sys\.exit\(3\)")],
    ids=["Ctrl-C", "sys.exit"],
)
def test_what_ends_the_process_crashes_the_run(error: BaseException, message: str) -> None:
    """The flow's state says why, and the exception goes on to the caller, who asked for a state only."""
    told: list[State[Any]] = []

    @flow(on_crashed=[lambda _flow, _run, state: told.append(state)], retries=3)
    def main() -> None:
        raise error

    with pytest.raises(type(error)):
        main(return_state=True)
    [state] = told
    assert state.is_crashed()
    assert message.replace("\\", "") in (state.message or "")


def test_what_a_failed_run_left_reaches_who_asks_for_it() -> None:
    """From a task's future, through `allow_failure`, and from a flow's state."""

    @task
    def load() -> Any:
        return Failed(message="two rows are missing", data=["row"])

    @task
    def count(rows: list[str]) -> int:
        return len(rows)

    @flow
    def main() -> Any:
        future = load.submit()
        assert future.result(raise_on_failure=False) == ["row"]
        assert count(allow_failure(future)) == 1
        return Failed(data={"rows": 1})

    assert main(return_state=True).result(raise_on_failure=False) == {"rows": 1}
