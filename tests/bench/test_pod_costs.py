"""What a run's process costs: one interpreter from its start to its exit, beside a bare one."""

from __future__ import annotations

import os
from pathlib import Path

from tests.bench.budgets import POD, POD_LIBRARIES
from tests.bench.measure import against, process_cpu
from tests.contract.fake_api import FakeApi
from tests.contract.local_pods import local_pods

FLOW = """
from towpath import flow

@flow
def empty() -> int:
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1])
"""


def test_a_runs_process_is_one_light_interpreter(tmp_path: Path) -> None:
    """Start to exit of an empty flow: at most 0.5 s where loading its libraries takes 0.3, and at most 60 MiB."""
    libraries = process_cpu("import asyncio, httpx, pydantic")
    spent, memory = [], []
    (tmp_path / "flows.py").write_text(FLOW)
    with FakeApi() as api, local_pods(api, tmp_path) as pods:
        for name in (f"run-{number}" for number in range(5)):
            pods.create("empty", name=name)
            memory.append(int(pods.ended(name)["result"]["inline"]) / 1024)
            process = pods.processes[name]
            _, process.returncode, usage = os.wait4(process.pid, 0)
            spent.append(usage.ru_utime + usage.ru_stime)

    ours, most = min(spent), max(memory)
    costs = {POD_LIBRARIES: libraries, "pod": ours}
    print(against("A run's process, CPU from start to exit", {"pod": POD}, costs))
    print(f"  memory: {most:.1f} MiB")
    assert ours <= POD.allowed(libraries)
    assert most <= 60
