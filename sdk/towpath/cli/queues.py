"""`towpath queues …`: see and steer the queues of a cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.cli.bodies import run_of
from towpath.cli.exits import Exit
from towpath.cli.output import fields, note, say, say_json, style_of, table
from towpath.cli.target import cluster_meant, flags_for, is_cluster
from towpath.cluster.port import Selector
from towpath.errors import ConfigurationError, Conflict, NotSet

if TYPE_CHECKING:
    import argparse

    from towpath.cluster.console import Console
    from towpath.cluster.port import Body, Cluster

_PLURAL: Final = "queues"
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A Queue; `--json` prints it."""

    name: str
    limit: int | None
    """How many runs may be at work at once; None: any number."""
    priority: int
    suspended: bool
    active: int | None
    """Runs at work, as the operator has counted them; None: it has not."""
    waiting: int | None

    @property
    def says(self) -> str:
        """What it lets begin, in words."""
        words = "any number of runs" if self.limit is None else f"{self.limit} run{'' if self.limit == 1 else 's'}"
        words += " work at once" + (f", at priority {self.priority}" if self.priority else "")
        return f"{words}, but is suspended: no more begin" if self.suspended else words


@dataclass(frozen=True, slots=True)
class InLine:
    """A run that waits in a queue."""

    run: str
    waiting_for: str | None


def ls(asked: argparse.Namespace) -> int:
    """List queues."""
    with _cluster(asked) as (_, console):
        found = [_queue(body) for body in console.listed(_PLURAL)]
    if asked.json:
        say_json(found)
    elif not found:
        note(f"There are no queues in namespace {console.namespace!r}. `towpath queues set` makes one.")
    else:
        rows = [
            (
                queue.name,
                "any" if queue.limit is None else str(queue.limit),
                str(queue.priority or ""),
                _count(queue.active),
                _count(queue.waiting),
                "suspended" if queue.suspended else "",
            )
            for queue in found
        ]
        say(table([("QUEUE", "LIMIT", "PRIORITY", "ACTIVE", "WAITING", ""), *rows]))
    return Exit.OK


def inspect(asked: argparse.Namespace) -> int:
    """Show a queue."""
    with _cluster(asked) as (cluster, console):
        queue = _queue(_known(console, asked.queue))
        line = _line(cluster, queue.name)
    if asked.json:
        say_json(asdict(queue) | {"line": line})
        return Exit.OK
    style = style_of(sys.stdout)
    facts = [
        ("Limit", "any number" if queue.limit is None else str(queue.limit)),
        ("Priority", str(queue.priority)),
        ("Suspended", "yes: no run begins" if queue.suspended else ""),
        ("Active", _count(queue.active)),
        ("Waiting", _count(queue.waiting)),
    ]
    say(style.heading(queue.name), "", fields(facts))
    if line:
        rows = [(f"  {each.run}", each.waiting_for or "") for each in line[:_SHOWN]]
        say("", style.heading("Waiting runs"), table([("", ""), *rows]).partition("\n")[2])
        if len(line) > _SHOWN:
            say(f"  and {len(line) - _SHOWN} more")
    verb = "resume" if queue.suspended else "pause"
    say("", style.heading("Next"), f"  towpath queues {verb} {queue.name} {flags_for(asked)}")
    return Exit.OK


def set_(asked: argparse.Namespace) -> int:
    """Make a queue, or change it."""
    if asked.limit is not None and asked.unlimited:
        raise ConfigurationError("A queue has a limit or is --unlimited, not both.")
    changes: dict[str, Any] = {}
    if asked.limit is not None:
        changes["limit"] = _number(asked.limit)
    elif asked.unlimited:
        changes["limit"] = None
    if asked.priority is not None:
        changes["priority"] = asked.priority or None
    if asked.queue != names.slug(asked.queue):
        raise ConfigurationError(
            f"A queue's name is made of small letters, digits and '-'; got {asked.queue!r}. Take"
            f" {names.slug(asked.queue)!r}."
        )
    return _changed(asked, changes, makes=True)


def pause(asked: argparse.Namespace) -> int:
    """Let no more runs begin."""
    return _changed(asked, {"suspend": True})


def resume(asked: argparse.Namespace) -> int:
    """Let runs begin again."""
    return _changed(asked, {"suspend": None})


def delete(asked: argparse.Namespace) -> int:
    """Delete queues."""
    with _cluster(asked) as (_, console):
        for name in asked.queue:
            _known(console, name)  # all of them, before anything is done
        for name in asked.queue:
            console.delete(_PLURAL, name)
            if not asked.json:
                say(f"{name} is deleted.")
    if asked.json:
        say_json(asked.queue)
    return Exit.OK


def _changed(asked: argparse.Namespace, changes: dict[str, Any], *, makes: bool = False) -> int:
    with _cluster(asked) as (_, console):
        if makes:
            spec = {field: value for field, value in changes.items() if value is not None}
            metadata = {"name": asked.queue}
            manifest = {"apiVersion": names.API_VERSION, "kind": "Queue", "metadata": metadata, "spec": spec}
            try:
                body = console.create(_PLURAL, manifest)
            except Conflict:
                body = console.change(_PLURAL, asked.queue, changes)
        else:
            _known(console, asked.queue)
            body = console.change(_PLURAL, asked.queue, changes)
    queue = _queue(body)
    if asked.json:
        say_json(queue)
    else:
        say(f"{queue.name} lets {queue.says}.")
    return Exit.OK


@contextmanager
def _cluster(asked: argparse.Namespace) -> Iterator[tuple[Cluster, Console]]:
    """Connect to the cluster that is meant.

    Raises:
        ConfigurationError: this machine is.
    """
    if not is_cluster(asked):
        raise ConfigurationError(
            "There are no queues on this machine: a served deployment has a limit of its own (serve(..., limit=3))."
            " For those of a cluster add -n NAMESPACE, --context NAME or --cluster."
        )
    with cluster_meant(asked) as connected:
        yield connected


def _known(console: Console, name: str) -> Body:
    found = {body["metadata"]["name"]: body for body in console.listed(_PLURAL)}
    if name not in found:
        have = (
            f"There are {', '.join(map(repr, sorted(found)))}."
            if found
            else "There are none: `towpath queues set` makes one."
        )
        raise NotSet(f"There is no queue {name!r} in namespace {console.namespace!r}. {have}")
    return found[name]


def _line(cluster: Cluster, queue: str) -> Sequence[InLine]:
    """Give the runs of a queue that have no attempt yet, the oldest first."""
    deployments = {body["metadata"]["name"]: body["spec"].get("queue") for body in cluster.list_deployments().items}
    runs = []
    for body in cluster.list_runs(Selector()).items:
        spec, status = body["spec"], body.get("status") or {}
        mine = spec.get("queue") or deployments.get(spec.get("deploymentRef"))
        if mine == queue and not status.get("job") and not run_of(body).has_ended:
            runs.append(
                (body["metadata"]["creationTimestamp"], InLine(body["metadata"]["name"], status.get("waitingFor")))
            )
    return [line for _, line in sorted(runs, key=lambda run: (run[0], run[1].run))]


def _queue(body: Body) -> Queue:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    return Queue(
        name=body["metadata"]["name"],
        limit=spec.get("limit"),
        priority=spec.get("priority") or 0,
        suspended=bool(spec.get("suspend")),
        active=status.get("active"),
        waiting=status.get("waiting"),
    )


def _count(count: int | None) -> str:
    return "" if count is None else str(count)


def _number(given: str) -> int:
    try:
        limit = int(given)
    except ValueError:
        limit = -1
    if limit < 0:
        raise ConfigurationError(f"A queue's limit is a whole number, 0 or more; got {given!r}.")
    return limit
