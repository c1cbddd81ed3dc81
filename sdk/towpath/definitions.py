"""What `@flow` and `@task` have in common: a function, a name, retries, a timeout, hooks, and how they bind as methods.

Loaded by `import towpath`, so it needs next to nothing; whatever runs things is loaded by the first run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, ParamSpec, Self, TypeVar, overload

from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    from towpath.cache_policies import CachePolicy
    from towpath.engine.effects import Plan
    from towpath.futures import Future, FutureList
    from towpath.results import ResultStore
    from towpath.retries import DelaySpec
    from towpath.serializers import SerializerLike
    from towpath.states import State
    from towpath.stores import StorageLike

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

RESERVED: Final = ("return_state", "wait_for")
HOOKS: Final = ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")
OF_TRANSACTIONS: Final = ("on_commit", "on_rollback")
_COROUTINE, _GENERATOR, _ASYNC_GENERATOR = 0x80, 0x20, 0x200  # flags of code objects
_UNFIT_IN_NAMES: Final = frozenset("/%&<>")


class Definition(Generic[P, R]):
    """A function with what is said about its runs."""

    is_flow: ClassVar[bool]
    _DEFAULTS: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, fn: Callable[P, R], options: Mapping[str, Any]) -> None:
        self._kind = type(fn).__name__ if isinstance(fn, (staticmethod, classmethod)) else ""
        self.fn: Callable[P, R] = fn.__func__ if isinstance(fn, (staticmethod, classmethod)) else fn
        if not callable(self.fn):
            raise ConfigurationError(f"{self._noun} is made from a function; got {fn!r}.")
        self._options = dict(options)
        self.plan: Plan | None = None  # made by the engine, once
        self._names = _local_names(self.fn)
        self.is_async, self.is_generator = _shape(self.fn)
        given = {**self._DEFAULTS, **options}
        for name in options:
            if name not in self._DEFAULTS:
                known = ", ".join(sorted(self._DEFAULTS))
                raise ConfigurationError(f"{self._noun} has no option {name!r}. Its options are: {known}.")
        self.name: str = given["name"] or self._name_of(self.fn)
        self.version: str | None = given["version"]
        self._description: str | None = given["description"]
        self.retries: int = given["retries"]
        self.retry_delay_seconds: DelaySpec | None = given["retry_delay_seconds"]
        self.retry_jitter_factor: float | None = given["retry_jitter_factor"]
        self.retry_condition_fn: Callable[[Any, Any, Any], Any] | None = given["retry_condition_fn"]
        self.timeout_seconds: float | None = given["timeout_seconds"] or None
        self.log_prints: bool | None = given["log_prints"]
        self.persist_result: bool | None = given["persist_result"]
        self.result_storage: StorageLike | None = given["result_storage"]
        self.result_serializer: SerializerLike | None = given["result_serializer"]
        self.cache_result_in_memory: bool = given["cache_result_in_memory"]
        self.kept_in: tuple[ResultStore, CachePolicy | None, ResultStore] | None = None  # made by the engine, once
        self.persists = self.persist_result
        """Whether results are kept; None: as in the flow round it, or as set."""
        if self.persists is None and (self.result_storage is not None or self.result_serializer is not None):
            self.persists = True
        self._hooks: dict[str, tuple[Callable[..., Any], ...]] = {
            hook: self._hooks_in(hook, given[hook]) for hook in (*HOOKS, *OF_TRANSACTIONS) if hook in self._DEFAULTS
        }
        self._check()
        for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
            if (value := getattr(self.fn, attribute, None)) is not None:
                setattr(self, attribute, value)
        self.__wrapped__ = self.fn

    @property
    def description(self) -> str | None:
        """What people are told of it; the function's docstring by default."""
        if self._description is None:
            from inspect import getdoc

            self._description = getdoc(self.fn) if getattr(self.fn, "__doc__", None) else None
        return self._description or None

    @property
    def _noun(self) -> str:
        return f"A {type(self).__name__.lower()}"

    def _name_of(self, fn: Callable[..., Any]) -> str:
        name: str = getattr(fn, "__name__", None) or type(fn).__name__
        return name.strip("<>")  # a lambda's

    def hooks(self, when: str) -> tuple[Callable[..., Any], ...]:
        """Give the hooks for a moment, such as `on_failure`."""
        return self._hooks.get(when, ())

    def on_running(self, fn: F) -> F:
        """Register a hook for the moment when a try begins; use as a decorator."""
        return self._add_hook("on_running", fn)

    def on_completion(self, fn: F) -> F:
        """Register a hook for a run that has completed; use as a decorator."""
        return self._add_hook("on_completion", fn)

    def on_failure(self, fn: F) -> F:
        """Register a hook for a run that has failed for good; use as a decorator."""
        return self._add_hook("on_failure", fn)

    # What is awaited is a Coroutine[object, object, …]: with Any in it, pyright cannot tell which overload is meant.
    @overload
    def __call__(
        self: Definition[..., Coroutine[object, object, T]],
        *args: Any,
        return_state: Literal[True],
        wait_for: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, State[T]]: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> State[R]: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any] | None, **kwargs: Any) -> R: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it here and now, and give the value or raise the exception.

        Args:
            *args: the function's own, as are keyword arguments; a future stands for its value.
            return_state: give the final state instead, and raise nothing.
            wait_for: futures that must have completed first.

        Raises:
            ParameterError: parameters do not fit a flow's signature.
            UpstreamNotReady: a run whose value is needed did not complete.
        """
        from towpath.engine.calls import call

        return call(self, args, kwargs)

    @overload
    def submit(
        self: Definition[..., Coroutine[object, object, T]], *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> State[T]: ...
    @overload
    def submit(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> State[R]: ...
    @overload
    def submit(
        self: Definition[..., Coroutine[object, object, T]],
        *args: Any,
        wait_for: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> Future[T]: ...
    @overload
    def submit(self, *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> Future[R]: ...
    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Start it beside the caller, and give a future: a task in the flow's task runner, a flow in a thread.

        It begins when all futures among its arguments and in `wait_for` have ended; if one did not complete, it never
        does, and its state is PENDING, named NotReady.
        """
        from towpath.engine.calls import submit

        return submit(self, args, kwargs)

    @overload
    def map(
        self: Definition[..., Coroutine[object, object, T]], *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> list[State[T]]: ...
    @overload
    def map(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> list[State[R]]: ...
    @overload
    def map(
        self: Definition[..., Coroutine[object, object, T]],
        *args: Any,
        wait_for: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> FutureList[T]: ...
    @overload
    def map(self, *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> FutureList[R]: ...
    def map(self, *args: Any, **kwargs: Any) -> Any:
        """Submit it once for each element of the iterables among its arguments, all of the same length.

        Texts, and what is `unmapped(...)`, are given to every call as they are.

        Raises:
            MappingMissingIterable: there is nothing to map over.
            MappingLengthMismatch: the iterables differ in length.
        """
        from towpath.mapping import map_over

        return map_over(self, args, kwargs)

    def bound_to(self, instance: Any, owner: type | None) -> Self:
        """Give the definition as a method of an object or class."""
        if self._kind == "staticmethod" or (instance is None and self._kind != "classmethod"):
            return self
        bound: Self = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        subject = (owner or type(instance)) if self._kind == "classmethod" else instance
        bound.fn = self.fn.__get__(subject)
        bound.__dict__.pop("signature", None)
        return bound

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """Give a definition of the same function with some options changed."""
        fn: Any = self.fn
        if self._kind and not hasattr(fn, "__self__"):
            fn = staticmethod(fn) if self._kind == "staticmethod" else classmethod(fn)
        decorated = {hook: hooks for hook, hooks in self._hooks.items() if hooks}
        changed = type(self)(fn, **{**self._options, **decorated, **changes})
        changed.__dict__["_names"] = self._names
        return changed

    def _add_hook(self, when: str, fn: F) -> F:
        self._hooks[when] = (*self._hooks.get(when, ()), *self._hooks_in(when, [fn]))
        self.plan = None
        return fn

    def _hooks_in(self, when: str, hooks: Sequence[Any] | None) -> tuple[Callable[..., Any], ...]:
        if not isinstance(hooks, Iterable | None):
            raise ConfigurationError(f"{when} is a list of functions; got {hooks!r}. Write `{when}=[...]`.")
        for hook in (given := tuple(hooks or ())):
            if not callable(hook):
                raise ConfigurationError(f"{when} is a list of functions; {hook!r} is none.")
        return given

    def _name_of_runs(self, option: str, given: str | Callable[..., str] | None) -> str | Callable[..., str] | None:
        if given is not None and not isinstance(given, str) and not callable(given):
            raise ConfigurationError(f"{option} is a template, or a function that gives a name; got {given!r}.")
        return given

    def _check(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f"A name is a text with something to read in it; got {self.name!r}.")
        if self.is_flow and _UNFIT_IN_NAMES & set(self.name):
            raise ConfigurationError(
                f"A flow's name is a text without {' '.join(sorted(_UNFIT_IN_NAMES))}; got {self.name!r}."
            )
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise ConfigurationError(f"retries must be a whole number, 0 or more; got {self.retries!r}.")
        if self.retry_jitter_factor is not None and not self.retry_jitter_factor >= 0:
            raise ConfigurationError(f"retry_jitter_factor must be 0 or more; got {self.retry_jitter_factor!r}.")
        if self.timeout_seconds is not None and not self.timeout_seconds > 0:
            raise ConfigurationError(f"timeout_seconds must be more than 0; got {self.timeout_seconds!r}.")
        if self.retry_condition_fn is not None and not callable(self.retry_condition_fn):
            raise ConfigurationError(f"retry_condition_fn must be a function; got {self.retry_condition_fn!r}.")
        if self.result_serializer is not None:
            from towpath.serializers import serializer_of

            serializer_of(self.result_serializer)
        if self.retry_delay_seconds:
            from towpath.retries import delays_of

            delays_of(self.retry_delay_seconds, self.retries)
        for name in RESERVED:
            if name in _argument_names(self.fn):
                raise ConfigurationError(
                    f"{self._noun}'s parameter cannot be called {name!r}: that is an option of the call itself. "
                    f"Rename it in {self.name!r}."
                )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def _code(fn: Any) -> Any:
    called = getattr(type(fn), "__call__", None)  # noqa: B004 the method itself is wanted
    for candidate in (fn, getattr(fn, "func", None), getattr(fn, "__func__", None), called):
        if (code := getattr(candidate, "__code__", None)) is not None:
            return code
    return None


def _shape(fn: Any) -> tuple[bool, bool]:
    """Tell whether calling a function gives something to await, and whether it yields."""
    flags = getattr(_code(fn), "co_flags", 0)
    return bool(flags & (_COROUTINE | _ASYNC_GENERATOR)), bool(flags & (_GENERATOR | _ASYNC_GENERATOR))


def _argument_names(fn: Any) -> tuple[str, ...]:
    code = _code(fn)
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
    return names


def _local_names(fn: Any) -> dict[str, Any]:
    """Keep what postponed annotations of a function defined within a function refer to, while it can still be had."""
    annotations = getattr(fn, "__annotations__", {})
    texts = [value for value in annotations.values() if isinstance(value, str)]
    if not texts or "<locals>" not in getattr(fn, "__qualname__", ""):
        return {}
    frame = sys._getframe(1)  # noqa: SLF001 inspect.currentframe is the same, and inspect is not loaded
    while frame is not None and frame.f_globals.get("__name__", "").startswith("towpath."):
        frame = frame.f_back  # type: ignore[assignment]
    known = frame.f_locals if frame is not None else {}
    words = {word for text in texts for word in compile(text, "<annotation>", "eval").co_names}
    return {word: known[word] for word in words if word in known}
