"""Where artifacts and events go. A place is an `Outlet`: the history of this machine, a pod's log, perhaps a server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from towpath.events import Event


@dataclass(frozen=True, slots=True)
class Origin:
    """The run that tells something; all None outside of any."""

    flow_run_id: str | None = None
    flow_run: str | None = None
    """Its name."""
    task_run_id: str | None = None
    task_run: str | None = None
    """Its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedArtifact:
    """An artifact as it is kept: one version, if it has a key."""

    id: UUID
    key: str | None
    type: str
    """`markdown` (links too), `table`, `progress`, `image`, or what an author calls it."""
    description: str | None
    data: str | float
    """Markdown, a URL, per cent, or JSON: that of a table, or of whatever else was given."""
    flow_run_id: str | None
    flow_run: str | None
    """Name of the run, if that is known here."""
    task_run_id: str | None
    task_run: str | None
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedVariable:
    """A variable as it is kept."""

    name: str
    value: Any
    """A JSON value."""
    tags: tuple[str, ...]
    created: datetime
    updated: datetime


class Outlet(Protocol):
    """A place for what runs tell."""

    def artifact(self, artifact: RecordedArtifact) -> None:
        """Take an artifact."""

    def progress(self, artifact_id: UUID, progress: float, description: str | None, updated: datetime) -> None:
        """Take how far the work of a progress artifact is by now.

        Args:
            artifact_id: which.
            progress: per cent.
            description: a new one; None leaves it as it is.
            updated: when.
        """

    def event(self, event: Event, origin: Origin) -> None:
        """Take an event; one whose id is known already counts once."""

    def latest(self, key: str) -> RecordedArtifact | None:
        """Give the latest version of an artifact, what this process told a moment ago included.

        Raises:
            ConfigurationError: this place cannot be read.
        """
