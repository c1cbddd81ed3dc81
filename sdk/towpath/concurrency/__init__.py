"""Limits: how much of something may go on at once, or in a second, among all processes of this machine.

    from towpath.concurrency import set_limit
    from towpath.concurrency.sync import concurrency, rate_limit

    set_limit("database", 5)                                # or: towpath limits set database 5
    set_limit("api", 10, slot_decay_per_second=2)           # ten at once, and then two a second
    set_limit("tag:heavy", 1)                               # one task run at a time that is tagged "heavy"

    with concurrency("database"):
        load(rows)

Slots are rows of the history file, and belong to a process that is alive: when it has gone, however it went, they are
free for whoever looks next. There is no lease to renew, and none to wait for.

Who does what:

- `arithmetic` decides, purely, who is next; `verdicts` what can be said without waiting.
- `port` stands between those who want slots and the place where they are kept; `place` gives the one that holds here.
- `requests` waits for slots in a thread or an event loop: for `sync`, `asyncio`, and for task runs by `tags`.
- `local` is the place on one machine: `desk` the rows, `dealer` what this process wants and has of them, `keeper` the
  thread that deals.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    from towpath.concurrency.port import Claimant, LimitInUse

__all__ = ["Claimant", "LimitInUse", "delete_limit", "list_limits", "set_limit"]


def set_limit(
    name: str,
    slots: int | None = None,
    *,
    slot_decay_per_second: float | None = None,
    active: bool | None = None,
) -> None:
    """Make a limit, or change one; it holds at once, also for those who wait.

    Use:
        set_limit("database", 5)
        set_limit("api", 10, slot_decay_per_second=2)
        set_limit("tag:heavy", 1)
        set_limit("database", active=False)     # limits nothing until it is active again

    Args:
        name: of the limit; `tag:` and the name of a tag limits task runs.
        slots: how many there are; 0 lets nobody in. What is not said stays as it is.
        slot_decay_per_second: how many slots come free by themselves in a second; 0: none do.
        active: whether it limits anything.

    Raises:
        ConfigurationError: an argument makes no sense, or there is no such limit yet and no number of slots is given.
        HistoryError: the history cannot be written.
    """
    from towpath.concurrency.place import slots as place
    from towpath.concurrency.tags import look_again

    _check_name(name)
    if slots is not None and (not isinstance(slots, int) or isinstance(slots, bool) or slots < 0):
        raise ConfigurationError(f"A limit has 0 slots or more; got {slots!r}.")
    decay = slot_decay_per_second
    if decay is not None and (not isinstance(decay, (int, float)) or not isfinite(decay) or decay < 0):
        raise ConfigurationError(f"slot_decay_per_second is a number, 0 or more; got {decay!r}.")
    place().set(name, slots, None if decay is None else float(decay), active)
    look_again()


def delete_limit(name: str) -> bool:
    """Delete a limit, and let in who waits for it; tell whether there was one.

    Raises:
        ConfigurationError: the name makes no sense.
        HistoryError: the history cannot be written.
    """
    from towpath.concurrency.place import slots as place
    from towpath.concurrency.tags import look_again

    _check_name(name)
    deleted = place().delete(name)
    look_again()
    return deleted


def list_limits() -> list[LimitInUse]:
    """Give all limits by name, each with those who hold its slots and those who wait for them.

    Raises:
        ConfigurationError: there can be none here.
        HistoryError: the history cannot be read.
    """
    from towpath.concurrency.place import slots as place

    return place().limits()


def __getattr__(name: str) -> object:
    if name in {"Claimant", "LimitInUse"}:
        from towpath.concurrency import port

        return getattr(port, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ConfigurationError(f"A limit is named by a text that can be printed; got {name!r}.")
