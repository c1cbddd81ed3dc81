"""What is told on this machine goes into the history, as notes for its writer."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from towpath.history.notes import RowNote
from towpath.telling.port import Origin, RecordedArtifact

if TYPE_CHECKING:
    from towpath.events import Event
    from towpath.history.recorder import Recorder

#: Whoever tells more than this at once waits until it is written, so that memory stays bounded.
_LARGE: Final = 64 * 1024
_ARTIFACTS: Final = (
    "INSERT INTO artifacts (id, key, type, description, data, run_id, task_run_id, task_run, created, updated) VALUES"
)
_PROGRESS: Final = (
    "UPDATE artifacts SET data = ?, description = coalesce(?, description), updated = ?"
    " WHERE id = ? AND type = 'progress'"
)
_EVENTS: Final = (
    "INSERT OR IGNORE INTO events (id, event, resource, related, payload, follows, run_id, task_run_id, task_run,"
    " occurred) VALUES"
)


class HistoryOutlet:
    """The history of this machine.

    Args:
        recorder: takes the notes.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def artifact(self, artifact: RecordedArtifact) -> None:
        """Take an artifact."""
        data = artifact.data if isinstance(artifact.data, str) else repr(artifact.data)
        row = (
            str(artifact.id),
            artifact.key,
            _clean(artifact.type),
            None if artifact.description is None else _clean(artifact.description),
            _clean(data),
            artifact.flow_run_id,
            artifact.task_run_id,
            artifact.task_run,
            artifact.created.timestamp(),
            artifact.updated.timestamp(),
        )
        self._recorder.tell(RowNote(_ARTIFACTS, row))
        if len(data) > _LARGE:
            self._recorder.flush()

    def progress(self, artifact_id: UUID, progress: float, description: str | None, updated: datetime) -> None:
        """Take how far the work is."""
        told = None if description is None else _clean(description)
        complaint = (
            f"There is no progress artifact {str(artifact_id)!r} to be updated to {progress:g} %. Pass what"
            " create_progress_artifact gave; one that was deleted stays deleted."
        )
        row = (repr(progress), told, updated.timestamp(), str(artifact_id))
        self._recorder.tell(RowNote(_PROGRESS, row, complaint))

    def event(self, event: Event, origin: Origin) -> None:
        """Take an event."""
        row = (
            str(event.id),
            _clean(event.event),
            json.dumps(event.resource),
            json.dumps(event.related) if event.related else None,
            json.dumps(event.payload) if event.payload else None,
            None if event.follows is None else str(event.follows),
            origin.flow_run_id,
            origin.task_run_id,
            origin.task_run,
            event.occurred.timestamp(),
        )
        self._recorder.tell(RowNote(_EVENTS, row))

    def latest(self, key: str) -> RecordedArtifact | None:
        """Give the latest version of an artifact."""
        from towpath.telling.kept import open_kept

        self._recorder.flush()
        with open_kept() as kept:
            return next(iter(kept.artifacts(key=key, limit=1)), None)


def _clean(text: str) -> str:
    """Give a text that a file in UTF-8 can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
