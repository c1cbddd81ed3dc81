"""What Prometheus is told of automations: events, how actions went, how late messages were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from towpath_operator.reconcile.reading import mappings, moment, text
from towpath_operator.runtime.store import Body

_AUTOMATION: Final = ("namespace", "automation")
_LAGS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)


class _Waiting(Collector):
    """Since when automations have something to do that is not done."""

    def __init__(self) -> None:
        self.is_told = False
        self.since: dict[tuple[str, str], float] = {}

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "towpath_automation_oldest_waiting_timestamp_seconds",
            "When the event was taken in about which an automation has had something to do for longest.",
            labels=_AUTOMATION,
        )
        for labels, since in self.since.items() if self.is_told else ():
            waiting.add_metric(labels, since)
        yield waiting


class AutomationMetrics:
    """The metrics of automations."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting = _Waiting()
        registry.register(self._waiting)
        self._triggered = Counter(
            "towpath_automation_triggered", "Events that automations have taken in.", _AUTOMATION, registry=registry
        )
        self._actions = Counter(
            "towpath_automation_actions",
            "Actions of automations that are over: done, or given_up.",
            (*_AUTOMATION, "outcome"),
            registry=registry,
        )
        self._deliveries = Counter(
            "towpath_automation_deliveries",
            "Attempts to send a webhook: delivered, or why not.",
            (*_AUTOMATION, "outcome"),
            registry=registry,
        )
        self._lag = Histogram(
            "towpath_automation_delivery_lag_seconds",
            "From an event until a receiver took the message about it.",
            _AUTOMATION,
            buckets=_LAGS,
            registry=registry,
        )

    def start_counting(self) -> None:
        """Tell how automations stand; of several replicas, the one that works does."""
        self._waiting.is_told = True

    def changed(self, old: Body | None, new: Body | None) -> None:
        """Note how an automation is now; `new` is None if it is gone."""
        body = new if new is not None else old
        place = (text(body, "metadata", "namespace"), text(body, "metadata", "name"))
        since = [taken for one in mappings(new, "status", "pending") if (taken := moment(one, "taken"))]
        if since:
            self._waiting.since[place] = min(since).timestamp()
        else:
            self._waiting.since.pop(place, None)

    def triggered(self, namespace: str, automation: str, count: int) -> None:
        """Count events."""
        self._triggered.labels(namespace, automation).inc(count)

    def over(self, namespace: str, automation: str, outcome: str, count: int) -> None:
        """Count actions that are done or given up."""
        self._actions.labels(namespace, automation, outcome).inc(count)

    def attempted(self, namespace: str, automation: str, outcome: str) -> None:
        """Count an attempt to send a webhook."""
        self._deliveries.labels(namespace, automation, outcome).inc()

    def delivered(self, namespace: str, automation: str, lag_seconds: float) -> None:
        """Note how long after its event a message was taken."""
        self._lag.labels(namespace, automation).observe(lag_seconds)
