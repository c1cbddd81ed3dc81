"""The deployments of a namespace: the port over the Kubernetes API."""

from __future__ import annotations

from collections.abc import Sequence

from towpath.cli.bodies import run_of, time_of
from towpath.cli.in_cluster import ClusterRuns
from towpath.cli.port import Runs, Taken, Wanted
from towpath.cli.resources import ready_of
from towpath.cli.seen import Deployment, Run
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


def _deployment(body: Body) -> Deployment:
    spec = body["spec"]
    ready, message = ready_of(body)
    return Deployment(
        name=body["metadata"]["name"],
        flow=spec["flowRef"],
        ready=ready,
        message=message,
        parameters=spec.get("parameters") or {},
        tags=tuple(spec.get("tags") or ()),
        created=time_of(body["metadata"].get("creationTimestamp")),
    )
