"""Measures Towpath on a Kubernetes with fake nodes, beside raw Jobs in the same minutes, and writes the page of it.

SCALE=small|full python -m tests.bench.cluster [--keep] [SCENARIO …]

`full`, with all scenarios, writes docs/scale.md; `small` shows in some minutes that all of it works.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
import traceback
from typing import Final

from tests.bench.cluster import page
from tests.bench.cluster.api import Api, Lookout
from tests.bench.cluster.audit import Audit
from tests.bench.cluster.findings import COLUMNS, Finding
from tests.bench.cluster.load import Bench, Scenario
from tests.bench.cluster.operating import SERVICE_ACCOUNT
from tests.bench.cluster.place import Place, place
from tests.bench.cluster.scenarios import burst, family, memory, queues, reporting, schedules, standing, throughput
from tests.bench.cluster.sizes import SIZES, Sizes
from tests.bench.measure import table
from tests.cluster.output import say
from tests.cluster.settings import REPOSITORY, ClusterError

SCENARIOS: Final[dict[str, Scenario]] = {
    "throughput": throughput.measure,
    "reporting": reporting.measure,
    "burst": burst.measure,
    "queues": queues.measure,
    "family": family.measure,
    "schedules": schedules.measure,
    "memory": memory.measure,
    "standing": standing.measure,
}
#: The figure of a scenario that did not come to its end.
_FAILED: Final = "failed"


def main() -> int:
    """Measure everything, print the table, write the page."""
    arguments = _parser().parse_args()
    scale = os.environ.get("SCALE") or "full"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the cluster goes then too
    if scale not in SIZES:
        print(f"SCALE is {scale!r}, but must be one of {', '.join(SIZES)}.", file=sys.stderr)
        return 2
    began, load = time.monotonic(), os.getloadavg()[0]
    try:
        with place(keep=arguments.keep) as there:
            findings = asyncio.run(_measure(there, SIZES[scale], arguments.scenario or list(SCENARIOS)))
    except ClusterError as error:
        print(f"towpath: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    took = time.monotonic() - began
    title = f"SCALE={scale}, {took / 60:.1f} minutes, {page.machine()}, {load:.1f} wanted to run before"
    print(table(title, COLUMNS, [finding.cells for finding in findings]))
    if scale == "full" and not arguments.scenario:
        page.write(REPOSITORY / "docs" / "scale.md", findings, took, load)
    return 1 if any(finding.figure == _FAILED for finding in findings) else 0


async def _measure(there: Place, sizes: Sizes, wanted: list[str]) -> list[Finding]:
    api = await Api.open(there)
    audit = Audit(there.cluster.audit_log, SERVICE_ACCOUNT)
    findings: list[Finding] = []
    try:
        async with Lookout(api) as lookout:
            bench = Bench(there, api, lookout, audit, sizes, findings)
            for name in wanted:
                say(f"{name} …")
                try:
                    await SCENARIOS[name](bench)
                except Exception as error:
                    traceback.print_exc()
                    bench.found(Finding(f"{name}: {error!r}", _FAILED, is_kept=False))
    finally:
        audit.close()
        await api.close()
    return findings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="use the cluster that an earlier run kept, and keep it")
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], help="default: all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
