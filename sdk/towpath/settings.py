"""What may be set from outside, by environment variables and settings files; each is read when it is needed.

An environment variable goes over the files of `towpath.settings_files`; an empty one stands for the default.

TOWPATH_LOG_FORMAT     `text` for people, `json` for machines: one object a line (pods)      text
TOWPATH_LOG_LEVEL      least level that is logged: DEBUG, INFO, WARNING, ERROR, CRITICAL      INFO
TOWPATH_LOG_PRINTS     whether `print` goes to the log where `log_prints` is not said         false
TOWPATH_LOGGING_EXTRA_LOGGERS   names of other loggers, with commas, whose lines are shown and kept too         none
TOWPATH_PROGRESS       whether a run's progress is shown at a terminal, kept up to date        true
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
from collections.abc import Callable, Mapping
from typing import TypeVar

from towpath import settings_files
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


def extra_loggers() -> tuple[str, ...]:
    """Give the names of loggers, beside Towpath's own, whose lines are shown and kept."""
    return tuple(name for part in text("TOWPATH_LOGGING_EXTRA_LOGGERS").split(",") if (name := part.strip()))


def progress() -> bool:
    """Tell whether a run's progress is shown at a terminal."""
    return _is_true("TOWPATH_PROGRESS", default=True)


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

    return text(ENV_RESULT_STORAGE) or None


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


def text(name: str) -> str:
    """Give what is set under the name of a variable, by the environment or else by a file; empty if nothing is."""
    told = os.environ.get(name)
    if told is not None:
        return told.strip()
    from_file = settings_files.values().get(name)
    return from_file.text if from_file is not None else ""


def environment() -> Mapping[str, str]:
    """Give the environment, with what the settings files say for variables that it does not have."""
    return {name: said.text for name, said in settings_files.values().items()} | dict(os.environ)


def place_of(name: str) -> str:
    """Say where a setting comes from, as the beginning of a sentence about it."""
    if name not in os.environ and (said := settings_files.values().get(name)) is not None:
        return f"In the settings file {str(said.file)!r}, {settings_files.key_of(name)} ({name})"
    return f"The environment variable {name}"


def _is_true(name: str, *, default: bool = False) -> bool:
    if not text(name):  # most are not set, and this is asked often
        return default
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    return words[_read(name, "false", str.lower, words.__contains__, "true or false")]


def _read(name: str, default: T, parse: Callable[[str], T], fits: Callable[[T], bool], what: str) -> T:
    raw = text(name)
    if not raw:
        return default
    try:
        value = parse(raw)
    except ValueError:
        value = None
    if value is None or not fits(value):
        raise ConfigurationError(f"{place_of(name)} must be {what}; it is {raw!r}.")
    return value
