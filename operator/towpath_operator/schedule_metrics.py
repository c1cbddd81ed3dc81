"""What Prometheus is told of schedules: runs made, how late, times left out, and Deployments whose schedules fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from towpath_operator.reconcile.deployment import SCHEDULED, Word
from towpath_operator.reconcile.reading import mappings, text
from towpath_operator.runtime.store import Body

_SCHEDULE: Final = ("namespace", "deployment", "schedule")
_LATENESS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 86_400)


class _Scheduled(Collector):
    """Which Deployments have schedules, and whether those make runs."""

    def __init__(self) -> None:
        self.is_told = False
        self.holds: dict[tuple[str, str], bool] = {}

    def collect(self) -> Iterator[Metric]:
        scheduled = GaugeMetricFamily(
            "towpath_deployment_scheduled",
            "1 if all schedules of a Deployment make runs, 0 if one of them fails; absent without any, or suspended.",
            labels=("namespace", "deployment"),
        )
        for labels, holds in self.holds.items() if self.is_told else ():
            scheduled.add_metric(labels, float(holds))
        yield scheduled


class ScheduleMetrics:
    """The metrics of schedules.

    Args:
        registry: where they are registered.
        clock: Unix time in seconds.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._scheduled = _Scheduled()
        registry.register(self._scheduled)
        self._lateness = Histogram(
            "towpath_schedule_lateness_seconds",
            "From the time for which a schedule makes a run until the run was made.",
            _SCHEDULE,
            buckets=_LATENESS,
            registry=registry,
        )
        self._missed = Counter(
            "towpath_schedule_missed",
            "Times of schedules that get no run, because nobody saw to them in time.",
            _SCHEDULE,
            registry=registry,
        )

    def start_counting(self) -> None:
        """Tell how Deployments stand; of several replicas, the one that works does."""
        self._scheduled.is_told = True

    def run_scheduled(self, namespace: str, deployment: str, schedule: str, due: datetime) -> None:
        """Note that a run was made for a time."""
        late = max(0.0, self._clock() - due.timestamp())
        self._lateness.labels(namespace, deployment, schedule).observe(late)

    def runs_missed(self, namespace: str, deployment: str, schedule: str, count: int) -> None:
        """Note that times get no run."""
        self._missed.labels(namespace, deployment, schedule).inc(count)

    def deployment_changed(self, old: Body | None, new: Body | None) -> None:
        """Note how a Deployment is now; `new` is None if it is gone."""
        body = new if new is not None else old
        place = (text(body, "metadata", "namespace"), text(body, "metadata", "name"))
        said = next((one for one in mappings(new, "status", "conditions") if one.get("type") == SCHEDULED), {})
        if not said or said.get("reason") == Word.SUSPENDED:
            self._scheduled.holds.pop(place, None)
        else:
            self._scheduled.holds[place] = said.get("status") == "True"
