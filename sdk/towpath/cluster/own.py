"""What a run's pod is told about its run: all in its environment, so that nothing has to be asked before it starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from towpath import names
from towpath.errors import ConfigurationError

T = TypeVar("T", dict[str, Any], list[str])


@dataclass(frozen=True, slots=True)
class OwnRun:
    """The run whose attempt this process is."""

    name: str
    uid: str
    attempt: int
    entrypoint: str = ""
    """Empty in a run that only borrows the identity, such as a plain container that calls Towpath."""
    namespace: str = ""
    flow: str = ""
    root: str = ""
    """Name of the run at the top of the tree; this run's own if it is that."""
    parent: str | None = None
    depth: int = 0
    """How many runs are above this one."""
    deployment: str | None = None
    image: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    retries: int | None = None
    timeout_seconds: int | None = None
    result_storage: str | None = None
    template: Mapping[str, Any] = field(default_factory=dict)
    """The pod template that children inherit."""


def own_run(environment: Mapping[str, str]) -> OwnRun | None:
    """Read which run this process is an attempt of; None outside a run's pod.

    Raises:
        ConfigurationError: the environment says that it is one, but not which, or not in a form that can be read.
    """
    name = environment.get(names.ENV_RUN)
    if not name:
        return None
    return OwnRun(
        name=name,
        uid=_needed(environment, names.ENV_RUN_UID),
        attempt=_whole(environment, names.ENV_ATTEMPT) or 1,
        entrypoint=environment.get(names.ENV_ENTRYPOINT, ""),
        namespace=environment.get(names.ENV_NAMESPACE, ""),
        flow=environment.get(names.ENV_FLOW, ""),
        root=environment.get(names.ENV_ROOT_RUN) or name,
        parent=environment.get(names.ENV_PARENT) or None,
        depth=_whole(environment, names.ENV_DEPTH) or 0,
        deployment=environment.get(names.ENV_DEPLOYMENT) or None,
        image=environment.get(names.ENV_IMAGE, ""),
        parameters=_json(environment, names.ENV_PARAMETERS, dict),
        tags=frozenset(_json(environment, names.ENV_TAGS, list)),
        retries=_whole(environment, names.ENV_RETRIES),
        timeout_seconds=_whole(environment, names.ENV_TIMEOUT_SECONDS),
        result_storage=environment.get(names.ENV_RESULT_STORAGE) or None,
        template=_json(environment, names.ENV_TEMPLATE, dict),
    )


def _needed(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise ConfigurationError(f"{names.ENV_RUN} is set, but {name} is not: the operator sets both in a run's pod.")
    return environment[name]


def _whole(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name)
    if not text:
        return None
    if not text.isdecimal():
        raise ConfigurationError(f"{name} must be a whole number, got {text!r}.")
    return int(text)


def _json(environment: Mapping[str, str], name: str, kind: type[T]) -> T:
    text = environment.get(name)
    try:
        value = json.loads(text) if text else kind()
    except ValueError as error:
        raise ConfigurationError(f"{name} must be JSON, got {text!r}: {error}.") from error
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} must be a JSON {'object' if kind is dict else 'list'}, got {text!r}.")
    return value
