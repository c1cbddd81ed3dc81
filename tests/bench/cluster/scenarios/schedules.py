"""Very many Deployments whose schedules are due in the same second."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from tests.bench.cluster.findings import Finding, spread
from tests.bench.cluster.load import PATIENCE_SECONDS, WORKS, Bench, custom, serial
from tests.bench.cluster.operating import operating
from tests.bench.cluster.place import TUNED
from tests.cluster.output import say

from towpath_operator.kinds import DEPLOYMENTS, FLOWRUNS

_DAY_SECONDS = 86_400
#: What making one Deployment may take until all are due.
_LEAD_SECONDS = 0.05


async def measure(bench: Bench) -> None:
    """Measure how late the runs are made, and how late the last of them runs."""
    bench.place.set_controller_manager(TUNED)
    lookout, count = bench.lookout, bench.sizes.deployments
    namespace = await bench.namespace("schedules")
    with operating(bench.place, namespaces=namespace) as operator:
        due = int(time.time() + 15 + _LEAD_SECONDS * count)
        bodies = [_deployment(serial("deployment"), due) for _ in range(count)]
        await bench.api.create(DEPLOYMENTS, namespace, bodies)
        say(f"  {count} Deployments made, due in {due - time.time():.0f} s")
        await asyncio.sleep(max(0.0, due - time.time() - 1))
        ready = sum(
            "nextRuns" in (body.get("status") or {}) for body in await bench.api.objects(DEPLOYMENTS, namespace)
        )
        if ready < count:
            say(f"  only {ready} of {count} Deployments were seen to in time: lateness is theirs too")
        moment = time.monotonic() + due - time.time()
        bench.audit.writes()
        began = operator.cpu_seconds()
        await lookout.until("runs made", lambda: _since(lookout.appeared, moment), count, PATIENCE_SECONDS)
        await lookout.until("runs over", lambda: _since(lookout.finished, moment), count, PATIENCE_SECONDS)
        names = {run["metadata"]["name"] for run in await bench.api.objects(FLOWRUNS, namespace)}
        cpu = operator.cpu_seconds() - began
        writes = bench.audit.writes().own
    said = ", ".join(f"{what} {number / count:.2f}" for what, number in sorted(writes.items()))
    bench.found(
        Finding(
            f"{count:,} schedules due in one second: due → FlowRun exists, p50 / p95 / p99",
            spread([lookout.appeared[name] - moment for name in names]),
        ),
        Finding(
            f"{count:,} schedules due in one second: due → container runs, p50 / p95 / p99",
            spread([lookout.started[name] - moment for name in names]),
        ),
        Finding(f"{count:,} schedules: operator, CPU per run and tick", f"{1000 * cpu / count:.1f} ms"),
        Finding(f"{count:,} schedules: operator, writes per run and tick ({said})", f"{writes.total() / count:.2f}"),
    )


def _since(moments: dict[str, float], moment: float) -> int:
    """Count what happened since a moment, give or take what clocks differ."""
    return sum(one > moment - 1 for one in moments.values())


def _deployment(name: str, due: int) -> dict[str, Any]:
    anchor = datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    schedule = {"name": "daily", "intervalSeconds": _DAY_SECONDS, "anchor": anchor}
    return custom("Deployment", name, {"flowRef": WORKS, "schedules": [schedule]})
