"""`@flow`: a function whose calls are flow runs; in a cluster, each on a Job of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from towpath.definitions import HOOKS, Definition, F
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from towpath.options import FlowOptions
    from towpath.runners import TaskRunner
    from towpath.serving.deployment import DeploymentOptions, ServedDeployment
    from towpath.serving.session import FlowServeOptions
    from towpath.signatures import FlowSignature

P = ParamSpec("P")
P2 = ParamSpec("P2")
R = TypeVar("R")
T = TypeVar("T")


class Flow(Definition[P, R]):
    """A function whose calls are flow runs; made by `@flow`.

    Called in a flow that runs in a cluster, it runs on a Job of its own, unless it is `inline`: the call still gives
    the value, or raises the exception.

    Use:
        etl("2026-01-31")                     # runs, gives the value or raises
        etl("2026-01-31", return_state=True)  # the state instead
        etl.submit("2026-01-31")              # a future: runs beside the caller
        etl.map(days)                         # a future for each
        etl.with_options(retries=2)(day)
        etl.serve(cron="0 2 * * *")           # runs it every night, in processes of their own
    """

    is_flow = True
    _DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "name": None,
        "version": None,
        "description": None,
        "retries": 0,
        "retry_delay_seconds": None,
        "retry_jitter_factor": None,
        "retry_condition_fn": None,
        "timeout_seconds": None,
        "log_prints": None,
        "flow_run_name": None,
        "task_runner": None,
        "validate_parameters": True,
        "persist_result": None,
        "result_storage": None,
        "result_serializer": None,
        "cache_result_in_memory": True,
        "image": None,
        "resources": None,
        "template": None,
        "infra_retries": None,
        "inline": False,
        **dict.fromkeys(HOOKS),
    }

    def __init__(self, fn: Callable[P, R], **options: Unpack[FlowOptions]) -> None:
        super().__init__(fn, options)
        self.flow_run_name = self._name_of_runs("flow_run_name", options.get("flow_run_name"))
        self.task_runner: TaskRunner | type[TaskRunner] | None = options.get("task_runner")
        self.should_validate_parameters: bool = options.get("validate_parameters", True)
        self.image: str | None = options.get("image")
        self.resources: Mapping[str, Any] | None = options.get("resources")
        self.template: Mapping[str, Any] | None = options.get("template")
        self.infra_retries: int | None = options.get("infra_retries")
        self.inline: bool = options.get("inline", False)
        if self.infra_retries is not None and not self.infra_retries >= 0:
            raise ConfigurationError(f"infra_retries must be a whole number, 0 or more; got {self.infra_retries!r}.")

    def _name_of(self, fn: Callable[..., Any]) -> str:
        return super()._name_of(fn).replace("_", "-")

    @cached_property
    def signature(self) -> FlowSignature:
        """What the flow takes."""
        from towpath.signatures import FlowSignature

        return FlowSignature(self.fn, self.name, self._names, is_checked=self.should_validate_parameters)

    def parameter_schema(self) -> dict[str, Any]:
        """Describe the parameters as JSON Schema."""
        return self.signature.schema()

    def validate_parameters(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Bind parameters given by name, validate and coerce them.

        Raises:
            ParameterError: each wrong field, its value and why.
        """
        return self.signature.validate(self.signature.bind_names(parameters))

    def on_cancellation(self, fn: F) -> F:
        """Register a hook for a run that has been cancelled; use as a decorator."""
        return self._add_hook("on_cancellation", fn)

    def on_crashed(self, fn: F) -> F:
        """Register a hook for a run that was ended by something other than its own code; use as a decorator."""
        return self._add_hook("on_crashed", fn)

    def with_options(self, **options: Unpack[FlowOptions]) -> Self:
        """Give a flow of the same function with some options changed."""
        return self.with_changes(options)

    def to_deployment(self, name: str | None = None, **options: Unpack[DeploymentOptions]) -> ServedDeployment:
        """Make a deployment of the flow, for `towpath.serve(...)`.

        Args:
            name: of the deployment; the flow's own by default.
            **options: see `towpath.serving.deployment.DeploymentOptions`.

        Raises:
            ConfigurationError: an option that cannot be, or no other process could load the flow.
            ParameterError: parameters that do not fit the flow.
        """
        from towpath.serving.deployment import to_deployment

        return to_deployment(self, name, **options)

    def serve(self, name: str | None = None, **options: Unpack[FlowServeOptions]) -> None:
        """Run the flow on this machine when its schedules say and `run_deployment` asks, until told to stop (Ctrl-C).

        Use:
            if __name__ == "__main__":
                etl.serve("nightly", cron="0 2 * * *", parameters={"day": "yesterday"}, limit=2)

        Args:
            name: of the deployment; the flow's own by default.
            **options: see `towpath.serving.deployment.DeploymentOptions` and `towpath.serving.session.ServeOptions`.

        Raises:
            ConfigurationError: an option that cannot be, or no other process could load the flow.
            ParameterError: parameters that do not fit the flow.
            HistoryError: the history, in which deployments are kept, cannot be written.
        """
        from towpath.serving.session import serve_flow

        serve_flow(self, name, options)

    def deploy(
        self,
        name: str | None = None,
        *,
        image: str | None = None,
        entrypoint: str | None = None,
        context: str | None = None,
        namespace: str | None = None,
        force: bool = False,
        **options: Unpack[DeploymentOptions],
    ) -> str:
        """Make a Flow and a Deployment of the flow in a cluster, or bring them up to date; give the Deployment's name.

        Use:
            etl.deploy("nightly", image="registry.example/etl:1", cron="0 2 * * *", parameters={"day": "yesterday"})

        Args:
            name: of the Deployment; the flow's own by default.
            image: holds the code; the flow's own by default. Nothing is built: that is for whoever builds images.
            entrypoint: where the flow is in the image, `pkg.mod:fn` or `path/file.py:fn`; as here by default, seen from
                the working directory.
            context: of the kubeconfig; the current one by default.
            namespace: TOWPATH_NAMESPACE or the context's own by default.
            force: take over what somebody else has set.
            **options: see `towpath.serving.deployment.DeploymentOptions`.

        Raises:
            ConfigurationError: an option that cannot be, no image, no cluster, or a flow that no pod could load.
            ParameterError: parameters that do not fit the flow.
            ClusterError: the cluster refuses, or cannot be reached.
        """
        from towpath.cluster.deploying import deploy

        return deploy(self, name, image, entrypoint, context, namespace, force, **options)

    def generate_mermaid_graph(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Draw the tasks and flows that the flow calls, and what waits for what, as a Mermaid flowchart.

        The flow's own code runs for it; what it calls does not. Where the code needs a value to go on, say which:
        `@task(viz_return_value=[1, 2, 3])`.

        Args:
            *args: the flow's own, as are keyword arguments.

        Raises:
            ParameterError: parameters do not fit the flow.
            BaseException: what the flow's code raised.
        """
        from towpath.engine.rehearsal import rehearse

        return rehearse(self, args, kwargs).mermaid()

    def visualize(self, *args: P.args, **kwargs: P.kwargs) -> Path:
        """Draw what `generate_mermaid_graph` does as a picture, by Graphviz: `<name>.png` in the working directory.

        Raises:
            ConfigurationError: Graphviz is not installed.
            ParameterError: parameters do not fit the flow.
            BaseException: what the flow's code raised.
        """
        from pathlib import Path

        from towpath.engine.rehearsal import rehearse
        from towpath.sketches import write_png

        picture = Path(f"{self.name}.png").absolute()
        write_png(rehearse(self, args, kwargs).dot(), str(picture))
        return picture

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: Flow[Concatenate[Any, P2], R], instance: object, owner: type | None = None) -> Flow[P2, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.bound_to(instance, owner)


@overload
def flow(fn: Callable[P, AsyncGenerator[T, Any]], /) -> Flow[P, Coroutine[object, object, list[T]]]: ...
@overload
def flow(fn: Callable[P, AsyncIterator[T]], /) -> Flow[P, Coroutine[object, object, list[T]]]: ...
@overload
def flow(fn: Callable[P, Generator[T, Any, Any]], /) -> Flow[P, list[T]]: ...
@overload
def flow(fn: Callable[P, Iterator[T]], /) -> Flow[P, list[T]]: ...
@overload
def flow(fn: Callable[P, Coroutine[Any, Any, T]], /) -> Flow[P, Coroutine[object, object, T]]: ...
@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(**options: Unpack[FlowOptions]) -> FlowDecorator: ...
def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a flow of a function.

    Use:
        @flow
        def etl(day: date) -> int: ...

        @flow(retries=2, timeout_seconds=3600, image="registry/etl:1", resources={"requests": {"memory": "2Gi"}})
        def train(model: str) -> float: ...

    Args:
        fn: the function, sync, async or a generator (which gives a list).
        **options: see `towpath.options.FlowOptions`.
    """
    if fn is None:
        return lambda function: Flow(function, **options)
    return Flow(fn, **options)


if TYPE_CHECKING:
    from typing import Protocol

    class FlowDecorator(Protocol):
        """What `flow(...)` with options gives."""

        @overload
        def __call__(
            self, fn: Callable[P, AsyncGenerator[T, Any]], /
        ) -> Flow[P, Coroutine[object, object, list[T]]]: ...
        @overload
        def __call__(self, fn: Callable[P, AsyncIterator[T]], /) -> Flow[P, Coroutine[object, object, list[T]]]: ...
        @overload
        def __call__(self, fn: Callable[P, Generator[T, Any, Any]], /) -> Flow[P, list[T]]: ...
        @overload
        def __call__(self, fn: Callable[P, Iterator[T]], /) -> Flow[P, list[T]]: ...
        @overload
        def __call__(self, fn: Callable[P, Coroutine[Any, Any, T]], /) -> Flow[P, Coroutine[object, object, T]]: ...
        @overload
        def __call__(self, fn: Callable[P, R], /) -> Flow[P, R]: ...
