"""One JSON object a line, for whoever collects logs; kopf's and aiohttp's lines look the same as ours.

A line has `ts` (RFC 3339, UTC), `level`, `logger`, `message`, where known `namespace` and `run` (or `flow`,
`deployment`, `automation`), and `exception` with a traceback.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

#: What may be given as `extra`, and is then a field of the line.
FIELDS: Final = ("namespace", "run", "flow", "deployment", "automation")


class JsonFormatter(logging.Formatter):
    """Formats records as lines of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Give a record's line."""
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        reference = getattr(record, "k8s_ref", None)  # kopf's lines about an object
        if isinstance(reference, dict):
            line["namespace"] = reference.get("namespace")
            line[field_of(str(reference.get("kind") or "object"))] = reference.get("name")
        line.update({field: getattr(record, field) for field in FIELDS if hasattr(record, field)})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def field_of(kind: str) -> str:
    """Give the field that names an object of a kind: `run` for a FlowRun."""
    return "run" if kind == "FlowRun" else kind.lower()


def configure(level: str, stream: TextIO = sys.stderr) -> None:
    """Send everything that is logged to a stream, as JSON.

    Args:
        level: least severe messages that are written: debug, info, warning or error.
        stream: where to.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    # kopf tells each step of its own start and end, and a line for each event of each object.
    logging.getLogger("kopf").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
