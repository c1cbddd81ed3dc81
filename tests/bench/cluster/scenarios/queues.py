"""More runs than a queue lets work at once: what waiting costs, and how soon the next begins when one has ended."""

from __future__ import annotations

from itertools import accumulate

from tests.bench.cluster.findings import Finding, at_most, share
from tests.bench.cluster.load import Bench, custom, flow_runs, runs
from tests.bench.cluster.operating import operating
from tests.bench.cluster.place import TUNED

from towpath_operator.kinds import QUEUES

LIMIT = 50
MOST_HAND_OVER_SECONDS = 1.0


async def measure(bench: Bench) -> None:
    """Measure writes per run, and the time from a run's end until the next run's Job is there."""
    bench.place.set_controller_manager(TUNED)
    count = bench.sizes.queued
    limit = min(LIMIT, count // 4)
    namespace = await bench.namespace("queues")
    with operating(bench.place, namespaces=namespace) as operator:
        await bench.api.create(QUEUES, namespace, [custom("Queue", "lane", {"limit": limit})])
        bodies = runs(count, queue="lane")
        passage = await flow_runs(bench, operator, namespace, bodies)
    names = [body["metadata"]["name"] for body in bodies]
    begun = sorted(bench.lookout.jobs[name] for name in names)
    ended = sorted(bench.lookout.ended[name] for name in names)
    # the n-th end makes room for the Job that comes after the first ones
    handed_over = [max(0.0, later - earlier) for earlier, later in zip(ended, begun[limit:], strict=False)]
    moments = [(bench.lookout.started[name], 1) for name in names] + [
        (bench.lookout.stopped[name], -1) for name in names
    ]
    most = max(accumulate(step for _, step in sorted(moments)))
    what = f"{count:,} runs in a queue of {limit}"
    said = ", ".join(f"{verb} {number / count:.2f}" for verb, number in sorted(passage.writes.items()))
    cpu = 1000 * passage.operator_seconds / count
    bench.found(
        Finding(f"{what}: through to the end", f"{passage.rate:.1f}/s"),
        at_most(
            f"{what}: a run ends → the next one's Job, p95", share(handed_over, 95), MOST_HAND_OVER_SECONDS, "{:.2f} s"
        ),
        at_most(f"{what}: most containers that ran at once", most, limit, "{:.0f}"),
        Finding(f"{what}: operator, CPU per run", f"{cpu:.1f} ms"),
        Finding(f"{what}: operator, writes per run ({said})", f"{passage.writes.total() / count:.2f}"),
    )
