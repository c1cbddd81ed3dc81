"""Loads: so many runs, or as many raw Jobs for the same container, from their creation through to the end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.bench.cluster.api import ALL_JOBS, SERVICE_ACCOUNTS, Api, Lookout
from tests.bench.cluster.audit import Audit
from tests.bench.cluster.findings import Finding
from tests.bench.cluster.operating import Operator
from tests.bench.cluster.place import Place, busy_seconds, pod_template
from tests.bench.cluster.sizes import Sizes
from tests.cluster.output import say

from towpath import names
from towpath_operator.kinds import FLOWRUNS, FLOWS
from towpath_operator.reconcile.policy import DEFAULT

IMAGE: Final = "localhost/fake:1"
COMMAND: Final = ("sleep", "1")
#: The Flow whose runs take a second, the one whose runs go on until they are deleted, and the one whose runs say
#: themselves how they are: not a plain container, but a flow.
WORKS, STAYS, REPORTS = "works", "stays", "reports"
#: Longer than anything here takes on a machine that does not hang.
PATIENCE_SECONDS: Final = 600.0

#: Names differ from those of an earlier run in a cluster that was kept.
_serial = itertools.count(int(time.time() * 100))


@dataclass(frozen=True, slots=True)
class Bench:
    """What scenarios work with."""

    place: Place
    api: Api
    lookout: Lookout
    audit: Audit
    sizes: Sizes
    findings: list[Finding] = field(default_factory=list)

    async def namespace(self, what: str) -> str:
        """Make a namespace that has the Flows."""
        name = await self.api.namespace(f"bench-{what}-{next(_serial)}")
        await self.api.create(SERVICE_ACCOUNTS, name, [{"metadata": {"name": DEFAULT.service_account}}])
        await self.api.create(FLOWS, name, [flow(WORKS, "1s"), flow(STAYS, None), flow(REPORTS, "2s")])
        return name

    def found(self, *findings: Finding) -> None:
        """Take findings down, and say them."""
        for finding in findings:
            self.findings.append(finding)
            budget = f" ({finding.budget}: {finding.verdict})" if finding.budget else ""
            beside = f"; raw Jobs {finding.beside}" if finding.beside else ""
            say(f"  {finding.what}: {finding.figure}{budget}{beside}")


@dataclass(frozen=True, slots=True)
class Passage:
    """How a load went through."""

    count: int
    seconds: float
    """From the first creation until the last run, and the last Job, was over."""
    starts: Sequence[float]
    """Seconds from an object's creation until its container ran, of each."""
    ends: Sequence[float]
    """Seconds from an object's creation until the run, or the raw Job, had ended."""
    operator_seconds: float = 0.0
    """CPU time of the operator."""
    control_plane: Mapping[str, float] = field(default_factory=dict)
    """CPU time of the parts of the control plane."""
    busy_cores: float = 0.0
    """How many of the machine's cores were busy, with whatever it was."""
    writes: Counter[str] = field(default_factory=Counter)
    """The operator's writes, by verb and resource."""
    all_writes: int = 0
    """Everybody's: who made the objects, the operator's, the control plane's, the nodes'."""

    @property
    def rate(self) -> float:
        """Runs, or Jobs, a second."""
        return self.count / self.seconds


async def flow_runs(
    bench: Bench, operator: Operator, namespace: str, bodies: list[dict[str, Any]], *, pace: float | None = None
) -> Passage:
    """Put runs through.

    Args:
        bench: where to.
        operator: who works.
        namespace: one of `Bench.namespace`.
        bodies: made by `runs`.
        pace: seconds between creations; None: as fast as the API server takes them.
    """
    began = operator.cpu_seconds()
    passage = await _through(bench, FLOWRUNS, namespace, bodies, pace, bench.lookout.ended)
    return replace(passage, operator_seconds=operator.cpu_seconds() - began)


async def raw_jobs(bench: Bench, namespace: str, count: int, *, pace: float | None = None) -> Passage:
    """Put raw Jobs through."""
    bodies = [job(serial("raw")) for _ in range(count)]
    return await _through(bench, ALL_JOBS, namespace, bodies, pace, bench.lookout.finished)


async def _through(
    bench: Bench, resource: Any, namespace: str, bodies: list[Any], pace: float | None, ended: Mapping[str, float]
) -> Passage:
    lookout = bench.lookout
    bench.audit.writes()
    wanted = [body["metadata"]["name"] for body in bodies]
    before, busy, began = bench.place.cpu_seconds(), busy_seconds(), time.monotonic()
    if pace is None:
        sent = await bench.api.create(resource, namespace, bodies)
    else:
        sent = await _paced(bench.api, resource, namespace, bodies, pace)

    def over() -> int:
        return sum(name in ended and name in lookout.finished for name in wanted)

    await lookout.until(f"{resource.kind}s through", over, len(wanted), PATIENCE_SECONDS)
    after = bench.place.cpu_seconds()
    writes = bench.audit.writes()
    last = max(max(ended[name], lookout.finished[name]) for name in wanted)
    return Passage(
        len(wanted),
        last - min(sent.values()),
        [lookout.started[name] - sent[name] for name in wanted if name in lookout.started],
        [ended[name] - sent[name] for name in wanted],
        control_plane={name: after[name] - before[name] for name in before.keys() & after.keys()},
        busy_cores=(busy_seconds() - busy) / (time.monotonic() - began),
        writes=writes.own,
        all_writes=writes.total,
    )


async def _paced(api: Api, resource: Any, namespace: str, bodies: Iterable[Any], pace: float) -> dict[str, float]:
    sent: dict[str, float] = {}
    due = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for body in bodies:
            await asyncio.sleep(due - time.monotonic())
            sent[body["metadata"]["name"]] = time.monotonic()
            tasks.create_task(api.client.create(resource, namespace, body))
            due += pace
    return sent


def job(name: str) -> dict[str, Any]:
    """Build the Job that somebody without Towpath would write."""
    template = pod_template("1s")
    container = {
        "name": "flow",
        "image": IMAGE,
        "command": list(COMMAND),
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }
    template["spec"] |= {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template},
    }


def flow(name: str, runs_for: str | None) -> dict[str, Any]:
    """Build a Flow whose runs take so long."""
    code = {"entrypoint": "bench:flow"} if name == REPORTS else {"command": list(COMMAND)}
    return custom("Flow", name, {"image": IMAGE, **code, "template": pod_template(runs_for)})


def runs(count: int, flow_name: str = WORKS, **spec: Any) -> list[dict[str, Any]]:
    """Build FlowRuns, each with a name of its own."""
    return [custom("FlowRun", serial("run"), {"flowRef": flow_name, **spec}) for _ in range(count)]


def custom(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Build an object of one of our kinds."""
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}


def serial(prefix: str) -> str:
    """Give a name that nothing else in the benchmark has."""
    return f"{prefix}-{next(_serial)}"


Scenario = Callable[[Bench], Awaitable[None]]
