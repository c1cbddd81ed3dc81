"""What stays in the operator's memory of runs that have come and gone."""

from __future__ import annotations

import asyncio

from tests.bench.cluster.api import ALL_PODS
from tests.bench.cluster.findings import Finding
from tests.bench.cluster.load import PATIENCE_SECONDS, Bench, flow_runs, runs
from tests.bench.cluster.operating import operating
from tests.bench.cluster.place import TUNED
from tests.bench.measure import mebibytes

from towpath_operator.kinds import FLOWRUNS

_ROUNDS = 4


async def measure(bench: Bench) -> None:
    """Let runs come, end, and be deleted, again and again, and look at the operator's memory after each time."""
    bench.place.set_controller_manager(TUNED)
    count = bench.sizes.grown
    namespace = await bench.namespace("memory")
    sizes: list[int] = []
    with operating(bench.place, namespaces=namespace) as operator:
        sizes.append(operator.resident_bytes())
        for _ in range(_ROUNDS):
            bodies = runs(count)
            await flow_runs(bench, operator, namespace, bodies)
            await bench.api.delete_all(FLOWRUNS, namespace)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await bench.api.objects(ALL_PODS, namespace):  # noqa: ASYNC110 - nobody sets an event for it
                    await asyncio.sleep(1)
            sizes.append(operator.resident_bytes())
    grown = (sizes[-1] - sizes[2]) / count / (_ROUNDS - 2)
    bench.found(
        Finding(f"operator, memory at its start and after {count}, {2 * count}, … runs came and went", _told(sizes)),
        Finding("operator, memory that a run leaves behind, after the first rounds", f"{grown / 1024:.1f} KiB"),
    )


def _told(sizes: list[int]) -> str:
    return ", ".join(mebibytes(size).removesuffix(" MiB") for size in sizes) + " MiB"
