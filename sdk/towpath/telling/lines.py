"""What is told in a pod goes to its log: a line of JSON each, for whatever collects the logs of pods.

    {"time": …, "level": "INFO", "logger": "towpath.told", "message": "Artifact 'report' (markdown, 12 bytes)",
     "run": "nightly-7", …, "artifact": {"id": …, "key": "report", "type": "markdown", "data": "# All well", …}}
    {…, "message": "Event 'order.shipped' of 'order-456'", "event": {"id": …, "event": "order.shipped", …}}

Nothing is written to the Kubernetes API. The lines are written whatever TOWPATH_LOG_LEVEL says.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from towpath import settings
from towpath.context import current
from towpath.errors import ConfigurationError
from towpath.loggers import TOLD, configure, fields_of
from towpath.telling.outlets import is_pod
from towpath.telling.port import Origin, RecordedArtifact

if TYPE_CHECKING:
    from towpath.events import Event


class LogLines:
    """The log of this process."""

    def __init__(self) -> None:
        self._has_said_why = False

    def artifact(self, artifact: RecordedArtifact) -> None:
        """Write an artifact."""
        name = repr(artifact.key) if artifact.key else str(artifact.id)
        size = len(artifact.data.encode("utf-8", "replace")) if isinstance(artifact.data, str) else 0
        told = {
            "id": str(artifact.id),
            "key": artifact.key,
            "type": artifact.type,
            "description": artifact.description,
            "data": json.loads(str(artifact.data)) if artifact.type == "table" else artifact.data,
            "flow_run_id": artifact.flow_run_id,
            "task_run_id": artifact.task_run_id,
            "created": artifact.created.isoformat(),
        }
        how_much = f", {size:,} bytes" if isinstance(artifact.data, str) else f", {artifact.data:g} %"
        self._write(f"Artifact {name} ({artifact.type}{how_much})", "artifact", told, artifact.task_run)

    def progress(self, artifact_id: UUID, progress: float, description: str | None, updated: datetime) -> None:
        """Write how far the work is."""
        told = {
            "id": str(artifact_id),
            "type": "progress",
            "description": description,
            "data": progress,
            "updated": updated.isoformat(),
        }
        self._write(f"Artifact {artifact_id} (progress, {progress:g} %)", "artifact", told)

    def event(self, event: Event, origin: Origin) -> None:
        """Write an event."""
        told = event.as_json() | {"flow_run_id": origin.flow_run_id, "task_run_id": origin.task_run_id}
        self._write(f"Event {event.event!r} of {event.resource.id!r}", "event", told, origin.task_run)

    def latest(self, key: str) -> RecordedArtifact | None:
        """Refuse: a log is not read back."""
        where = "go to the pod's log" if is_pod() else "go to the log, as TOWPATH_HISTORY is 'off'"
        raise ConfigurationError(
            f"The artifact {key!r} cannot be read here: artifacts {where}. Hand the value on as a result, or keep it"
            " with towpath.results.ResultStore."
        )

    def _write(self, message: str, kind: str, told: Mapping[str, Any], task_run: str | None = None) -> None:
        configure()
        logger = logging.getLogger(TOLD)
        logger.setLevel(logging.INFO)  # a worker process has not been set up by `configure`
        fields = fields_of(current()) | ({} if task_run is None else {"task_run": task_run})
        logger.info("%s", message, extra={**fields, "told": {kind: told}})
        if not (self._has_said_why or is_pod() or settings.log_format() == "json"):
            self._has_said_why = True
            logger.warning(
                "Artifacts and events are not kept, because TOWPATH_HISTORY is 'off'. TOWPATH_LOG_FORMAT=json shows"
                " all of them in the log."
            )


LINES: Final = LogLines()
