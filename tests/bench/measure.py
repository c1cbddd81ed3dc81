"""Measuring for budgets: CPU time of whole processes and of loops, always beside something known in the same run.

Machines differ and are seldom quiet, so no test compares with an absolute time. What is compared is stated in units of
what the same machine needs, at the same moment, for a thing whose price does not change: starting a bare interpreter, or
handing a function to a thread pool.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median

#: Prints the peak in KiB. Not `ru_maxrss`: that remembers what the process was forked from.
TELL_PEAK = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"


def process_cpu(code: str, rounds: int = 7) -> float:
    """Give the CPU seconds of a Python process that runs some code: the least of several, which noise only adds to."""
    return min(_one_process(code) for _ in range(rounds))


def _one_process(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def peak_memory(code: str) -> int:
    """Give the peak resident bytes of a Python process that runs some code."""
    told = subprocess.run([sys.executable, "-c", f"{code}\n{TELL_PEAK}"], check=True, capture_output=True, text=True)
    return int(told.stdout.split()[-1]) * 1024


def loop_cpu(body: Callable[[int], object], times: int, rounds: int = 5) -> float:
    """Give the CPU seconds of one call of `body(times)`, per time: the median of several."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        body(times)
        taken.append((time.process_time() - start) / times)
    return median(taken)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay figures out for reading."""
    cells = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(["", title, *("  " + line for line in lines)])


def microseconds(seconds: float) -> str:
    """Write a short time."""
    return f"{seconds * 1e6:.1f} µs"


def milliseconds(seconds: float) -> str:
    """Write a time."""
    return f"{seconds * 1e3:.1f} ms"
