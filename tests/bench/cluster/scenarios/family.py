"""One run with very many children: they go through like any others, and end with it when it is cancelled."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tests.bench.cluster.findings import Finding, spread
from tests.bench.cluster.load import PATIENCE_SECONDS, STAYS, WORKS, Bench, flow_runs, runs
from tests.bench.cluster.operating import operating
from tests.bench.cluster.place import TUNED

from towpath import names
from towpath_operator.kinds import FLOWRUNS


async def measure(bench: Bench) -> None:
    """Measure the children's way, and the end of those that are left when the parent is cancelled."""
    bench.place.set_controller_manager(TUNED)
    lookout, count = bench.lookout, bench.sizes.children
    namespace = await bench.namespace("family")
    with operating(bench.place, namespaces=namespace) as operator:
        [parent] = runs(1, STAYS)
        name = parent["metadata"]["name"]
        await bench.api.create(FLOWRUNS, namespace, [parent])
        await lookout.until("the parent runs", lambda: name in lookout.running, 1, PATIENCE_SECONDS)
        parent = await bench.api.client.get(FLOWRUNS, namespace, name)
        passage = await flow_runs(bench, operator, namespace, _children(parent, count, WORKS))
        left = _children(parent, count // 5, STAYS)
        await bench.api.create(FLOWRUNS, namespace, left)
        wanted = [child["metadata"]["name"] for child in left]
        await lookout.until(
            "children run", lambda: sum(one in lookout.running for one in wanted), len(wanted), PATIENCE_SECONDS
        )
        cancelled = time.monotonic()
        patch = [{"op": "add", "path": "/spec/cancel", "value": True}]
        await bench.api.client.patch(FLOWRUNS, namespace, name, patch)
        whole = [name, *wanted]
        await lookout.until(
            "the tree has ended", lambda: sum(one in lookout.ended for one in whole), len(whole), PATIENCE_SECONDS
        )
    cpu = 1000 * passage.operator_seconds / count
    bench.found(
        Finding(f"a parent of {count:,}: created → child's container runs, p50 / p95 / p99", spread(passage.starts)),
        Finding(f"a parent of {count:,}: until the last child is over", f"{passage.seconds:.0f} s"),
        Finding(f"a parent of {count:,}: operator, CPU per child", f"{cpu:.1f} ms"),
        Finding(
            f"a parent with {len(wanted):,} live children cancelled: until all are CANCELLED",
            f"{max(lookout.ended[one] for one in whole) - cancelled:.1f} s",
        ),
    )


def _children(parent: Mapping[str, Any], count: int, flow: str) -> list[dict[str, Any]]:
    """Build children as a parent's code makes them."""
    metadata = parent["metadata"]
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    children = runs(count, flow)
    for child in children:
        call = child["metadata"]["name"]
        child["metadata"] |= {"ownerReferences": [owner], "labels": {names.LABEL_PARENT: metadata["name"]}}
        child["spec"]["parent"] = {"name": metadata["name"], "uid": metadata["uid"], "call": call}
    return children
