"""Whether the result of a run is kept, where, and under which key."""

from __future__ import annotations

import os
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from towpath import settings
from towpath.caching import Uncacheable, identity_of, key_of
from towpath.engine.execution import persists_in
from towpath.errors import ConfigurationError, MissingResult
from towpath.loggers import configure, run_logger
from towpath.names import ENV_RUN
from towpath.results import ResultStore
from towpath.states import State
from towpath.stores.port import checked

if TYPE_CHECKING:
    from towpath.cache_policies import CachePolicy
    from towpath.context import RunContext
    from towpath.definitions import Definition
    from towpath.stores import StorageLike
    from towpath.tasks import Task

#: Where in the storage results go that nothing but their run's id is known of.
RUNS: Final = "runs"


class KeptState(State[Any]):
    """A completed run's state whose value is in storage, not in memory; it is read whenever it is asked for.

    Args:
        state: the same with its value.
        store: where it is kept; None: nowhere.
        key: under which key.
        name: of the run, for people.
    """

    __slots__ = ("_key", "_run_name", "_store")

    def __init__(self, state: State[Any], store: ResultStore | None, key: str | None, name: str) -> None:
        self._store, self._key, self._run_name = store, key, name
        super().__init__(state.type, state.name, state.message)

    @property
    def data(self) -> Any:
        """The value, read from storage.

        Raises:
            MissingResult: it was not kept, or is gone.
        """
        if self._store is None or self._key is None:
            raise MissingResult(
                f"The value of {self._run_name!r} was not kept: cache_result_in_memory=False lets go of it, and it is"
                " not in storage either. Set persist_result=True, or leave cache_result_in_memory as it is."
            )
        return self._store.read(self._key).result

    @data.setter
    def data(self, value: Any) -> None:
        """Take no value in."""

    async def aresult(self, raise_on_failure: bool = True) -> Any:
        """Do as `result` does, without blocking the event loop while the value is read."""
        import asyncio

        return await asyncio.to_thread(self.result, raise_on_failure)

    def _told(self) -> dict[str, Any]:
        return {} if self.message is None else {"message": self.message}


@dataclass(frozen=True, slots=True)
class Keeping:
    """What becomes of the result of a task run."""

    store: ResultStore | None
    """Where it is kept; None: nowhere."""
    key: str | None
    looks_up: bool
    """Whether a result that is kept there already stands for a new one."""
    isolation_level: str | None = None


NOT_KEPT: Final = Keeping(None, None, False)


def keeping_of(context: RunContext, *, has_arguments: bool) -> Keeping:
    """Tell what becomes of the result of a task run, whose arguments are known by now.

    Args:
        context: of the run.
        has_arguments: whether it was given any, be they the right ones or not.
    """
    task, run = context.task, context.task_run
    assert task is not None
    assert run is not None
    if not persists_in(task, context):
        return NOT_KEPT
    policy = _policy_of(task)
    store = store_of(task, context, policy)
    if task.result_storage_key is not None:
        key: str | None = _rendered(task.result_storage_key, context)
        looks_up = policy is not None
    else:
        fits = len(run.parameters) == len(task.signature.parameters) and bool(run.parameters) >= has_arguments
        key = _key(policy, context) if policy is not None and fits else None  # what does not fit, the call itself tells
        looks_up = key is not None
    return Keeping(store, key or f"{RUNS}/{run.id}", looks_up, None if policy is None else policy.isolation_level)


def store_of(
    definition: Definition[..., Any],
    context: RunContext,
    policy: CachePolicy | None = None,
    result_storage: StorageLike | None = None,
) -> ResultStore:
    """Give the store of a flow's or task's results: as told, else as it says, else as the flow round it, or as set."""
    base = store_in(context)
    changes = {
        "result_storage": definition.result_storage,
        "serializer": definition.result_serializer,
        "metadata_storage": None if policy is None else policy.key_storage,
        "lock_manager": None if policy is None else policy.lock_manager,
    }
    if result_storage is not None:
        return base.changed(result_storage, definition.result_serializer)
    if all(change is None for change in changes.values()):
        return base
    known = definition.kept_in
    if known is None or known[0] is not base or known[1] is not policy:
        known = definition.kept_in = (base, policy, base.changed(**changes))  # type: ignore[arg-type]
    return known[2]


def store_in(context: RunContext) -> ResultStore:
    """Give the store of a run that says nothing itself."""
    if context.results is None:
        context.results = ResultStore()
        if os.environ.get(ENV_RUN) and settings.result_storage() is None:
            _say_once(
                context,
                "Results are kept in this pod's own file system, and go with it: the next attempt begins anew. Set"
                " resultStorage of the FlowRun, Flow or Deployment, or @flow(result_storage=...), to a shared place.",
                None,
            )
    return context.results


def _policy_of(task: Task[..., Any]) -> CachePolicy | None:
    """Give the policy of a task; None if nothing is looked up."""
    from towpath import cache_policies

    if settings.disable_caching():
        return None
    if task.cache_key_fn is not None:
        return cache_policies.CacheKeyFnPolicy(cache_key_fn=task.cache_key_fn)
    policy = task.cache_policy if task.has_cache_policy else cache_policies.DEFAULT
    return None if isinstance(policy, cache_policies.NoCache) else policy


def _key(policy: CachePolicy, context: RunContext) -> str | None:
    """Compute the key of a task run; None if there is none, which is said once a task."""
    task, run = context.task, context.task_run
    assert task is not None
    assert run is not None
    parameters = dict(run.parameters)
    if isinstance(task.fn, types.MethodType):
        parameters = {task.fn.__func__.__code__.co_varnames[0]: task.fn.__self__, **parameters}
    flow_parameters = {} if context.flow_run is None else dict(context.flow_run.parameters)
    try:
        key = policy.compute_key(context, parameters, flow_parameters)
    except Uncacheable as error:
        _say_once(context, f"Task {task.name!r} is not cached: {error}.", None)
        return None
    except Exception as error:  # of a policy or function of the author's
        _say_once(context, f"Task {task.name!r} is not cached, because its key could not be computed.", error)
        return None
    if key is None or not policy.belongs_to_task:
        return key
    return key_of(identity_of(task.fn), key)


def _rendered(template: str, context: RunContext) -> str:
    from towpath import runtime

    values = {"parameters": context.parameters, "flow_run": runtime.flow_run, "task_run": runtime.task_run}
    try:
        return checked(template.format(**values, deployment=runtime.deployment))
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"The result_storage_key {template!r} cannot be filled in: {error}. It may have {{parameters[name]}},"
            " {flow_run.id}, {task_run.name}, {deployment.name} and the like in it."
        ) from error


_said: Final[set[str]] = set()


def say(context: RunContext, message: str, error: Exception | None = None) -> None:
    """Warn in the log of a run."""
    configure()
    run_logger(context).warning("%s", message, exc_info=error)


def _say_once(context: RunContext, message: str, error: Exception | None) -> None:
    if message not in _said:
        _said.add(message)
        say(context, message, error)
