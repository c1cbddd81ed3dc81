"""What a task's result depends on, and hence when a kept result may stand for a new one.

    from towpath.cache_policies import INPUTS, TASK_SOURCE

    @task(cache_policy=INPUTS + TASK_SOURCE)     # run anew for other arguments, or when the code has changed
    @task(cache_policy=INPUTS - "debug")         # whatever `debug` is
    @task(cache_policy=INPUTS.configure(isolation_level="SERIALIZABLE"))    # one run at a time for the same arguments

A policy computes a key, and runs with the same key share a result. Policies are added up in any order, and adding one
twice changes nothing. Keys of the policies here belong to the task's function: two functions never share a result by
accident. Who wants tasks to share results gives them the same `cache_key_fn`.
"""

# ruff: noqa: ARG002 each policy looks at some of what all are given
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeAlias
from weakref import WeakKeyDictionary

from towpath.caching import Uncacheable, key_of
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    from towpath.context import RunContext
    from towpath.locking.protocol import LockManager
    from towpath.stores import StorageLike
    from towpath.transactions import IsolationLevel

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "NONE",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "CacheKeyFn",
    "CacheKeyFnPolicy",
    "CachePolicy",
    "CompoundCachePolicy",
]

CacheKeyFn: TypeAlias = Callable[[Any, dict[str, Any]], str | None]
"""A function of (the task run's context, parameters by name) that gives the key; None: not cached this time."""


@dataclass  # not frozen: authors derive dataclasses of their own from it
class CachePolicy:
    """Base of all policies; derive from it and define `compute_key` for one of your own.

    Args:
        key_storage: where it is looked up whether there is a result, if not beside the results.
        isolation_level: with SERIALIZABLE, one run at a time works on a key, and others wait for its result.
        lock_manager: what keeps the others waiting; lock files beside the records by default.
    """

    key_storage: StorageLike | None = None
    isolation_level: IsolationLevel | Literal["READ_COMMITTED", "SERIALIZABLE"] | None = None
    lock_manager: LockManager | None = None

    belongs_to_task: ClassVar[bool] = False
    """Whether the same key of another task's run means another result."""

    @staticmethod
    def from_cache_key_fn(cache_key_fn: CacheKeyFn) -> CacheKeyFnPolicy:
        """Make a policy of a function of (context, parameters)."""
        return CacheKeyFnPolicy(cache_key_fn=cache_key_fn)

    def configure(
        self,
        key_storage: StorageLike | None = None,
        lock_manager: LockManager | None = None,
        isolation_level: IsolationLevel | Literal["READ_COMMITTED", "SERIALIZABLE"] | None = None,
    ) -> Self:
        """Give the same policy with some settings changed; None leaves one as it is."""
        given: dict[str, Any] = {
            "key_storage": key_storage,
            "lock_manager": lock_manager,
            "isolation_level": isolation_level,
        }
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def compute_key(
        self, task_ctx: RunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Give the key of a task run; None if this policy has no say in it.

        Args:
            task_ctx: the run: `task_ctx.task`, `task_ctx.task_run`, `task_ctx.flow_run`.
            inputs: the task's arguments by name, defaults included.
            flow_parameters: the flow's; empty outside of any.
            **kwargs: nothing at present.

        Raises:
            Uncacheable: a value that matters cannot be recognised.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define compute_key.")

    def __add__(self, other: CachePolicy) -> CachePolicy:
        return _sum(self, other) if isinstance(other, CachePolicy) else NotImplemented

    def __sub__(self, parameter: str) -> CachePolicy:
        """Give the policy that does not look at a parameter."""
        if not isinstance(parameter, str):
            raise TypeError(f"A parameter is taken out of a cache policy by its name; got {parameter!r}.")
        return self


@dataclass
class CacheKeyFnPolicy(CachePolicy):
    """The key is what a function of (context, parameters) gives."""

    cache_key_fn: CacheKeyFn | None = None

    def compute_key(
        self, task_ctx: RunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Ask the function."""
        key = None if self.cache_key_fn is None else self.cache_key_fn(task_ctx, inputs)
        if key is not None and (not isinstance(key, str) or not key):
            raise ConfigurationError(f"A cache_key_fn gives a text or None; {self.cache_key_fn!r} gave {key!r}.")
        return key


@dataclass
class Inputs(CachePolicy):
    """The task's arguments, but for those in `exclude`."""

    exclude: Sequence[str] = ()
    belongs_to_task: ClassVar[bool] = True

    def __post_init__(self) -> None:
        names: Iterable[str] = [self.exclude] if isinstance(self.exclude, str) else self.exclude
        self.exclude = tuple(sorted(set(names)))

    def compute_key(
        self, task_ctx: RunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Make a key of the arguments."""
        considered = {name: value for name, value in inputs.items() if name not in self.exclude}
        try:
            return key_of("inputs", considered)
        except Uncacheable:
            for name, value in considered.items():
                _check(name, value)
            raise

    def __sub__(self, parameter: str) -> CachePolicy:
        super().__sub__(parameter)
        return replace(self, exclude=(*self.exclude, parameter))


@dataclass
class TaskSource(CachePolicy):
    """The source code of the task's function, decorators included; not that of what it calls."""

    belongs_to_task: ClassVar[bool] = True

    def compute_key(
        self, task_ctx: RunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Make a key of the source."""
        return None if task_ctx.task is None else _source_key(task_ctx.task.fn)


@dataclass
class FlowParameters(CachePolicy):
    """The parameters of the flow that calls the task."""

    belongs_to_task: ClassVar[bool] = True

    def compute_key(
        self, task_ctx: RunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Make a key of the parameters."""
        return None if task_ctx.flow_run is None else key_of("flow parameters", dict(flow_parameters))


@dataclass
class RunId(CachePolicy):
    """The flow run, all its tries and attempts; outside of flows the task run, hence no other."""

    belongs_to_task: ClassVar[bool] = True

    def compute_key(
        self, task_ctx: RunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Give what identifies the run."""
        if task_ctx.flow_run is not None:
            return f"run {task_ctx.flow_run.identity}"
        return None if task_ctx.task_run is None else f"run {task_ctx.task_run.id}"


@dataclass
class NoCache(CachePolicy):
    """Nothing is looked up; added to another policy it changes nothing."""

    def compute_key(
        self, task_ctx: RunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Give no key."""
        return None


@dataclass
class CompoundCachePolicy(CachePolicy):
    """All that its members look at; made by adding policies."""

    policies: Sequence[CachePolicy] = field(default=())

    @property
    def belongs_to_task(self) -> bool:  # type: ignore[override] # it depends on the members
        """Whether no member is an author's own."""
        return all(policy.belongs_to_task for policy in self.policies)

    def compute_key(
        self, task_ctx: RunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Make a key of the members' keys."""
        keys = [policy.compute_key(task_ctx, inputs, flow_parameters, **kwargs) for policy in self.policies]
        told = sorted({key for key in keys if key is not None})
        return key_of("all of", told) if len(told) > 1 else told[0] if told else None

    def __sub__(self, parameter: str) -> CachePolicy:
        super().__sub__(parameter)
        return _merged([policy - parameter for policy in self.policies], self)


def _sum(one: CachePolicy, other: CachePolicy) -> CachePolicy:
    if isinstance(one, NoCache) or isinstance(other, NoCache):
        return one if isinstance(other, NoCache) else other
    settings = CachePolicy()
    for name in ("key_storage", "isolation_level", "lock_manager"):
        said = [value for value in (getattr(one, name), getattr(other, name)) if value is not None]
        if len(said) == 2 and said[0] != said[1]:
            raise ConfigurationError(
                f"Cache policies cannot be added, they have different {name}: {said[0]!r} and {said[1]!r}. "
                "Configure the sum instead: (A + B).configure(...)."
            )
        setattr(settings, name, said[0] if said else None)
    return _merged([*_members(one), *_members(other)], settings)


def _members(policy: CachePolicy) -> Sequence[CachePolicy]:
    return policy.policies if isinstance(policy, CompoundCachePolicy) else (policy,)


def _merged(policies: Iterable[CachePolicy], settings: CachePolicy) -> CachePolicy:
    """Give one policy for several: each kind once, in an order that does not depend on how they were added."""
    nothing: dict[str, Any] = dict.fromkeys(("key_storage", "isolation_level", "lock_manager"))
    chosen = {name: getattr(settings, name) for name in nothing}
    members: list[CachePolicy] = []
    exclude: set[str] = set()
    for policy in policies:
        plain = replace(policy, **nothing)
        if isinstance(plain, Inputs):
            exclude.update(plain.exclude)
            plain = Inputs()
        if plain not in members:
            members.append(plain)
    members = [replace(member, exclude=tuple(exclude)) if isinstance(member, Inputs) else member for member in members]
    members.sort(key=lambda member: f"{type(member).__name__} {member!r}")
    if len(members) == 1:
        return replace(members[0], **chosen)
    return CompoundCachePolicy(**chosen, policies=tuple(members))


def _check(name: str, value: Any) -> None:
    try:
        key_of(value)
    except Uncacheable as error:
        raise Uncacheable(
            f"parameter {name!r} cannot be part of a key, {error}. Leave it out (cache_policy=INPUTS - {name!r}), or"
            " give a cache_key_fn"
        ) from None


_source_keys: Final[WeakKeyDictionary[Callable[..., Any], str]] = WeakKeyDictionary()


def _source_key(fn: Callable[..., Any]) -> str:
    """Make a key of a function's source, or of what it was compiled to where there is no source; once a process."""
    function = getattr(fn, "__func__", fn)
    try:
        known = _source_keys.get(function)
    except TypeError:  # an object that can be called, and neither hashed nor referred to weakly
        function, known = type(function), None
    if known is None:
        try:
            known = key_of("source", inspect.getsource(function))
        except (OSError, TypeError):
            known = key_of("source", function)
        try:
            _source_keys[function] = known
        except TypeError:
            return known
    return known


INPUTS: Final = Inputs()
TASK_SOURCE: Final = TaskSource()
FLOW_PARAMETERS: Final = FlowParameters()
RUN_ID: Final = RunId()
NONE: Final = NoCache()
NO_CACHE: Final = NONE
DEFAULT: Final = INPUTS + TASK_SOURCE + RUN_ID
