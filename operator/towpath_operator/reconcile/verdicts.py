"""What the lanes say about a run: a value, so that deciding stays pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Turn:
    """What the lanes say of one run at one moment."""

    goes: bool = True
    """Whether it may begin now."""
    lane: str = ""
    """In which lane it is not its turn, if it may not."""
    waiting_for: str = ""
    """Where in that lane it stands, in words."""
    again_seconds: float | None = None
    """When what it waits for should be put in words again."""
    refused: str = ""
    """If its Deployment has a run more cancelled: why this one is, if it has not begun yet."""
    superseded: str = ""
    """If a later run of its Deployment takes its place: which, in words."""


GOES: Final = Turn()
