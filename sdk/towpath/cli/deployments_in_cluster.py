"""The deployments of a namespace: the port over the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from towpath.cli.bodies import run_of, time_of
from towpath.cli.in_cluster import ClusterRuns
from towpath.cli.port import Runs, Taken, Wanted
from towpath.cli.resources import ready_of
from towpath.cli.seen import Deployment, Run, Schedule
from towpath.cluster.console import Console
from towpath.cluster.order import Order, check_exists
from towpath.cluster.port import Body, Cluster
from towpath.errors import NotFound, Refused


class ClusterDeployments:
    """Deployment resources.

    Args:
        cluster: what runs themselves use.
        console: the rest.
        flags: what to type for this cluster and namespace.
    """

    how_to_make_one = "`towpath deploy` makes one."

    def __init__(self, cluster: Cluster, console: Console, flags: str) -> None:
        self._cluster, self._console = cluster, console
        self.runs: Runs = ClusterRuns(cluster, console, flags)

    def list(self) -> Sequence[Deployment]:
        """Give the namespace's deployments."""
        return [_deployment(body) for body in self._cluster.list_deployments().items]

    def get(self, name: str) -> Deployment:
        """Read the Deployment and its Flow, as far as that is allowed."""
        check_exists(self._cluster, name)
        body = self._cluster.get_deployment(name)
        return replace(_deployment(body), takes=self._schema(body["spec"]["flowRef"]))

    def pause(self, name: str, paused: bool) -> Deployment:
        """Set the Deployment's `spec.suspend`; the operator does the rest."""
        check_exists(self._cluster, name)
        return _deployment(self._console.suspend_deployment(name, paused))

    def takes(self, deployment: str) -> Taken:
        """Read the Deployment and its Flow, as far as that is allowed."""
        check_exists(self._cluster, deployment)
        try:
            spec = self._cluster.get_deployment(deployment)["spec"]
            flow = self._console.flow(spec["flowRef"])["spec"]
        except (NotFound, Refused):  # the run will wait for its flow; who may run it need not be allowed to read it
            return Taken(flow=deployment)
        return Taken(
            flow=flow.get("name") or spec["flowRef"],
            schema=flow.get("parameters"),
            preset=frozenset(spec.get("parameters") or ()),
        )

    def _schema(self, flow: str) -> Mapping[str, Any] | None:
        try:
            schema: Mapping[str, Any] | None = self._console.flow(flow)["spec"].get("parameters")
        except (NotFound, Refused):
            return None
        return schema

    def run(self, wanted: Wanted) -> Run:
        """Create a FlowRun."""
        order = Order(
            deployment=wanted.deployment,
            parameters=wanted.parameters,
            scheduled_time=wanted.at,
            run_name=wanted.run_name,
            tags=wanted.tags,
        )
        return run_of(order.place(self._cluster))


def _schedule(body: Body, problems: Mapping[str, str | None]) -> Schedule:
    where = f" ({body.get('timezone') or 'UTC'})"
    if cron := body.get("cron"):
        says = f"cron {cron!r}{where}"
    elif seconds := body.get("intervalSeconds"):
        from towpath.schedules.interval import every

        says = every(timedelta(seconds=seconds))
    else:
        says = f"rrule {body.get('rrule')!r}{where}"
    return Schedule(body["name"], says, not body.get("suspend"), problems.get(body["name"]))


def _deployment(body: Body) -> Deployment:
    spec, status = body["spec"], body.get("status") or {}
    problems = {one["name"]: one.get("problem") for one in status.get("schedules") or ()}
    ready, message = ready_of(body)
    return Deployment(
        name=body["metadata"]["name"],
        flow=spec["flowRef"],
        ready=ready,
        message=message or ("its schedules are paused" if spec.get("suspend") else None),
        parameters=spec.get("parameters") or {},
        tags=tuple(spec.get("tags") or ()),
        created=time_of(body["metadata"].get("creationTimestamp")),
        paused=bool(spec.get("suspend")),
        schedules=tuple(_schedule(one, problems) for one in spec.get("schedules") or ()),
        next_runs=tuple(time for one in status.get("nextRuns") or () if (time := time_of(one.get("time")))),
    )
