"""What Prometheus is told of the webhook: what was asked about, what was said, and how long it took."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class AdmissionMetrics:
    """The metrics of the webhook; each replica's own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reviews = Counter(
            "towpath_admission_reviews",
            "Objects that the API server has asked about: accepted, warned, refused, or unanswered.",
            ("kind", "answer"),
            registry=registry,
        )
        self._seconds = Histogram(
            "towpath_admission_review_seconds",
            "How long an answer took.",
            buckets=_SECONDS,
            registry=registry,
        )

    def reviewed(self, kind: str, answer: str, seconds: float) -> None:
        """Note that the API server was answered."""
        self._reviews.labels(kind, answer).inc()
        self._seconds.observe(seconds)
