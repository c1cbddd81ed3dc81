"""How much room each part of a FlowRun may take, so that the whole stays within 32 KiB whatever its code does.

The figures are a budget: 10 KiB for parameters, 12 KiB for the result, 2 KiB for answers to pauses, the rest for
everything else; a test adds up the worst case. The schema can only count characters; our writers cut every text by the
bytes that it takes where it is stored (`cut`, `cut_front`), so that neither other scripts nor control characters break
the budget. A result is never cut: it is counted as it travels, as JSON or as the base64 of a pickle.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable
from typing import Final

#: A whole FlowRun, without the managedFields that the API server keeps for itself.
FLOWRUN_BYTES: Final = 32 * 1024

HISTORY_LENGTH: Final = 20
#: Conditions of a FlowRun.
CONDITIONS: Final = 2
STATE_NAME: Final = 63
#: Of the name in a history entry; the state itself has the whole name.
HISTORY_NAME: Final = 24
#: Of every one-word reason and code.
REASON: Final = 24
#: Of `state.message`; the error has more of it.
MESSAGE: Final = 320
WAITING_FOR: Final = 192
#: Of a FlowRun's condition; the state has more of it.
CONDITION_MESSAGE: Final = 64
#: Of the key of a pause, and how many of a run's pauses may be answered.
PAUSE_KEY: Final = 63
ANSWERS: Final = 16
#: Of all of a run's answers together, as JSON.
ANSWERS_BYTES: Final = 2 * 1024
#: Of the JSON Schema of what a pause wants.
PAUSE_WANTED: Final = 4096
PAUSE_DESCRIPTION: Final = 1024
PAUSE_REFUSED: Final = 512
#: Of the digest of a refused input, in characters.
PAUSE_DIGEST: Final = 16
#: Of how many limits the code of one run may hold slots.
SLOT_LIMITS: Final = 4
ERROR_MESSAGE: Final = 1024
ERROR_TYPE: Final = 256
ERROR_TRACEBACK: Final = 4096
ERROR_EXCEPTION: Final = 6144

_ELLIPSIS: Final = "…"
_ELLIPSIS_BYTES: Final = len(_ELLIPSIS.encode())
#: What the API server's JSON encoder writes as `\u003c` and the like, and by how many bytes that is longer.
_ESCAPED_WHEN_STORED: Final = {"<": 5, ">": 5, "&": 5, "\u2028": 3, "\u2029": 3}


def stored_length(text: str) -> int:
    """Count the bytes that a text takes in an object as the API server stores it."""
    encoded = json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
    return len(encoded) - 2 + sum(extra * text.count(mark) for mark, extra in _ESCAPED_WHEN_STORED.items())


def cut(text: str, limit: int = ERROR_MESSAGE) -> str:
    """Shorten a text to `limit` stored bytes, keeping its start, and show that something is missing.

    A lone surrogate, as in the name of a file that is no UTF-8, becomes `?`: it could not be sent.
    """
    sendable = _sendable(text[: limit + 1])
    if stored_length(sendable) <= limit:
        return sendable
    return sendable[: _fitting(sendable, limit, lambda count: sendable[:count])] + _ELLIPSIS


def cut_front(text: str, limit: int) -> str:
    """Shorten a text as `cut` does, but keep its end: the end of a traceback says what happened."""
    sendable = _sendable(text[-limit - 1 :])
    if stored_length(sendable) <= limit:
        return sendable
    length = len(sendable)
    return _ELLIPSIS + sendable[length - _fitting(sendable, limit, lambda count: sendable[length - count :]) :]


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _fitting(text: str, limit: int, part: Callable[[int], str]) -> int:
    """Find how many characters fit beside the ellipsis; `part(count)` must grow with its count."""
    room = limit - _ELLIPSIS_BYTES
    return bisect.bisect_right(range(1, len(text) + 1), room, key=lambda count: stored_length(part(count)))
