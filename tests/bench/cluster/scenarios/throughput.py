"""Raw Jobs and FlowRuns through to the end, in turn, at stock and at tuned flags of the controller-manager."""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from statistics import median

from tests.bench.cluster.findings import Finding, at_least, at_most, share, spread
from tests.bench.cluster.load import Bench, Passage, flow_runs, raw_jobs, runs
from tests.bench.cluster.operating import Operator, operating
from tests.bench.cluster.place import FASTER, STOCK, TUNED
from tests.bench.cluster.samples import Samples
from tests.cluster.output import say

LEAST_RATIO = 0.9
MOST_CPU_MS = 7.0
MOST_WRITES = 5.0
MOST_EXTRA_SECONDS = 0.15
_PACE_SECONDS = 0.25
#: Until a stock rate limiter, which lets 30 requests at once pass, has forgotten what came before.
_REST_SECONDS = 3.0


async def measure(bench: Bench) -> None:
    """Measure both ways, and the start of runs where nothing is in their way."""
    namespace = await bench.namespace("throughput")
    with operating(bench.place, namespaces=namespace) as operator:
        for name, flags, count in (
            ("stock", STOCK, bench.sizes.stock),
            ("60 requests a second", FASTER, bench.sizes.faster),
            ("tuned", TUNED, bench.sizes.tuned),
        ):
            bench.place.set_controller_manager(flags)
            await _rates(bench, operator, namespace, name, count)
        await _starts(bench, operator, namespace)


async def _rates(bench: Bench, operator: Operator, namespace: str, name: str, count: int) -> None:
    await raw_jobs(bench, namespace, 5)  # whatever has to be loaded is loaded
    await flow_runs(bench, operator, namespace, runs(5))
    before = bench.place.controller_manager()
    raw: list[Passage] = []
    ours: list[Passage] = []
    for round_ in range(bench.sizes.rounds):
        for is_ours in (False, True) if round_ % 2 == 0 else (True, False):
            await asyncio.sleep(_REST_SECONDS)
            passage = (
                await flow_runs(bench, operator, namespace, runs(count))
                if is_ours
                else await raw_jobs(bench, namespace, count)
            )
            (ours if is_ours else raw).append(passage)
            say(f"{name}: {count} {'FlowRuns' if is_ours else 'raw Jobs'}, {passage.rate:.1f}/s{_cost(passage)}")
    ratio = _rate(ours) / _rate(raw)
    after = bench.place.controller_manager()
    queued = after.quantile("workqueue_queue_duration_seconds", 0.95, before, name="job")
    waits = f"{queued:.2g} s" if queued < math.inf else "more than 10 s"  # its largest bucket
    bench.found(
        Finding(f"through to the end ({name})", f"{_rate(ours):.1f}/s", beside=f"{_rate(raw):.1f}/s"),
        at_least(f"the same, as a share of raw Jobs ({name})", ratio, LEAST_RATIO, "{:.2f}"),
        Finding(
            f"created → container runs, all at once, p50 / p95 / p99 ({name})",
            spread([start for one in ours for start in one.starts]),
            beside=spread([start for one in raw for start in one.starts]),
        ),
        Finding(
            f"the Job controller held back by its own rate limit ({name})",
            f"{1000 * _throttled(after, before):.0f} ms a request",
        ),
        Finding(f"a Job waits in the Job controller's queue, p95 at most ({name})", waits),
        Finding(
            f"cores of {os.cpu_count()} that were busy ({name})",
            f"{median(one.busy_cores for one in ours):.1f}",
            beside=f"{median(one.busy_cores for one in raw):.1f}",
        ),
    )
    if name == "tuned":
        bench.found(*_costs(ours, raw))


def _costs(ours: list[Passage], raw: list[Passage]) -> list[Finding]:
    count = sum(one.count for one in ours)
    writes = sum((one.writes for one in ours), Counter[str]())
    said = ", ".join(f"{what} {number / count:.2f}" for what, number in sorted(writes.items()))
    cpu = 1000 * sum(one.operator_seconds for one in ours) / count
    rest = [
        1000 * sum(sum(one.control_plane.values()) for one in many) / sum(one.count for one in many)
        for many in (ours, raw)
    ]
    return [
        at_most("operator, CPU per run", cpu, MOST_CPU_MS, "{:.1f} ms"),
        Finding("control plane and kubelet, CPU per run", f"{rest[0]:.0f} ms", beside=f"{rest[1]:.0f} ms"),
        Finding(
            "as a share of raw Jobs, where CPU is all that limits, by the CPU that both take",
            f"{rest[1] / (rest[0] + cpu):.2f}",
        ),
        Finding(
            "writes to the API server per run, whoever makes them",
            f"{_all_writes(ours):.1f}",
            beside=f"{_all_writes(raw):.1f}",
        ),
        at_most(f"operator, writes per run ({said})", writes.total() / count, MOST_WRITES, "{:.2f}"),
    ]


async def _starts(bench: Bench, operator: Operator, namespace: str) -> None:
    raw: list[float] = []
    ours: list[float] = []
    for _ in range(2):
        raw += (await raw_jobs(bench, namespace, bench.sizes.paced, pace=_PACE_SECONDS)).starts
        ours += (await flow_runs(bench, operator, namespace, runs(bench.sizes.paced), pace=_PACE_SECONDS)).starts
    extra = share(ours, 95) - share(raw, 95)
    bench.found(
        Finding(
            f"created → container runs, {1 / _PACE_SECONDS:.0f} a second, p50 / p95 / p99",
            spread(ours),
            beside=spread(raw),
        ),
        at_most("the same, p95 over a raw Job's", extra, MOST_EXTRA_SECONDS, "{:.2f} s"),
    )


def _all_writes(passages: list[Passage]) -> float:
    return sum(one.all_writes for one in passages) / sum(one.count for one in passages)


def _rate(passages: list[Passage]) -> float:
    return median(one.rate for one in passages)


def _cost(passage: Passage) -> str:
    each = 1000 / passage.count
    parts = ", ".join(f"{name} {seconds * each:.1f}" for name, seconds in sorted(passage.control_plane.items()))
    own = f"; operator {passage.operator_seconds * each:.1f}" if passage.operator_seconds else ""
    return f"; CPU ms each: {parts}{own}"


def _throttled(after: Samples, before: Samples) -> float:
    """Give the seconds that a request of the controller-manager waited for its own limit, in the mean."""
    name = "rest_client_rate_limiter_duration_seconds"
    count = after.sum(f"{name}_count") - before.sum(f"{name}_count")
    seconds = after.sum(f"{name}_sum") - before.sum(f"{name}_sum")
    return seconds / max(count, 1)
