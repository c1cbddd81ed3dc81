"""Measures Towpath beside its peers, each row for all of them in the same run, and writes the page of it.

python -m tests.bench.peers [PAGE]        docs/benchmarks.md by default
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from tests.bench.peers import page, venvs
from tests.bench.peers.page import Figures
from tests.bench.peers.processes import TOOLS, Bench, PrefectServer
from tests.bench.peers.rows import ROWS
from tests.bench.peers.rows import TOOLS as NAMES

ROUNDS: Final = 3
#: How often Prefect does what takes it seconds each time.
SLOW_ROUNDS: Final = 1
_IMPORTS: Final = {
    "bare": "pass",
    "towpath": "from towpath import flow, task",
    "dbos": "from dbos import DBOS",
    "luigi": "import luigi",
    "dask": "from distributed import Client, LocalCluster",
    "prefect": "from prefect import flow, task",
}
#: Seconds between runs of the schedule whose lateness is measured, and how long.
_EVERY_SECONDS: Final = 10
_WATCH_SECONDS: Final = 62


def main() -> None:
    """Measure everything, print the table, write the page."""
    began, load = time.monotonic(), os.getloadavg()[0]
    for tool in venvs.REQUIREMENTS:
        venvs.make(tool)
    folder = Path(tempfile.mkdtemp(prefix="bench-peers-"))
    figures: Figures = {}
    try:
        with PrefectServer(folder / "server") as server:
            bench = Bench(folder, server)
            processes(bench, figures)
            loops(bench, figures)
            deployments(bench, figures)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    written = Path(sys.argv[1]) if len(sys.argv) > 1 else venvs.ROOT / "docs" / "benchmarks.md"
    installs = {tool: venvs.installed(tool) for tool in venvs.REQUIREMENTS}
    written.write_text(page.rendered(figures, installs, time.monotonic() - began, load), encoding="utf-8")
    print(page.table(figures, installs))


def processes(bench: Bench, figures: Figures) -> None:
    """Measure what whole processes take: the import, and a script that says hello."""
    for round_ in range(ROUNDS + 1):
        for tool in NAMES:
            script = TOOLS / f"hello_{tool}.py"
            for row, command in (("import", ("-c", _IMPORTS[tool])), ("hello", (script,))):
                seconds = bench.process_cpu(tool, *command)
                if round_:  # the first compiles, and makes what is not there yet
                    note(figures, row, tool, seconds)


def loops(bench: Bench, figures: Figures) -> None:
    """Measure what is done many times in one process."""
    for row in ROWS:
        for round_ in range(ROUNDS):
            for tool, times in row.times.items():
                if tool == "prefect" and round_ >= SLOW_ROUNDS:
                    continue
                script = "of_flows" if tool in {"towpath", "prefect"} else f"of_{tool}"
                folder = bench.home(tool) / f"{row.key}-{round_}"
                folder.mkdir()
                told = bench.script(tool, script, row.key, times, TOWPATH_HOME=str(folder), BENCH_FOLDER=str(folder))
                note(figures, row.key, tool, told[row.figure])


def deployments(bench: Bench, figures: Figures) -> None:
    """Measure runs on demand and on a schedule, each in a process of its own; Prefect's also with all that helps it."""
    for _ in range(ROUNDS):
        told = bench.script("bare", "of_bare", "there", 10, BENCH_FOLDER=tempfile.mkdtemp(dir=bench.home("bare")))
        note(figures, "there", "bare", told["wall"])
    for tool, kind, times, poll_seconds, tuned in (
        ("towpath", "towpath", 10, 5.0, {}),
        ("prefect", "prefect", 3, 5.0, {}),
        ("prefect", "prefect, tuned", 5, 0.25, {"PREFECT_RUNNER_POLL_FREQUENCY": "1"}),
    ):
        folder = bench.home(f"served-{kind.replace(', ', '-')}")
        every = 0 if tuned else _EVERY_SECONDS
        server = bench.start(tool, "serving", folder, every, **tuned)
        try:
            if every:
                time.sleep(_WATCH_SECONDS)
                late = [float(line) for line in (folder / "late").read_text(encoding="ascii").split()]
                note(figures, "lateness", kind, quantiles(late, n=20, method="inclusive")[18])
                server.terminate()
                server.wait(60)
                server = bench.start(tool, "serving", folder, 0, **tuned)
            time.sleep(8 if tool == "prefect" else 1)  # until it serves
            told = bench.script(tool, "calling", folder, times, poll_seconds, **tuned)
        finally:
            server.terminate()
            server.wait(60)
        note(figures, "there", kind, median(told["there"]))
        note(figures, "back", kind, median(told["back"]))


def note(figures: Figures, row: str, tool: str, figure: float) -> None:
    """Take a figure down, and say it."""
    figures.setdefault(row, {}).setdefault(tool, []).append(figure)
    print(f"{row}: {tool} {figure:.6g}", flush=True)


if __name__ == "__main__":
    main()
