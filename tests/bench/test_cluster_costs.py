"""What a run costs on a real cluster: its start beside a raw Job's, in the same minutes, and its writes to the API server."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from statistics import median, quantiles
from typing import Any, Self

import pytest
from tests.bench.measure import table
from tests.cluster.api import Cluster
from tests.e2e.runs import NAMESPACE, Runs
from tests.installation import SYSTEM
from tests.kube import Kube

pytestmark = pytest.mark.cluster

PAIRS = 8
#: How many pairs there may be until it shows that the two are alike: noise strikes one of a pair as often as the other.
MOST_PAIRS = 24
MOST_RATIO = 1.15
COMMAND = ["sleep", "1"]
BATCH = "/apis/batch/v1"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


class PodClock:
    """Notes when the first container of each pod is first seen to run, as a watcher sees it."""

    def __init__(self, kube: Kube) -> None:
        self.running: dict[str, float] = {}
        self._kube = kube
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._version = self._kube.get(PODS)["metadata"]["resourceVersion"]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def wait(self, job_prefix: str, timeout: float = 60) -> float:
        """Give the moment at which a container of the Job's pod was seen to run."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._of(job_prefix) is not None, timeout), (
                f"no pod of {job_prefix} ran"
            )
            moment = self._of(job_prefix)
        assert moment is not None
        return moment

    def _of(self, job_prefix: str) -> float | None:
        return next((moment for pod, moment in self.running.items() if pod.startswith(job_prefix)), None)

    def _watch(self) -> None:
        """Watch in short stretches, so that it can be told to stop."""
        while not self._over.is_set():
            params = {"watch": "1", "resourceVersion": self._version, "timeoutSeconds": "2"}
            with self._kube.http.stream("GET", PODS, params=params) as stream:
                for line in stream.iter_lines():
                    pod = json.loads(line)["object"]
                    self._version = pod["metadata"]["resourceVersion"]
                    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
                    if {"running", "terminated"} & set(statuses[0].get("state") or {}):
                        with self._changed:
                            self.running.setdefault(pod["metadata"]["name"], time.monotonic())
                            self._changed.notify_all()


def raw_job(name: str, image: str) -> dict[str, Any]:
    """Build the Job that somebody without Towpath would write for the same container."""
    container = {
        "name": "flow",
        "image": image,
        "command": COMMAND,
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }


@pytest.fixture
def raw_jobs(kube: Kube) -> Iterator[list[str]]:
    """Names of raw Jobs, deleted afterwards."""
    names: list[str] = []
    yield names
    for name in names:
        kube.delete(f"{BATCH}/namespaces/{NAMESPACE}/jobs/{name}", propagationPolicy="Background")


@pytest.mark.timeout(600)
def test_a_flow_runs_container_starts_about_as_soon_as_a_raw_jobs(runs: Runs, image: str, raw_jobs: list[str]) -> None:
    """Created → container running: a FlowRun adds little to what the same container takes as a raw Job."""
    taken: dict[str, list[float]] = {"raw Job": [], "FlowRun": []}
    with PodClock(runs.kube) as clock:
        for pair in range(MOST_PAIRS):
            if pair >= PAIRS and median(taken["FlowRun"]) <= MOST_RATIO * median(taken["raw Job"]):
                break
            name = f"raw-{int(time.time())}-{pair}"
            raw_jobs.append(name)
            created = time.monotonic()
            runs.kube.create(f"{BATCH}/namespaces/{NAMESPACE}/jobs", raw_job(name, image))
            taken["raw Job"].append(clock.wait(f"{name}-") - created)

            created = time.monotonic()
            run = runs.create({"flow": {"image": image, "command": COMMAND}})
            taken["FlowRun"].append(clock.wait(f"{run}-") - created)
            runs.ended(run)

    rows = [
        [what, f"{median(seconds):.2f} s", f"{quantiles(seconds, n=20)[-1]:.2f} s", f"{max(seconds):.2f} s"]
        for what, seconds in taken.items()
    ]
    print(
        table(
            f"Created → container running, {len(taken['FlowRun'])} pairs in turn", ["what", "p50", "p95", "max"], rows
        )
    )
    assert median(taken["FlowRun"]) <= MOST_RATIO * median(taken["raw Job"])


def test_a_run_costs_at_most_five_writes(runs: Runs, cluster: Cluster) -> None:
    """Operator and pod together write at most five times a run, counted by the API server's own audit log."""
    if not cluster.audit_log.exists():
        pytest.skip("This cluster's audit log cannot be read, so nobody can count the writes.")
    names = [runs.start("add", {"x": i}) for i in range(3)]
    bodies = {name: runs.ended(name) for name in names}
    # the log is written a moment after the answer: wait until the last write of each run is in it
    deadline = time.monotonic() + 60
    while True:
        written = writes(cluster, bodies)
        if (
            all(written[name][f"patch flowruns/status by {RUNNER}"] >= 2 for name in names)
            or time.monotonic() > deadline
        ):
            break
        time.sleep(0.2)

    rows = [[what, str(count)] for what, count in sorted(written[names[0]].items())]
    print(
        table("API writes of one run, by whom", ["write", "times"], [*rows, ["in all", str(written[names[0]].total())]])
    )
    for name in names:
        assert 4 <= written[name].total() <= 5, written[name]


RUNNER = "run's pod"
OPERATOR = "operator"


def writes(cluster: Cluster, runs: dict[str, dict[str, Any]]) -> dict[str, Counter[str]]:
    """Count the writes that the audit log holds for each run and its Jobs, by verb, resource and writer."""
    counted: dict[str, Counter[str]] = {name: Counter() for name in runs}
    of_object = {name: name for name in runs} | {run["status"]["job"]: name for name, run in runs.items()}
    for line in cluster.audit_log.read_text().splitlines():
        entry = json.loads(line)
        target = entry.get("objectRef") or {}
        run = of_object.get(target.get("name", ""))
        if run is None or entry.get("stage") != "ResponseComplete" or target.get("namespace") != NAMESPACE:
            continue
        if entry["verb"] not in {"create", "update", "patch", "delete"}:
            continue
        user = entry["user"]["username"]
        who = (
            OPERATOR
            if user.startswith(f"system:serviceaccount:{SYSTEM}:")
            else RUNNER
            if user.endswith(":towpath-runner")
            else None
        )
        if who:
            resource = "/".join(part for part in (target["resource"], target.get("subresource")) if part)
            counted[run][f"{entry['verb']} {resource} by {who}"] += 1
    return counted
