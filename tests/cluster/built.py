"""A whole Kubernetes made on this machine from Go modules and Debian packages."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.cluster import (
    addons,
    addresses,
    archive,
    certificates,
    components,
    image_builds,
    kubeconfigs,
    packages,
    tools,
)
from tests.cluster.locks import locked
from tests.cluster.node import HOST_NAME, Node
from tests.cluster.output import say, step
from tests.cluster.settings import ClusterError
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.cluster.addresses import Addresses
    from tests.cluster.components import Component
    from tests.cluster.settings import Instance

START_SECONDS = 90.0
POLL_SECONDS = 0.1


class BuiltCluster:
    """One instance; every method may be called again after an interruption anywhere."""

    kind = "built from Go modules"

    def __init__(self, instance: Instance) -> None:
        """Look at ``instance``; nothing is started."""
        self.instance = instance
        self.node = Node(instance)

    def lock(self) -> AbstractContextManager[None]:
        """Let one command at a time change this instance."""
        return locked(self.instance.machine_state / "locks" / self.instance.name)

    @property
    def complete(self) -> bool:
        """Tell whether ``up`` once came to its end for the node that is there now."""
        return self._made_with.exists() and self.node.first is not None

    @property
    def _made_with(self) -> Path:
        """Written when ``up`` has come to its end; says which programs it used."""
        return self.instance.state / "complete"

    @property
    def running(self) -> bool:
        """Tell whether the cluster is there."""
        return self.complete

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.instance.kubeconfig

    @property
    def addresses(self) -> Addresses:
        """The instance's addresses."""
        return addresses.reserve(self.instance)

    # up

    def up(self) -> None:
        """Make the cluster, or mend it, until the node, cluster DNS and the default service account are there."""
        binaries = self._programs()
        with self.lock():
            if self.complete:
                self._start_all()
                if self._made_with.read_text() != binaries.name:
                    say("this cluster runs other versions than this checkout names; `down` and `up` renew it")
            else:
                self._make(binaries)
            self._await_usable()
            if not self.complete:
                self._made_with.write_text(binaries.name)

    def _programs(self) -> Path:
        """Get packages and programs at the same time: one waits for the network, the other for the processor.

        On a machine that has nothing yet, what images are built with comes along, as it will be wanted next.
        """
        with ThreadPoolExecutor() as pool:
            debian = pool.submit(packages.ensure, packages.NODE_PACKAGES, self.instance.machine_state)
            images = None if tools.installed(self.instance) else pool.submit(image_builds.prepare, self.instance)
            binaries = tools.ensure(self.instance)
            debian.result()
            if images and (error := images.exception()):
                say(f"the cluster needs no image builder, so this waits until one is needed: {error}")
        return binaries

    def _make(self, binaries: Path) -> None:
        if self.node.remove():
            say("removed what an earlier run had left")
        if self.instance.work.exists():
            shutil.rmtree(self.instance.work)
        self.instance.logs.mkdir(parents=True)
        self.instance.state.mkdir(parents=True)
        plan = self.addresses
        with step(f"configuration and certificates (API server at {plan.node}, services {plan.services})"):
            self._configure(plan)
        with step("node"):
            self.node.start(plan, binaries)
        with step("etcd, containerd, API server"):
            self._start("etcd")
            self._start("containerd")
            self._start("apiserver")
            self._load_own_images(binaries)
            self._await("apiserver")
        with step("controller-manager, scheduler, kubelet, kube-proxy"):
            for name in ("controller-manager", "scheduler", "kubelet", "kube-proxy"):
                self._start(name)
            self._kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(addons.manifests(plan)))

    def _configure(self, plan: Addresses) -> None:
        etc = self.instance.state / "etc"
        certificates.write(etc / "pki", plan, HOST_NAME)
        server = f"https://{plan.node}:6443"
        for user in ("controller-manager", "scheduler", "kube-proxy", "node"):
            target = etc / f"{user}.kubeconfig"
            kubeconfigs.write(target, cluster=self.instance.name, server=server, certificates=etc / "pki", user=user)
        kubeconfigs.write(
            self.instance.kubeconfig,
            cluster=self.instance.name,
            server=server,
            certificates=etc / "pki",
            user="admin",
        )
        (etc / "cni").mkdir()
        (etc / "cni" / "10-towpath.conflist").write_text(components.network_configuration(plan))
        (etc / "containerd.toml").write_text(components.containerd_configuration())
        (etc / "kubelet.json").write_text(json.dumps(components.kubelet_configuration(plan, self.node.cgroup)))
        (etc / "audit-policy.json").write_text(json.dumps(components.audit_policy()))
        (etc / "resolv.conf").write_text("# no name server: nothing outside can be reached\n")

    def _load_own_images(self, binaries: Path) -> None:
        pause = self.instance.state / "pause.tar"
        archive.write_image(pause, components.SANDBOX_IMAGE, packages.CATATONIT, ["/catatonit", "-P"])
        coredns = self.instance.state / "coredns.tar"
        archive.write_image(coredns, addons.COREDNS_IMAGE, binaries / "coredns", ["/coredns"])
        for file in (pause, coredns):
            self.load_image(file)
            file.unlink()

    # components

    def _start_all(self) -> None:
        for component in components.COMPONENTS:
            if not self.node.component(component.program):
                say(f"{component.name} was not running")
                self._start(component.name)
                if component.name == "apiserver":
                    self._await("apiserver")  # without one, what comes after it ends at once

    def _start(self, name: str) -> None:
        if self.node.component(components.BY_NAME[name].program):
            return
        self.node.spawn(name, components.command(name, self.addresses, HOST_NAME), _node_environment())

    def kill(self, name: str) -> None:
        """End a component the hard way, as a crash would; it stays down until ``restart`` or ``up``."""
        if name == "coredns":
            self._kubectl("-n", "kube-system", "delete", "pod", "-l", "k8s-app=kube-dns", "--force", "--grace-period=0")
            return
        process = self.node.component(components.BY_NAME[name].program)
        if process and not process.end():
            raise ClusterError(f"{name} (process {process.pid}) does not end")

    def restart(self, name: str) -> None:
        """End a component and start it again; return when it is healthy."""
        with self.lock(), step(f"restarting {name}"):
            self.kill(name)
            if name == "coredns":
                self._kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
                return
            self._start(name)
            self._await(name)
            self._await("apiserver")  # which needs a moment to find a new etcd

    def healthy(self, component: Component) -> bool:
        """Ask a component how it is."""
        if not self.node.component(component.program):
            return False
        if component.socket:
            return self._listens(component.socket)
        url = component.health_url(self.addresses)
        authority = self.instance.state / "etc" / "pki" / "ca.crt"
        context = ssl.create_default_context(cafile=str(authority)) if url.startswith("https") else None
        try:
            with urllib.request.urlopen(url, timeout=2, context=context) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _listens(self, path: str) -> bool:
        """Tell whether somebody listens on one of the node's unix sockets."""
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(f"/proc/{self.node.first}/root{path}")
            except OSError:
                return False
        return True

    def status(self) -> list[tuple[str, str, str]]:
        """Return rows of component, pid, health."""
        rows = []
        for component in components.COMPONENTS:
            process = self.node.component(component.program)
            health = "down" if not process else "ok" if self.healthy(component) else "unhealthy"
            rows.append((component.name, str(process.pid) if process else "-", health))
        return rows

    def node_command(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs ``command`` in the node's network, among the machine's files."""
        return self.node.enter(command, network_only=True)

    # waiting

    def _await(self, name: str) -> None:
        component = components.BY_NAME[name]
        self._poll(name, lambda: self.healthy(component))

    def _poll(self, what: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not reached():
            if time.monotonic() > deadline:
                raise ClusterError(f"{what} was not healthy within {START_SECONDS:.0f} s; see {self.instance.logs}")
            time.sleep(POLL_SECONDS)

    def _await_usable(self) -> None:
        limit = f"--timeout={START_SECONDS:.0f}s"
        with step("node Ready, cluster DNS Ready, default service account"):
            for component in components.COMPONENTS:
                self._await(component.name)
            self._kubectl("wait", "--for=create", f"node/{HOST_NAME}", limit)
            self._kubectl("wait", "--for=condition=Ready", f"node/{HOST_NAME}", limit)
            self._kubectl("wait", "--for=create", "-n", "default", "serviceaccount/default", limit)
            self._kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", limit)

    def _kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return tools.kubectl(self.instance, self.instance.kubeconfig, *arguments, stdin=stdin)

    # images

    def load_image(self, tar: Path) -> None:
        """Put the images of a ``docker save`` archive on the node."""
        with tar.open("rb") as stream:
            run(self._ctr("images", "import", "-"), stdin=stream)

    def images(self) -> set[str]:
        """Return the names of all images on the node."""
        return set(run(self._ctr("images", "list", "--quiet")).stdout.split())

    def blobs(self) -> set[str]:
        """Return the SHA-256 of all parts of images that the node has."""
        listed = run(self._ctr("content", "list", "--quiet")).stdout.split()
        return {digest.removeprefix("sha256:") for digest in listed}

    def _ctr(self, *arguments: str) -> list[str]:
        return self.node.enter(["ctr", "--namespace", "k8s.io", *arguments])

    # the end

    def down(self) -> None:
        """End everything that was started and remove what is left of it."""
        with self.lock():
            found = self.node.remove()
            addresses.release(self.instance)
            self.instance.kubeconfig.unlink(missing_ok=True)
        say(f"cluster {self.instance.name} is gone" if found else f"cluster {self.instance.name} was not up")


def _node_environment() -> dict[str, str]:
    """Return what components see of the environment: no proxy, no credentials, nothing of the caller's."""
    return {"PATH": os.environ["PATH"], "HOME": "/root"}
