"""`towpath deployments …`: see and run deployments in a cluster."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from towpath.cli import bodies, given, whens
from towpath.cli.exits import Exit
from towpath.cli.files import read_text
from towpath.cli.output import age, note, say, say_json, style_of, table
from towpath.cli.resources import ready_of
from towpath.cli.target import cluster_meant, flags_for
from towpath.errors import NotFound, Refused

if TYPE_CHECKING:
    import argparse

    from towpath.cluster.console import Console
    from towpath.cluster.port import Body, Cluster


def ls(asked: argparse.Namespace) -> int:
    """List deployments."""
    with cluster_meant(asked) as (cluster, _):
        found = [_seen(body) for body in cluster.list_deployments().items]
    if asked.json:
        say_json(found)
    elif not found:
        note(f"There are no deployments in namespace {cluster.namespace!r}. `towpath deploy` makes one.")
    else:
        style, now = style_of(sys.stdout), datetime.now(UTC)
        rows = [
            (
                one["name"],
                one["flow"],
                style.passed(one["ready"]),
                ", ".join(f"{name}={value!r}" for name, value in one["parameters"].items()),
                ", ".join(one["tags"]),
                age(datetime.fromisoformat(one["created"]), now),
                one["message"] or "",
            )
            for one in found
        ]
        say(table([("DEPLOYMENT", "FLOW", "READY", "PARAMETERS", "TAGS", "AGE", "MESSAGE"), *rows]))
    return Exit.OK


def run(asked: argparse.Namespace) -> int:
    """Run a deployment."""
    from towpath.cluster.order import Order, check_exists

    with cluster_meant(asked) as (cluster, console):
        check_exists(cluster, asked.deployment)
        flow, schema, preset = _takes(cluster, console, asked.deployment)
        parameters = given.parameters(asked.param, asked.params_json, schema, read_text)
        given.check_names(flow, schema, parameters, preset)
        order = Order(
            deployment=asked.deployment,
            parameters=parameters,
            scheduled_time=whens.at(asked.at, "--at") if asked.at else None,
            run_name=asked.name,
            tags=frozenset(asked.tag),
        )
        body = order.place(cluster)
        name = body["metadata"]["name"]
        if not asked.watch:
            _report(asked, body, name)
            return Exit.OK
        from towpath.cli.in_cluster import ClusterRuns
        from towpath.cli.watching import watch

        if not asked.json:
            note(f"Run {name}")
        runs = ClusterRuns(cluster, console, flags_for(asked))
        return watch(runs, bodies.run_of(body), timeout_seconds=asked.timeout, as_json=asked.json)


def _report(asked: argparse.Namespace, body: Body, name: str) -> None:
    if asked.json:
        say_json(bodies.run_of(body))
        return
    say(name)
    if sys.stderr.isatty():
        note(f"To see how it goes: towpath runs watch {name} {flags_for(asked)}")


def _takes(cluster: Cluster, console: Console, deployment: str) -> tuple[str, Mapping[str, Any] | None, list[str]]:
    """Give the flow's name, the schema of its parameters, and the names of what the deployment gives."""
    try:
        spec = cluster.get_deployment(deployment)["spec"]
        preset = list(spec.get("parameters") or ())
        flow = console.flow(spec["flowRef"])["spec"]
    except (NotFound, Refused):  # the run will wait for its flow; who may run it need not be allowed to read it
        return deployment, None, []
    return flow.get("name") or spec["flowRef"], flow.get("parameters"), preset


def _seen(body: Body) -> dict[str, Any]:
    spec = body["spec"]
    ready, message = ready_of(body)
    return {
        "name": body["metadata"]["name"],
        "flow": spec["flowRef"],
        "ready": ready,
        "message": message,
        "parameters": spec.get("parameters") or {},
        "tags": spec.get("tags") or [],
        "created": body["metadata"]["creationTimestamp"],
    }
