"""`@task`: a function whose calls are runs of their own, with states, retries and a place in a flow's timeline."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from towpath.definitions import HOOKS, OF_TRANSACTIONS, Definition, F
from towpath.errors import ConfigurationError
from towpath.retries import exponential_backoff

if TYPE_CHECKING:
    import inspect
    from datetime import timedelta

    from towpath.cache_policies import CacheKeyFn, CachePolicy
    from towpath.context import RunContext
    from towpath.options import TaskOptions

__all__ = ["Task", "exponential_backoff", "task", "task_input_hash"]

P = ParamSpec("P")
P2 = ParamSpec("P2")
R = TypeVar("R")
T = TypeVar("T")


class Task(Definition[P, R]):
    """A function whose calls are task runs; made by `@task`.

    Use:
        add(1, 2)                       # runs here and now, gives the value or raises
        add.submit(1, 2)                # a future: runs in a thread
        add.map([1, 2], unmapped(10))   # a future for each
        add(1, 2, return_state=True)    # the state instead of the value
        add.fn(1, 2)                    # the plain function
    """

    is_flow = False
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
        "task_run_name": None,
        "tags": None,
        "persist_result": None,
        "result_storage": None,
        "result_serializer": None,
        "result_storage_key": None,
        "cache_result_in_memory": True,
        "cache_policy": None,
        "cache_key_fn": None,
        "cache_expiration": None,
        "refresh_cache": None,
        "viz_return_value": None,
        **dict.fromkeys((*HOOKS[:3], *OF_TRANSACTIONS)),
    }

    def __init__(self, fn: Callable[P, R], **options: Unpack[TaskOptions]) -> None:
        super().__init__(fn, options)
        given = options.get("tags") or ()
        if isinstance(given, str):
            raise ConfigurationError(f"tags is a list of texts, not one text: write [{given!r}].")
        self.tags: frozenset[str] = frozenset(given)
        self.task_run_name = self._name_of_runs("task_run_name", options.get("task_run_name"))
        self.cache_policy: CachePolicy | None = options.get("cache_policy")
        self.has_cache_policy: bool = "cache_policy" in options
        """Whether the policy was chosen, be it None."""
        self.cache_key_fn: CacheKeyFn | None = options.get("cache_key_fn")
        self.cache_expiration: timedelta | None = options.get("cache_expiration")
        self.refresh_cache: bool | None = options.get("refresh_cache")
        self.result_storage_key: str | None = options.get("result_storage_key")
        self.viz_return_value: Any = options.get("viz_return_value")
        self._check_caching()
        self.is_kept: bool = (
            bool(self.persists) or not self.cache_result_in_memory or any(map(self.hooks, OF_TRANSACTIONS))
        )
        """Whether its runs need more than to be run, wherever they are called."""

    def on_commit(self, fn: F) -> F:
        """Register a hook for the moment when the result of a run counts; use as a decorator."""
        self.is_kept = True
        return self._add_hook("on_commit", fn)

    def on_rollback(self, fn: F) -> F:
        """Register a hook that undoes what a run did, when work that it is a part of fails; use as a decorator."""
        self.is_kept = True
        return self._add_hook("on_rollback", fn)

    def _check_caching(self) -> None:
        if self.cache_policy is not None and not callable(getattr(self.cache_policy, "compute_key", None)):
            raise ConfigurationError(
                f"cache_policy is one of towpath.cache_policies, such as INPUTS; got {self.cache_policy!r}."
            )
        if self.cache_key_fn is not None and not callable(self.cache_key_fn):
            raise ConfigurationError(f"cache_key_fn is a function of (context, parameters); got {self.cache_key_fn!r}.")
        if self.cache_expiration is not None and not hasattr(self.cache_expiration, "total_seconds"):
            raise ConfigurationError(f"cache_expiration is a timedelta; got {self.cache_expiration!r}.")
        policy = self.cache_policy
        asks = self.cache_key_fn, self.cache_expiration, self.result_storage_key
        if (policy is None or type(policy).__name__ == "NoCache") and all(ask is None for ask in asks):
            return
        if self.persists is False:
            from towpath.loggers import get_logger

            get_logger("towpath.tasks").warning(
                "Task %r uses no kept results, because persist_result is False: its caching options do nothing.",
                self.name,
            )
        else:
            self.persists = True

    @cached_property
    def signature(self) -> inspect.Signature:
        """What the function takes."""
        import inspect

        return inspect.signature(self.fn)

    def expect_fit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """See that the function takes such arguments.

        Raises:
            TypeError: it does not.
        """
        try:
            signature = self.signature
        except ValueError:  # a function of C that does not tell what it takes
            return
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"Task {self.name!r} takes other arguments: {error}.") from None

    def with_options(self, **options: Unpack[TaskOptions]) -> Self:
        """Give a task of the same function with some options changed."""
        return self.with_changes(options)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self: Task[Concatenate[Any, P2], R], instance: object, owner: type | None = None) -> Task[P2, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.bound_to(instance, owner)


@overload
def task(fn: Callable[P, AsyncGenerator[T, Any]], /) -> Task[P, Coroutine[object, object, list[T]]]: ...
@overload
def task(fn: Callable[P, AsyncIterator[T]], /) -> Task[P, Coroutine[object, object, list[T]]]: ...
@overload
def task(fn: Callable[P, Generator[T, Any, Any]], /) -> Task[P, list[T]]: ...
@overload
def task(fn: Callable[P, Iterator[T]], /) -> Task[P, list[T]]: ...
@overload
def task(fn: Callable[P, Coroutine[Any, Any, T]], /) -> Task[P, Coroutine[object, object, T]]: ...
@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> TaskDecorator: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a task of a function.

    Use:
        @task
        def double(x: int) -> int: ...

        @task(retries=3, retry_delay_seconds=exponential_backoff(1), tags=["api"])
        def fetch(url: str) -> bytes: ...

    Args:
        fn: the function, sync, async or a generator (which gives a list).
        **options: see `towpath.options.TaskOptions`.
    """
    if fn is None:
        return lambda function: Task(function, **options)
    return Task(fn, **options)


if TYPE_CHECKING:
    from typing import Protocol

    class TaskDecorator(Protocol):
        """What `task(...)` with options gives."""

        @overload
        def __call__(
            self, fn: Callable[P, AsyncGenerator[T, Any]], /
        ) -> Task[P, Coroutine[object, object, list[T]]]: ...
        @overload
        def __call__(self, fn: Callable[P, AsyncIterator[T]], /) -> Task[P, Coroutine[object, object, list[T]]]: ...
        @overload
        def __call__(self, fn: Callable[P, Generator[T, Any, Any]], /) -> Task[P, list[T]]: ...
        @overload
        def __call__(self, fn: Callable[P, Iterator[T]], /) -> Task[P, list[T]]: ...
        @overload
        def __call__(self, fn: Callable[P, Coroutine[Any, Any, T]], /) -> Task[P, Coroutine[object, object, T]]: ...
        @overload
        def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...


def task_input_hash(context: RunContext, arguments: dict[str, Any]) -> str | None:
    """Give a key of a task's function and arguments; use as `cache_key_fn`. `cache_policy=INPUTS` does the same."""
    from towpath.caching import identity_of, key_of

    assert context.task is not None
    return key_of(identity_of(context.task.fn), arguments)
