"""Places where limits are kept, as the contract of slots sees them: set a limit, and be a run that asks there."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.contract.fake_api import FakeApi
from tests.contract.granting import Granter
from tests.contract.own_group import OwnGroup
from tests.kube import ApiError

from towpath.api.v1alpha1 import transitions
from towpath.cluster import plan
from towpath.cluster.http import HttpCluster
from towpath.cluster.own import OwnRun
from towpath.cluster.own_watch import OwnRunWatch
from towpath.cluster.slots import ClusterSlots
from towpath.concurrency.local import local_slots
from towpath.concurrency.port import Slots
from towpath.states import StateType


class Place(ABC):
    """Where limits are."""

    @abstractmethod
    def set(self, name: str, slots: int, *, rate: float = 0.0, suspended: bool = False, tag: str = "") -> None:
        """Make a limit, or change it."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a limit."""

    @abstractmethod
    def run(self) -> Slots:
        """Give the place as the code of one more run sees it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all that there is."""


@dataclass
class LocalPlace(Place):
    """The history file of one machine."""

    file: Path

    def set(self, name: str, slots: int, *, rate: float = 0.0, suspended: bool = False, tag: str = "") -> None:
        local_slots(self.file).set(f"tag:{tag}" if tag else name, slots, rate, not suspended)

    def delete(self, name: str) -> None:
        local_slots(self.file).delete(name)

    def run(self) -> Slots:
        return local_slots(self.file)

    def close(self) -> None:
        local_slots(self.file).keeper.flush(30, rest=True)


@dataclass
class ClusterPlace(Place):
    """A namespace of an API server in which somebody grants slots."""

    cluster: HttpCluster
    granter: Granter
    runs: dict[str, tuple[ClusterSlots, OwnRunWatch]] = field(default_factory=dict)

    def run(self) -> ClusterSlots:
        name = f"run-{secrets.token_hex(4)}"
        manifest = {"metadata": {"name": name}, "spec": {"flow": {"image": "shop:1", "entrypoint": "shop:sell"}}}
        made = self.cluster.create_run(
            {"apiVersion": f"{plan.GROUP}/v1alpha1", "kind": "FlowRun", **manifest},
        )
        running = transitions.state(StateType.RUNNING, datetime.now(UTC))
        self.cluster.patch_status(name, transitions.transition({}, running, attempt=1))
        return self.process(name, made["metadata"]["uid"])

    def process(self, name: str, uid: str, attempt: int = 1) -> ClusterSlots:
        """Give the place as a process of a run's attempt sees it."""
        watch = OwnRunWatch(self.cluster, name, uid)
        slots = ClusterSlots(self.cluster, OwnRun(name=name, uid=uid, attempt=attempt), watch)
        self.runs[f"{name}/{len(self.runs)}"] = slots, watch
        return slots

    def of(self, slots: Slots) -> str:
        """Give the name of the run that asks at a place."""
        return next(key for key, (each, _) in self.runs.items() if each is slots).partition("/")[0]

    def status(self, slots: Slots) -> dict[str, Any]:
        """Read the status of the run that asks at a place."""
        return dict(self.cluster.get_run(self.of(slots)).get("status") or {})

    def end(self, slots: Slots, type_: StateType = StateType.CRASHED) -> None:
        """Bring the run that asks at a place to its end, as the operator does when its pod has gone."""
        status = self.status(slots)
        ended = transitions.state(type_, datetime.now(UTC))
        self.cluster.patch_status(self.of(slots), transitions.transition(status, ended, attempt=1))

    def close(self) -> None:
        for slots, watch in self.runs.values():
            slots.close()
            watch.close()


def spec(slots: int, rate: float, suspended: bool, tag: str) -> dict[str, Any]:
    """Write the spec of a ConcurrencyLimit."""
    written: dict[str, Any] = {"limit": slots}
    if rate:
        written["slotDecayPerSecond"] = f"{rate:g}"
    if suspended:
        written["suspend"] = True
    if tag:
        written["tag"] = tag
    return written


@dataclass
class FakePlace(ClusterPlace):
    """A namespace of the fake API."""

    api: FakeApi = field(kw_only=True)

    def set(self, name: str, slots: int, *, rate: float = 0.0, suspended: bool = False, tag: str = "") -> None:
        body = {"metadata": {"name": name}, "spec": spec(slots, rate, suspended, tag)}
        with self.api.changed:
            if ("concurrencylimits", "default", name) in self.api.objects:
                self.api.delete(name, plural="concurrencylimits")
            self.api.create("concurrencylimits", body)

    def delete(self, name: str) -> None:
        self.api.delete(name, plural="concurrencylimits")


@dataclass
class RealPlace(ClusterPlace):
    """A namespace of a real API server, in an API group that no operator knows."""

    kinds: OwnGroup = field(kw_only=True)

    def set(self, name: str, slots: int, *, rate: float = 0.0, suspended: bool = False, tag: str = "") -> None:
        body = {"kind": "ConcurrencyLimit", "spec": spec(slots, rate, suspended, tag)}
        try:
            self.kinds.create(body, name)
        except ApiError as error:
            if error.status != 409:
                raise
            known = self.kinds.apiserver.kube.call("GET", self.kinds.path("ConcurrencyLimit", name))
            self.kinds.replace({**known, "spec": body["spec"]})

    def delete(self, name: str) -> None:
        self.kinds.apiserver.kube.delete(self.kinds.path("ConcurrencyLimit", name))

    def close(self) -> None:
        super().close()
        kube = self.kinds.apiserver.kube
        for kind in ("ConcurrencyLimit", "FlowRun"):
            kube.call("DELETE", self.kinds.path(kind))
