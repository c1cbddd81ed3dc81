"""The same flows for Prefect and for Towpath: BENCH_TOOL says which one they are imported from."""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from pathlib import Path

from stopwatch import measure

TOOL = os.environ["BENCH_TOOL"]
tool = import_module(TOOL)
flow, task = tool.flow, tool.task
INPUTS = import_module(f"{TOOL}.cache_policies").INPUTS


@task
def same(x):
    return x


@task
async def same_async(x):
    return x


@task(cache_policy=INPUTS)
def cached(x):
    return x


@task(persist_result=True)
def kept(x):
    return x


@flow
def calls(times):
    for number in range(times):
        same(number)


@flow
def submits(times):
    for future in [same.submit(number) for number in range(times)]:
        future.result()


@flow
def maps(times):
    same.map(range(times)).result()


@flow
async def awaits(times):
    for number in range(times):
        await same_async(number)


@flow
def hits(times):
    for _ in range(times):
        cached(1)


@flow
def keeps(times):
    for number in range(times):
        kept(number)


@flow
def empty():
    pass


@flow
def nests(times):
    for _ in range(times):
        empty()


def empties(times):
    for _ in range(times):
        empty()


@flow
def clock(folder):
    """Note when it began and ended."""
    import time

    began = time.time()
    Path(folder, "clock").write_text(f"{began} {time.time()}", encoding="ascii")


@flow
def tick(folder):
    """Note how late it is."""
    import time

    late = time.time() - tool.runtime.flow_run.scheduled_start_time.timestamp()
    with Path(folder, "late").open("a", encoding="ascii") as file:
        file.write(f"{late}\n")


if __name__ == "__main__":
    measure(
        {
            "call": calls,
            "submit": submits,
            "map": maps,
            "memory": maps,
            "await": lambda times: asyncio.run(awaits(times)),
            "hit": hits,
            "kept": keeps,
            "empty": empties,
            "subflow": nests,
        }
    )
