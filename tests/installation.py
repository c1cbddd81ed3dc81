"""Installs Towpath as a user would: images of the Dockerfile, CRDs, the Helm chart. For the demo and the end-to-end tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import project_images
from tests.cluster.api import Cluster

ROOT = Path(__file__).resolve().parents[1]
SYSTEM = "towpath-system"
RELEASE = "towpath"
#: One release serves the demo and the tests, so that either can run after the other in the same cluster.
RUNNER_NAMESPACES = ("towpath-demo", "towpath-e2e")


@dataclass(frozen=True, slots=True)
class Installation:
    """Towpath in a cluster."""

    cluster: Cluster
    tag: str

    @property
    def demo_image(self) -> str:
        """The image of the examples."""
        return project_images.reference("demo", self.tag)

    @property
    def flow_image(self) -> str:
        """The base image of flows."""
        return project_images.reference("flow", self.tag)


def install(cluster: Cluster, **values: object) -> Installation:
    """Bring images, CRDs and chart of this checkout into the cluster; quick when they are there already.

    Args:
        cluster: where to.
        values: further values of the chart, over those that the test cluster needs.
    """
    tag = cluster.images()
    for namespace in (SYSTEM, *RUNNER_NAMESPACES):
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    chosen = {
        "image": {"repository": project_images.repository("operator"), "tag": tag},
        "runnerNamespaces": list(RUNNER_NAMESPACES),
        **values,
    }
    arguments = [word for key, value in chosen.items() for word in ("--set-json", f"{key}={json.dumps(value)}")]
    cluster.helm(
        "upgrade", "--install", RELEASE, str(ROOT / "helm" / "towpath"), "--namespace", SYSTEM, "--skip-crds",
        "--wait", "--timeout", "3m", *arguments,
    )  # fmt: skip
    return Installation(cluster, tag)
