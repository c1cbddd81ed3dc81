"""What may be said of a flow or task in `@flow(...)`, `@task(...)` and `.with_options(...)`: the one list of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

if TYPE_CHECKING:
    from datetime import timedelta

    from towpath.cache_policies import CachePolicy
    from towpath.retries import DelaySpec
    from towpath.runners import TaskRunner
    from towpath.serializers import SerializerLike
    from towpath.stores import StorageLike

Hooks: TypeAlias = Sequence[Callable[[Any, Any, Any], Any]]
"""Functions of (flow or task, run, state), sync or async; what they raise is logged and changes nothing."""
TransactionHooks: TypeAlias = Sequence[Callable[[Any], Any]]
"""Functions of a transaction, sync or async; what they raise is logged."""


class CommonOptions(TypedDict, total=False):
    """Options of both `@flow` and `@task`."""

    name: str | None
    """Name; the function's own by default."""
    version: str | None
    """Version, for people."""
    description: str | None
    """Description; the function's docstring by default."""
    retries: int
    """How often a failed run is tried again."""
    retry_delay_seconds: DelaySpec | None
    """Seconds before a retry: a number, a list whose last entry repeats, or `exponential_backoff(...)`."""
    retry_jitter_factor: float | None
    """Spreads each delay: with 0.5 it is at most half as long again."""
    retry_condition_fn: Callable[[Any, Any, Any], Any] | None
    """Decides by (flow or task, run, state) whether a failure is worth another try; any callable, sync or async."""
    timeout_seconds: float | None
    """Seconds after which a try is ended and has FAILED, named TimedOut; 0 is none, to take a limit back."""
    log_prints: bool | None
    """Whether `print` goes to the run's log; by default as in the run round it."""
    on_running: Hooks | None
    """Called with (flow or task, run, state) when a try begins."""
    on_completion: Hooks | None
    """Called when the run has completed."""
    on_failure: Hooks | None
    """Called when the run has failed for good."""
    persist_result: bool | None
    """Whether the result is kept in storage; by default as in the flow round it, unless another option asks for it."""
    result_storage: StorageLike | None
    """Where results are kept: a folder, an fsspec URL or a `towpath.stores.Storage`."""
    result_serializer: SerializerLike | None
    """How results are written: `pickle`, `json`, `compressed/pickle`, `compressed/json` or an object (dumps, loads)."""
    cache_result_in_memory: bool
    """Whether a result that is kept in storage stays in memory too; true by default."""


class TaskOptions(CommonOptions, total=False):
    """Options of `@task`."""

    task_run_name: str | Callable[..., str] | None
    """Template over the parameters, or a function that gives the name."""
    tags: Iterable[str] | None
    """Tags of each run, beside those in force where it is called."""
    cache_policy: CachePolicy | None
    """What the result depends on (`towpath.cache_policies`); DEFAULT, if results are kept. None: nobody knows."""
    cache_key_fn: Callable[[Any, dict[str, Any]], str | None] | None
    """Gives the key of (context, parameters), instead of a policy; None: not cached this time."""
    cache_expiration: timedelta | None
    """How long a kept result may stand for a new one; for ever by default."""
    refresh_cache: bool | None
    """Whether it runs although there is a kept result, and replaces that; false by default."""
    result_storage_key: str | None
    """Where in the storage the result goes, instead of a policy: a template over `parameters`, `flow_run` …"""
    viz_return_value: Any
    """What the task gives while its flow is sketched (`Flow.visualize`), where the flow needs a value to go on."""
    on_commit: TransactionHooks | None
    """Called with the transaction when the task's result counts."""
    on_rollback: TransactionHooks | None
    """Called with the transaction when what the task did is to be undone, because work that it is a part of failed."""


class FlowOptions(CommonOptions, total=False):
    """Options of `@flow`."""

    flow_run_name: str | Callable[..., str] | None
    """Template over the parameters, or a function that gives the name; two words by default."""
    task_runner: TaskRunner | type[TaskRunner] | None
    """What runs submitted tasks: a ThreadPoolTaskRunner by default."""
    validate_parameters: bool
    """Whether parameters are validated and coerced by their annotations; true by default."""
    on_cancellation: Hooks | None
    """Called with (flow, run, state) when the run has been cancelled, within its grace period."""
    on_crashed: Hooks | None
    """Called when the run was ended by something other than its own code."""
    image: str | None
    """Container image of the run's Job; the parent's by default."""
    resources: Mapping[str, Any] | None
    """Resources of the run's container, as in a Pod: `{"requests": {"memory": "2Gi"}}`."""
    template: Mapping[str, Any] | None
    """Pod template merged over the others."""
    infra_retries: int | None
    """How often a run is started anew whose infrastructure failed; 3 by default."""
    inline: bool
    """Whether the flow, called in a flow, stays in that one's process even in a cluster."""
