"""The termination message: the second way home for the end of a run, when the API cannot be reached.

The kubelet reads it from a file when the container ends, and the operator from the pod's status. It takes 4096 bytes;
what does not fit is left out, the least needed first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from towpath.limits import cut

PATH: Final = Path("/dev/termination-log")
ENV_PATH: Final = "TOWPATH_TERMINATION_LOG"
MAX_BYTES: Final = 4096
VERSION: Final = 1
_SHORT_MESSAGE: Final = 256
_IN_WORDS: Final = ("code", "kind", "message", "type")


def message(attempt: int, state: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[bytes, bool]:
    """Write down how an attempt ended; tells also whether everything is in it.

    Args:
        attempt: number of the attempt.
        state: as in the FlowRun's status.
        fields: result, error, tasks, children, as in the FlowRun's status.
    """
    told: dict[str, Any] = {"towpath": VERSION, "attempt": attempt, "state": dict(state)}
    everything = {key: value for key, value in fields.items() if value}
    error = everything.get("error") or {}
    counts = {key: value for key, value in everything.items() if key not in ("result", "error")}
    no_trace = {"error": {key: value for key, value in error.items() if key != "traceback"}} if error else {}
    in_words = {"error": {key: error[key] for key in _IN_WORDS if key in error}} if error else {}
    whole = _text(told | everything)
    for text in (whole, _text(told | counts | no_trace), _text(told | counts | in_words), _text(told | in_words)):
        if len(text) <= MAX_BYTES:
            return text, text is whole
    for part in (told["state"], in_words.get("error", {})):
        part["message"] = cut(part.get("message") or "", _SHORT_MESSAGE)
    return _text(told | in_words), False


def write(path: Path, text: bytes) -> bool:
    """Write the message where the kubelet reads it; False if there is no such place, as outside a pod."""
    try:
        path.write_bytes(text)
    except OSError:
        return False
    return True


def _text(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
