"""What Prometheus is told of automations: events, how actions went, how late messages were."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

_AUTOMATION: Final = ("namespace", "automation")
_LAGS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)


class AutomationMetrics:
    """The metrics of automations."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
