"""Flows, whose own processes say how they are: the operator writes two times, the pod two times.

Fake nodes run no process, so the benchmark takes the pods' place: it writes what they would, by the same code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.bench.cluster.findings import Finding, at_most
from tests.bench.cluster.load import REPORTS, Bench, flow_runs, raw_jobs, runs
from tests.bench.cluster.operating import operating
from tests.bench.cluster.place import TUNED

from towpath.api.v1alpha1.transitions import state, transition
from towpath.errors import ClusterError
from towpath.states import StateType
from towpath_operator.kinds import FLOWRUNS

MOST_CPU_MS = 7.0
MOST_WRITES = 5.0
#: What the pod writes: that the run is RUNNING, and how it ended.
_WRITES_OF_A_POD = 2


async def measure(bench: Bench) -> None:
    """Measure the rate, and what the operator has left to do."""
    bench.place.set_controller_manager(TUNED)
    count = bench.sizes.tuned
    namespace = await bench.namespace("reporting")
    with operating(bench.place, namespaces=namespace) as operator:
        raw = await raw_jobs(bench, namespace, count)
        bodies = runs(count, REPORTS)
        async with asyncio.TaskGroup() as pods:
            reporting = [pods.create_task(_report(bench, namespace, body["metadata"]["name"])) for body in bodies]
            passage = await flow_runs(bench, operator, namespace, bodies)
            for one in reporting:
                one.cancel()
    cpu = 1000 * passage.operator_seconds / count
    said = ", ".join(f"{what} {number / count:.2f}" for what, number in sorted(passage.writes.items()))
    bench.found(
        Finding("flows, through to the end (tuned)", f"{passage.rate:.1f}/s", beside=f"{raw.rate:.1f}/s"),
        at_most("flows: operator, CPU per run", cpu, MOST_CPU_MS, "{:.1f} ms"),
        at_most(
            f"flows: writes per run, operator ({said}) and pod (2.00)",
            passage.writes.total() / count + _WRITES_OF_A_POD,
            MOST_WRITES,
            "{:.2f}",
        ),
    )


async def _report(bench: Bench, namespace: str, name: str) -> None:
    """Write what the process of a run writes, as soon as its container runs, and a second later."""
    lookout = bench.lookout
    while not (name in lookout.started and _job_of(lookout.live.get(name, {}))):  # noqa: ASYNC110 - noted by a watch
        await asyncio.sleep(0.05)
    await _write(bench, namespace, name, StateType.RUNNING)
    await asyncio.sleep(1)
    await _write(bench, namespace, name, StateType.COMPLETED)


async def _write(bench: Bench, namespace: str, name: str, type_: StateType) -> None:
    while True:
        run = bench.lookout.live.get(name)
        if run is None:
            return
        written = state(type_, datetime.now(UTC), message="Said by its own process.")
        test = {"op": "test", "path": "/status/state", "value": run["status"]["state"]}
        patch = [test, *transition(run["status"], written, attempt=1)]
        try:
            await bench.api.client.patch(FLOWRUNS, namespace, name, patch, "status")
            return
        except ClusterError:  # it has changed meanwhile
            await asyncio.sleep(0.1)


def _job_of(run: Mapping[str, Any]) -> str:
    return str((run.get("status") or {}).get("job") or "")
