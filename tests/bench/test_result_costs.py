"""What kept results cost: a hit, and a result written, beside bare pickle files in the same folder; runs recorded."""

from __future__ import annotations

from pathlib import Path

from tests.bench import bare
from tests.bench.budgets import CACHE_HIT, RESULT_KEPT, ROWS_AND_READ, ROWS_AND_WRITTEN
from tests.bench.measure import against, exceeded, side_by_side

from towpath import flow, task
from towpath.cache_policies import INPUTS
from towpath.caching import key_of

TIMES = 2000
BUDGETS = {"hit": CACHE_HIT, "kept": RESULT_KEPT}


def test_kept_results_cost_a_few_bare_files(home: Path) -> None:
    """A hit ≤ 200 µs, a result kept ≤ 300, where bare rows with a file read take 38, and with one written 68."""

    def plain(x: int) -> int:
        return x

    uncached, cached, kept = task(plain), task(plain, cache_policy=INPUTS), task(plain, persist_result=True)

    @flow
    def calls(times: int) -> None:
        for i in range(times):
            uncached(i)

    @flow
    def hits(times: int) -> None:
        for _ in range(times):
            cached(1)

    @flow
    def keeps(times: int) -> None:
        for i in range(times):
            kept(i)

    def keys(times: int) -> None:
        arguments = {"day": "2026-01-31", "regions": ["eu", "us"], "limit": 10, "full": False}
        for _ in range(times):
            key_of("inputs", arguments)

    files = bare.Pickles(home)
    rows = bare.rows(home / "bare.db", own_transactions=False)
    files.write(TIMES)
    cached(1)
    costs = side_by_side(
        {
            ROWS_AND_READ: (lambda times: (rows(times), files.read(times)), TIMES),
            ROWS_AND_WRITTEN: (lambda times: (rows(times), files.write(times)), TIMES),
            "task call without any of it": (calls, TIMES),
            "key of four arguments": (keys, TIMES),
            "hit": (hits, TIMES),
            "kept": (keeps, TIMES),
        },
        BUDGETS,
    )
    print(against("Kept results, CPU", BUDGETS, costs))
    assert exceeded(BUDGETS, costs) == []
