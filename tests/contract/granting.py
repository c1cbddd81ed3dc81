"""A stand-in for the operator where no operator may be: it grants slots of ConcurrencyLimits to runs that want some.

First come, first served; what a run had is free when it wants less, has ended, or is gone. It works through the same
port as a run's process, so against a fake API and a real one.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from towpath.cluster.ends import has_ended
from towpath.cluster.port import Body, Cluster, Selector
from towpath.errors import ClusterError

_EVERY_SECONDS: Final = 0.01


@dataclass
class Granter:
    """Grants slots, and keeps the score."""

    cluster: Cluster
    most: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """The most slots of a limit that runs could use at once."""
    writes: int = 0
    _queue: dict[tuple[str, str], int] = field(default_factory=dict)
    _count: int = 0
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Of a limit with a rate: how many slots are free, and when that was so."""

    def turn(self) -> None:
        """Look at everything, and grant what can be granted."""
        limits = {body["metadata"]["name"]: body["spec"] for body in self.cluster.list_limits().items}
        runs = [run for run in self.cluster.list_runs(Selector()).items if not has_ended(run)]
        for name, spec in limits.items():
            self._grant(name, spec, runs)

    def _grant(self, name: str, spec: Body, runs: list[Body]) -> None:
        rate = float(spec.get("slotDecayPerSecond") or 0)
        most = 10**6 if spec.get("suspend") else spec["limit"]
        used = 0
        asking: list[tuple[int, Body, Any, int]] = []
        for run in runs:
            wanted, granted = (_of(run, key, name) for key in ("slotsWanted", "slotsGranted"))
            wanted, has = wanted or {"slots": 0, "number": 0}, granted["slots"] if granted else 0
            if has > wanted["slots"]:  # free for others once it is written that it is
                has = wanted["slots"] if self._write(run, {"limit": name, **wanted}) else has
            elif granted != wanted and wanted["slots"]:
                key = (run["metadata"]["uid"], name)
                if key not in self._queue:
                    self._queue[key] = self._count = self._count + 1
                asking.append((self._queue[key], run, wanted, has))
            used += has
        is_full = False
        for _, run, wanted, has in sorted(asking, key=lambda entry: entry[0]):
            room = self._tokens(name, most, rate) if rate else most - used
            more = 0 if is_full else max(0, min(wanted["slots"] - has, room))
            is_full |= has + more < wanted["slots"]  # nobody overtakes
            grant = {"limit": name, "slots": has + more, "number": wanted["number"]}
            if grant != _of(run, "slotsGranted", name) and self._write(run, grant):
                used += more
                if rate:
                    free, at = self._buckets[name]
                    self._buckets[name] = free - more, at
                if has + more == wanted["slots"]:
                    self._queue.pop((run["metadata"]["uid"], name), None)
        if not rate:
            self.most[name] = max(self.most[name], used)

    def _tokens(self, name: str, most: int, rate: float) -> int:
        now = time.monotonic()
        free, at = self._buckets.get(name, (float(most), now))
        self._buckets[name] = min(float(most), free + rate * (now - at)), now
        return int(self._buckets[name][0] + 1e-9)

    def _write(self, run: Body, grant: dict[str, Any]) -> bool:
        grants = [g for g in run["status"].get("slotsGranted") or () if g["limit"] != grant["limit"]]
        grants += [grant] if grant["number"] else []  # else nothing is wanted any more
        version = run["metadata"]["resourceVersion"]
        try:
            self.cluster.patch_status(
                run["metadata"]["name"],
                [
                    {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                    {"op": "add", "path": "/status/slotsGranted", "value": grants},
                ],
            )
        except ClusterError:
            return False  # seen too late; the next turn looks again
        self.writes += 1
        return True

    def work(self, stop: threading.Event) -> None:
        """Take turns until the end."""
        while not stop.wait(_EVERY_SECONDS):
            try:
                self.turn()
            except ClusterError:
                continue  # the API is away


@contextmanager
def granting(cluster: Cluster) -> Iterator[Granter]:
    """Grant slots for as long as the block lasts."""
    granter, stop = Granter(cluster.with_patience(0)), threading.Event()
    thread = threading.Thread(target=granter.work, args=[stop], daemon=True)
    thread.start()
    try:
        yield granter
    finally:
        stop.set()
        thread.join()


def _of(run: Body, field_: str, limit: str) -> Any:
    entries = (run.get("status") or {}).get(field_) or ()
    return next((entry for entry in entries if entry["limit"] == limit), None)
