"""What a program tells Prometheus, at one moment: sums, and how a histogram grew since an earlier moment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families


class Samples:
    """All samples of one scrape.

    Args:
        text: in Prometheus' text format.
    """

    def __init__(self, text: str) -> None:
        self._by_name: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._by_name.setdefault(sample.name, []).append((sample.labels, sample.value))

    def sum(self, name: str, /, **labels: str) -> float:
        """Add up the samples of a name that have these labels; 0 if there is none."""
        return sum(value for _, value in self._of(name, labels))

    def quantile(self, name: str, share: float, before: Samples | None = None, /, **labels: str) -> float:
        """Give the upper bound of the histogram's bucket that a quantile falls into; NaN if nothing was observed.

        Args:
            name: the histogram's, without `_bucket`.
            share: such as 0.99.
            before: an earlier scrape: only what was observed since counts.
            labels: series that count.
        """
        buckets: dict[float, float] = {}
        for sign, samples in ((1, self), (-1, before)):
            for found, value in samples._of(f"{name}_bucket", labels) if samples else ():
                bound = float(found["le"])
                buckets[bound] = buckets.get(bound, 0.0) + sign * value
        whole = buckets.get(math.inf, 0.0)
        return next((bound for bound in sorted(buckets) if whole and buckets[bound] >= share * whole), math.nan)

    def _of(self, name: str, labels: Mapping[str, str]) -> Iterator[tuple[Mapping[str, str], float]]:
        return (one for one in self._by_name.get(name, ()) if labels.items() <= one[0].items())
