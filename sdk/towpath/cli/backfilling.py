"""`towpath deployments backfill`: makes those runs of a past stretch of time that a Deployment's schedules did not."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.cli import whens
from towpath.cli.exits import Exit
from towpath.cli.output import note, say, say_json
from towpath.cli.target import cluster_meant, is_cluster
from towpath.cluster.order import check_exists
from towpath.errors import ConfigurationError, Conflict
from towpath.schedules.resource import run_manifest, schedule_of, written

if TYPE_CHECKING:
    import argparse

    from towpath.cluster.port import Body

_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Filled:
    """A time of a schedule, and its run."""

    name: str
    schedule: str
    scheduled_time: str
    made: bool
    """Whether the run was made just now; otherwise it was there, or with --dry-run nothing was done."""


def backfill(asked: argparse.Namespace) -> int:
    """Make the runs."""
    if not is_cluster(asked):
        raise ConfigurationError(
            "What is served on this machine cannot be backfilled: whoever serves it makes up for what was missed"
            " (missed_runs='all'). For a Deployment in a cluster add -n NAMESPACE, --context NAME or --cluster."
        )
    begin, end = _stretch(getattr(asked, "from"), asked.to, datetime.now(UTC))
    most = _MOST if asked.max is None else asked.max
    if most < 1:
        raise ConfigurationError(f"--max takes a whole number above 0; got {most}.")
    with cluster_meant(asked) as (cluster, _):
        check_exists(cluster, asked.deployment)
        deployment = cluster.get_deployment(asked.deployment)
        manifests = plan(deployment, asked.schedule, begin, end, most)
        filled = []
        for manifest in manifests:
            made = False
            if not asked.dry_run:
                try:
                    cluster.create_run(manifest)
                    made = True
                except Conflict:
                    pass  # that time has its run
            filled.append(_filled(manifest, made))
            if not asked.json and (made or asked.dry_run):
                say(filled[-1].name)
    if asked.json:
        say_json(filled)
    else:
        _sum_up(filled, asked.dry_run)
    return Exit.OK


def plan(deployment: Body, schedules: Sequence[str], begin: datetime, end: datetime, most: int) -> list[dict[str, Any]]:
    """Build the runs of a stretch of time, in order.

    Args:
        deployment: the Deployment.
        schedules: names of those that count; empty for all.
        begin: the first time that counts.
        end: the last.
        most: how many runs there may be.

    Raises:
        ConfigurationError: there is no such schedule, one cannot be understood, there are too many runs, or most of
            them would be cancelled.
    """
    name, spec = deployment["metadata"]["name"], deployment["spec"]
    entries = {entry["name"]: entry for entry in spec.get("schedules") or ()}
    have = f"It has {', '.join(map(repr, entries))}." if entries else "It has none."
    if not entries or (unknown := [one for one in schedules if one not in entries]):
        which = f"schedule {unknown[0]!r}" if entries else "schedules"
        raise ConfigurationError(f"Deployment {name!r} has no {which}. {have if entries else 'Set spec.schedules.'}")
    chosen = [entries[one] for one in dict.fromkeys(schedules)] or list(entries.values())
    just_before = begin - timedelta.resolution
    times = heapq.merge(*([(due, entry["name"]) for due in _times(entry, just_before, end, most)] for entry in chosen))
    due = list(islice(times, most + 1))
    if len(due) > most:
        raise ConfigurationError(
            f"There are more than {most} times from {written(begin)} to {written(end)}. Shorten the stretch, choose one"
            " schedule with --schedule, or allow more with --max."
        )
    _check_order(name, spec.get("concurrency") or {}, len(due))
    given = {one["name"]: {**(spec.get("parameters") or {}), **(one.get("parameters") or {})} for one in chosen}
    namespace = deployment["metadata"]["namespace"]
    return [run_manifest(namespace, name, schedule, time, given[schedule]) for time, schedule in due]


def _check_order(name: str, concurrency: Body, many: int) -> None:
    """Refuse runs that are not let wait for each other: their times would have had their runs, for nothing."""
    on_conflict, limit = concurrency.get("onConflict") or "Enqueue", concurrency.get("limit") or many
    if on_conflict != "Enqueue" and many > limit:
        raise ConfigurationError(
            f"Deployment {name!r} lets {limit} run{'' if limit == 1 else 's'} work at once, its onConflict is"
            f" {on_conflict}, and of these {many} runs {many - limit} would be cancelled at once. Set onConflict to"
            " Enqueue until they have begun, or fill a shorter stretch."
        )


def _times(entry: Body, after: datetime, end: datetime, most: int) -> list[datetime]:
    try:
        times = schedule_of(entry).times_after(after)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"Schedule {entry['name']!r} cannot be used: {error} --schedule chooses another."
        ) from error
    return list(islice(takewhile(lambda due: due <= end, times), most + 1))


def _stretch(begin: str, end: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Read the stretch of time."""
    first = whens.since(begin, now, "--from")
    last = whens.since(end, now, "--to") if end else now
    if last > now:
        raise ConfigurationError(
            f"--to is {written(last)}, which is still to come: the schedules see to that themselves."
        )
    if first > last:
        raise ConfigurationError(f"--from is {written(first)}, which is later than --to, {written(last)}.")
    return first.astimezone(UTC), last.astimezone(UTC)


def _filled(manifest: Body, made: bool) -> Filled:
    spec, labels = manifest["spec"], manifest["metadata"]["labels"]
    return Filled(manifest["metadata"]["name"], labels[names.LABEL_SCHEDULE], spec["scheduledTime"], made)


def _sum_up(filled: Sequence[Filled], dry_run: bool) -> None:
    if not filled:
        note("No run was due in that time.")
    elif dry_run:
        note(f"{_runs(len(filled))} would be made, but for those that are there already.")
    else:
        made = sum(one.made for one in filled)
        there = len(filled) - made
        note(
            f"{_runs(made)} made."
            + (f" {_runs(there)} {'was' if there == 1 else 'were'} there already." if there else "")
        )


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
