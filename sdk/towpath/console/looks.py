"""Marks, colours and durations: the same wherever a person sees a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, TextIO

from towpath.states import StateType

MARKS: Final[Mapping[StateType, str]] = {
    StateType.COMPLETED: "✔",
    StateType.FAILED: "✘",
    StateType.CRASHED: "✘",
    StateType.CANCELLED: "■",
    StateType.RUNNING: "▶",
    StateType.CANCELLING: "■",
}
WAITING: Final = "·"
#: Numbers of "Select Graphic Rendition", which every terminal with colours has.
RED, GREEN, YELLOW, BLUE, CYAN, BOLD, DIM = "31", "32", "33", "34", "36", "1", "2"
COLOURS: Final[Mapping[StateType, str]] = {
    StateType.COMPLETED: GREEN,
    StateType.FAILED: RED,
    StateType.CRASHED: RED,
    StateType.CANCELLED: YELLOW,
    StateType.CANCELLING: YELLOW,
    StateType.RUNNING: BLUE,
}
LEVEL_COLOURS: Final[Mapping[str, str]] = {"WARNING": YELLOW, "ERROR": RED, "CRITICAL": RED, "DEBUG": DIM}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def painted(text: str, colour: str | None) -> str:
    """Give a text in a colour."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def has_colours(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a stream is a terminal with colours, and nobody minds them (https://no-color.org)."""
    return is_capable(stream, environment) and not environment.get("NO_COLOR")


def is_capable(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a stream is a terminal that does more than print."""
    return stream.isatty() and environment.get("TERM") != "dumb"


def duration(seconds: float | None) -> str:
    """Say how long something took, with as much precision as people need."""
    if seconds is None:
        return ""
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if minutes < _HOUR // _MINUTE:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < _DAY // _HOUR:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
