"""How `run_deployment` reaches a deployment that is served on this machine: through the book, and by its bell."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from towpath import names, settings
from towpath.context import current
from towpath.errors import ConfigurationError, Conflict, NestingTooDeep
from towpath.history.place import history_file
from towpath.loggers import configure, get_logger
from towpath.runs import FlowRun
from towpath.serving.bell import ring
from towpath.serving.book import Book
from towpath.serving.given import as_json
from towpath.serving.orders import KnownDeployment, Order
from towpath.serving.waiters import LocalRun, Waiters
from towpath.slugs import new_id, slug

if TYPE_CHECKING:
    from towpath.context import RunContext
    from towpath.deployments import Asked

#: How many runs of the same call, one for each try of the parent, are looked at before giving up.
_MOST_TRIES: Final = 200


class Caller:
    """What this process knows of the deployments of one history file.

    Args:
        history: path of the file.
    """

    def __init__(self, history: Path) -> None:
        self.history = history
        self._book = Book(history)
        self._waiters = Waiters(self._book)

    def known(self, name: str) -> KnownDeployment | None:
        """Give the deployment of a name, `name` or `flow/name`, if there is one.

        Raises:
            ConfigurationError: there are several.
        """
        found = self._book.deployments(name)
        if len(served := [one for one in found if one.is_served]) == 1:
            return served[0]
        if len(found) > 1:
            keys = ", ".join(repr(one.key) for one in found)
            raise ConfigurationError(f"Several deployments on this machine are called {name!r}. Say which: {keys}.")
        return found[0] if found else None

    def names(self) -> list[str]:
        """Give the full names of all deployments that are served now."""
        return [one.key for one in self._book.deployments() if one.is_served]

    def place(self, asked: Asked, deployment: KnownDeployment) -> LocalRun:
        """Order a run, or find the one that was ordered before by the same key or call.

        Raises:
            ConfigurationError: something was asked for that makes sense in a cluster only.
            ParameterError: a parameter has no form in JSON.
            NestingTooDeep: there are too many runs above it.
        """
        if asked.job_variables:
            raise ConfigurationError(
                f"Deployment {deployment.key!r} is served on this machine, where a run is a process and has no Job:"
                f" job_variables={dict(asked.job_variables)!r} cannot be given."
            )
        if asked.work_queue_name is not None:
            raise ConfigurationError(
                f"Deployment {deployment.key!r} is served on this machine, where there are no queues:"
                f" work_queue_name={asked.work_queue_name!r} cannot be given."
            )
        now = datetime.now(UTC)
        parameters = {**deployment.parameters, **as_json(asked.parameters, f"deployment {deployment.key!r}")}
        call = _Call(asked, deployment, parameters, current() if asked.as_subflow else None, now)
        for identity in call.identities():
            order = call.order(identity)
            run_id = self._book.enter(deployment.key, [order], now)[0]
            is_new = run_id == order.run.id
            if is_new or asked.idempotency_key is not None or not self._is_spent(run_id, order.made_in):
                break
        else:
            raise Conflict(f"{deployment.key!r} was called here and did not complete {_MOST_TRIES} times.")
        if is_new and not ring(self.history, deployment.server):
            configure()
            get_logger("towpath.deployments").warning(
                "Deployment %r is not served at present: its run %r waits until it is.", deployment.key, order.run.name
            )
        return LocalRun(self._waiters, run_id, order.run.name if is_new else self._book.name_of(run_id))

    def ordered(self, run_id: str, name: str) -> LocalRun | None:
        """Give a run that somebody has ordered of a deployment; None if it is no such run."""
        return LocalRun(self._waiters, run_id, name) if self._book.known([run_id]) else None

    def _is_spent(self, run_id: str, tried: str) -> bool:
        """Tell whether a run is left over from an earlier try of its parent, and of no use: it did not complete."""
        outcome = self._book.outcomes([run_id]).get(run_id)
        return outcome is not None and outcome["state"]["type"] != "COMPLETED" and self._book.made_in(run_id) != tried


def caller() -> Caller | None:
    """Give this process's access to deployments on this machine; None if there is no history that could have any."""
    global _caller
    try:
        history = history_file()
    except OSError:
        return None
    if history is None or not history.is_file():
        return None
    with _guard:
        if _caller is None or _caller.history != history:
            _kept.append(_caller)
            _caller = Caller(history)
        return _caller


_caller: Caller | None = None
_kept: Final[
    list[Caller | None]
] = []  # others may wait with it still; and a forked process must not close its parent's
_guard = threading.Lock()


def _forget() -> None:
    global _caller, _guard
    _kept.append(_caller)
    _caller, _guard = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of `run_deployment` that has found its deployment."""

    asked: Asked
    deployment: KnownDeployment
    parameters: Mapping[str, Any]
    context: RunContext | None
    """Of the flow that calls, if the run is to be its child."""
    now: datetime

    def identities(self) -> list[str]:
        """Give what makes the order the same when it is made again; the second counts if the first is spent, etc."""
        asked, context = self.asked, self.context
        if asked.idempotency_key is not None:
            return [f"key {asked.idempotency_key}"]
        if context is None or context.flow_run is None or context.scope is None:
            return [f"order {new_id()}"]
        call = names.digest(self.deployment.key, names.canonical_json(self.parameters), length=16)
        occurrence = context.scope.number(f"run_deployment {call}")
        identity = f"call {context.flow_run.id} {call} {occurrence}"
        return [identity, *(f"{identity} again {n}" for n in range(1, _MOST_TRIES))]

    def order(self, identity: str) -> Order:
        """Make the order.

        Raises:
            NestingTooDeep: there are too many runs above it.
        """
        asked, deployment = self.asked, self.deployment
        run = FlowRun(
            deployment.flow,
            name=asked.run_name or slug(),
            parameters=self.parameters,
            tags=deployment.tags | asked.tags,
            deployment=deployment.name,
        )
        parent = None if self.context is None else self.context.flow_run
        if parent is not None:
            run.depth, run.root_id = parent.depth + 1, parent.root_id
            run.parent_id, run.parent_name = parent.id, parent.name
            if run.depth > (deepest := settings.max_depth()):
                raise NestingTooDeep(
                    f"Deployment {deployment.key!r} is run {run.depth} levels below the flow at the top; at most"
                    f" {deepest} are allowed. If that is no endless recursion, set TOWPATH_MAX_DEPTH."
                )
        return Order(
            run=run,
            deployment=deployment.key,
            identity=identity,
            due=self.now if asked.scheduled_time is None else asked.scheduled_time.astimezone(UTC),
            made_in="" if parent is None else f"{parent.attempt}.{parent.run_count}",
            given_name=asked.run_name,
            outlives_parent=asked.outlives_parent,
        )
