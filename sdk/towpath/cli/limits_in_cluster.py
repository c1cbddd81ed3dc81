"""`towpath limits …` of a cluster: ConcurrencyLimits, which hold among all runs of their namespace."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.cli.exits import Exit
from towpath.cli.output import Style, fields, note, say, say_json, style_of, table
from towpath.cli.target import cluster_meant, flags_for
from towpath.errors import ConfigurationError, NotSet

if TYPE_CHECKING:
    import argparse

    from towpath.cluster.console import Console
    from towpath.cluster.port import Body

PLURAL: Final = "concurrencylimits"
_TAG: Final = "tag:"
_SHOWN: Final = 5
#: What the resource takes of a rate.
_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that has slots, itself or for its code."""

    run: str
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLimit:
    """A ConcurrencyLimit; `--json` prints it."""

    name: str
    slots: int
    tag: str | None
    applies_to: str | None
    """With a tag: tasks or runs."""
    slot_decay_per_second: float
    active: bool
    taken: int | None
    """Slots, as the operator has counted them; None: it has not."""
    waiting: int | None
    """Runs that wait, or whose code does."""
    holders: Sequence[Holder]
    """The first of those who have slots."""

    @property
    def says(self) -> str:
        """What it limits, in words."""
        if self.tag is None:
            return ""
        return f"{self.applies_to} tagged {self.tag}"


def ls(asked: argparse.Namespace) -> int:
    """List limits."""
    with cluster_meant(asked) as (_, console):
        found = [limit_of(body) for body in console.listed(PLURAL)]
    if asked.json:
        say_json(found)
    elif not found:
        note(f"There are no limits in namespace {console.namespace!r}. `towpath limits set` makes one.")
    else:
        say(page(found, style_of(sys.stdout)))
    return Exit.OK


def inspect(asked: argparse.Namespace) -> int:
    """Show a limit."""
    with cluster_meant(asked) as (_, console):
        limit = limit_of(_known(console, asked.name))
    if asked.json:
        say_json(limit)
        return Exit.OK
    style = style_of(sys.stdout)
    facts = [
        ("Slots", str(limit.slots)),
        ("For", limit.says or f'runs that name it, and code that asks: with concurrency("{limit.name}")'),
        ("Rate", f"{limit.slot_decay_per_second:g} a second" if limit.slot_decay_per_second else ""),
        ("Suspended", "" if limit.active else "yes: it limits nothing"),
        ("Taken", "" if limit.taken is None else str(limit.taken)),
        ("Waiting", "" if limit.waiting is None else f"{limit.waiting} run{'' if limit.waiting == 1 else 's'}"),
        ("Held by", "\n".join(f"{holder.run} ({holder.slots})" for holder in limit.holders)),
    ]
    say(style.heading(limit.name), "", fields(facts))
    say("", style.heading("Next"), f"  towpath runs ls {flags_for(asked)} --state RUNNING --state SCHEDULED")
    return Exit.OK


def set_(asked: argparse.Namespace, slots: int | None, active: bool | None) -> int:
    """Make a limit, or change it."""
    if slots is not None and slots < 0:
        raise ConfigurationError(f"A limit has 0 slots or more; got {slots!r}.")
    decay = asked.slot_decay_per_second
    changes: dict[str, Any] = {"limit": slots} if slots is not None else {}
    if decay is not None:
        changes["slotDecayPerSecond"] = _rate(decay)
    if active is not None:
        changes["suspend"] = None if active else True
    with cluster_meant(asked) as (_, console):
        known = _found(console, asked.name, runs=asked.runs)
        if known is not None:
            limit = limit_of(console.change(PLURAL, known["metadata"]["name"], changes))
        elif slots is None:
            raise ConfigurationError(
                f"There is no limit {asked.name!r} in namespace {console.namespace!r} yet: say how many slots it has."
            )
        else:
            limit = limit_of(console.create(PLURAL, _manifest(asked.name, changes, runs=asked.runs)))
    if asked.json:
        say_json(limit)
    else:
        say(f"{limit.name} has {_slots(limit)}.")
    return Exit.OK


def delete(asked: argparse.Namespace) -> int:
    """Delete limits."""
    with cluster_meant(asked) as (_, console):
        chosen = [_known(console, name)["metadata"]["name"] for name in asked.name]  # all, before anything is done
        for name in chosen:
            console.delete(PLURAL, name)
            if not asked.json:
                say(f"{name} is deleted.")
    if asked.json:
        say_json(chosen)
    return Exit.OK


def limit_of(body: Body) -> ClusterLimit:
    """Read a ConcurrencyLimit."""
    spec, status = body["spec"], body.get("status") or {}
    return ClusterLimit(
        name=body["metadata"]["name"],
        slots=spec["limit"],
        tag=spec.get("tag"),
        applies_to=(spec.get("appliesTo") or "Tasks").lower() if spec.get("tag") else None,
        slot_decay_per_second=float(spec.get("slotDecayPerSecond") or 0),
        active=not spec.get("suspend"),
        taken=status.get("active"),
        waiting=status.get("waiting"),
        holders=[Holder(holder["run"], holder["slots"]) for holder in status.get("holders") or ()],
    )


def page(limits: Sequence[ClusterLimit], style: Style) -> str:
    """Write the list: a line for each limit, and below it who has its slots."""
    rows = [
        (
            limit.name,
            limit.says,
            str(limit.slots),
            "" if limit.taken is None else str(limit.taken),
            "" if limit.waiting is None else str(limit.waiting),
            f"{limit.slot_decay_per_second:g} a second" if limit.slot_decay_per_second else "",
            "" if limit.active else "suspended",
        )
        for limit in limits
    ]
    heading, *lines = table([("LIMIT", "FOR", "SLOTS", "TAKEN", "WAITING", "RATE", ""), *rows]).splitlines()
    shown = [heading]
    for limit, line in zip(limits, lines, strict=True):
        shown.append(line)
        for holder in limit.holders[:_SHOWN]:
            slots = f", {holder.slots} slots" if holder.slots > 1 else ""
            shown.append(style.faint(f"  held by flow run {holder.run!r}{slots}"))
        if len(limit.holders) > _SHOWN:
            shown.append(style.faint(f"  held by {len(limit.holders) - _SHOWN} more"))
    return "\n".join(shown)


def _known(console: Console, name: str) -> Body:
    """Give the limit that is meant.

    Raises:
        NotSet: there is none.
        ConfigurationError: the tag has several.
    """
    if (found := _found(console, name, runs=None)) is None:
        raise NotSet(
            f"There is no limit {name!r} in namespace {console.namespace!r}. `towpath limits ls -n {console.namespace}`"
            " lists those that there are."
        )
    return found


def _found(console: Console, name: str, *, runs: bool | None) -> Body | None:
    """Give the limit that is meant: by its name, or by `tag:` and a tag.

    Args:
        console: where.
        name: as it was typed.
        runs: whether one for runs is meant, where a tag is named; None: that for tasks if there is one, else that.
    """
    bodies = console.listed(PLURAL)
    exact = [body for body in bodies if body["metadata"]["name"] == names.slug(name, 63)]
    if not name.startswith(_TAG):
        if runs:
            raise ConfigurationError(f"--runs goes with tag:NAME; got {name!r}. Runs name other limits themselves.")
        return exact[0] if exact else None
    tag = name.removeprefix(_TAG)
    tagged = [body for body in bodies if body["spec"].get("tag") == tag]
    for_runs = [body for body in tagged if body["spec"].get("appliesTo") == "Runs"]
    for_tasks = [body for body in tagged if body not in for_runs]
    fitting = for_runs if runs else for_tasks or (for_runs if runs is None else [])
    if len(fitting) > 1:
        which = ", ".join(sorted(body["metadata"]["name"] for body in fitting))
        raise ConfigurationError(f"Several limits hold for the tag {tag!r}: {which}. Name one of them.")
    return fitting[0] if fitting else None


def _manifest(name: str, changes: Body, *, runs: bool) -> dict[str, Any]:
    spec = {field: value for field, value in changes.items() if value is not None}
    if name.startswith(_TAG):
        spec["tag"] = name.removeprefix(_TAG)
        spec |= {"appliesTo": "Runs"} if runs else {}
    metadata = {"name": names.slug(f"{name}-runs" if runs else name)}
    return {"apiVersion": names.API_VERSION, "kind": "ConcurrencyLimit", "metadata": metadata, "spec": spec}


def _rate(decay: float) -> str | None:
    """Write a rate as the resource has it; None for none."""
    if decay == 0:
        return None
    written = f"{decay:.{_DIGITS}f}".rstrip("0").rstrip(".")
    if not 0 < decay < 10**_DIGITS or written == "0":
        raise ConfigurationError(
            f"--slot-decay-per-second in a cluster is 0, or a number from 0.000001 to 999999; got {decay!r}."
        )
    return written


def _slots(limit: ClusterLimit) -> str:
    words = f"{limit.slots} slot{'' if limit.slots == 1 else 's'}"
    if limit.tag is not None:
        words += f" for {limit.says}"
    if limit.slot_decay_per_second:
        words += f", of which {limit.slot_decay_per_second:g} a second come free by themselves"
    if not limit.active:
        return f"{words}, and is suspended: it limits nothing"
    return words if limit.slots else f"{words}: nobody gets in"
