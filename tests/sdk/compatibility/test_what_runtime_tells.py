"""`towpath.runtime`, as scripts ask it: what each name gives in a run, and where there is none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from towpath import flow, runtime, task
from towpath.engine.drive import run_flow
from towpath.runs import FlowRun
from towpath.testing import harness

DUE = datetime(2026, 1, 31, 6, tzinfo=UTC)


@flow
def due() -> datetime:
    """Give when the run was due."""
    return runtime.flow_run.scheduled_start_time


def test_a_scheduled_run_knows_when_it_was_due() -> None:
    """However late it begins."""
    state = run_flow(due, {}, run=FlowRun("due", scheduled_time=DUE))
    assert state.result() == DUE


def test_a_run_that_nobody_scheduled_was_due_when_it_began() -> None:
    """So a name such as `load-{now:%A}` can always be made of it; and it does not change while the run goes on."""
    with harness() as towpath:
        towpath.clock.freeze(DUE)
        first_tries: list[int] = []

        @flow(retries=1, retry_delay_seconds=60)
        def main() -> datetime:
            if not first_tries:
                first_tries.append(1)
                raise ValueError
            return runtime.flow_run.scheduled_start_time

        assert main() == DUE


def test_a_name_can_be_made_of_the_time_before_the_run_has_begun() -> None:
    """A function that names runs is called before; there and outside of any run it is now."""

    def name() -> str:
        return f"on-a-{runtime.flow_run.scheduled_start_time:%A}"

    @flow(flow_run_name=name)
    def main() -> str | None:
        return runtime.flow_run.name

    assert str(main()).startswith("on-a-")
    assert abs((datetime.now(UTC) - runtime.flow_run.scheduled_start_time).total_seconds()) < 60


@pytest.mark.parametrize("name", ["api_url", "ui_url", "job_variables", "parent_deployment_id"])
def test_what_only_a_server_could_tell_is_nothing(name: str) -> None:
    """Scripts that look at it go on."""

    @task
    def look() -> Any:
        return getattr(runtime.flow_run, name), getattr(runtime.task_run, name, None)

    assert not any(flow(look, name="main")())
    assert not getattr(runtime.flow_run, name)


def test_a_run_of_a_deployment_knows_it_and_itself() -> None:
    """The deployment's name is its id; the run's id is there too."""

    @flow
    def main() -> Any:
        return runtime.deployment.id, runtime.deployment.name, runtime.deployment.flow_run_id == runtime.flow_run.id

    assert run_flow(main, {}, run=FlowRun("main", deployment="nightly")).result() == ("nightly", "nightly", True)
    assert main() == (None, None, True)
    assert runtime.deployment.id is runtime.deployment.flow_run_id is None


def test_each_name_that_is_listed_can_be_asked_for() -> None:
    """`dir` tells all of them."""
    for place in (runtime.flow_run, runtime.task_run, runtime.deployment):
        for name in dir(place):
            getattr(place, name)
