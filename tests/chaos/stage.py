"""One round: a namespace with Towpath in it, a workload, blows, calm, and what the judge is given of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
from tests.chaos.blows import Field
from tests.chaos.door import Door
from tests.chaos.errand import Errand
from tests.chaos.havoc import Planned
from tests.chaos.history import Blow, History, Promise, lines, read
from tests.chaos.installing import NAME, install, refuses, uninstall
from tests.chaos.lives import name_of, state_of
from tests.chaos.proxy import Proxy
from tests.chaos.replicas import Replica
from tests.chaos.workload import Piece, Workload, without_webhook
from tests.cluster.api import Cluster
from tests.cluster.built import BuiltCluster
from tests.installation import SYSTEM
from tests.kube import TOWPATH, ApiError, Body, Kube

from towpath import names
from towpath.states import TERMINAL

OPERATORS = ("first", "second")
IDENTITY = f"system:serviceaccount:{SYSTEM}:{NAME}"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
PENDING_SECONDS = 180  # a pod that nothing starts, and nothing says why, is given up within a round
END_SECONDS = 2.0 * PENDING_SECONDS  # within which all runs end once all is well again
KEPT = ("flowruns", "deployments", "queues", "concurrencylimits")  # for the judge
TELL_SECONDS = 15.0  # between two lines about those that go on
T = TypeVar("T")


@dataclass
class Round:
    """A namespace of its own, operators of this checkout, and all that happens in one round.

    Args:
        cluster: a cluster that may be broken.
        kube: the same, as its administrator.
        name: of the round and its namespace.
        folder: for logs.
        say: takes progress lines.
    """

    cluster: Cluster
    kube: Kube
    name: str
    folder: Path
    say: Callable[[str], None]
    promises: dict[str, Promise] = field(default_factory=dict, init=False)
    """Of the runs that were started."""

    def play(self, workload: Workload, plan: list[Planned], seed: int) -> History:
        """Let the workload run while the blows fall; give what happened."""
        began = datetime.now(UTC)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._operators(seed) as field:
            runs = Errand(lambda: self._run(workload))
            self._apply(workload)
            assert self._await_refusal(), "the webhook refuses nothing"
            runs.start()
            blows = list(self._strike(field, plan))
            self.say("everything that was taken away is put back")
            field.heal()
            runs.finish()
            self._end(workload)
            refuses_again = self._await_refusal()
            left = self._left()
        promises = self.promises | dict(_scheduled(workload, left))
        writes = [write for write in read(self.cluster.audit_log, self.name, leases=SYSTEM) if write.began > began]
        return History(writes, left, blows, promises, refuses_again)

    def keep_log(self) -> Path:
        """Put what the API server wrote down of this round beside the logs of its operators; give the file."""
        file = self.folder / "audit.log"
        file.write_text("".join(lines(self.cluster.audit_log, self.name, SYSTEM)), encoding="utf-8")
        return file

    def leave(self) -> None:
        """Remove the namespace, whose end is not waited for, and what holds the whole cluster."""
        uninstall(self.cluster)
        self.kube.delete(f"/api/v1/namespaces/{self.name}")

    @contextlib.contextmanager
    def _operators(self, seed: int) -> Iterator[Field]:
        """Install Towpath, with operators that are processes of this machine."""
        provider: BuiltCluster = self.cluster.provider  # type: ignore[assignment]
        certificate = self.folder / "certificate"
        environ = {
            "TOWPATH_OPERATOR_NAMESPACES": self.name,
            "TOWPATH_OPERATOR_LEASE": f"{SYSTEM}/{NAME}",
            "TOWPATH_OPERATOR_PENDING_TIMEOUT_SECONDS": str(PENDING_SECONDS),
            "TOWPATH_OPERATOR_ADMISSION_CERTIFICATE": str(certificate),
            "TOWPATH_OPERATOR_ADMISSION_PORT": "0",
        }
        replicas: dict[str, Replica] = {}
        listening = lambda: [port for replica in replicas.values() if (port := replica.admission_port)]  # noqa: E731
        with (
            Door(str(provider.addresses.host), listening) as door,
            Proxy(self.kube, OPERATORS, IDENTITY, seed) as proxy,
        ):
            install(self.cluster, self.name, door, certificate)
            self.kube.delete(f"{LEASES}/{NAME}")
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}}
            self.kube.create(LEASES, body)  # one that is missing is left alone for a while
            try:
                for name in OPERATORS:
                    replicas[name] = Replica(name, proxy.seats[name].port, self.folder, environ)
                held = lambda one: bool(one and one["spec"].get("holderIdentity"))  # noqa: E731
                self.kube.wait(f"{LEASES}/{NAME}", held, 60, "an operator that works")
                yield Field(provider, self.kube, proxy, door, replicas, self.name, f"{LEASES}/{NAME}", self._start)
            finally:
                for replica in replicas.values():
                    replica.close()

    def _apply(self, workload: Workload) -> None:
        for body in (*workload.deployments, *workload.flows, *workload.lanes):
            self._create(f"{body['kind'].lower()}s", body)

    def _strike(self, field: Field, plan: list[Planned]) -> Iterator[Blow]:
        for number, planned in enumerate(plan):
            time.sleep(planned.pause)
            self.say(f"blow {number + 1} of {len(plan)}: {planned}; {self._progress()}")
            blow = self._insist(lambda planned=planned, number=number: field.strike(planned, number))  # type: ignore[misc]
            if blow:
                yield blow

    def _run(self, workload: Workload) -> None:
        """Start every piece at its time, and do with it what is to be done."""
        began = time.monotonic()
        for piece in workload.pieces:
            time.sleep(max(0.0, began + piece.at - time.monotonic()))
            self._start(piece)
        for piece in workload.pieces:
            if piece.cancel_depth is not None:
                self._cancel(piece, piece.cancel_depth)
        for piece in workload.pieces:
            if piece.retry_after is not None:
                self._retry(piece, piece.retry_after)

    def _start(self, piece: Piece) -> None:
        body = {
            "apiVersion": names.API_VERSION,
            "kind": "FlowRun",
            "metadata": {"name": piece.name},
            "spec": piece.spec,
        }
        self._create("flowruns", body)
        self.promises[piece.name] = piece.promise

    def _cancel(self, piece: Piece, depth: int) -> None:
        """Wish a run's cancellation once its tree has so many runs, or does not grow so far in good time."""
        tree, deadline = f"{names.LABEL_ROOT_RUN}={piece.name}", time.monotonic() + END_SECONDS / 2
        count = lambda: len(self.kube.items(self._path("flowruns"), labelSelector=tree))  # noqa: E731
        while self._insist(count) + 1 < depth and time.monotonic() < deadline:
            time.sleep(0.5)
        self._insist(lambda: self.kube.merge(self._path("flowruns", piece.name), {"spec": {"cancel": True}}))

    def _retry(self, piece: Piece, attempt: int) -> None:
        """Ask for one more attempt once that one has ended badly."""
        path = self._path("flowruns", piece.name)
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            run = self._insist(lambda: self.kube.get(path))
            if state_of(run) in TERMINAL:
                if run["status"]["attempt"] == attempt and state_of(run) != "COMPLETED":
                    self._insist(lambda: self.kube.merge(path, {"spec": {"retryAfterAttempt": attempt}}))
                return
            time.sleep(1.0)

    def _end(self, workload: Workload) -> None:
        """Let schedules make up for what they are behind with, suspend them, and wait for the end of every run."""
        calm = datetime.now(UTC)
        for deployment in workload.deployments:
            if not deployment["spec"].get("schedules"):
                continue
            path = self._path("deployments", name_of(deployment))
            self._wait(
                path, lambda one: (one.get("status") or {}).get("lastScheduled", "") > f"{calm:%Y-%m-%dT%H:%M:%S}"
            )
            self._insist(lambda path=path: self.kube.merge(path, {"spec": {"suspend": True}}))  # type: ignore[misc]
        began, told = time.monotonic(), 0.0
        while (passed := time.monotonic() - began) < END_SECONDS:
            going_on = [run for run in self._items("flowruns") if state_of(run) not in TERMINAL]
            jobs = self._items("jobs", group="/apis/batch/v1")
            if not going_on and not any(job["status"].get("active") for job in jobs):
                return
            if not told or passed - told > TELL_SECONDS:
                some = ", ".join(f"{name_of(run)} {state_of(run)}" for run in going_on[:3]) or "only Jobs"
                self.say(
                    f"calm; what goes on still: {some}" + (f" … {len(going_on)} runs" if len(going_on) > 3 else "")
                )
                told = passed
            time.sleep(1.0)

    def _progress(self) -> str:
        """Tell how many runs have ended."""
        with contextlib.suppress(ApiError, httpx.HTTPError):
            runs = self.kube.items(self._path("flowruns"))
            return f"{sum(state_of(run) in TERMINAL for run in runs)} of {len(runs)} runs have ended"
        return "the API server does not answer"

    def _wait(self, path: str, until: Callable[[Body], bool]) -> None:
        deadline = time.monotonic() + END_SECONDS
        while not until(self._insist(lambda: self.kube.get(path))) and time.monotonic() < deadline:
            time.sleep(0.5)

    def _await_refusal(self) -> bool:
        """Wait until the webhook refuses what does not fit; tell whether it does."""
        _, misfit = without_webhook(0)
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            if self._insist(lambda: refuses(self.kube, self.name, misfit.spec)):
                return True
            time.sleep(0.5)
        return False

    def _left(self) -> dict[str, list[Body]]:
        left = {plural: self._items(plural) for plural in KEPT}
        left["jobs"] = self._items("jobs", group="/apis/batch/v1")
        left["pods"] = self._items("pods", group="/api/v1")
        return left

    def _items(self, plural: str, group: str = TOWPATH) -> list[Body]:
        return self._insist(lambda: self.kube.items(self._path(plural, group=group)))

    def _path(self, plural: str, name: str = "", group: str = TOWPATH) -> str:
        return f"{group}/namespaces/{self.name}/{plural}" + (f"/{name}" if name else "")

    def _create(self, plural: str, body: Body) -> None:
        try:
            self._insist(lambda: self.kube.create(self._path(plural), body))
        except ApiError as error:
            if error.status != 409:  # made, but the answer was lost
                raise

    def _insist(self, call: Callable[[], T]) -> T:
        """Call until the API server is there to answer."""
        while True:
            try:
                return call()
            except httpx.HTTPError:
                time.sleep(0.5)
            except ApiError as error:
                if error.status < 500 and error.status != 429:
                    raise
                time.sleep(0.5)


def _scheduled(workload: Workload, left: dict[str, list[Body]]) -> Iterator[tuple[str, Promise]]:
    for run in left["flowruns"]:
        labels: dict[str, Any] = run["metadata"].get("labels", {})
        if labels.get(names.LABEL_SCHEDULE):
            yield name_of(run), workload.scheduled[labels[names.LABEL_DEPLOYMENT]]
