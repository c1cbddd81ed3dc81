"""The page of what was measured: one table, how it was got, and what to keep in mind."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from tests.bench import budgets
from tests.bench.measure import told
from tests.bench.peers import venvs
from tests.bench.peers.rows import ROWS, TOOLS

#: Figures of each row by tool, one for each round.
Figures: TypeAlias = dict[str, dict[str, list[float]]]
Installs: TypeAlias = Mapping[str, tuple[int, int]]
_NOTHING: Final = "—"
_PEERS: Final = ("dbos", "luigi", "dask", "prefect")
_COLUMNS: Final = ("what", "limit", "Towpath", "must be", "DBOS", "Luigi", "Dask", "Prefect", "Prefect / Towpath")
_HOW: Final = """\
## How it was got
`make bench-peers` makes a virtual environment for each peer, once, and measures all of them and Towpath row by row in the same run, each in processes of its own: the scripts are in `tests/bench/peers/tools`. Prefect and Towpath run the very same script, `of_flows.py`, with another import line.

- **CPU** is that of all threads and all processes that are needed: for Prefect also its server's, until it has worked off what it was told, which takes it several times as long as the flow itself. Rows that say *wall* are stopwatch times.
- Figures are medians of {rounds} rounds; of Prefect's loops, which take long, of one. Flows ran with their log at INFO, written to nowhere.
- **Limit** is what there is to do in any case, by hand: {limits}. For processes it is a bare `python -c pass`.
- **Must be** is the budget. `make bench` holds every row of Towpath's to it, in units of the limit, so that a busy machine breaks nothing.
- Prefect ran with a server, because its default, a temporary one within the flow's process, loses most task runs when the process ends. Telemetry was off. *Tuned* means that what serves looks every second, not every ten, and its caller four times a second, not every five.
- Peers are not like for like. DBOS keeps every step's result in SQLite, as Prefect and Towpath keep states; Luigi and Dask keep no record of a task. DBOS has no thread pool for steps and no cache; a long dash says that there is nothing to compare.
- *Lateness* is of {lateness}; *memory of a mapped task* is the growth of the process's peak, by the number of tasks.

Machine: {machine}; {load:.1f} processes wanted to run when it began. Versions: {versions}. {date}; the whole took {minutes:.0f} minutes.
"""


def rendered(figures: Figures, installs: Installs, seconds: float, load: float) -> str:
    """Give the whole page, in Markdown.

    Args:
        figures: what was measured.
        installs: distributions and bytes, by tool.
        seconds: what measuring took.
        load: how many processes wanted to run before it began.
    """
    how = _HOW.format(
        rounds=max(len(each) for by_tool in figures.values() for each in by_tool.values()),
        limits="; ".join(f"{row.what.removesuffix(', wall')}: {row.limit}" for row in ROWS),
        lateness="runs that were due every ten seconds, for a minute",
        machine=_machine(),
        load=load,
        versions=", ".join(f"{tool} {venvs.version_of(tool)}" for tool in installs),
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        minutes=seconds / 60,
    )
    opening = (
        "# What it costs\n\nTowpath beside its peers and beside what the machine needs at least, measured in one run."
    )
    return f"{opening} Written by `make bench-peers`.\n\n{table(figures, installs)}\n\n{how}"


def table(figures: Figures, installs: Installs) -> str:
    """Give the table, in Markdown."""
    middle = {row: {tool: median(each) for tool, each in by_tool.items()} for row, by_tool in figures.items()}
    bare = middle["import"]["bare"]
    rows = [
        _row("import, CPU of the process", bare + budgets.IMPORT.seconds, middle["import"]),
        _row("hello-world flow, CPU of the process", budgets.HELLO.seconds, middle["hello"]),
        *(_row(f"{row.what}{'' if row.figure != 'cpu' else ', CPU'}", row.budget, middle[row.key]) for row in ROWS),
        _row("`run_deployment` → first line of the run, wall", budgets.FIRST_LINE.seconds, middle["there"]),
        _row("last line of the run → the caller has it, wall", budgets.BACK.seconds, middle["back"]),
        _row("lateness of scheduled runs, 95th percentile, wall", budgets.LATENESS.seconds, middle["lateness"]),
    ]
    sizes = {tool: f"{count}, {size / 1e6:.0f} MB" for tool, (count, size) in installs.items()}
    most = f"≤ {budgets.DISTRIBUTIONS}, {budgets.INSTALLED_BYTES / 1e6:.0f} MB"
    ratio = f"{installs['prefect'][1] / installs['towpath'][1]:.0f}"
    rows.append(
        ["installed distributions and size", _NOTHING, sizes["towpath"], most, *(sizes[one] for one in _PEERS), ratio]
    )
    lines = [list(_COLUMNS), ["---"] * len(_COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(what: str, budget: float, figures: Mapping[str, float]) -> list[str]:
    def say(figure: float) -> str:
        return f"{figure / 1024:.1f} KiB" if "memory" in what else told(figure)

    ours, theirs = figures["towpath"], figures["prefect"]
    cells = {tool: say(figures[tool]) if tool in figures else _NOTHING for tool in TOOLS}
    if "prefect, tuned" in figures:
        cells["prefect"] += f"; tuned {say(figures['prefect, tuned'])}"
    own = cells["towpath"] if ours <= budget else f"**{cells['towpath']}**"
    return [what, cells["bare"], own, f"≤ {say(budget)}", *(cells[one] for one in _PEERS), f"{theirs / ours:,.0f}"]


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({', '.join(sorted(names)) or platform.machine()}), {memory:.0f} GiB,"
        f" {platform.system()}, CPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
