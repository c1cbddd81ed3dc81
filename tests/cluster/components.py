"""The command line of every component: pure, from addresses to words.

Paths are the node's own: /run/towpath/state (its disk), /run/towpath/work (the clone's folder), /run/towpath/bin.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cluster.addresses import Addresses

BIN = "/run/towpath/bin"
ETC = "/run/towpath/state/etc"
PKI = f"{ETC}/pki"
WORK = "/run/towpath/work"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
SANDBOX_IMAGE = "localhost/pause:1"

# Stock flags let the controller-manager make 20 requests a second: 3 Jobs a second, whatever product makes them.
TUNED_CONTROLLER_MANAGER = "--kube-api-qps=300 --kube-api-burst=600 --concurrent-job-syncs=20"
CONTROLLER_MANAGER_FLAGS = "TOWPATH_CLUSTER_CONTROLLER_MANAGER_FLAGS"
# "bodies": the audit log says of what runs are made of not only that it was written, but what.
AUDIT = "TOWPATH_CLUSTER_AUDIT"


@dataclass(frozen=True, slots=True)
class Component:
    """One program of the cluster, in the order in which they start."""

    name: str  # what people type
    program: str  # what the process is called
    health: str = ""  # URL on the node's address that answers 200
    socket: str = ""  # or a unix socket on which it listens

    def health_url(self, addresses: Addresses) -> str:
        """Return the health URL as the machine reaches it."""
        return self.health.replace("NODE", str(addresses.node))


COMPONENTS = (
    Component("etcd", "etcd", "http://NODE:2381/health"),
    Component("containerd", "containerd", socket=CONTAINERD_SOCKET),
    Component("apiserver", "kube-apiserver", "https://NODE:6443/livez"),
    Component("controller-manager", "kube-controller-manager", "https://NODE:10257/healthz"),
    Component("scheduler", "kube-scheduler", "https://NODE:10259/healthz"),
    Component("kubelet", "kubelet", "http://NODE:10248/healthz"),
    Component("kube-proxy", "kube-proxy", "http://NODE:10256/healthz"),
)
BY_NAME = {component.name: component for component in COMPONENTS}


def command(name: str, addresses: Addresses, node: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the words that start the component called ``name``."""
    flags = {
        "etcd": lambda: _etcd(addresses),
        "containerd": lambda: [f"--config={ETC}/containerd.toml"],
        "apiserver": lambda: _apiserver(addresses),
        "controller-manager": lambda: _controller_manager(environ),
        "scheduler": lambda: [*_as("scheduler"), "--leader-elect=false", *_served_with("apiserver")],
        "kubelet": lambda: _kubelet(addresses, node),
        "kube-proxy": lambda: _kube_proxy(addresses, node),
    }[name]()
    program = BY_NAME[name].program
    return [program if name == "containerd" else f"{BIN}/{program}", *flags]


def _etcd(addresses: Addresses) -> list[str]:
    return [
        "--data-dir=/var/lib/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=default=http://127.0.0.1:2380",
        f"--listen-metrics-urls=http://{addresses.node}:2381",
        "--unsafe-no-fsync",  # thrown away after a power cut anyway
        "--quota-backend-bytes=4294967296",
        "--auto-compaction-retention=5m",
        "--log-level=warn",
    ]


def _apiserver(addresses: Addresses) -> list[str]:
    issuer = "https://kubernetes.default.svc.cluster.local"
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={addresses.node}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={addresses.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={PKI}/ca.crt",
        *_served_with("apiserver"),
        f"--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={PKI}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",  # node names resolve nowhere
        f"--service-account-issuer={issuer}",
        f"--service-account-key-file={PKI}/sa.pub",
        f"--service-account-signing-key-file={PKI}/sa.key",
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={PKI}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={PKI}/front-proxy-client.crt",
        f"--proxy-client-key-file={PKI}/front-proxy-client.key",
        f"--audit-policy-file={ETC}/audit-policy.json",
        f"--audit-log-path={WORK}/audit.log",
        "--audit-log-maxsize=200",  # MiB
        "--audit-log-maxbackup=2",
        "--event-ttl=2h",
    ]


def _controller_manager(environ: Mapping[str, str]) -> list[str]:
    return [
        *_as("controller-manager"),
        *_served_with("apiserver"),
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={PKI}/ca.crt",
        f"--service-account-private-key-file={PKI}/sa.key",
        f"--cluster-signing-cert-file={PKI}/ca.crt",
        f"--cluster-signing-key-file={PKI}/ca.key",
        *shlex.split(environ.get(CONTROLLER_MANAGER_FLAGS, TUNED_CONTROLLER_MANAGER)),
    ]


def _kubelet(addresses: Addresses, node: str) -> list[str]:
    return [
        f"--config={ETC}/kubelet.json",
        f"--kubeconfig={ETC}/node.kubeconfig",
        f"--hostname-override={node}",
        f"--node-ip={addresses.node}",
    ]


def _kube_proxy(addresses: Addresses, node: str) -> list[str]:
    return [
        f"--kubeconfig={ETC}/kube-proxy.kubeconfig",
        f"--hostname-override={node}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={addresses.pods}",
        "--conntrack-max-per-core=0",  # settings of the whole machine, which are not ours to change
        "--conntrack-min=0",
        "--healthz-bind-address=0.0.0.0:10256",
    ]


def _as(identity: str) -> list[str]:
    file = f"{ETC}/{identity}.kubeconfig"
    return [f"--kubeconfig={file}", f"--authentication-kubeconfig={file}", f"--authorization-kubeconfig={file}"]


def _served_with(certificate: str) -> list[str]:
    return [f"--tls-cert-file={PKI}/{certificate}.crt", f"--tls-private-key-file={PKI}/{certificate}.key"]


def kubelet_configuration(addresses: Addresses, cgroup: str) -> dict[str, object]:
    """Return the kubelet's configuration: small machines, many pods, nothing evicted behind a test's back."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "healthzBindAddress": "0.0.0.0",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{PKI}/node.crt",
        "tlsPrivateKeyFile": f"{PKI}/node.key",
        "clusterDNS": [str(addresses.dns)],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{ETC}/resolv.conf",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "enforceNodeAllocatable": [],
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        "maxPods": 200,
        "serializeImagePulls": False,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "eventRecordQPS": 0,
    }


def audit_policy(environ: Mapping[str, str] = os.environ) -> dict[str, object]:
    """Return who is written down: every write, and reads by those that are not the cluster itself."""
    whole = {
        "level": "RequestResponse",
        "verbs": ["create", "update", "patch", "delete"],
        "resources": [
            {"group": "towpath.dev"},
            {"group": "batch", "resources": ["jobs", "jobs/status"]},
            {"group": "", "resources": ["pods", "pods/status"]},
            {"group": "coordination.k8s.io", "resources": ["leases"]},
        ],
    }
    cluster_itself = [
        "system:apiserver",
        "system:kube-scheduler",
        "system:kube-controller-manager",
        "system:kube-proxy",
    ]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "nonResourceURLs": ["*"]},
            {"level": "None", "resources": [{"group": "coordination.k8s.io"}], "namespaces": ["kube-node-lease"]},
            *([whole] if environ.get(AUDIT) == "bodies" else []),
            {"level": "None", "verbs": ["get", "list", "watch"], "users": cluster_itself},
            {
                "level": "None",
                "verbs": ["get", "list", "watch"],
                "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"],
            },
            {"level": "Metadata"},
        ],
    }


def containerd_configuration() -> str:
    """Return containerd's configuration (TOML)."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    runc = f"{cri}.containerd.runtimes.runc"
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "{CONTAINERD_SOCKET}"
[{cri}]
sandbox_image = "{SANDBOX_IMAGE}"
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true
max_concurrent_downloads = 1
[{cri}.cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{ETC}/cni"
[{cri}.containerd]
snapshotter = "overlayfs"
[{runc}]
runtime_type = "io.containerd.runc.v2"
[{runc}.options]
SystemdCgroup = false
"""


def network_configuration(addresses: Addresses) -> str:
    """Return the CNI configuration: pods on a bridge, addresses from the first /24 of the pods' range."""
    subnet = next(addresses.pods.subnets(new_prefix=24))
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": str(subnet)}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "0.4.0", "name": "towpath", "plugins": plugins}, indent=2)
