"""The rows that DBOS has something for, recorded in SQLite; what a step gives is always kept."""

from __future__ import annotations

import asyncio
import os

from dbos import DBOS
from stopwatch import measure

DBOS(
    config={
        "name": "bench",
        "system_database_url": f"sqlite:///{os.environ['BENCH_FOLDER']}/dbos.sqlite",
        "run_admin_server": False,
        "log_level": "ERROR",
    }
)


@DBOS.step()
def same(x):
    return x


@DBOS.step()
async def same_async(x):
    return x


@DBOS.workflow()
def calls(times):
    for number in range(times):
        same(number)


@DBOS.workflow()
async def awaits(times):
    for number in range(times):
        await same_async(number)


@DBOS.workflow()
def empty():
    pass


@DBOS.workflow()
def nests(times):
    for _ in range(times):
        empty()


def empties(times):
    for _ in range(times):
        empty()


if __name__ == "__main__":
    DBOS.launch()
    measure(
        {
            "call": calls,
            "await": lambda times: asyncio.run(awaits(times)),
            "kept": calls,
            "empty": empties,
            "subflow": nests,
        }
    )
    DBOS.destroy()
