"""Variables: small values by name that flows read and people change, without a new image or deployment.

    from towpath.variables import Variable

    Variable.set("batch", 500)                     # any JSON value
    Variable.get("batch")                          # 500
    Variable.get("region", default="eu-north")

    $ towpath variables set batch 500

Where `get` looks, in this order:

1. the environment: TOWPATH_VARIABLE_BATCH, read as JSON where it is JSON, else as text
2. in a run's pod: the ConfigMap `towpath-variables` of its namespace, as it was when the pod began
3. on this machine: the history file, where `set` has put it

Variables are no place for secrets: see `towpath.blocks.system.Secret`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from towpath.errors import AlreadySet, ConfigurationError, UnfitValue
from towpath.names import VARIABLE_PREFIX, VARIABLES_CONFIG_MAP
from towpath.telling import checks
from towpath.telling.outlets import is_pod
from towpath.telling.twins import awaited, either


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable, as `Variable.set` has set it."""

    name: str
    value: Any
    tags: tuple[str, ...] = ()
    created: datetime | None = None
    updated: datetime | None = None

    @classmethod
    @either
    def get(cls, name: str, default: Any = None) -> Any:
        """Give a variable's value.

        Args:
            name: lowercase letters, digits, dashes and underscores.
            default: what to give if it is not set.

        Raises:
            UnfitValue: the name cannot be one.
            HistoryError: the history cannot be read.
        """
        return _get(name, default)

    @classmethod
    @either
    def set(cls, name: str, value: Any, tags: Iterable[str] | None = None, overwrite: bool = False) -> Variable:
        """Set a variable on this machine.

        Args:
            name: lowercase letters, digits, dashes and underscores.
            value: any JSON value, at most 64 KiB.
            tags: of the variable.
            overwrite: whether it may have been set before.

        Raises:
            AlreadySet: it has been set before, and `overwrite` is not given.
            UnfitValue: the name or the value cannot be one.
            ConfigurationError: this is a pod; its variables are a ConfigMap, which runs only read.
            HistoryError: the history cannot be written, or is switched off.
        """
        return _set(name, value, tags, overwrite)

    @classmethod
    @either
    def unset(cls, name: str) -> bool:
        """Forget a variable on this machine; tell whether it was set.

        Raises:
            UnfitValue: the name cannot be one.
            ConfigurationError: this is a pod; its variables are a ConfigMap, which runs only read.
            HistoryError: the history cannot be written, or is switched off.
        """
        return _unset(name)

    @classmethod
    async def aget(cls, name: str, default: Any = None) -> Any:
        """Do as `get` does, in asynchronous code."""
        return await awaited(_get)(name, default)

    @classmethod
    async def aset(cls, name: str, value: Any, tags: Iterable[str] | None = None, overwrite: bool = False) -> Variable:
        """Do as `set` does, in asynchronous code."""
        return await awaited(_set)(name, value, tags, overwrite)

    @classmethod
    async def aunset(cls, name: str) -> bool:
        """Do as `unset` does, in asynchronous code."""
        return await awaited(_unset)(name)


def in_environment(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Give the variables that the environment has, by the names that it has them under, in lowercase."""
    return {
        key.removeprefix(VARIABLE_PREFIX).lower(): _read(text)
        for key, text in environment.items()
        if key.startswith(VARIABLE_PREFIX) and key != VARIABLE_PREFIX
    }


def environment_name(name: str) -> str:
    """Give the environment variable that goes over a variable."""
    return VARIABLE_PREFIX + name.upper().replace("-", "_")


def _get(name: str, default: Any) -> Any:
    checks.variable_name(name)
    for key in (environment_name(name), VARIABLE_PREFIX + name):  # the second is how a ConfigMap's key comes
        if (text := os.environ.get(key)) is not None:
            return _read(text)
    if is_pod():
        return default
    from towpath.history.place import history_file
    from towpath.telling.kept import open_kept

    file = history_file()
    if file is None or not file.exists():
        return default
    with open_kept() as kept:
        found = kept.variable(name)
    return default if found is None else found.value


def _set(name: str, value: Any, tags: Iterable[str] | None, overwrite: bool) -> Variable:
    checks.variable_name(name)
    text = checks.as_json(f"The variable {name!r}", value)
    checks.fits(
        f"The variable {name!r}", text, checks.VARIABLE_BYTES, "Keep what is large as a file, and name that here."
    )
    told = tuple(tags or ())
    if isinstance(tags, str) or any(not isinstance(tag, str) or not tag for tag in told):
        raise UnfitValue(f"Tags are a list of texts; got {tags!r}.")
    from towpath.telling.kept import open_kept

    _refuse_in_pod(name)
    with open_kept() as kept:
        found = kept.set_variable(name, text, told, overwrite=overwrite)
    if found is None:
        raise AlreadySet(
            f"The variable {name!r} is set already. To set it anew, pass overwrite=True, or --overwrite on the command"
            " line."
        )
    return Variable(found.name, found.value, found.tags, found.created, found.updated)


def _unset(name: str) -> bool:
    checks.variable_name(name)
    _refuse_in_pod(name)
    from towpath.telling.kept import open_kept

    with open_kept() as kept:
        return kept.unset_variable(name)


def _refuse_in_pod(name: str) -> None:
    if is_pod():
        raise ConfigurationError(
            f"The variable {name!r} cannot be changed by a run in a cluster: variables there are the ConfigMap"
            f" {VARIABLES_CONFIG_MAP!r}, which runs only read. kubectl edit configmap {VARIABLES_CONFIG_MAP} changes"
            " it for runs that begin later."
        )


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
