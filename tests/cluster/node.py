"""The node: a set of namespaces (processes, network, mounts, host name) held by one process.

Whatever the cluster does happens inside. So the machine's files and iptables are never touched, no packet finds a way out,
and when the holder dies the kernel ends every process inside, containers included, and takes mounts, network devices and
iptables rules with it: there is nothing to forget in a clean-up, however a run was interrupted.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import processes
from tests.cluster.cgroups import make_cgroup, remove_cgroup
from tests.cluster.settings import ClusterError
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.cluster.addresses import Addresses
    from tests.cluster.settings import Instance

HOST_NAME = "node-1"
START_SECONDS = 10.0
END_SECONDS = 30.0  # the kernel ends hundreds of containers first

# Inside, /run is new, and the node's state stands where programs look for theirs: /var/lib and /var/log.
# The record is written by the holder itself, before it becomes one: no interruption can leave a holder that nobody knows.
_HOLD = r"""
set -e
echo "$$ $(cut -d' ' -f22 /proc/$$/stat)" > "$STATE/holder.new"
mv "$STATE/holder.new" "$STATE/holder"
exec unshare --pid --fork --kill-child --mount --propagation private --net --uts --mount-proc sh -ec "$INSIDE"
"""
_INSIDE = r"""
mount -t tmpfs -o mode=755 tmpfs "$STATE/run"
mkdir -p "$STATE/run/towpath/state" "$STATE/run/towpath/work" "$STATE/run/towpath/bin" "$STATE/run/netns"
mount --bind "$STATE" "$STATE/run/towpath/state"
mount --bind "$WORK" "$STATE/run/towpath/work"
mount --bind "$BIN" "$STATE/run/towpath/bin"
mount --rbind "$STATE/run" /run
mount --bind /run/towpath/state/log /var/log
mount --bind /run/towpath/state/lib /var/lib
mount --make-rshared /
hostname "$NODE"
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
touch /run/towpath/ready
exec catatonit -P
"""


class Node:
    """The namespaces of one instance."""

    def __init__(self, instance: Instance) -> None:
        """Name the node of ``instance``; nothing is started."""
        self.instance = instance
        self.device = f"tp{hashlib.sha256(instance.name.encode()).hexdigest()[:10]}"
        self.cgroup = f"towpath-cluster-{instance.name}"

    @property
    def holder(self) -> processes.Process | None:
        """The process that keeps the namespaces, while it lives."""
        try:
            pid, ticks = (self.instance.state / "holder").read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        process = processes.Process(int(pid), int(ticks))
        return process if process.alive else None

    @property
    def first(self) -> int | None:
        """The pid, seen from the machine, of the node's process 1."""
        holder = self.holder
        return processes.child_of(holder.pid) if holder else None

    def start(self, addresses: Addresses, binaries: Path) -> None:
        """Make the namespaces, the link to the machine and the cgroup."""
        state = self.instance.state
        for folder in ("run", "lib", "log"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        environ = {
            "PATH": os.environ["PATH"],
            "STATE": str(state),
            "WORK": str(self.instance.work),
            "BIN": str(binaries),
            "NODE": HOST_NAME,
            "INSIDE": _INSIDE,
        }
        self._detach("node", ["sh", "-c", _HOLD], environ)
        self._await_ready()
        make_cgroup(self.cgroup)
        self._link(addresses)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            first = self.first
            if first and Path(f"/proc/{first}/root/run/towpath/ready").exists():
                return
            time.sleep(0.02)
        raise ClusterError(f"the node's namespaces did not come up; see {self.instance.logs / 'node.log'}")

    def _link(self, addresses: Addresses) -> None:
        """Join node and machine by a veth pair that leads to the machine and no further."""
        first = str(self.first)
        run(["ip", "link", "add", self.device, "type", "veth", "peer", "name", "eth0", "netns", first])
        # Even a privileged pod that sets itself a default route gets nowhere: the machine forwards nothing from here.
        Path(f"/proc/sys/net/ipv4/conf/{self.device}/forwarding").write_text("0")
        run(["ip", "address", "add", f"{addresses.host}/30", "dev", self.device])
        run(["ip", "link", "set", self.device, "up"])
        network = ["nsenter", "--target", first, "--net", "--"]
        run([*network, "ip", "address", "add", f"{addresses.node}/30", "dev", "eth0"])
        run([*network, "ip", "link", "set", "eth0", "up"])
        for reachable in (addresses.pods, addresses.services):
            run(["ip", "route", "replace", str(reachable), "via", str(addresses.node), "dev", self.device])

    def enter(self, command: Sequence[str | Path], *, network_only: bool = False) -> list[str]:
        """Return the command line that runs ``command`` inside; with ``network_only`` it sees the machine's files."""
        first = self.first
        if first is None:
            raise ClusterError(f"cluster {self.instance.name!r} is not up; start it with: python3 -m tests.cluster up")
        kinds = ["--net"] if network_only else ["--net", "--mount", "--uts", "--pid"]
        return ["nsenter", "--target", str(first), *kinds, "--", *map(str, command)]

    def spawn(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start a component inside; its output goes to a log of its own."""
        self._detach(name, self.enter(command), environ)

    def _detach(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start a process that outlives this one and is nobody's child."""
        with (self.instance.logs / f"{name}.log").open("ab") as log:
            subprocess.run(
                ["setsid", "--fork", *command],
                env=dict(environ),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )

    def component(self, program: str) -> processes.Process | None:
        """Return the running component whose program has this name."""
        first = self.first
        if first is None:
            return None
        for pid in processes.sharing_pid_namespace(first):
            words = processes.command_line(pid)
            if words and Path(words[0]).name == program:
                return processes.find(pid)
        return None

    def remove(self) -> bool:
        """End everything inside and remove what is left on the machine; return whether there was anything."""
        first, holder = self.first, self.holder
        for process in (processes.find(first) if first else None, holder):
            if process and not process.end(wait_seconds=END_SECONDS):
                raise ClusterError(
                    f"process {process.pid} does not end; it holds the node of cluster {self.instance.name!r}"
                )
        run(["ip", "link", "delete", self.device], check=False)
        remove_cgroup(self.cgroup)
        found = self.instance.state.exists()
        if found:
            shutil.rmtree(self.instance.state)
        return found
