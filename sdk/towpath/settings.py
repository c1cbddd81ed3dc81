"""What may be set from outside, by environment variables; each is read when it is needed.

TOWPATH_LOG_FORMAT     `text` for people, `json` for machines: one object a line (pods)      text
TOWPATH_LOG_LEVEL      least level that is logged: DEBUG, INFO, WARNING, ERROR, CRITICAL      INFO
TOWPATH_LOG_PRINTS     whether `print` goes to the log where `log_prints` is not said         false
TOWPATH_MAX_DEPTH      how deep flows may call flows, as a guard against recursion            20
TOWPATH_MAX_WORKERS    how many tasks a ThreadPoolTaskRunner runs at once; 0: no limit        0
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from towpath.errors import ConfigurationError

T = TypeVar("T")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def log_format() -> str:
    """Give `text` or `json`."""
    return _read("TOWPATH_LOG_FORMAT", "text", str.lower, lambda value: value in {"text", "json"}, "text or json")


def log_level() -> str:
    """Give the name of a level of the logging module."""
    return _read("TOWPATH_LOG_LEVEL", "INFO", str.upper, lambda value: value in _LEVELS, f"one of {', '.join(_LEVELS)}")


def log_prints() -> bool:
    """Tell whether `print` goes to the log by default."""
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    return words[_read("TOWPATH_LOG_PRINTS", "false", str.lower, words.__contains__, "true or false")]


def max_depth() -> int:
    """Give the number of runs that may be above a run."""
    from towpath.names import MAX_DEPTH

    return _read("TOWPATH_MAX_DEPTH", MAX_DEPTH, int, lambda value: value >= 0, "a whole number, 0 or more")


def max_workers() -> int | None:
    """Give how many tasks run at once in a runner that was not told; None for no limit."""
    return _read("TOWPATH_MAX_WORKERS", 0, int, lambda value: value >= 0, "a whole number, 0 or more") or None


def _read(name: str, default: T, parse: Callable[[str], T], fits: Callable[[T], bool], what: str) -> T:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        value = parse(raw)
    except ValueError:
        value = None
    if value is None or not fits(value):
        raise ConfigurationError(f"The environment variable {name} must be {what}; it is {raw!r}.")
    return value
