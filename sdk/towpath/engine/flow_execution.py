"""What the core's effects mean for a flow run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from towpath import resolve
from towpath.context import RunContext, current
from towpath.engine.effects import READY, Enter, Event, NotReady, Raised, Settle
from towpath.engine.execution import Execution, persists_in, plan_of, prints_logged, rendered
from towpath.engine.scope import Scope
from towpath.errors import ParameterError
from towpath.runs import FlowRun
from towpath.slugs import slug
from towpath.states import AWAITING_RETRY, State, StateType

if TYPE_CHECKING:
    from towpath.engine.ports import Reporter, Surroundings
    from towpath.flows import Flow
    from towpath.stores import StorageLike


class FlowExecution(Execution):
    """A flow run.

    Args:
        flow: what is run.
        run: its facts.
        bind: makes parameters by name of arguments, once what they come from has ended.
        surroundings: clock, dice, and how children run.
        reporter: told of each state.
        result_storage: where results are kept, instead of what the flow says.
    """

    __slots__ = ("bind", "reporter")
    definition: Flow[..., Any]
    run: FlowRun

    def __init__(  # noqa: PLR0917 each is given, by the one that makes it
        self,
        flow: Flow[..., Any],
        run: FlowRun,
        bind: Callable[[tuple[Any, ...], dict[str, Any]], Mapping[str, Any]],
        surroundings: Surroundings,
        reporter: Reporter | None,
        result_storage: StorageLike | None = None,
    ) -> None:
        self.definition = flow
        self.plan = plan_of(flow, is_flow=True)
        self.args, self.kwargs, self.wait_for = (), {}, None
        self.run = run
        self.bind = bind
        self.surroundings = surroundings
        self.reporter = reporter
        self.stretch = None
        self.timeout_seconds = flow.timeout_seconds
        self.unfit = False
        run.name = run.name or ("" if flow.flow_run_name else slug())
        outer = current()
        self.context = RunContext(
            flow=flow,
            flow_run=run,
            scope=None,
            log_prints=prints_logged(flow.log_prints, outer),
            persists=persists_in(flow, outer),
            results=None if outer is None else outer.results,
        )
        if not (flow.result_storage is None and flow.result_serializer is None and result_storage is None):
            from towpath.engine.keeping import store_of

            self.context.results = store_of(flow, self.context, result_storage=result_storage)

    def prepare(self) -> Event:
        """Resolve futures among the arguments, bind and validate them."""
        flow = self.definition
        resolved = resolve.resolve_call(self.args, self.kwargs, self.wait_for)
        if isinstance(resolved, NotReady):
            return resolved
        self.args, self.kwargs = resolved
        try:
            parameters = self.bind(self.args, self.kwargs)
            if flow.should_validate_parameters:
                parameters = flow.signature.validate(parameters)
            self.run.parameters = parameters
            if not self.run.name:
                assert flow.flow_run_name is not None
                self.run.name = rendered(flow.flow_run_name, parameters, flow.fn)
        except ParameterError as error:
            return Raised(error, unfit=True)
        except Exception as error:
            return Raised(error)
        finally:
            self.run.name = self.run.name or slug()
        self.args, self.kwargs = flow.signature.call(parameters)
        return READY

    def enter(self, effect: Enter) -> None:
        """Put the run into a state, for whoever watches to see."""
        super().enter(effect)
        if (screen := self.surroundings.screen) is not None:
            screen.enter(self.run)

    def report(self, state: State[Any]) -> None:
        """Tell the reporter, whoever keeps the record, and whoever watches."""
        if self.reporter is not None:
            self.reporter.report(self.run, state)
        if (recorder := self.surroundings.recorder) is not None:
            recorder.leave(self.run, state)
        goes_on = state.type is StateType.RUNNING or state.name == AWAITING_RETRY
        if not goes_on and (screen := self.surroundings.screen) is not None:
            screen.leave(self.run)

    def call(self) -> Event:
        """Call user code, in a scope of its own."""
        self._open()
        return super().call()

    async def call_async(self) -> Event:
        """Call user code, in a scope of its own."""
        self._open()
        return await super().call_async()

    def settle(self, effect: Settle) -> Event:
        """Bring to its end what user code has started."""
        if self.context.scope is None:
            return None
        self.context.scope.settle(effect)
        return self.context.scope.suspended

    async def settle_async(self, effect: Settle) -> Event:
        """Bring to its end what user code has started."""
        if self.context.scope is None:
            return None
        await self.context.scope.settle_async(effect)
        return self.context.scope.suspended

    def _open(self) -> None:
        self.context.scope = Scope(self.definition.task_runner, self.surroundings)

    def _may_hold_runs(self, value: Any) -> bool:
        return type(value) not in resolve.ATOMS


def flow_execution(
    flow: Flow[..., Any],
    run: FlowRun,
    bind: Callable[[tuple[Any, ...], dict[str, Any]], Mapping[str, Any]],
    surroundings: Surroundings,
    reporter: Reporter | None,
    *,
    result_storage: StorageLike | None = None,
    keeps_result: bool = True,
) -> FlowExecution:
    """Make a flow run, such that its result is kept if that is wanted.

    Args:
        flow: and the others: see `FlowExecution`.
        run: its facts.
        bind: makes parameters.
        surroundings: what it finds round it.
        reporter: told of each state.
        result_storage: instead of what the flow says.
        keeps_result: whether it is for this process to keep it; the reporter may do so, too.
    """
    kind: type[FlowExecution] = FlowExecution
    if keeps_result and (not flow.cache_result_in_memory or persists_in(flow, current())):
        from towpath.engine.kept_flow import KeptFlowExecution

        kind = KeptFlowExecution
    return kind(flow, run, bind, surroundings, reporter, result_storage)
