"""What is compared: each row with its budget, and how often each tool does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tests.bench import budgets

TOOLS: Final = ("bare", "towpath", "dbos", "luigi", "dask", "prefect")


class Row(NamedTuple):
    """What is measured in a process of its own that `tools/stopwatch.py` measures.

    Args:
        key: its name in the tools' scripts.
        what: its name for people.
        budget: seconds, or bytes, that Towpath may take.
        figure: which figure counts: `cpu`, `wall` or `bytes`.
        times: how often each tool does it; a tool that is not named has nothing like it.
        limit: what the bare figure is.
    """

    key: str
    what: str
    budget: float
    figure: str
    times: Mapping[str, int]
    limit: str


ROWS: Final = (
    Row(
        "call",
        "task call",
        budgets.CALL.seconds,
        "cpu",
        {"bare": 5000, "towpath": 5000, "dbos": 500, "luigi": 500, "dask": 300, "prefect": 150},
        "three SQLite rows, batched",
    ),
    Row(
        "submit",
        "submit and result",
        budgets.SUBMIT.seconds,
        "cpu",
        {"bare": 5000, "towpath": 5000, "dask": 500, "prefect": 150},
        "a thread pool alone",
    ),
    Row(
        "map",
        "mapped task",
        budgets.MAP.seconds,
        "cpu",
        {"bare": 5000, "towpath": 5000, "dask": 1000, "prefect": 150},
        "a thread pool alone",
    ),
    Row(
        "await",
        "async task awaited",
        budgets.AWAIT.seconds,
        "cpu",
        {"bare": 5000, "towpath": 5000, "dbos": 500, "prefect": 150},
        "three SQLite rows, batched",
    ),
    Row(
        "empty",
        "empty flow, wall",
        budgets.EMPTY_FLOW.seconds,
        "wall",
        {"bare": 200, "towpath": 200, "dbos": 50, "luigi": 50, "prefect": 5},
        "three SQLite transactions",
    ),
    Row(
        "subflow",
        "flow in a flow, in process, wall",
        budgets.SUBFLOW.seconds,
        "wall",
        {"bare": 200, "towpath": 200, "dbos": 50, "prefect": 5},
        "three SQLite transactions",
    ),
    Row(
        "hit",
        "cache hit",
        budgets.CACHE_HIT.seconds,
        "cpu",
        {"bare": 500, "towpath": 1000, "prefect": 100},
        "a pickle file read",
    ),
    Row(
        "kept",
        "result kept",
        budgets.RESULT_KEPT.seconds,
        "cpu",
        {"bare": 500, "towpath": 1000, "dbos": 500, "prefect": 100},
        "a pickle file written and renamed",
    ),
    Row(
        "memory",
        "memory of a mapped task, at the peak",
        budgets.MAP_BYTES / 10_000,
        "bytes",
        {"bare": 10_000, "towpath": 10_000, "dask": 3000, "prefect": 200},
        "a thread pool's futures",
    ),
)
