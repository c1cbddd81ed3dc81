"""`run_deployment`: runs a deployment by name, on this machine if it is served here, else in the cluster.

    run = run_deployment("nightly", parameters={"day": "2026-01-31"})   # waits for the end
    run.result()
    run = run_deployment("etl/nightly", timeout=0)                      # fire and forget
    run = await run_deployment("nightly")                               # in async code; typed: arun_deployment

Called in a flow, the new run is a child of the flow's: a retried parent finds it again, and it ends with its parent,
unless it is not waited for at all (`timeout=0`).
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from towpath import names
from towpath.errors import ConfigurationError
from towpath.futures import Future, arrive
from towpath.serving.turns import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, resource_name

if TYPE_CHECKING:
    from towpath.cluster.port import Cluster
    from towpath.states import State

__all__ = ["ConcurrencyLimitConfig", "ConcurrencyLimitStrategy", "FlowRunHandle", "arun_deployment", "run_deployment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asks of a deployment: the arguments of `run_deployment` that say what to run."""

    name: str
    """Of the deployment, or `flow/deployment`."""
    parameters: Mapping[str, Any]
    scheduled_time: datetime | None
    run_name: str | None
    tags: frozenset[str]
    idempotency_key: str | None
    work_queue_name: str | None = None
    job_variables: Mapping[str, Any] | None
    as_subflow: bool
    outlives_parent: bool


class Placed(Protocol):
    """A run that was asked for, where it is: in a cluster, or on this machine."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def look(self) -> State[Any]:
        """Ask for the state that it is in now."""
        ...

    def end(self) -> Future[Any]:
        """Give a future that ends with it."""
        ...


class FlowRunHandle:
    """A run of a deployment, as whoever started it sees it."""

    def __init__(self, placed: Placed) -> None:
        self._placed = placed
        self._future: Future[Any] | None = None

    @property
    def name(self) -> str:
        """Name of the run."""
        return self._placed.name

    @property
    def id(self) -> str:
        """Id of the run; in a cluster, UID of the FlowRun."""
        return self._placed.id

    @property
    def state(self) -> State[Any]:
        """Where the run stands now: asked for, unless the run has ended."""
        if self._future is not None and self._future.done():
            return self._future.state
        return self._placed.look()

    def wait(self, timeout: float | None = None) -> State[Any]:
        """Wait until the run has ended, or for `timeout` seconds; give its state. Waits by watch, not by asking."""
        future = self._end()
        future.wait(timeout)
        return future.state if future.done() else self.state

    async def wait_async(self, timeout: float | None = None) -> State[Any]:  # noqa: ASYNC109 the twin of `wait`
        """Wait as `wait` does, in an event loop."""
        future = self._end()
        try:
            async with asyncio.timeout(timeout):
                await arrive([future])
        except TimeoutError:
            return await asyncio.to_thread(lambda: self.state)
        return future.state

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Wait for the run and give its value.

        Args:
            timeout: seconds; None: as long as it takes.
            raise_on_failure: if False, the exception of a run that did not complete is returned instead of raised.

        Raises:
            TimeoutError: the run has not ended in time.
            MissingResult: the run completed, but its value was not kept.
            BaseException: the run's own exception, or a RunError where that cannot be had.
        """
        return self._value(self.wait(timeout), timeout, raise_on_failure)

    async def result_async(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 the twin of `result`
        raise_on_failure: bool = True,
    ) -> Any:
        """Wait and give the value as `result` does, in an event loop."""
        return self._value(await self.wait_async(timeout), timeout, raise_on_failure)

    def __repr__(self) -> str:
        return f"FlowRunHandle({self.name!r})"

    def _value(self, state: State[Any], timeout: float | None, raise_on_failure: bool) -> Any:
        if not state.is_final():
            raise TimeoutError(f"Flow run {self.name!r} has not ended within {timeout:g} s; it is {state.name}.")
        return state.result(raise_on_failure)

    def _end(self) -> Future[Any]:
        if self._future is None:
            self._future = self._placed.end()
        return self._future


def run_deployment(  # noqa: PLR0917 the order of Prefect's, for scripts that rely on it
    name: str,
    parameters: Mapping[str, Any] | None = None,
    scheduled_time: datetime | None = None,
    flow_run_name: str | None = None,
    timeout: float | None = None,
    poll_interval: float | None = None,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    work_queue_name: str | None = None,
    as_subflow: bool = True,
    job_variables: Mapping[str, Any] | None = None,
    raise_on_failure: bool = False,
) -> FlowRunHandle:
    """Run a deployment, and wait for its end.

    A deployment that is served on this machine (`flow.serve`) is run here; any other one in the cluster.
    In code that runs in an event loop this gives a coroutine: `await run_deployment(...)`.

    Args:
        name: of the deployment, or `flow/deployment`; in a cluster, in the namespace of the pod or of the kubeconfig's
            context.
        parameters: go over the deployment's own, name by name.
        scheduled_time: not before this time; one without a zone is local.
        flow_run_name: beginning of the run's name.
        timeout: seconds to wait; None: as long as it takes, 0: not at all. The run goes on.
        poll_interval: taken for compatibility; the end is watched for.
        tags: added to the deployment's.
        idempotency_key: a second call with the same key gives the first one's run.
        work_queue_name: the Queue in which the run takes its turn, instead of the deployment's; in a cluster only.
        as_subflow: whether the run is a child of the flow that calls, if one does.
        job_variables: `image`, `env`, `resources`, `labels`, `service_account_name`, `image_pull_policy` or a whole pod
            `template`, over the deployment's; in a cluster only.
        raise_on_failure: raise the run's exception if it ended, and not completed, while it was waited for.

    Raises:
        NotFound: there is no such deployment.
        ConfigurationError: it is not served here and no cluster is named, or a job variable is unknown.
        ParameterError: a parameter has no form in JSON.
        ClusterError: the API refused, or cannot be reached.
    """
    del poll_interval
    asked = Asked(
        name=name,
        parameters=parameters or {},
        scheduled_time=scheduled_time,
        run_name=flow_run_name,
        tags=frozenset(tags or ()),
        idempotency_key=idempotency_key,
        work_queue_name=work_queue_name,
        job_variables=job_variables,
        as_subflow=as_subflow,
        outlives_parent=timeout == 0,
    )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        run = _place(asked)
        if timeout != 0:
            _judge(run.wait(timeout), raise_on_failure)
        return run
    in_loop: Any = _run_in_loop(asked, timeout, raise_on_failure)
    return in_loop  # type: ignore[no-any-return]


async def arun_deployment(name: str, *args: Any, **kwargs: Any) -> FlowRunHandle:
    """Run a deployment from an event loop; takes what `run_deployment` takes."""
    in_loop: Any = run_deployment(name, *args, **kwargs)
    run: FlowRunHandle = await in_loop
    return run


async def _run_in_loop(
    asked: Asked,
    timeout: float | None,  # noqa: ASYNC109
    raise_on_failure: bool,
) -> FlowRunHandle:
    run = await asyncio.to_thread(_place, asked)
    if timeout != 0:
        _judge(await run.wait_async(timeout), raise_on_failure)
    return run


def _place(asked: Asked) -> FlowRunHandle:
    """Have the deployment's run made: in the pod's own cluster if this is a pod, else here if it is served here."""
    if not os.environ.get(names.ENV_RUN):
        from towpath.serving.calling import caller

        here = caller()
        if here is not None and (deployment := here.known(asked.name)) is not None:
            return FlowRunHandle(here.place(asked, deployment))
    return FlowRunHandle(_place_in_cluster(asked))


def _place_in_cluster(asked: Asked) -> Placed:
    from towpath.cluster.launcher import launcher_of_process
    from towpath.cluster.order import Order, check_exists
    from towpath.cluster.placed import ClusterRun
    from towpath.context import current

    order = Order(
        deployment=names.slug(asked.name.rpartition("/")[2]),
        parameters=asked.parameters,
        scheduled_time=asked.scheduled_time,
        run_name=asked.run_name,
        tags=asked.tags,
        idempotency_key=asked.idempotency_key,
        queue=None if asked.work_queue_name is None else resource_name("work_queue_name", asked.work_queue_name),
        job_variables=asked.job_variables,
        outlives_parent=asked.outlives_parent,
    )
    context, launcher = current(), launcher_of_process() if asked.as_subflow else None
    cluster = launcher.cluster if launcher is not None else _connected_for(asked.name)
    check_exists(cluster, order.deployment)
    if launcher is None or context is None or context.flow_run is None:
        return ClusterRun(cluster, order.place(cluster))
    return ClusterRun(cluster, order.place_as_child(launcher, context.flow_run), launcher)


def _judge(state: State[Any], raise_on_failure: bool) -> None:
    if raise_on_failure and state.is_final() and not state.is_completed():
        state.result()


@functools.cache
def _connected() -> Cluster:
    from towpath.cluster.connect import connect

    return connect()


def _connected_for(name: str) -> Cluster:
    try:
        return _connected()
    except ConfigurationError as error:
        raise ConfigurationError(
            f"Deployment {name!r} is not served on this machine (`flow.serve({name.rpartition('/')[2]!r})` in another"
            f" process does that), and no cluster can be asked for it: {error}"
        ) from error
