"""Where the current code stands: in which flow run and task run, under which tags. Carried by context variables.

with tags("nightly"):
    load.submit(path)              # the run, and all that it calls, is tagged
get_run_context().flow_run.name
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from towpath.errors import MissingContext

if TYPE_CHECKING:
    from towpath.engine.rehearsal import Rehearsal
    from towpath.engine.scope import Scope
    from towpath.flows import Flow
    from towpath.results import ResultStore
    from towpath.runs import FlowRun, TaskRun
    from towpath.tasks import Task
    from towpath.transactions import BaseTransaction


P = ParamSpec("P")
R = TypeVar("R")


class RunContext:
    """The innermost run that the current code belongs to, and the flow run round it."""

    __slots__ = ("flow", "flow_run", "log_prints", "persists", "rehearsal", "results", "scope", "task", "task_run")

    def __init__(
        self,
        *,
        flow: Flow[..., Any] | None,
        flow_run: FlowRun | None,
        scope: Scope | None,
        log_prints: bool,
        task: Task[..., Any] | None = None,
        task_run: TaskRun | None = None,
        persists: bool = False,
        results: ResultStore | None = None,
    ) -> None:
        self.flow = flow
        self.flow_run = flow_run
        self.task = task
        self.task_run = task_run
        self.scope = scope
        self.log_prints = log_prints
        self.persists = persists
        """Whether results are kept of tasks and flows that do not say it."""
        self.results = results
        """Where, if the flow says it; None: as set."""
        self.rehearsal: Rehearsal | None = None
        """Makes steps of a sketch of what is called; None: it is run."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Arguments of the task run by name, else those of the flow run."""
        run = self.task_run or self.flow_run
        return {} if run is None else run.parameters


_current: Final[ContextVar[RunContext | None]] = ContextVar("towpath_run", default=None)
_tags: Final[ContextVar[frozenset[str]]] = ContextVar("towpath_tags", default=frozenset())

#: Numbers of the claims to slots of limits that the current code holds.
_claims: Final[ContextVar[frozenset[int]]] = ContextVar("towpath_claims", default=frozenset())
_transaction: Final[ContextVar[BaseTransaction | None]] = ContextVar("towpath_transaction", default=None)

current: Final = _current.get
enter: Final = _current.set
leave: Final = _current.reset
current_tags: Final = _tags.get
current_claims: Final = _claims.get
enter_claims: Final = _claims.set
leave_claims: Final = _claims.reset
current_transaction: Final = _transaction.get
enter_transaction: Final = _transaction.set
leave_transaction: Final = _transaction.reset


def get_run_context() -> RunContext:
    """Give the run that the current code belongs to.

    Raises:
        MissingContext: it belongs to none.
    """
    context = current()
    if context is None:
        raise MissingContext("There is no current run here. Call this within a flow or task.")
    return context


class FlowRunContext:
    """Where scripts that came from elsewhere look for the current flow run."""

    @staticmethod
    def get() -> RunContext | None:
        """Give the run that the current code belongs to if that is, or is in, a flow run."""
        context = current()
        return None if context is None or context.flow_run is None else context


class TaskRunContext:
    """Where scripts that came from elsewhere look for the current task run."""

    @staticmethod
    def get() -> RunContext | None:
        """Give the run that the current code belongs to if that is a task run."""
        context = current()
        return None if context is None or context.task_run is None else context


def with_context(fn: Callable[P, R]) -> Callable[P, R]:
    """Let a function belong to the current run in whichever thread or process it is called.

    Use: `with ThreadPoolExecutor() as pool: pool.map(with_context(parse), pages)`, or a `multiprocessing.Pool`, where
    the function has to be fit for travel, and what it logs is written but not kept.
    """
    from towpath.carrying import Carried

    return Carried(fn)


@contextmanager
def tags(*names: str) -> Iterator[frozenset[str]]:
    """Tag all runs that are called within the block, in addition to tags already in force."""
    for name in names:
        if not isinstance(name, str) or not name:
            raise TypeError(f"A tag is a non-empty text; got {name!r}.")
    token = _tags.set(_tags.get() | frozenset(names))
    try:
        yield _tags.get()
    finally:
        _tags.reset(token)
