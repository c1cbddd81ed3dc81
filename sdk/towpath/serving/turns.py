"""What a deployment says of whose turn it is, and of which runs are kept, as its resource has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from towpath import names
from towpath.errors import ConfigurationError

_PRIORITY: Final = 1_000_000
_LIMITS: Final = 4
#: What history may say: the field of the resource, the least and the most.
_HISTORY: Final = {
    "succeeded": ("succeeded", 0, 100_000),
    "failed": ("failed", 0, 100_000),
    "ttl_seconds": ("ttlSeconds", 1, 31_536_000),
}


class ConcurrencyLimitStrategy(StrEnum):
    """What becomes of a run for which a deployment has no room."""

    ENQUEUE = "ENQUEUE"
    """It waits for its turn."""
    CANCEL_NEW = "CANCEL_NEW"
    """It is cancelled; in a cluster."""
    CANCEL_RUNNING = "CANCEL_RUNNING"
    """The oldest that is at work is cancelled, and it takes the place; in a cluster."""


@dataclass(frozen=True, slots=True)
class ConcurrencyLimitConfig:
    """How many runs of a deployment go on at once, and what becomes of one more.

    Use:
        etl.deploy("nightly", concurrency_limit=ConcurrencyLimitConfig(1, ConcurrencyLimitStrategy.CANCEL_NEW))

    Args:
        limit: how many; 1 or more.
        collision_strategy: what becomes of one more; it waits, by default. A text such as "CANCEL_NEW" will do.
        grace_period_seconds: taken, and not needed: slots are counted from live runs, and none is leased.

    Raises:
        ConfigurationError: the limit or the strategy cannot be.
    """

    limit: int
    collision_strategy: ConcurrencyLimitStrategy = ConcurrencyLimitStrategy.ENQUEUE
    grace_period_seconds: int | None = None

    def __post_init__(self) -> None:
        checked_limit("limit", self.limit)
        strategy = str(self.collision_strategy).upper()
        if self.limit is None or strategy not in list(ConcurrencyLimitStrategy):
            known = ", ".join(ConcurrencyLimitStrategy)
            raise ConfigurationError(
                f"A concurrency limit has a limit and a collision_strategy, one of {known}; got {self.limit!r} and"
                f" {self.collision_strategy!r}."
            )
        object.__setattr__(self, "collision_strategy", ConcurrencyLimitStrategy(strategy))

    @property
    def on_conflict(self) -> str:
        """The strategy as a Deployment has it."""
        return "".join(word.capitalize() for word in self.collision_strategy.split("_"))


def checked_limit(name: str, limit: int | None) -> int | None:
    """Give a limit of runs that go on at once.

    Raises:
        ConfigurationError: it is no whole number above 0.
    """
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ConfigurationError(f"{name} must be a whole number, 1 or more, or None for no limit; got {limit!r}.")
    return limit


def limit_of(given: int | ConcurrencyLimitConfig | None) -> ConcurrencyLimitConfig | None:
    """Read a deployment's `concurrency_limit`.

    Raises:
        ConfigurationError: it is no whole number above 0, and no such configuration.
    """
    if isinstance(given, ConcurrencyLimitConfig):
        return given
    limit = checked_limit("concurrency_limit", given)
    return None if limit is None else ConcurrencyLimitConfig(limit)


def said_of_turns(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give what options say of turns, as fields of a Deployment's spec; what is not said is left out.

    Args:
        options: `concurrency_limit`, `limits`, `work_queue_name`, `priority` and `history`, as far as they are given.

    Raises:
        ConfigurationError: one of them cannot be.
    """
    said: dict[str, Any] = {}
    if (config := limit_of(options.get("concurrency_limit"))) is not None:
        said["concurrency"] = {"limit": config.limit, "onConflict": config.on_conflict}
    if (limits := _limits(options.get("limits"))) is not None:
        said["limits"] = limits
    if (queue := options.get("work_queue_name")) is not None:
        said["queue"] = resource_name("work_queue_name", queue)
    if (priority := options.get("priority")) is not None:
        said["priority"] = _whole("priority", priority, -_PRIORITY, _PRIORITY)
    if (history := options.get("history")) is not None:
        said["history"] = _history(history)
    return said


def resource_name(option: str, name: object) -> str:
    """Give the name of a resource.

    Raises:
        ConfigurationError: no resource can have it.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"{option} must be the name of a resource in the namespace; got {name!r}.")
    if names.slug(name) != name:
        raise ConfigurationError(
            f"{option} must be a name of at most 63 lower-case letters, digits and '-'; got {name!r}. Use"
            f" {names.slug(name)!r}, for example."
        )
    return name


def _limits(given: object) -> list[str] | None:
    if given is None:
        return None
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise ConfigurationError(f"limits must be a list of names of ConcurrencyLimits; got {given!r}.")
    limits = sorted({resource_name("Each of limits", name) for name in given})
    if len(limits) > _LIMITS:
        raise ConfigurationError(f"A run needs slots of at most {_LIMITS} limits; got {len(limits)}.")
    return limits


def _history(given: object) -> dict[str, int]:
    if not isinstance(given, Mapping) or not given or not given.keys() <= _HISTORY.keys():
        raise ConfigurationError(
            f"history says which runs are kept, by {', '.join(_HISTORY)}, such as {{'succeeded': 10, 'failed': 50}};"
            f" got {given!r}."
        )
    said = {}
    for key, value in given.items():
        field, least, most = _HISTORY[key]
        said[field] = _whole(f"history[{key!r}]", value, least, most)
    return said


def _whole(what: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigurationError(f"{what} must be a whole number from {least} to {most}; got {value!r}.")
    return value
