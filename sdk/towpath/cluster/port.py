"""The port: what Towpath asks of a cluster, in its own words and with its own errors.

Bodies are plain dictionaries as they travel; nothing here builds models of what is only looked at. Every call raises
`towpath.errors.NotFound`, `Conflict`, `Refused` or `Unreachable`, the last only after the adapter's patience is spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from towpath.errors import ClusterError

Body: TypeAlias = Mapping[str, Any]
"""An object as the API gave it."""


class Expired(ClusterError):
    """The resource version is too old to go on from (410): list again."""


class EventType(StrEnum):
    """What a watch says of an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"  # only the resource version of the object counts


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch."""

    type: EventType
    object: Body

    @property
    def resource_version(self) -> str:
        """Where to go on from after this event."""
        version: str = self.object["metadata"]["resourceVersion"]
        return version


@dataclass(frozen=True, slots=True)
class Selector:
    """Which runs a list or a watch speaks of; an empty one takes all of the namespace."""

    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is at one moment, and where a watch goes on from."""

    items: tuple[Body, ...]
    resource_version: str


class Watch(Protocol):
    """An open watch: iterate over it in one thread, close it from any."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Iterator[Event]:
        """Give events until the server or `close` ends the watch; raises Expired or Unreachable."""
        ...

    def close(self) -> None:
        """End the watch, and the iteration over it, at once."""
        ...


class Cluster(Protocol):
    """The runs, deployments and limits of one namespace."""

    @property
    def namespace(self) -> str:
        """The namespace that every call speaks of."""
        ...

    def create_run(self, manifest: Body) -> Body:
        """Create a FlowRun; Conflict if the name is taken, be it by an earlier try of this very call."""
        ...

    def get_run(self, name: str) -> Body:
        """Read a FlowRun."""
        ...

    def patch_status(self, name: str, operations: Sequence[Mapping[str, Any]]) -> Body:
        """Apply a JSON Patch to a FlowRun's status; Conflict if one of its `test` operations fails."""
        ...

    def list_runs(self, selector: Selector) -> Listing:
        """Read all FlowRuns that the selector takes."""
        ...

    def watch_runs(self, selector: Selector, resource_version: str) -> Watch:
        """Follow the FlowRuns that the selector takes, from a listing or an event on."""
        ...

    def get_deployment(self, name: str) -> Body:
        """Read a Deployment of Towpath's own kind."""
        ...

    def list_deployments(self) -> Listing:
        """Read all Deployments of Towpath's own kind."""
        ...

    def list_limits(self) -> Listing:
        """Read all ConcurrencyLimits."""
        ...

    def with_patience(self, seconds: float) -> Cluster:
        """Give the same cluster, over the same connections, that keeps trying for so long."""
        ...

    def close(self) -> None:
        """Let the connections go."""
        ...
