"""What the chart gives an operator, for operators that are processes of this machine: rights, policy, and the webhook."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import yaml
from tests.chaos.door import Door
from tests.cluster.api import Cluster
from tests.installation import RELEASE, ROOT, SYSTEM
from tests.kube import ApiError, Body, Kube

from towpath import names

NAME = "towpath-operator"  # as the chart calls account and Lease
PARTS = ("runner", "operator-serviceaccount", "operator-rbac", "admission-policy", "admission-webhook")


def install(cluster: Cluster, namespace: str, door: Door, certificate: Path) -> None:
    """Make a namespace for runs, with all that the chart gives it.

    The API server finds the webhook as it finds any other, by its Service; as no pod is behind that, it leads to a door.

    Args:
        cluster: where to.
        namespace: of the runs.
        door: where the webhook is asked.
        certificate: the folder for the webhook's certificate and key, as the kubelet mounts them.
    """
    for name in (SYSTEM, namespace):
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    chart = cluster.helm(
        "template", RELEASE, str(ROOT / "helm" / "towpath"), "--namespace", SYSTEM,
        "--set-json", f"runnerNamespaces={json.dumps([namespace])}",
        *(word for part in PARTS for word in ("--show-only", f"templates/{part}.yaml")),
    )  # fmt: skip
    objects: list[Body] = [body for body in yaml.safe_load_all(chart) if body]
    _keep_certificate(next(body for body in objects if body["kind"] == "Secret"), certificate)
    service = next(body for body in objects if body["kind"] == "Service")
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=chart)
    cluster.apply(_lead(service, door))


def uninstall(cluster: Cluster) -> None:
    """Remove what the whole cluster is held to: the webhook that nobody answers for, the policy that lets nobody else in."""
    name = f"{SYSTEM}-{RELEASE}"
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        cluster.kubectl("delete", "--ignore-not-found", kind, f"{name}-own-run")
    cluster.kubectl("delete", "--ignore-not-found", "validatingwebhookconfiguration", name)


def refuses(kube: Kube, namespace: str, spec: Body) -> bool:
    """Tell whether a run is refused by the webhook; it is not made, whatever the answer."""
    body = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "metadata": {"name": "refused"}, "spec": spec}
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/flowruns"
    try:
        kube.call("POST", path, body, dryRun="All")
    except ApiError as error:
        return error.status == 422
    return False


def _keep_certificate(secret: Body, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in secret["data"].items():
        (folder / name).write_bytes(base64.b64decode(content))


def _lead(service: Body, door: Door) -> Body:
    name, (port,) = service["metadata"]["name"], service["spec"]["ports"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-door",
            "namespace": SYSTEM,
            "labels": {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "chaos"},
        },
        "addressType": "IPv4",
        "ports": [{"name": port["name"], "port": door.port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [door.host], "conditions": {"ready": True}}],
    }
