"""`run_deployment`: runs a Deployment by name, from a flow or from anywhere that reaches the cluster.

    run = run_deployment("nightly", parameters={"day": "2026-01-31"})   # waits for the end
    run.result()
    run = run_deployment("etl/nightly", timeout=0)                      # fire and forget
    run = await run_deployment("nightly")                               # in async code; typed: arun_deployment

Called in a flow that runs in a cluster, the new run is a child of the flow's: a retried parent finds it again, and it
ends with its parent, unless it is not waited for at all (`timeout=0`).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from towpath import names
from towpath.errors import ClusterError, NotFound
from towpath.futures import Future, arrive

if TYPE_CHECKING:
    from towpath.cluster.launcher import ClusterLauncher
    from towpath.cluster.order import Order
    from towpath.cluster.port import Body, Cluster
    from towpath.states import State


class FlowRunHandle:
    """A run in the cluster, as whoever started it sees it."""

    def __init__(self, cluster: Cluster, body: Body, launcher: ClusterLauncher | None = None) -> None:
        self._cluster, self._body, self._launcher = cluster, body, launcher
        self._future: Future[Any] | None = None

    @property
    def name(self) -> str:
        """Name of the FlowRun."""
        name: str = self._body["metadata"]["name"]
        return name

    @property
    def id(self) -> str:
        """UID of the FlowRun."""
        uid: str = self._body["metadata"]["uid"]
        return uid

    @property
    def state(self) -> State[Any]:
        """Where the run stands now: asked of the API, unless the run has ended."""
        from towpath.cluster.ended import state_of, state_of_end

        if self._future is not None and self._future.done():
            return self._future.state
        try:
            self._body = self._cluster.get_run(self.name)
        except NotFound:
            return state_of_end(None, self.name)
        return state_of(self._body)

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
        """Give the future of the run's end; watch for it, with the parent's other children if it is one."""
        if self._future is None:
            from towpath.cluster.children import is_child
            from towpath.cluster.ended import completing
            from towpath.cluster.ends import Ends
            from towpath.cluster.port import Selector

            future: Future[Any] = Future()
            on_end = completing(future, self.name)
            if self._launcher is not None and is_child(self._body, self._launcher.own):
                self._launcher.expect(self._body, on_end)
            else:
                ends = Ends(self._cluster, Selector(name=self.name))
                future.add_done_callback(lambda _: ends.close(ClusterError("The run has ended.")))
                ends.expect(self._body, on_end)
            self._future = future
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
    as_subflow: bool = True,
    job_variables: Mapping[str, Any] | None = None,
    raise_on_failure: bool = False,
) -> FlowRunHandle:
    """Run a Deployment, and wait for its end.

    In code that runs in an event loop this gives a coroutine: `await run_deployment(...)`.

    Args:
        name: of the Deployment, in the namespace of the pod or of the kubeconfig's context; or `flow/deployment`.
        parameters: go over the Deployment's own, name by name.
        scheduled_time: not before this time; one without a zone is local.
        flow_run_name: beginning of the run's name.
        timeout: seconds to wait; None: as long as it takes, 0: not at all. The run goes on.
        poll_interval: taken for compatibility; the end is watched for.
        tags: added to the Deployment's.
        idempotency_key: a second call with the same key gives the first one's run.
        as_subflow: whether the run is a child of the flow that calls, if one does in a cluster.
        job_variables: `image`, `env`, `resources`, `labels`, `service_account_name`, `image_pull_policy` or a whole pod
            `template`, over the Deployment's.
        raise_on_failure: raise the run's exception if it ended, and not completed, while it was waited for.

    Raises:
        NotFound: there is no such Deployment.
        ConfigurationError: no cluster is named, or a job variable is unknown.
        ParameterError: a parameter has no form in JSON.
        ClusterError: the API refused, or cannot be reached.
    """
    del poll_interval
    from towpath.cluster.order import Order

    order = Order(
        deployment=names.slug(name.rpartition("/")[2]),
        parameters=parameters or {},
        scheduled_time=scheduled_time,
        run_name=flow_run_name,
        tags=frozenset(tags or ()),
        idempotency_key=idempotency_key,
        job_variables=job_variables,
        outlives_parent=timeout == 0,
    )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        run = _place(order, as_subflow)
        if timeout != 0:
            _judge(run.wait(timeout), raise_on_failure)
        return run
    in_loop: Any = _run_in_loop(order, as_subflow, timeout, raise_on_failure)
    return in_loop  # type: ignore[no-any-return]


async def arun_deployment(name: str, *args: Any, **kwargs: Any) -> FlowRunHandle:
    """Run a Deployment from an event loop; takes what `run_deployment` takes."""
    in_loop: Any = run_deployment(name, *args, **kwargs)
    run: FlowRunHandle = await in_loop
    return run


async def _run_in_loop(
    order: Order,
    as_subflow: bool,
    timeout: float | None,  # noqa: ASYNC109
    raise_on_failure: bool,
) -> FlowRunHandle:
    run = await asyncio.to_thread(_place, order, as_subflow)
    if timeout != 0:
        _judge(await run.wait_async(timeout), raise_on_failure)
    return run


def _place(order: Order, as_subflow: bool) -> FlowRunHandle:
    from towpath.cluster.launcher import launcher_of_process
    from towpath.cluster.order import check_exists
    from towpath.context import current

    context, launcher = current(), launcher_of_process() if as_subflow else None
    cluster = launcher.cluster if launcher is not None else _connected()
    check_exists(cluster, order.deployment)
    if launcher is None or context is None or context.flow_run is None:
        return FlowRunHandle(cluster, order.place(cluster))
    return FlowRunHandle(cluster, order.place_as_child(launcher, context.flow_run), launcher)


def _judge(state: State[Any], raise_on_failure: bool) -> None:
    if raise_on_failure and state.is_final() and not state.is_completed():
        state.result()


@functools.cache
def _connected() -> Cluster:
    from towpath.cluster.connect import connect

    return connect()
