"""What runs on the cluster from the start: cluster DNS, as every real cluster has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.addresses import Addresses

COREDNS_IMAGE = "localhost/coredns:1"
_NAME = "coredns"
_NAMESPACE = "kube-system"
_LABELS = {"k8s-app": "kube-dns"}
_PORT = 1053  # not 53, so that it needs no capability

# No forward: a name outside the cluster is refused at once instead of being asked for in a network without a way out.
_COREFILE = f"""\
.:{_PORT} {{
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        pods insecure
        ttl 5
    }}
    prometheus :9153
    cache 5
}}
"""


def manifests(addresses: Addresses) -> dict[str, object]:
    """Return everything to apply, as one List."""
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            _object("v1", "ServiceAccount"),
            _object(
                "rbac.authorization.k8s.io/v1",
                "ClusterRole",
                name="system:coredns",
                rules=[
                    {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
                ],
            ),
            _object(
                "rbac.authorization.k8s.io/v1",
                "ClusterRoleBinding",
                name="system:coredns",
                roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
                subjects=[{"kind": "ServiceAccount", "name": _NAME, "namespace": _NAMESPACE}],
            ),
            _object("v1", "ConfigMap", data={"Corefile": _COREFILE}),
            _object("apps/v1", "Deployment", spec=_deployment()),
            _object(
                "v1",
                "Service",
                name="kube-dns",
                spec={
                    "clusterIP": str(addresses.dns),
                    "selector": _LABELS,
                    "ports": [
                        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": _PORT},
                        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": _PORT},
                        {"name": "metrics", "port": 9153, "protocol": "TCP"},
                    ],
                },
            ),
        ],
    }


def _object(api_version: str, kind: str, name: str = _NAME, **fields: object) -> dict[str, object]:
    metadata: dict[str, object] = {"name": name, "labels": _LABELS}
    if not kind.startswith("ClusterRole"):
        metadata["namespace"] = _NAMESPACE
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def _deployment() -> dict[str, object]:
    return {
        "replicas": 1,
        "selector": {"matchLabels": _LABELS},
        "template": {
            "metadata": {"labels": _LABELS},
            "spec": {
                "serviceAccountName": _NAME,
                "priorityClassName": "system-cluster-critical",
                "dnsPolicy": "Default",
                "tolerations": [{"operator": "Exists"}],
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "coredns",
                        "image": COREDNS_IMAGE,
                        "imagePullPolicy": "Never",
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "ports": [{"containerPort": _PORT, "protocol": protocol} for protocol in ("UDP", "TCP")],
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
                        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "failureThreshold": 5},
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "runAsNonRoot": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
                    },
                ],
                "volumes": [{"name": "config", "configMap": {"name": _NAME}}],
            },
        },
    }
