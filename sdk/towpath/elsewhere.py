"""Waiting for a flow run that somebody else has started: on this machine in its history, else in the cluster.

run = await wait_for_flow_run("witty-otter", timeout=600)
print(run.state)
"""

# ruff: noqa: ASYNC109 timeouts as Prefect has them
from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.deployments import FlowRunHandle
from towpath.errors import ConfigurationError, MissingResult, NoSuchRun, NotFound, RunTimeout
from towpath.futures import Future
from towpath.states import State, StateType

if TYPE_CHECKING:
    from uuid import UUID

    from towpath.deployments import Placed

#: How often the history is looked at for the end of a run that no server works on: SQLite has no watch.
_LOOK_SECONDS: Final = 0.05
#: How often a run's state is looked at to log it.
_LOG_SECONDS: Final = 0.5


async def wait_for_flow_run(
    flow_run_id: UUID | str,
    timeout: float | None = 10800,
    poll_interval: float | None = None,
    client: object = None,
    log_states: bool = False,
) -> FlowRunHandle:
    """Wait for the end of a flow run, whoever started it.

    Args:
        flow_run_id: id or name of the run; in a cluster, of the pod's namespace or that of the kubeconfig's context.
        timeout: seconds; None: as long as it takes.
        poll_interval: taken for compatibility; the end is watched for.
        client: taken for compatibility; there is none.
        log_states: whether each state that the run is seen in is logged.

    Raises:
        NoSuchRun: there is none, neither here nor in a cluster.
        AmbiguousRun: there are several.
        RunTimeout: it has not ended in time.
        ClusterError: the API refused, or cannot be reached.
    """
    del poll_interval, client
    run = await asyncio.to_thread(find_run, str(flow_run_id))
    logging = asyncio.create_task(_log_states(run)) if log_states else None
    try:
        state = await run.wait_async(timeout)
    finally:
        if logging is not None:
            logging.cancel()
    if not state.is_final():
        raise RunTimeout(f"Flow run {run.name!r} has not ended within {timeout:g} s; it is {state.name}.")
    if log_states:
        _log(run, state)
    return run


def find_run(which: str) -> FlowRunHandle:
    """Find a flow run by its id or name.

    Raises:
        NoSuchRun: there is none, neither here nor in a cluster.
        AmbiguousRun: there are several.
        ClusterError: the API refused, or cannot be reached.
    """
    if not os.environ.get(names.ENV_RUN) and (placed := _here(which)) is not None:
        return FlowRunHandle(placed)
    try:
        return FlowRunHandle(_in_cluster(which))
    except ConfigurationError as error:
        raise NoSuchRun(
            f"There is no run {which!r} in this machine's history, and no cluster can be asked for it: {error}"
        ) from error


def _here(which: str) -> Placed | None:
    from towpath.history import open_history
    from towpath.history.place import history_file
    from towpath.serving.calling import caller

    file = history_file()
    if file is None or not file.is_file():
        return None
    with open_history(file) as history:
        try:
            run = history.run(which)
        except NoSuchRun:
            return None
    here = caller()
    ordered = here.ordered(run.id, run.name) if here is not None else None
    return ordered or _RecordedRun(run.id, run.name)


def _in_cluster(which: str) -> Placed:
    from towpath.cluster.connect import connect
    from towpath.cluster.launcher import launcher_of_process
    from towpath.cluster.placed import ClusterRun
    from towpath.cluster.port import Selector

    launcher = launcher_of_process()
    cluster = launcher.cluster if launcher is not None else connect()
    try:
        return ClusterRun(cluster, cluster.get_run(which))
    except NotFound as error:
        for body in cluster.list_runs(Selector()).items:
            if body["metadata"]["uid"] == which:
                return ClusterRun(cluster, body)
        raise NoSuchRun(f"There is no FlowRun {which!r} in namespace {cluster.namespace!r}, by name or UID.") from error


class _RecordedRun:
    """A run in this machine's history that no deployment's server works on: that of a script, or of a flow in it."""

    def __init__(self, run_id: str, name: str) -> None:
        self.id, self.name = run_id, name

    def look(self) -> State[Any]:
        """Give the state that the run is in now; a run whose process has gone has CRASHED."""
        from towpath.cluster.ended import Valueless
        from towpath.history import open_history

        with open_history() as history:
            try:
                told = history.run(self.id).state
            except NoSuchRun:
                return State(StateType.CRASHED, "Deleted", f"Flow run {self.name!r} was deleted before it ended.")
        if told.type is StateType.COMPLETED:
            missing = MissingResult(
                f"Flow run {self.name!r} completed in another process, whose value is not handed on: only runs of"
                " deployments hand theirs on, and `towpath results` shows those that were kept."
            )
            return Valueless(told.type, told.name, told.message, missing)
        return State(told.type, told.name, told.message)

    def end(self) -> Future[Any]:
        """Give a future that ends with the run."""
        future: Future[Any] = Future()

        def watch() -> None:
            while not (state := self.look()).is_final():
                time.sleep(_LOOK_SECONDS)
            future.complete(state)

        threading.Thread(target=watch, name="towpath-end-of-run", daemon=True).start()
        return future


async def _log_states(run: FlowRunHandle) -> None:
    seen = None
    while True:
        state = await asyncio.to_thread(lambda: run.state)
        if (state.type, state.name) != seen and not state.is_final():
            seen = (state.type, state.name)
            _log(run, state)
        await asyncio.sleep(_LOG_SECONDS)


def _log(run: FlowRunHandle, state: State[Any]) -> None:
    from towpath.loggers import configure, get_logger

    configure()
    get_logger("towpath.flow_runs").info("Flow run %r is %s. %s", run.name, state.name, state.message or "")
