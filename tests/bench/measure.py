"""Measuring for budgets: CPU time of whole processes and of loops, always beside something known in the same run.

Machines differ and are seldom quiet, so no test compares with an absolute time. What is compared is stated in units of
what the same machine needs, at the same moment, for a thing whose price does not change: starting a bare interpreter,
or writing three rows. Things that are compared take turns, and of each the least counts: noise only adds.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import quantiles
from typing import TypeAlias

from tests.bench.budgets import Budget

#: Prints the peak in KiB. Not `ru_maxrss`: that remembers what the process was forked from.
TELL_PEAK = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
Body: TypeAlias = Callable[[int], object]


def process_cpu(code: str, rounds: int = 7) -> float:
    """Give the CPU seconds of a Python process that runs some code: the least of several, which noise only adds to."""
    return min(_one_process([sys.executable, "-c", code]) for _ in range(rounds))


def processes_cpu(*commands: Sequence[str], rounds: int = 12) -> list[float]:
    """Give the CPU seconds of each of some Python processes, which take turns.

    Args:
        commands: the arguments of each interpreter.
        rounds: how often each is started.
    """
    taken = [[_one_process([sys.executable, *command]) for command in commands] for _ in range(rounds)]
    return [min(each) for each in zip(*taken, strict=True)]


def _one_process(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def peak_memory(code: str) -> int:
    """Give the peak resident bytes of a Python process that runs some code."""
    told = subprocess.run([sys.executable, "-c", f"{code}\n{TELL_PEAK}"], check=True, capture_output=True, text=True)
    return int(told.stdout.split()[-1]) * 1024


def loop_cpu(body: Body, times: int, rounds: int = 5) -> float:
    """Give the CPU seconds, in all threads, of one call of `body(times)`, per time: the least of several."""
    return side_by_side({"": (body, times)}, rounds=rounds)[""]


def side_by_side(
    bodies: Mapping[str, tuple[Body, int]], budgets: Mapping[str, Budget] | None = None, rounds: int = 5, most: int = 20
) -> dict[str, float]:
    """Give the CPU seconds, in all threads, of each of some bodies, per time; they take turns.

    A first round counts for nothing: it fills tables and caches.

    Args:
        bodies: by name, each with how many times it does its work in one call.
        budgets: what is to be kept to, by name; while it is not, there are more rounds.
        rounds: how often each is called after that.
        most: how often at most.
    """
    for body, times in bodies.values():
        body(times)
    taken: dict[str, float] = dict.fromkeys(bodies, float("inf"))
    for round_ in range(most):
        if round_ >= rounds and not exceeded(budgets or {}, taken):
            break
        for name, (body, times) in bodies.items():
            start = time.process_time()
            body(times)
            taken[name] = min(taken[name], (time.process_time() - start) / times)
    return taken


def exceeded(budgets: Mapping[str, Budget], costs: Mapping[str, float]) -> list[str]:
    """Name what took more than it may, with both.

    Args:
        budgets: by name of what was measured.
        costs: seconds by name, those of the units among them.
    """
    return [
        f"{budget.what} took {told(costs[name])} where {told(allowed)} are allowed"
        for name, budget in budgets.items()
        if name in costs and costs[name] > (allowed := budget.allowed(costs[budget.unit]))
    ]


def walls(bodies: Mapping[str, Callable[[], object]], times: int = 300) -> dict[str, float]:
    """Give the seconds that each of some bodies takes when nobody is in its way: the best tenth; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in bodies}
    for _ in range(times):
        for name, body in bodies.items():
            start = time.perf_counter()
            body()
            taken[name].append(time.perf_counter() - start)
    return {name: best_tenth(seconds) for name, seconds in taken.items()}


def best_tenth(seconds: Sequence[float]) -> float:
    """Give what a tenth of the tries did not exceed."""
    return quantiles(seconds, n=10, method="inclusive")[0]


def against(title: str, budgets: Mapping[str, Budget], costs: Mapping[str, float]) -> str:
    """Lay out what things cost beside what they may cost; what has no budget is shown for comparison.

    Args:
        title: what was measured, and how.
        budgets: by name of what was measured; each one's unit is among the costs.
        costs: seconds by name.
    """
    rows = []
    for name, seconds in costs.items():
        budget = budgets.get(name)
        allowed = "" if budget is None else f"≤ {told(budget.allowed(costs[budget.unit]))}"
        rows.append([name if budget is None else budget.what, told(seconds), allowed])
    return table(title, ["what", "took", "budget here and now"], rows)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay figures out for reading."""
    cells = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(["", title, *("  " + line for line in lines)])


def told(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    return microseconds(seconds) if seconds < 1e-3 else milliseconds(seconds) if seconds < 1 else f"{seconds:.2f} s"


def microseconds(seconds: float) -> str:
    """Write a short time."""
    return f"{seconds * 1e6:.1f} µs"


def milliseconds(seconds: float) -> str:
    """Write a time."""
    return f"{seconds * 1e3:.1f} ms"


def mebibytes(size: float) -> str:
    """Write an amount of memory."""
    return f"{size / 2**20:.1f} MiB"
