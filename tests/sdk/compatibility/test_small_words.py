"""Small things that scripts rely on: `opaque`, `aresult`, and what hooks read of a run."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from towpath import Failed, State, allow_failure, flow, opaque, quote, runtime, task
from towpath.engine.drive import run_flow
from towpath.runs import FlowRun


@task
def give(x: Any) -> Any:
    """Give what came."""
    return x


@task
def fail() -> None:
    """Fail."""
    raise ValueError("no")


def test_an_opaque_argument_is_resolved_but_not_looked_into() -> None:
    """A future is its value; one within a list stays what it is; other words within still count."""

    @task
    def kind(x: Any) -> str:
        return type(x[0] if isinstance(x, list) else x).__name__

    @flow
    def main() -> list[str]:
        future = give.submit(1)
        return [
            kind(opaque(future)),
            kind(opaque([future])),
            kind([future]),
            kind.submit(opaque(give(2, return_state=True))).result(),
            kind(opaque(allow_failure(fail.submit()))),
            *kind.map(opaque([[future], future])).result(),
        ]

    assert main() == ["int", "Future", "int", "int", "ValueError", "Future", "int"]


def test_a_quoted_value_that_is_returned_is_the_callers() -> None:
    """A state within is no end, and a future within is waited for by nobody but the caller."""

    @flow
    def main() -> Any:
        return quote([Failed(), give.submit(1)])

    state = main(return_state=True)
    assert state.is_completed()
    failed, future = state.result().unquote()
    assert failed.is_failed()
    assert future.result() == 1

    @flow
    async def later() -> Any:
        return [quote(Failed())]

    assert asyncio.run(later())[0].unwrap().is_failed()


def test_names_of_runs_of_methods_may_tell_of_their_object() -> None:
    """`{self.name}` or `{cls.__name__}` in a template."""

    class Feed:
        def __init__(self, name: str) -> None:
            self.name = name

        @task(task_run_name="load-{self.name}-{page}")
        def load(self, page: int) -> Any:
            return runtime.task_run.name

        @flow(flow_run_name="{cls.__name__}-{n}")
        @classmethod
        def sync(cls, n: int) -> Any:
            return runtime.flow_run.name

        @flow(flow_run_name="{self.name}-all")
        def sync_all(self) -> Any:
            return runtime.flow_run.name, self.load.submit(2).result()

    feed = Feed("news")
    assert (feed.load(1), Feed.sync(3), feed.sync_all()) == ("load-news-1", "Feed-3", ("news-all", "load-news-2"))


def test_a_timeout_is_taken_back_with_zero() -> None:
    """As retries are."""

    @flow(timeout_seconds=1)
    def main() -> None: ...

    assert main.with_options(timeout_seconds=0).timeout_seconds is None
    assert main.with_options(name="other").timeout_seconds == 1


def test_a_description_is_the_docstring_without_its_indentation() -> None:
    """Unless it is given; a callable object's class is not what is described."""

    @flow
    def main() -> None:
        """Load.

        All of it.
        """

    @task(description="Given.")
    def work() -> None:
        """Not this."""

    assert main.description == "Load.\n\nAll of it."
    assert (work.description, work.with_options(retries=1).description) == ("Given.", "Given.")
    assert task(lambda: 1).description is None


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "in storage"])
def test_a_state_is_asked_for_its_value_in_code_that_awaits(in_memory: bool) -> None:
    """`await state.aresult()` does as `state.result()`."""
    kept = give.with_options(persist_result=True, cache_result_in_memory=in_memory)

    @flow
    async def main() -> Any:
        state: State[Any] = kept(5, return_state=True)
        failed: State[Any] = fail(return_state=True)
        error = await failed.aresult(raise_on_failure=False)
        return await state.aresult(), str(error)

    assert asyncio.run(main()) == (5, "no")


def test_a_hook_reads_of_a_run_what_it_is_used_to() -> None:
    """Names, ids, times and counts, as attributes."""
    due = datetime(2026, 1, 31, 6, tzinfo=UTC)
    read: list[Any] = []

    def tell(_: Any, run: FlowRun, state: State[Any]) -> None:
        read.append((run.deployment_id, run.expected_start_time, run.parameters, run.run_count))
        read.append((run.state_type, run.state_name, state.message, run.total_run_time.total_seconds() >= 0))

    @flow(on_completion=[tell])
    def main(x: int = 1) -> None: ...

    run_flow(main, {}, run=FlowRun("main", deployment="nightly", scheduled_time=due))
    assert read == [("nightly", due, {"x": 1}, 1), ("COMPLETED", "Completed", None, True)]
    main()
    assert read[2][0] is None
    assert isinstance(read[2][1], datetime)
