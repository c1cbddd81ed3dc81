"""What a run's process costs: one interpreter from its start to its exit, beside a bare one."""

from __future__ import annotations

import os
from pathlib import Path

from tests.bench.measure import milliseconds, process_cpu, table
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
    """Start to exit of an empty flow: at most 0.5 s where a bare interpreter takes 15 ms, and at most 60 MiB."""
    bare = process_cpu("pass")
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
    print(
        table(
            "A run's process, start to exit",
            ["what", "CPU", "in bare interpreters", "memory"],
            [
                ["python -c pass", milliseconds(bare), "1.0", ""],
                ["python -m towpath.engine, empty flow", milliseconds(ours), f"{ours / bare:.1f}", f"{most:.1f} MiB"],
            ],
        )
    )
    assert ours <= 500 / 15 * bare
    assert most <= 60
