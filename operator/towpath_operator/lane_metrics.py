"""What Prometheus is told of queues and limits: how full they are, who waits longest, and how long runs had to wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from towpath.states import Reason
from towpath_operator.lanes.lanes import Figures
from towpath_operator.reconcile.claims import LIMITS, QUEUES
from towpath_operator.reconcile.reading import moment, text
from towpath_operator.runtime.store import Body

_RUN: Final = ("namespace", "flow", "deployment")
_WAITS: Final = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 43_200, 86_400)


class _Lanes(Collector):
    """How full queues and limits are, asked for at each scrape."""

    def __init__(self) -> None:
        self.is_told = False
        self.figures: Callable[[], Iterable[Figures]] = tuple

    def collect(self) -> Iterator[Metric]:
        queues = GaugeMetricFamily(
            "towpath_queue_runs", "Runs at work and runs that wait in a Queue.", labels=("namespace", "queue", "state")
        )
        oldest = GaugeMetricFamily(
            "towpath_queue_oldest_waiting_timestamp_seconds",
            "When the oldest of the runs that wait in a Queue was made, or due; absent when none waits.",
            labels=("namespace", "queue"),
        )
        slots = GaugeMetricFamily(
            "towpath_concurrency_limit_slots",
            "Slots that a ConcurrencyLimit has, slots that are taken, and runs that wait for slots.",
            labels=("namespace", "limit", "state"),
        )
        for one in self.figures() if self.is_told else ():
            place = (one.at.namespace, one.at.name)
            if one.at.plural == QUEUES:
                queues.add_metric((*place, "active"), one.active)
                queues.add_metric((*place, "waiting"), one.waiting)
                if one.oldest is not None:
                    oldest.add_metric(place, one.oldest)
            elif one.at.plural == LIMITS:
                slots.add_metric((*place, "limit"), one.limit or 0)
                slots.add_metric((*place, "active"), one.active)
                slots.add_metric((*place, "waiting"), one.waiting)
        yield from (queues, oldest, slots)


class LaneMetrics:
    """The metrics of queues and limits.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lanes = _Lanes()
        registry.register(self._lanes)
        self._wait = Histogram(
            "towpath_flowrun_slot_wait_seconds",
            "How long a run waited for its turn in queues and limits before its Job was made.",
            _RUN,
            buckets=_WAITS,
            registry=registry,
        )

    def ask(self, figures: Callable[[], Iterable[Figures]]) -> None:
        """Say who knows how full queues and limits are."""
        self._lanes.figures = figures

    def start_counting(self) -> None:
        """Tell how full queues and limits are; of several replicas, the one that works does."""
        self._lanes.is_told = True

    def run_changed(self, old: Body | None, new: Body, labels: tuple[str, str, str]) -> None:
        """Note that a run may have had its turn."""
        if text(old, "status", "state", "reason") != Reason.AWAITING_SLOT:
            return
        began, since = moment(new, "status", "state", "since"), moment(old, "status", "state", "since")
        if began and since and text(new, "status", "state", "reason") == Reason.JOB_CREATED:
            self._wait.labels(*labels).observe(max(0.0, (began - since).total_seconds()))
