"""The import lines of scripts written for Prefect 3, with nothing changed but the name."""

from __future__ import annotations

import datetime as dt
import logging

import pytest

import towpath
from towpath import errors, flow, task
from towpath.context import FlowRunContext, TaskRunContext
from towpath.exceptions import FailedRun, MissingContextError, UnfinishedRun
from towpath.flows import Flow
from towpath.futures import PrefectFuture
from towpath.logging import disable_run_logger, flow_run_logger, get_logger, get_run_logger, task_run_logger
from towpath.runs import FlowRun, TaskRun
from towpath.states import Failed

LINES = [
    "from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact",
    "from prefect.blocks.system import Secret",
    "from prefect import flow, task, Flow, Task, State, get_run_logger, tags, unmapped, allow_failure, serve",
    "from prefect.cache_policies import DEFAULT, FLOW_PARAMETERS, INPUTS, NO_CACHE, RUN_ID, TASK_SOURCE",
    "from prefect.concurrency.asyncio import concurrency, rate_limit",
    "from prefect.concurrency.sync import concurrency, rate_limit",
    "from prefect.context import FlowRunContext, TaskRunContext, get_run_context, tags, with_context",
    "from prefect.deployments import run_deployment",
    "from prefect.events import emit_event",
    "from prefect.exceptions import CancelledRun, CrashedRun, FailedRun, MissingContextError, MissingResult",
    "from prefect.exceptions import MappingLengthMismatch, MappingMissingIterable, ParameterTypeError, UnfinishedRun",
    "from prefect.filesystems import LocalFileSystem",
    "from prefect.exceptions import FlowRunWaitTimeout",
    "from prefect.flow_runs import pause_flow_run, resume_flow_run, suspend_flow_run, wait_for_flow_run",
    "from prefect.flows import Flow, flow",
    "from prefect.futures import PrefectFuture, PrefectFutureList, as_completed, wait",
    "from prefect.input import RunInput, receive_input, send_input",
    "from prefect.locking.filesystem import FileSystemLockManager",
    "from prefect.locking.memory import MemoryLockManager",
    "from prefect.logging import disable_run_logger, get_logger, get_run_logger",
    "from prefect.results import ResultRecord, ResultStore",
    "from prefect.runtime import deployment, flow_run, task_run",
    "from prefect.schedules import Cron, Interval, RRule",
    "from prefect.serializers import JSONSerializer, PickleSerializer",
    "from prefect.states import Cancelled, Completed, Crashed, Failed, Paused, Pending, Running, Scheduled, State",
    "from prefect.task_runners import ConcurrentTaskRunner, ProcessPoolTaskRunner, ThreadPoolTaskRunner",
    "from prefect.tasks import Task, exponential_backoff, task, task_input_hash",
    "from prefect.transactions import CommitMode, IsolationLevel, get_transaction, transaction",
    "from prefect.variables import Variable",
    "import prefect.runtime",
]


@pytest.mark.parametrize("line", LINES)
def test_an_import_line_works_with_the_name_changed(line: str) -> None:
    """Each name is where a script looks for it."""
    exec(line.replace("prefect", "towpath"), {})


@pytest.mark.parametrize(
    "module", ["states", "cache_policies", "exceptions", "task_runners", "logging", "transactions"]
)
def test_a_star_brings_no_more_than_the_modules_own(module: str) -> None:
    """`from towpath.states import *` leaves the script's own `datetime` alone."""
    space: dict[str, object] = {"datetime": dt, "dataclass": None, "logging": logging, "Any": None}
    before = dict(space)
    exec(f"from towpath.{module} import *", space)
    assert {name: space[name] for name in before} == before
    assert len(space) > len(before)


def test_names_for_the_same_thing_are_the_same_thing() -> None:
    """An annotation, a check or an `except` with the old name holds of the new."""
    assert PrefectFuture is towpath.Future
    assert (FailedRun, MissingContextError, UnfinishedRun) == (
        errors.FlowRunFailed,
        errors.MissingContext,
        errors.UnfinishedRun,
    )


def test_a_state_without_an_exception_raises_what_scripts_catch() -> None:
    """A task or flow that returned Failed raises FailedRun when its value is asked for; before its end, UnfinishedRun."""

    @task
    def check() -> object:
        return Failed(message="three rows are missing")

    @flow
    def main() -> None:
        with pytest.raises(FailedRun, match="three rows"):
            check.submit().result()
        with pytest.raises(UnfinishedRun):
            check.submit(wait_for=[check.submit()]).result()

    main()


def test_contexts_are_asked_for_by_kind() -> None:
    """`FlowRunContext.get()` in a flow and its tasks, `TaskRunContext.get()` in a task only; None elsewhere."""

    @task
    def work() -> tuple[str, str]:
        within, of_task = FlowRunContext.get(), TaskRunContext.get()
        assert within is not None
        assert within.flow_run is not None
        assert of_task is not None
        assert of_task.task_run is not None
        return within.flow_run.name, of_task.task_run.name

    @flow(flow_run_name="main")
    def main() -> tuple[str, str]:
        assert TaskRunContext.get() is None
        return work()

    assert main() == ("main", "work-0")
    assert work.fn is not None
    assert FlowRunContext.get() is None
    assert TaskRunContext.get() is None


def test_a_plain_function_can_be_tested_without_a_run() -> None:
    """`disable_run_logger` lets `get_run_logger()` be called where there is no run, and is over with the block."""

    @task
    def work() -> int:
        get_run_logger().error("nobody hears this")
        return 1

    with disable_run_logger(), disable_run_logger():
        assert work.fn() == 1
    with pytest.raises(MissingContextError):
        work.fn()


def test_runs_log_nothing_while_their_logger_is_disabled(caplog: pytest.LogCaptureFixture) -> None:
    """Neither what they say nor their states; afterwards they do again."""

    @flow
    def main() -> None:
        get_run_logger().warning("heard")

    with caplog.at_level(logging.INFO, "towpath"):
        with disable_run_logger():
            main()
        assert not caplog.records
        main()
        assert "heard" in caplog.messages


def test_hooks_have_the_logger_of_their_run(caplog: pytest.LogCaptureFixture) -> None:
    """By `get_run_logger()`, or by the run that they are told of: the same lines, which name the run."""

    def tell_of_task(task: object, run: TaskRun, state: object) -> None:
        get_run_logger().info("asked %s", run.name)
        task_run_logger(run).info("told %s", run.name)

    def tell_of_flow(flow: Flow[..., object], run: FlowRun, state: object) -> None:
        get_run_logger().info("asked %s", run.name)
        flow_run_logger(run, flow).info("told %s", run.name)

    @task(on_completion=[tell_of_task])
    def work() -> None: ...

    @flow(flow_run_name="main", on_completion=[tell_of_flow])
    def main() -> None:
        work()

    with caplog.at_level(logging.INFO, "towpath"):
        main()
    told = [record for record in caplog.records if record.message.startswith(("asked", "told"))]
    assert [(one.message, one.name, vars(one)["run"], vars(one).get("task_run")) for one in told] == [
        ("asked work-0", "towpath.task_runs", "main", "work-0"),
        ("told work-0", "towpath.task_runs", "main", "work-0"),
        ("asked main", "towpath.flow_runs", "main", None),
        ("told main", "towpath.flow_runs", "main", None),
    ]


@pytest.mark.parametrize(
    ("asked", "given"), [(None, "towpath"), ("etl", "towpath.etl"), ("towpath.etl", "towpath.etl")], ids=str
)
def test_loggers_of_the_author_are_below_towpath(asked: str | None, given: str) -> None:
    """So that they are written as runs' lines are."""
    assert get_logger(asked).name == given
