"""Orders: runs that were asked of a deployment, by a schedule or by somebody, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from towpath.states import State, StateType

if TYPE_CHECKING:
    from towpath.runs import FlowRun


@dataclass(frozen=True, slots=True)
class KnownSchedule:
    """A schedule of a deployment, as the book knows it."""

    key: str
    says: str
    """When runs are due, in words."""
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDeployment:
    """A deployment as the book knows it: served now, or some time ago."""

    key: str
    flow: str
    name: str
    parameters: Mapping[str, Any]
    tags: frozenset[str]
    is_paused: bool
    server: int
    """Token of the process that serves it, or did last."""
    is_served: bool
    """Whether that process is alive."""
    description: str | None = None
    version: str | None = None
    schedules: tuple[KnownSchedule, ...] = ()
    parameter_schema: Mapping[str, Any] | None = None
    """JSON Schema of what the flow takes; None if the server's Towpath did not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A run to be made."""

    run: FlowRun
    """What it will be; `id`, `name`, JSON parameters, tags and family are in it."""
    deployment: str
    """Key of the deployment."""
    identity: str
    """The same for the same order, whoever makes it and however often."""
    due: datetime
    made_in: str = ""
    """The try of the parent that made it."""
    given_name: str | None = None
    outlives_parent: bool = False

    def state(self, now: datetime) -> State[Any]:
        """Give the state in which its run begins to wait."""
        when = f"{self.due.astimezone():%Y-%m-%d %H:%M:%S %Z}"
        late = self.due < now
        message = f"It was due at {when}, and waits for its start." if late else f"It is due at {when}."
        return State(StateType.SCHEDULED, message=message, scheduled_time=self.due)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """An order whose run has not ended."""

    run_id: str
    deployment: str
    due: datetime
    server: int | None
    """Token of the server that sees to it; None: it waits."""
    process: int | None
    """Token of the process that took it; None: none has."""
    pid: int | None
    cancel_wanted: bool
    is_suspended: bool
    """Whether it waits for somebody to resume its run."""
    has_ended: bool
    """Whether its run has an end that nobody has told those who wait for it: a suspended one ends so."""
    parent_id: str | None
    outlives_parent: bool
    parent_ended: str | None
    """How the run that called it ended, if it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOrder:
    """An order as the process has it that took it."""

    run_id: str
    name: str
    deployment_name: str
    due: datetime
    parameters: Mapping[str, Any]
    tags: frozenset[str]
    parent_id: str | None
    parent_name: str | None
    root_id: str
    depth: int
    attempt: int = 1
    given_name: str | None = None


def cancelled(order: OpenOrder) -> State[Any]:
    """Give the end of an order that was cancelled while it had no process."""
    when = "while it was suspended" if order.is_suspended else "before it began"
    return State(StateType.CANCELLED, message=f"The run was cancelled {when}.")


def moment(seconds: float) -> datetime:
    """Give an instant as the book keeps it, in seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)
