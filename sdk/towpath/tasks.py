"""`@task`: a function whose calls are runs of their own, with states, retries and a place in a flow's timeline."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from towpath.definitions import HOOKS, Definition
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    import inspect

    from towpath.options import TaskOptions

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
        **dict.fromkeys(HOOKS[:3]),
    }

    def __init__(self, fn: Callable[P, R], **options: Unpack[TaskOptions]) -> None:
        super().__init__(fn, options)
        given = options.get("tags") or ()
        if isinstance(given, str):
            raise ConfigurationError(f"tags is a list of texts, not one text: write [{given!r}].")
        self.tags: frozenset[str] = frozenset(given)
        self.task_run_name: str | Callable[..., str] | None = options.get("task_run_name")

    @cached_property
    def signature(self) -> inspect.Signature:
        """What the function takes."""
        import inspect

        return inspect.signature(self.fn)

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
def task(fn: Callable[P, AsyncGenerator[T, Any]], /) -> Task[P, Coroutine[Any, Any, list[T]]]: ...
@overload
def task(fn: Callable[P, AsyncIterator[T]], /) -> Task[P, Coroutine[Any, Any, list[T]]]: ...
@overload
def task(fn: Callable[P, Generator[T, Any, Any]], /) -> Task[P, list[T]]: ...
@overload
def task(fn: Callable[P, Iterator[T]], /) -> Task[P, list[T]]: ...
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
        def __call__(self, fn: Callable[P, AsyncGenerator[T, Any]], /) -> Task[P, Coroutine[Any, Any, list[T]]]: ...
        @overload
        def __call__(self, fn: Callable[P, AsyncIterator[T]], /) -> Task[P, Coroutine[Any, Any, list[T]]]: ...
        @overload
        def __call__(self, fn: Callable[P, Generator[T, Any, Any]], /) -> Task[P, list[T]]: ...
        @overload
        def __call__(self, fn: Callable[P, Iterator[T]], /) -> Task[P, list[T]]: ...
        @overload
        def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...
