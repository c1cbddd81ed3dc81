"""What kept results cost: a hit, and a result written, beside bare pickle files in the same folder; runs recorded."""

from __future__ import annotations

from pathlib import Path

from tests.bench.bare import Pickles
from tests.bench.budgets import CACHE_HIT, FILE_READ, FILE_WRITTEN, RESULT_KEPT
from tests.bench.measure import against, side_by_side

from towpath import flow, task
from towpath.cache_policies import INPUTS
from towpath.caching import key_of


def test_kept_results_cost_a_few_bare_files(home: Path) -> None:
    """A hit ≤ 200 µs where reading a pickle takes 10, a result kept ≤ 300 µs where writing one takes 30."""

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

    files = Pickles(home)
    cached(1)
    costs = side_by_side(
        {
            FILE_WRITTEN: (files.write, 500),
            FILE_READ: (files.read, 500),
            "task call without any of it": (calls, 1000),
            "key of four arguments": (keys, 2000),
            "hit": (hits, 1000),
            "kept": (keeps, 500),
        }
    )
    print(against("Kept results, CPU", {"hit": CACHE_HIT, "kept": RESULT_KEPT}, costs))
    assert costs["hit"] <= CACHE_HIT.allowed(costs[FILE_READ])
    assert costs["kept"] <= RESULT_KEPT.allowed(costs[FILE_WRITTEN])
