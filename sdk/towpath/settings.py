"""What may be set from outside, by environment variables; each is read when it is needed.

TOWPATH_LOG_FORMAT     `text` for people, `json` for machines: one object a line (pods)      text
TOWPATH_LOG_LEVEL      least level that is logged: DEBUG, INFO, WARNING, ERROR, CRITICAL      INFO
TOWPATH_LOG_PRINTS     whether `print` goes to the log where `log_prints` is not said         false
TOWPATH_MAX_DEPTH      how deep flows may call flows, as a guard against recursion            20
TOWPATH_MAX_WORKERS    how many tasks a ThreadPoolTaskRunner runs at once; 0: no limit        0
TOWPATH_RESULT_STORAGE                   where results are kept: a folder or an fsspec URL   results in TOWPATH_HOME
TOWPATH_RESULTS_DEFAULT_SERIALIZER       how they are written: see `towpath.serializers`     pickle
TOWPATH_RESULTS_PERSIST_BY_DEFAULT       whether results are kept where it is not said       false
TOWPATH_TASKS_REFRESH_CACHE              whether tasks run although there is a kept result   false
TOWPATH_TASKS_DISABLE_CACHING            whether kept results are neither used nor written under a task's key    false
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
    return _is_true("TOWPATH_LOG_PRINTS")


def max_depth() -> int:
    """Give the number of runs that may be above a run."""
    from towpath.names import MAX_DEPTH

    return _read("TOWPATH_MAX_DEPTH", MAX_DEPTH, int, lambda value: value >= 0, "a whole number, 0 or more")


def max_workers() -> int | None:
    """Give how many tasks run at once in a runner that was not told; None for no limit."""
    return _read("TOWPATH_MAX_WORKERS", 0, int, lambda value: value >= 0, "a whole number, 0 or more") or None


def result_storage() -> str | None:
    """Give the folder or URL where results are kept; None: in the user's own folder."""
    from towpath.names import ENV_RESULT_STORAGE

    return os.environ.get(ENV_RESULT_STORAGE, "").strip() or None


def result_serializer() -> str:
    """Give the name of the serializer of results."""
    from towpath.serializers import is_own

    name = "TOWPATH_RESULTS_DEFAULT_SERIALIZER"
    return _read(name, "pickle", str.lower, is_own, "pickle, json, compressed/pickle or compressed/json")


def persist_by_default() -> bool:
    """Tell whether results are kept of flows and tasks that do not say it."""
    return _is_true("TOWPATH_RESULTS_PERSIST_BY_DEFAULT")


def refresh_cache() -> bool:
    """Tell whether tasks that do not say it run although there is a kept result."""
    return _is_true("TOWPATH_TASKS_REFRESH_CACHE")


def disable_caching() -> bool:
    """Tell whether no kept result stands for a new one."""
    return _is_true("TOWPATH_TASKS_DISABLE_CACHING")


def _is_true(name: str) -> bool:
    if not os.environ.get(name):  # most are not set, and this is asked often
        return False
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    return words[_read(name, "false", str.lower, words.__contains__, "true or false")]


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
