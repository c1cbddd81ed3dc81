"""The terms under which an attempt runs, settled when its Job is made and written on Job and pod.

A Flow may be changed or deleted while its runs go on; that must not change them. So what has to be known of a running
attempt is read from its own Job, or its pod where the Job is gone, and not from the Flow again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from towpath import names

ANNOTATION: Final = f"{names.GROUP}/terms"


@dataclass(frozen=True, slots=True)
class Terms:
    """What was settled for an attempt; durations in seconds."""

    reports_itself: bool = True
    """False for a plain container, which knows nothing of Towpath."""
    timeout_seconds: int | None = None
    pending_timeout_seconds: int = 600
    infra_retries: int = 3
    grace_seconds: int = 30
    """Time between SIGTERM and SIGKILL."""

    def written(self) -> str:
        """Give the terms as an annotation's value."""
        return names.canonical_json(dataclasses.asdict(self))


def terms_on(body: Mapping[str, Any] | None) -> Terms | None:
    """Read the terms from a Job or pod; None if it carries none that can be understood."""
    try:
        text = (body or {})["metadata"]["annotations"][ANNOTATION]
        values = json.loads(text)
        terms = Terms(**values)
    except (KeyError, TypeError, ValueError):
        return None
    numbers = (terms.pending_timeout_seconds, terms.infra_retries, terms.grace_seconds)
    if not all(isinstance(number, int) for number in numbers) or not isinstance(terms.timeout_seconds, int | None):
        return None
    return terms
