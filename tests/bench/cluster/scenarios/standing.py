"""An operator that looks after ten thousand runs that have ended, and hundreds that go on."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import orjson
from tests.bench.cluster.findings import Finding, at_most, spread
from tests.bench.cluster.load import PATIENCE_SECONDS, STAYS, Bench, custom, flow_runs, runs, serial
from tests.bench.cluster.operating import Operator, operating
from tests.bench.cluster.place import TUNED
from tests.bench.measure import mebibytes
from tests.cluster.output import say

from towpath_operator.kinds import FLOWRUNS

MOST_BYTES = 300 * 2**20
MOST_RECONCILE_SECONDS = 0.05
_HISTOGRAM = "towpath_operator_reconcile_duration_seconds"
_PACE_SECONDS = 0.25
_TELL_EVERY = 2000


async def measure(bench: Bench) -> None:
    """Make what stands around, and measure an operator that begins with it, rests, and works."""
    bench.place.set_controller_manager(TUNED)
    sizes, lookout = bench.sizes, bench.lookout
    namespace = await bench.namespace("standing")
    with operating(bench.place, namespaces=namespace) as operator:
        empty = operator.resident_bytes()
        bodies = runs(1)
        await flow_runs(bench, operator, namespace, bodies)
        ended = await bench.api.client.get(FLOWRUNS, namespace, bodies[0]["metadata"]["name"])
        live = runs(sizes.live, STAYS)
        await bench.api.create(FLOWRUNS, namespace, live)
        wanted = [run["metadata"]["name"] for run in live]
        await lookout.until(
            "live runs", lambda: sum(name in lookout.running for name in wanted), len(wanted), PATIENCE_SECONDS
        )
    before = bench.place.etcd_bytes()
    await _copy(bench, namespace, ended, sizes.finished - 1)
    stored = (bench.place.etcd_bytes() - before) / max(sizes.finished - 1, 1)
    operator = Operator(bench.place, namespaces=namespace)
    try:
        ready = operator.start()
        await asyncio.sleep(10)  # for what a start leaves to be done
        began = operator.cpu_seconds()
        await asyncio.sleep(sizes.idle_seconds)
        idle = (operator.cpu_seconds() - began) / sizes.idle_seconds
        earlier = operator.samples()
        passage = await flow_runs(bench, operator, namespace, runs(2 * sizes.paced), pace=_PACE_SECONDS)
        later = operator.samples()
        resident = operator.resident_bytes()
    finally:
        operator.stop()
    standing = f"{sizes.finished:,} ended and {sizes.live:,} live runs"
    each = (resident - empty) / (sizes.finished + sizes.live)
    rate = f"{1 / _PACE_SECONDS:.0f} more a second"
    p99 = later.quantile(_HISTOGRAM, 0.99, earlier, kind="FlowRun")
    bench.found(
        at_most(f"{standing}: operator, memory", resident / 2**20, MOST_BYTES / 2**20, "{:.0f} MiB"),
        Finding("operator that knows of nothing, memory", mebibytes(empty)),
        Finding("what a run adds to it, of such as stand there", f"{each / 1024:.1f} KiB"),
        Finding(f"{standing}: operator, from its start until it is ready", f"{ready:.1f} s"),
        Finding(f"{standing}: operator at rest, share of a core", f"{100 * idle:.2f} %"),
        at_most(
            f"{standing}, {rate}: a FlowRun looked at, p99 (upper bound of the histogram's bucket)",
            1000 * p99,
            1000 * MOST_RECONCILE_SECONDS,
            "{:.0f} ms",
        ),
        Finding(f"{standing}, {rate}: created → container runs, p50 / p95 / p99", spread(passage.starts)),
        Finding("bytes of a FlowRun that has ended, as JSON", f"{len(orjson.dumps(ended)):,}"),
        Finding("bytes that etcd takes for one, with the older revision of it", f"{stored:,.0f}"),
    )


async def _copy(bench: Bench, namespace: str, ended: Mapping[str, Any], count: int) -> None:
    """Make runs that have ended as this one has; nobody is at work who would begin them."""
    made = itertools.count(1)
    patch = [{"op": "add", "path": "/status", "value": ended["status"]}]

    async def one(name: str) -> None:
        await bench.api.client.create(FLOWRUNS, namespace, custom("FlowRun", name, ended["spec"]))
        await bench.api.client.patch(FLOWRUNS, namespace, name, patch, "status")
        if (number := next(made)) % _TELL_EVERY == 0:
            say(f"  {number:,} of {count:,} copies of a run that has ended")

    await bench.api.each(one, [serial("ended") for _ in range(count)])
