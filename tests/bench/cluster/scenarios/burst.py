"""Many at once: how long until the last of them runs, and until it is over."""

from __future__ import annotations

from tests.bench.cluster.findings import Finding, spread
from tests.bench.cluster.load import Bench, flow_runs, raw_jobs, runs
from tests.bench.cluster.operating import operating
from tests.bench.cluster.place import TUNED


async def measure(bench: Bench) -> None:
    """Measure a burst of raw Jobs and one of FlowRuns."""
    bench.place.set_controller_manager(TUNED)
    count = bench.sizes.burst
    namespace = await bench.namespace("burst")
    with operating(bench.place, namespaces=namespace) as operator:
        raw = await raw_jobs(bench, namespace, count)
        ours = await flow_runs(bench, operator, namespace, runs(count))
    bench.found(
        Finding(
            f"a burst of {count:,}: created → container runs, p50 / p95 / p99",
            spread(ours.starts),
            beside=spread(raw.starts),
        ),
        Finding(
            f"a burst of {count:,}: until the last is over", f"{ours.seconds:.0f} s", beside=f"{raw.seconds:.0f} s"
        ),
    )
