"""Hooks: called when, with what, and what happens when they break."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from towpath import Cancelled, Failed, flow, task

Call = tuple[str, str, str]


class Log:
    """Notes hook calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def hook(self, name: str) -> Any:
        """Make a sync hook."""

        def hook(definition: Any, run: Any, state: Any) -> None:
            assert run.state is state
            self.calls.append((name, definition.name, state.name))

        return hook

    def async_hook(self, name: str) -> Any:
        """Make an async hook."""

        async def hook(definition: Any, run: Any, state: Any) -> None:
            await asyncio.sleep(0)
            self.calls.append((name, definition.name, state.name))

        return hook

    def names(self) -> list[str]:
        """Name the hooks that were called."""
        return [name for name, *_ in self.calls]


@pytest.mark.parametrize("make", [flow, task], ids=["flow", "task"])
@pytest.mark.parametrize("kind", ["hook", "async_hook"], ids=["sync", "async"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync run", "async run"])
def test_hooks_of_runs_that_end_by_themselves(make: Any, kind: str, is_async: bool, naps: list[float]) -> None:
    """on_running at each try, then on_completion or on_failure, sync or async, in sync and async runs."""
    log = Log()
    hook = getattr(log, kind)
    tries: list[int] = []

    def work(fail: bool) -> None:
        tries.append(1)
        if fail:
            raise ValueError

    async def async_work(fail: bool) -> None:
        work(fail)

    made = make(
        name="n",
        retries=1,
        on_running=[hook("running")],
        on_completion=[hook("first"), hook("second")],
        on_failure=[hook("failed")],
    )(async_work if is_async else work)

    def run(fail: bool) -> None:
        call = made(fail, return_state=True)
        if is_async:
            asyncio.run(call)

    run(fail=False)
    assert log.calls == [("running", "n", "Running"), ("first", "n", "Completed"), ("second", "n", "Completed")]
    log.calls.clear()
    run(fail=True)
    assert log.calls == [("running", "n", "Running"), ("running", "n", "Retrying"), ("failed", "n", "Failed")]


def test_hooks_by_decoration() -> None:
    """`@my_flow.on_failure` registers a hook, also after runs have been made; options changed later keep it."""
    log = Log()

    @flow
    def main(how: str) -> Any:
        if how == "raise":
            raise ValueError
        if how == "crash":
            raise SystemExit
        return Cancelled() if how == "cancel" else None

    main("complete")
    registered = log.hook("failed")
    assert main.on_failure(registered) is registered
    for when in ("running", "completion", "cancellation", "crashed"):
        getattr(main, f"on_{when}")(log.hook(when))
    main("complete")
    main.with_options(name="other")("raise", return_state=True)
    main("cancel", return_state=True)
    with pytest.raises(SystemExit):
        main("crash")
    assert log.names() == [
        "running",
        "completion",
        "running",
        "failed",
        "running",
        "cancellation",
        "running",
        "crashed",
    ]

    @task
    def work() -> None: ...

    work()
    work.on_completion(log.hook("task completed"))
    work()
    assert log.names()[-1] == "task completed"


def test_a_broken_hook_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged with its name; the others run, and the state stays."""
    log = Log()

    def broken(*_: Any) -> None:
        raise RuntimeError("hook is broken")

    async def broken_async(*_: Any) -> None:
        raise RuntimeError("async hook is broken")

    @flow(on_completion=[broken, broken_async, log.hook("after")])
    def main() -> int:
        return 5

    assert main() == 5
    assert log.names() == ["after"]
    assert "Hook 'broken' failed" in caplog.text
    assert "async hook is broken" in caplog.text


def test_failed_hooks_run_for_wrong_parameters_and_returned_failures() -> None:
    """Whatever makes a run FAILED."""
    log = Log()

    @flow(on_failure=[log.hook("failed")], on_running=[log.hook("running")])
    def main(x: int) -> Any:
        return Failed()

    main("x", return_state=True)
    assert log.names() == ["failed"]
    main(1, return_state=True)
    assert log.names() == ["failed", "running", "failed"]


def test_submitted_tasks_run_hooks_in_their_thread() -> None:
    """Also async ones."""
    log = Log()
    hooked = task(on_completion=[log.async_hook("done")])(lambda: 1)
    assert flow(lambda: hooked.submit().result())() == 1
    assert log.names() == ["done"]
