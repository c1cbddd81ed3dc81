"""Carries blows out: on operators, on the cluster's components, on containers, and on what stands in the API."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from tests.chaos.door import Door, Way
from tests.chaos.havoc import Planned, What
from tests.chaos.history import Blow
from tests.chaos.proxy import Fault, Moment, Proxy, Trouble
from tests.chaos.replicas import Replica
from tests.chaos.workload import Piece, without_webhook
from tests.cluster import cgroups, processes
from tests.cluster.built import BuiltCluster
from tests.cluster.components import BY_NAME, COMPONENTS
from tests.kube import ApiError, Body, Kube

from towpath import names

FAIL_OVERS = frozenset({What.FAIL_OVER_KILLED, What.FAIL_OVER_FROZEN, What.FAIL_OVER_CUT})
WRITE_SECONDS = 10.0  # within which an operator writes; schedules see to that
BACK_SECONDS = 10.0  # within which one that was killed begins anew
WARM_SECONDS = 6.0  # a follower that has just begun has not seen the Lease for long yet
INIT = "catatonit"  # the process that only holds a pod's namespaces


@dataclass
class Field:
    """Everything that blows can fall on."""

    provider: BuiltCluster
    kube: Kube
    proxy: Proxy
    door: Door
    replicas: dict[str, Replica]
    namespace: str
    lease: str
    start: Callable[[Piece], None]
    """Starts a run, as somebody would."""

    def strike(self, planned: Planned, number: int) -> Blow | None:
        """Carry out a blow, and take it back; None if there was nothing that it could fall on.

        Args:
            planned: the blow.
            number: which of the plan it is; at a write, one with an even number falls before it, an odd one after.
        """
        if planned.what in FAIL_OVERS:
            self._await_follower()
        began = datetime.now(UTC)
        harms = self._strike(planned, number)
        return None if harms is None else Blow(str(planned), began, datetime.now(UTC), harms)

    def heal(self) -> None:
        """Take everything back that may still be wrong, and return when all is there."""
        self.proxy.disarm()
        self.proxy.trouble(Trouble())
        self.door.lead(Way.OPERATOR)
        for component in COMPONENTS:
            self._signal(component.name, signal.SIGCONT)
        for replica in self.replicas.values():
            replica.up()
        self.provider.up()

    def leader(self) -> Replica:
        """Give the operator that held the Lease when it was last seen; any, if none did."""
        with contextlib.suppress(ApiError, httpx.HTTPError):
            spec = self.kube.get(self.lease)["spec"]
            return self.replicas.get(spec.get("holderIdentity", ""), next(iter(self.replicas.values())))
        return next(iter(self.replicas.values()))

    def _strike(self, planned: Planned, number: int) -> str | None:
        leader = self.leader()
        match planned.what:
            case What.KILL_LEADER:
                leader.send(signal.SIGKILL)
            case What.KILL_FOLLOWER:
                for replica in self.replicas.values():
                    if replica is not leader:
                        replica.send(signal.SIGKILL)
            case What.KILL_BOTH:
                for replica in self.replicas.values():
                    replica.send(signal.SIGKILL)
            case What.FREEZE_LEADER | What.FAIL_OVER_FROZEN:
                leader.send(signal.SIGSTOP)
                time.sleep(planned.lasts)
                leader.send(signal.SIGCONT)
            case What.FAIL_OVER_KILLED:
                leader.down()
                time.sleep(planned.lasts)
                leader.up()
            case What.FAIL_OVER_CUT | What.ANSWERS | What.WATCHES:
                self._trouble(planned, leader)
            case What.KILL_AT_WRITE:
                return self._kill_at_write(leader, "after" if number % 2 else "before")
            case What.FREEZE_AT_WRITE:
                return self._freeze_at_write(leader, planned, "after" if number % 2 else "before")
            case What.WEBHOOK_AWAY | What.WEBHOOK_SILENT:
                self._webhook(planned, number)
            case What.KILL | What.FREEZE | What.MINUTE:
                self._component(planned)
            case What.NODE_DOWN | What.NODE_FROZEN:
                return self._node(planned)
            case _:
                return self._run(planned)
        return ""

    def _await_follower(self) -> None:
        """Wait until every operator has been there for a while: a fail-over is to one that stands by."""
        while (wait := max(replica.since for replica in self.replicas.values()) + WARM_SECONDS - time.monotonic()) > 0:
            time.sleep(wait)

    def _trouble(self, planned: Planned, leader: Replica) -> None:
        if planned.what is What.FAIL_OVER_CUT:
            self.proxy.trouble(Trouble((Fault.CUT,), 1.0), leader.name)
        else:
            self.proxy.trouble(Trouble(planned.faults, planned.share))
        time.sleep(planned.lasts)
        self.proxy.trouble(Trouble())

    def _kill_at_write(self, leader: Replica, moment: Moment) -> str | None:
        starts = leader.starts
        if not self._signal_at_write(leader, signal.SIGKILL, moment):
            return None
        deadline = time.monotonic() + BACK_SECONDS
        while leader.starts == starts and time.monotonic() < deadline:
            time.sleep(0.02)
        return ""

    def _freeze_at_write(self, leader: Replica, planned: Planned, moment: Moment) -> str | None:
        if not self._signal_at_write(leader, signal.SIGSTOP, moment):
            return None
        time.sleep(planned.lasts)
        leader.send(signal.SIGCONT)
        return ""

    def _signal_at_write(self, leader: Replica, number: signal.Signals, moment: Moment) -> bool:
        """Send an operator a signal at its next write; tell whether it has come to one in good time."""
        seat = self.proxy.seats[leader.name]
        self.proxy.arm(leader.name, 1, moment, lambda: leader.send(number))
        deadline = time.monotonic() + WRITE_SECONDS
        while seat.armed and time.monotonic() < deadline:
            time.sleep(0.02)
        if seat.armed:
            self.proxy.disarm()
            return False
        return True

    def _webhook(self, planned: Planned, number: int) -> None:
        """Keep the webhook from being asked, and start runs meanwhile: they are taken, whatever is wrong with them."""
        self.door.lead(Way.NOBODY if planned.what is What.WEBHOOK_AWAY else Way.SILENCE)
        until = time.monotonic() + planned.lasts
        for piece in without_webhook(number):
            self.start(piece)
        time.sleep(max(0.0, until - time.monotonic()))
        self.door.lead(Way.OPERATOR)

    def _component(self, planned: Planned) -> None:
        name = "apiserver" if planned.what is What.MINUTE else planned.component
        if planned.what is What.FREEZE:
            self._signal(name, signal.SIGSTOP)
            time.sleep(planned.lasts)
            self._signal(name, signal.SIGCONT)
        else:
            self.provider.kill(name)
            time.sleep(planned.lasts)
            self.provider.restart(name)

    def _node(self, planned: Planned) -> str:
        """Take the machine down, or stop it: every component, every container, and the operators with them."""
        numbers = (signal.SIGKILL,) if planned.what is What.NODE_DOWN else (signal.SIGSTOP, signal.SIGCONT)
        found = [process for _, process in self._container_processes()]
        for number in numbers:
            for replica in self.replicas.values():
                replica.send(number)
            for component in COMPONENTS:
                self._signal(component.name, number)
            _send(found, number)
            if number is not numbers[-1] or number is signal.SIGKILL:
                time.sleep(planned.lasts)
        if planned.what is What.NODE_DOWN:
            self.provider.up()
            return "*"
        return ""

    def _run(self, planned: Planned) -> str | None:
        """Fall on something of one run that has a live pod."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        live = [
            pod
            for pod in self.kube.items(path, labelSelector=names.LABEL_RUN)
            if pod["status"].get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
        ]
        if not live:
            return None
        pod = sorted(live, key=lambda one: str(one["metadata"]["name"]))[int(planned.pick * len(live))]
        labels: Body = pod["metadata"]["labels"]
        if planned.what is What.DELETE_POD:
            self.kube.delete(f"{path}/{pod['metadata']['name']}")
        elif planned.what is What.DELETE_JOB:
            job = labels["batch.kubernetes.io/job-name"]
            self.kube.delete(f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{job}", propagationPolicy="Background")
        else:
            found = [one for cgroup, one in self._container_processes() if f"pod{pod['metadata']['uid']}" in cgroup]
            if planned.what is What.FREEZE_CONTAINER:
                _send(found, signal.SIGSTOP)
                time.sleep(planned.lasts)
                _send(found, signal.SIGCONT)
                return ""
            _send(found, signal.SIGKILL)
        return str(labels[names.LABEL_RUN])

    def _container_processes(self) -> Iterator[tuple[str, processes.Process]]:
        """Give the processes in containers of pods, but for those that only hold a pod together."""
        for pid, cgroup in cgroups.processes_in(self.provider.node.cgroup).items():
            process = processes.find(pid)
            words = processes.command_line(pid)
            if process and words and not words[0].endswith(INIT):
                yield cgroup, process

    def _signal(self, component: str, number: signal.Signals) -> None:
        process = self.provider.node.component(BY_NAME[component].program)
        if process is None:
            return
        process.send(number)
        # Who started it in the node's namespaces stops with it, but does not go on with it.
        parent = processes.find(processes.parent_of(process.pid) or 0)
        if number is signal.SIGCONT and parent and processes.command_line(parent.pid)[:1] == ["nsenter"]:
            parent.send(number)


def _send(found: Iterable[processes.Process], number: signal.Signals) -> None:
    for process in found:
        process.send(number)
