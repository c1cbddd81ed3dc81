"""What a run on a laptop costs: from the call to its first line, from its end to the caller, and how late schedules are.

Times are of the wall, and a machine is seldom quiet; so each is stated beside, and held to a number of, starts of a bare
Python process that were made in between, as they take some 15 ms where the budgets were set.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest
from tests.bench.measure import milliseconds, table

from towpath import run_deployment

RUNS = 15
TICKS = 25
#: Where the budgets were set, a bare `python -c pass` takes so long, from the call to its end.
BARE_SECONDS = 0.015
FIRST_LINE_SECONDS = 0.4
BACK_SECONDS = 0.05
LATE_SECONDS = 0.1

SCRIPT = """
import sys, time
from datetime import date
from pathlib import Path
from towpath import flow, runtime, serve

@flow
def clock() -> list[float]:
    began = time.time()
    return [began, time.time()]

@flow
def tick(folder: str, day: date = date(2026, 1, 31)) -> None:
    with (Path(folder) / "late").open("a") as late:
        late.write(f"{time.time() - runtime.flow_run.scheduled_start_time.timestamp()}\\n")

if __name__ == "__main__":
    ticks = tick.to_deployment("t", interval=1, parameters={"folder": sys.argv[1], "day": "2026-02-01"})
    serve(clock.to_deployment("c"), ticks)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the folder of a server that serves both flows, and what they leave."""
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    script = tmp_path / "clocks.py"
    script.write_text(SCRIPT, encoding="utf-8")
    log = (tmp_path / "log").open("wb")
    server = subprocess.Popen([sys.executable, script, tmp_path], stderr=log)
    while b"Press Ctrl-C" not in (tmp_path / "log").read_bytes():
        assert server.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
        time.sleep(0.01)
    yield tmp_path
    server.terminate()
    server.wait(30)
    log.close()


def bare() -> float:
    """Give the seconds that a bare Python process takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - start


def test_a_run_on_demand_is_a_few_bare_processes_away(folder: Path) -> None:
    """`run_deployment`: ≤ 0.4 s to the run's first line, ≤ 50 ms from its end until the caller has it."""
    spawns, there, back = [], [], []
    for _ in range(RUNS):
        spawns.append(bare())
        called = time.time()
        began, ended = run_deployment("clock/c").result()
        back.append(time.time() - ended)
        there.append(began - called)

    rows = [
        ["a bare Python process", milliseconds(median(spawns)), "1.0", ""],
        _row("run_deployment → first line of the run", there, spawns, FIRST_LINE_SECONDS),
        _row("last line of the run → the caller has it", back, spawns, BACK_SECONDS),
    ]
    print(table("A run on demand, median of wall times", ["what", "took", "in bare processes", "budget"], rows))
    assert median(there) <= FIRST_LINE_SECONDS / BARE_SECONDS * median(spawns)
    assert median(back) <= BACK_SECONDS / BARE_SECONDS * median(spawns)


def test_schedules_are_on_time(folder: Path) -> None:
    """Scheduled every second: the first line of 95 % of the runs at most 100 ms after its time, and never before it."""
    late: list[float] = []
    spawns = []
    while len(late) < TICKS:
        spawns.append(bare())
        time.sleep(1)
        noted = folder / "late"
        late = [float(line) for line in noted.read_text(encoding="utf-8").split()] if noted.exists() else []

    middle, worst = quantiles(late, n=20)[9], quantiles(late, n=20)[18]
    rows = [
        ["a bare Python process", milliseconds(median(spawns)), "1.0", ""],
        ["median", milliseconds(middle), f"{middle / median(spawns):.1f}", ""],
        ["95th percentile", milliseconds(worst), f"{worst / median(spawns):.1f}", f"≤ {milliseconds(LATE_SECONDS)}"],
    ]
    print(table(f"Lateness of {len(late)} scheduled runs", ["what", "took", "in bare processes", "budget"], rows))
    assert min(late) >= 0
    assert worst <= LATE_SECONDS / BARE_SECONDS * median(spawns)


def _row(what: str, seconds: list[float], spawns: list[float], budget: float) -> list[str]:
    took = median(seconds)
    return [what, milliseconds(took), f"{took / median(spawns):.1f}", f"≤ {milliseconds(budget)}"]
