"""What every tool's script uses to measure itself: `python of_TOOL.py ROW TIMES`, run in a folder of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable


def resident_kib() -> int:
    """Give the peak of what is resident so far."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 also for Pythons of peers
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def measure(rows: dict[str, Callable[[int], object]], cpu: Callable[[], float] = time.process_time) -> None:
    """Do a row's work a few times to warm up, then as often as was said, and print what it took.

    Args:
        rows: by name, what does the work so many times.
        cpu: gives the CPU seconds that were spent so far, those of helping processes included.
    """
    work, times = rows[sys.argv[1]], int(sys.argv[2])
    work(2)
    memory, spent, start = resident_kib(), cpu(), time.perf_counter()
    work(times)
    took, spent, memory = time.perf_counter() - start, cpu() - spent, resident_kib() - memory
    print(json.dumps({"wall": took / times, "cpu": spent / times, "bytes": 1024 * memory / times}), flush=True)
