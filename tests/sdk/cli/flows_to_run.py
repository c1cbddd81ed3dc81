"""Flows that the command line's tests run and deploy."""

from __future__ import annotations

import asyncio
import time
from datetime import date

from towpath import flow, get_run_logger, task


@task
def double(n: int) -> int:
    """Double a number."""
    return 2 * n


@flow
def child(n: int) -> int:
    """Be called."""
    return double(n)


@flow(
    name="Nightly ETL",
    retries=2,
    timeout_seconds=60.5,
    infra_retries=1,
    resources={"requests": {"memory": "512Mi"}},
)
def etl(day: date, label: str = "x", factor: float = 1) -> dict[str, object]:
    """Extract, transform and load.

    Every night.
    """
    get_run_logger().warning("loading %s", day)
    return {"day": day.isoformat(), "label": label, "children": [child(1), child(2)]}


@flow(image="registry.test/own:1", result_storage="/results")
def text() -> str:
    """Return a text."""
    return "two\nlines"


@flow
def nothing() -> None:
    """Return nothing."""


@flow
def odd() -> object:
    """Return what JSON does not know."""
    return {1, 2}


@flow
def bad(why: str) -> None:
    """Fail."""
    raise ValueError(why)


@flow
def nap() -> None:
    """Take time, and clean up."""
    try:
        print("asleep", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)


@flow
async def async_nap() -> None:
    """Do the same in an event loop."""
    try:
        print("asleep", flush=True)
        await asyncio.sleep(60)
    finally:
        print("cleaned up", flush=True)
