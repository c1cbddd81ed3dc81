"""What many tasks take of memory, and that none of it stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.bench.budgets import MAP_BYTES
from tests.bench.measure import mebibytes, peak_memory

MANY = 10_000
BARE = f"""
from concurrent.futures import ThreadPoolExecutor
def same(x): return x
with ThreadPoolExecutor() as pool:
    sum(future.result() for future in [pool.submit(same, x) for x in range({MANY})])
"""
MAPPED = f"""
from towpath import flow, task
@task
def same(x): return x
@flow
def many(): return sum(same.map(range({MANY})).result())
assert many() == sum(range({MANY}))
"""
#: Tells what is resident, in KiB, after a first so many calls, and after each further so many.
GROWING = """
import sys
from towpath import flow, task

@task
def same(x):
    return x

@flow
def calls(times):
    for number in range(times):
        same(number)

@flow
def submits(times):
    for number in range(times // 10):
        same.submit(number).result()

@flow
def child(): pass

@flow
def children(times):
    for number in range(times // 100):
        child()

kind, times, rounds = globals()[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])
for _ in range(rounds):
    kind(times)
    print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1], flush=True)
"""
#: What a process may take more, and then not again: pages that the allocator keeps half filled.
SLACK = 3 * 2**20


def test_a_map_of_ten_thousand_takes_little_memory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Futures, states, notes and rows of 10,000 tasks together: at most 40 MiB over a bare thread pool's futures."""
    monkeypatch.setenv("TOWPATH_LOG_LEVEL", "CRITICAL")
    bare, ours = peak_memory(BARE), peak_memory(MAPPED)

    print(f"\nA map of {MANY:,}, peak: bare pool {mebibytes(bare)}, ours {mebibytes(ours)}")
    assert ours - bare <= MAP_BYTES


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "times", "rounds"), [("calls", 100_000, 10), ("submits", 100_000, 4), ("children", 100_000, 4)]
)
def test_memory_does_not_grow(home: Path, monkeypatch: pytest.MonkeyPatch, kind: str, times: int, rounds: int) -> None:
    """A million calls, and as much as fits of submits and child flows: after the first lot, nothing more stays."""
    monkeypatch.setenv("TOWPATH_LOG_LEVEL", "CRITICAL")
    command = [sys.executable, "-c", GROWING, kind, str(times), str(rounds)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    first, *later = [int(size) * 1024 for size in told]

    print(f"\n{kind}: {mebibytes(first)} after the first {times:,}, {mebibytes(later[-1])} after {rounds} times that")
    assert max(later) <= first + SLACK
