"""`towpath flows ls`: the flows of a cluster, or those that ran on this machine."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from towpath.cli.exits import Exit
from towpath.cli.output import age, note, say, say_json, style_of, table
from towpath.cli.port import Query
from towpath.cli.resources import ready_of
from towpath.cli.target import cluster_meant, is_cluster, runs_meant

if TYPE_CHECKING:
    import argparse

    from towpath.cli.seen import Run
    from towpath.cluster.port import Body


def ls(asked: argparse.Namespace) -> int:
    """List flows."""
    return _in_cluster(asked) if is_cluster(asked) else _locally(asked)


def _in_cluster(asked: argparse.Namespace) -> int:
    with cluster_meant(asked) as (_, console):
        found = [_seen(body) for body in console.flows()]
    if asked.json:
        say_json(found)
    elif not found:
        note(f"There are no flows in namespace {console.namespace!r}. `towpath deploy` makes one.")
    else:
        style, now = style_of(sys.stdout), datetime.now(UTC)
        rows = [
            (
                one["name"],
                style.passed(one["ready"]),
                one["entrypoint"] or " ".join(one["command"]),
                one["image"],
                ", ".join(one["parameters"]),
                age(datetime.fromisoformat(one["created"]), now),
                one["message"] or "",
            )
            for one in found
        ]
        say(table([("FLOW", "READY", "CODE", "IMAGE", "PARAMETERS", "AGE", "MESSAGE"), *rows]))
    return Exit.OK


def _locally(asked: argparse.Namespace) -> int:
    with runs_meant(asked) as runs:
        ran = runs.list(Query(children=True))
    latest: dict[str, Run] = {}
    for run in ran:
        latest.setdefault(run.flow or "", run)
    counts = Counter(run.flow or "" for run in ran)
    if asked.json:
        say_json([{"name": flow, "runs": counts[flow], "latest": run} for flow, run in latest.items()])
    elif not latest:
        note("No flow has run on this machine yet: `towpath run FILE:FLOW` runs one.")
    else:
        style, now = style_of(sys.stdout), datetime.now(UTC)
        rows = [
            (flow, str(counts[flow]), run.name, style.state(run.state), age(run.created, now))
            for flow, run in sorted(latest.items())
        ]
        say(table([("FLOW", "RUNS", "LATEST RUN", "STATE", "AGE"), *rows]))
    return Exit.OK


def _seen(body: Body) -> dict[str, Any]:
    spec = body["spec"]
    ready, message = ready_of(body)
    return {
        "name": body["metadata"]["name"],
        "ready": ready,
        "message": message,
        "image": spec["image"],
        "entrypoint": spec.get("entrypoint"),
        "command": spec.get("command") or [],
        "description": spec.get("description"),
        "parameters": (spec.get("parameters") or {}).get("properties") or {},
        "created": body["metadata"]["creationTimestamp"],
    }
