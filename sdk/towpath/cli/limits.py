"""`towpath limits …`: see and set limits, of this machine; `limits_in_cluster` has those of a cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from towpath.cli import limits_in_cluster
from towpath.cli.exits import Exit
from towpath.cli.output import Style, note, say, say_json, style_of, table
from towpath.cli.target import is_cluster
from towpath.concurrency import delete_limit, list_limits, set_limit
from towpath.console.looks import duration
from towpath.errors import ConfigurationError, HistoryError, NotSet

if TYPE_CHECKING:
    import argparse

    from towpath.concurrency.port import Claimant, LimitInUse

_SHOWN: Final = 5


def ls(asked: argparse.Namespace) -> int:
    """List limits."""
    if is_cluster(asked):
        return limits_in_cluster.ls(asked)
    found = list_limits()
    if asked.json:
        say_json(found)
    elif not found:
        note("There are no limits. `towpath limits set` makes one.")
    else:
        say(page(found, datetime.now(UTC), style_of(sys.stdout)))
    return Exit.OK


def inspect(asked: argparse.Namespace) -> int:
    """Show a limit."""
    if is_cluster(asked):
        return limits_in_cluster.inspect(asked)
    found = [limit for limit in list_limits() if limit.name == asked.name]
    if not found:
        raise _none(asked.name)
    if asked.json:
        say_json(found[0])
    else:
        say(page(found, datetime.now(UTC), style_of(sys.stdout)))
    return Exit.OK


def set_(asked: argparse.Namespace) -> int:
    """Make a limit, or change it."""
    if asked.active and asked.inactive:
        raise ConfigurationError("A limit is --active or --inactive, not both.")
    active = True if asked.active else False if asked.inactive else None
    slots = None if asked.slots is None else _number(asked.slots)
    if is_cluster(asked):
        return limits_in_cluster.set_(asked, slots, active)
    if asked.runs:
        raise ConfigurationError("On this machine limits hold for tasks and blocks; --runs is for a cluster.")
    set_limit(asked.name, slots, slot_decay_per_second=asked.slot_decay_per_second, active=active)
    (limit,) = [one for one in list_limits() if one.name == asked.name]
    if asked.json:
        say_json(limit)
    else:
        say(f"{limit.name} has {_slots(limit)}.")
    return Exit.OK


def delete(asked: argparse.Namespace) -> int:
    """Delete limits."""
    if is_cluster(asked):
        return limits_in_cluster.delete(asked)
    known = {limit.name for limit in list_limits()}
    for name in asked.name:
        if name not in known:  # all of them, before anything is done
            raise _none(name)
    for name in asked.name:
        delete_limit(name)
        if not asked.json:
            say(f"{name} is deleted.")
    if asked.json:
        say_json(asked.name)
    return Exit.OK


def slots_of(run_id: str) -> tuple[str, str]:
    """Tell which slots a flow run holds, itself and for its task runs, and which it waits for, in words."""
    try:
        found = list_limits()
    except (HistoryError, ConfigurationError):  # whoever asks after the run is told what is wrong with the history
        return "", ""
    holds = [_of(one, limit) for limit in found for one in limit.holders if one.run_id == run_id]
    waits = [_of(one, limit) for limit in found for one in limit.waiting if one.run_id == run_id]
    return _several(holds), _several(waits)


def page(limits: Sequence[LimitInUse], now: datetime, style: Style) -> str:
    """Write the list: a line for each limit, and below it who is at it."""
    rows = [
        (
            limit.name,
            str(limit.slots),
            f"{limit.taken:.3g}",
            str(len(limit.waiting)),
            f"{limit.slot_decay_per_second:g} a second" if limit.slot_decay_per_second else "",
            "" if limit.active else "inactive",
        )
        for limit in limits
    ]
    heading, *lines = table([("LIMIT", "SLOTS", "TAKEN", "WAITING", "DECAY", ""), *rows]).splitlines()
    shown = [heading]
    for limit, line in zip(limits, lines, strict=True):
        shown += [line, *(style.faint(f"  {each}") for each in _at(limit, now))]
    return "\n".join(shown)


def _at(limit: LimitInUse, now: datetime) -> Iterator[str]:
    for verb, claimants in (("held by", limit.holders), ("waits:", limit.waiting)):
        for claimant in claimants[:_SHOWN]:
            yield f"{verb} {_claimant(claimant, now)}"
        if len(claimants) > _SHOWN:
            yield f"{verb} {len(claimants) - _SHOWN} more"


def _claimant(claimant: Claimant, now: datetime) -> str:
    slots = f", {claimant.occupy} slots" if claimant.occupy > 1 else ""
    process = "" if claimant.run is None or claimant.process is None else f" in process {claimant.process}"
    since = "" if claimant.since is None else f", for {duration((now - claimant.since).total_seconds())}"
    return f"{claimant}{process}{slots}{since}"


def _of(claimant: Claimant, limit: LimitInUse) -> str:
    of = f"{claimant.occupy} slot{'' if claimant.occupy == 1 else 's'} of {limit.name}"
    return of if claimant.task_run is None else f"{of} ({claimant.task_run})"


def _several(words: Sequence[str]) -> str:
    more = [f"and {len(words) - _SHOWN} more"] if len(words) > _SHOWN else []
    return "\n".join([*words[:_SHOWN], *more])


def _slots(limit: LimitInUse) -> str:
    words = f"{limit.slots} slot{'' if limit.slots == 1 else 's'}"
    if limit.slot_decay_per_second:
        words += f", of which {limit.slot_decay_per_second:g} a second come free by themselves"
    if not limit.active:
        return f"{words}, and is inactive: it limits nothing"
    return words if limit.slots else f"{words}: nobody gets in"


def _number(given: str) -> int:
    try:
        return int(given)
    except ValueError:
        raise ConfigurationError(f"A limit has a whole number of slots, 0 or more; got {given!r}.") from None


def _none(name: str) -> NotSet:
    return NotSet(f"There is no limit {name!r} on this machine. `towpath limits ls` lists those that there are.")
