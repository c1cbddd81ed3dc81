"""What may be said of a flow or task in `@flow(...)`, `@task(...)` and `.with_options(...)`: the one list of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

if TYPE_CHECKING:
    from towpath.retries import DelaySpec
    from towpath.runners import TaskRunner

Hooks: TypeAlias = Sequence[Callable[[Any, Any, Any], Any]]
"""Functions of (flow or task, run, state), sync or async; what they raise is logged and changes nothing."""


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
    """Seconds after which a try is ended and has FAILED, named TimedOut."""
    log_prints: bool | None
    """Whether `print` goes to the run's log; by default as in the run round it."""
    on_running: Hooks | None
    """Called with (flow or task, run, state) when a try begins."""
    on_completion: Hooks | None
    """Called when the run has completed."""
    on_failure: Hooks | None
    """Called when the run has failed for good."""


class TaskOptions(CommonOptions, total=False):
    """Options of `@task`."""

    task_run_name: str | Callable[..., str] | None
    """Template over the parameters, or a function that gives the name."""
    tags: Iterable[str] | None
    """Tags of each run, beside those in force where it is called."""


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
    persist_result: bool | None
    """Whether the result is kept although nobody waits for it; by default if `result_storage` is set."""
    result_storage: str | None
    """Where a result that is too large for the run's status goes: a path or an fsspec URL."""
    result_serializer: str | None
    """How a kept result is written: `pickle` or `json`."""
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
