"""Lines of logs: read from a pod, told apart by level, and written for people. Pure."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Final

from towpath.cli.output import PLAIN, Style, indented
from towpath.cli.seen import Line
from towpath.errors import ConfigurationError

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def parse(text: str, written: datetime | None = None) -> Line:
    """Read a line of a pod's log: one of Towpath's JSON objects, or whatever else the container has printed.

    Args:
        text: the line.
        written: when the container wrote it; counts where the line does not say.
    """
    try:
        said = json.loads(text) if text.startswith("{") else None
    except ValueError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("message"), str):
        return Line(text, written)
    message: str = said["message"]
    if isinstance(said.get("exception"), str):
        message += "\n" + said["exception"]
    return Line(message, _time(said.get("time")) or written, said.get("level"), said.get("task_run"), said.get("run"))


def show(line: Line, style: Style = PLAIN) -> str:
    """Write a line for people, in the local time."""
    clock = "" if line.time is None else line.time.astimezone().strftime("%H:%M:%S.%f")[:-3]
    who = f"Task run {line.task_run!r} | " if line.task_run else ""
    if line.level is None:
        return f"{style.faint(clock)} | {line.message}" if clock else line.message
    return f"{style.faint(clock)} | {style.level(line.level)} | {who}{indented(line.message, 2)}"


def level_named(name: str) -> int:
    """Give the number of a level.

    Raises:
        ConfigurationError: there is no such level.
    """
    if name.upper() not in LEVELS:
        raise ConfigurationError(f"--level takes one of {', '.join(LEVELS)}; got {name!r}.")
    return logging.getLevelNamesMapping()[name.upper()]


def reaches(line: Line, level: int) -> bool:
    """Tell whether a line is of a level or above; what was just printed counts as INFO."""
    known = logging.getLevelNamesMapping().get(line.level or "INFO", logging.INFO)
    return known >= level


def _time(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
