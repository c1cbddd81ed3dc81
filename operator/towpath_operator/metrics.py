"""What Prometheus is told; every name and label here is a promise to dashboards and alerts (docs/reference/metrics.md).

Labels are bounded: a namespace, a flow, a deployment, a state, a reason; never a run's name.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from towpath import names
from towpath.states import Reason, StateType
from towpath_operator.admission.metrics import AdmissionMetrics
from towpath_operator.automations.metrics import AutomationMetrics
from towpath_operator.lane_metrics import LaneMetrics
from towpath_operator.reconcile.reading import integer, mapping, mappings, moment, text
from towpath_operator.reconcile.resolve import name_of_flow
from towpath_operator.runtime.store import Body
from towpath_operator.schedule_metrics import ScheduleMetrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each counter and histogram, which no query of ours asks for

_RUN: Final = ("namespace", "flow", "deployment")
_DURATIONS: Final = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400)
_LATENCIES: Final = (0.25, 0.5, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 30, 60, 120, 300, 600)
_RECONCILES: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_REQUESTS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_REASONS: Final = frozenset(Reason)


class RunLabels(NamedTuple):
    """Labels that every metric about runs has."""

    namespace: str
    flow: str
    deployment: str


def labels_of(run: Body) -> RunLabels:
    """Give a run's labels; the flow is empty as long as nobody knows it."""
    return RunLabels(
        text(run, "metadata", "namespace"),
        text(run, "status", "flow") or text(run, "metadata", "labels", names.LABEL_FLOW),
        text(run, "spec", "deploymentRef"),
    )


def state_of(run: Body) -> StateType:
    """Give a run's state; one that nobody has looked at yet is SCHEDULED."""
    found = text(run, "status", "state", "type")
    return StateType(found) if found in set(StateType) else StateType.SCHEDULED


def reason_of(run: Body, *path: str) -> str:
    """Give the reason at the path if it is one of ours, else "Other": labels stay few whatever runs say."""
    found = text(run, *path)
    return found if found in _REASONS else "Other"


def pending_since(run: Body) -> datetime | None:
    """Give the moment at which a PENDING run became so, for whatever reasons since; None: not pending."""
    if state_of(run) is not StateType.PENDING:
        return None
    since = moment(run, "status", "state", "since")
    attempt = integer(run, "status", "attempt")
    for entry in reversed(mappings(run, "status", "history")):
        if entry.get("type") != StateType.PENDING or entry.get("attempt") != attempt:
            break
        since = moment(entry, "at") or since
    return since


class _Runs(Collector):
    """How many runs there are of which kind, and since when the oldest are PENDING; kept up to date with each change.

    Counting ten thousand runs at each scrape would hold up the event loop for longer than a reconcile may take.
    """

    def __init__(self) -> None:
        self.is_told = False
        """Whether these are told; each run is told of by the one replica that works."""
        self._counts: Tally[tuple[str, ...]] = Tally()
        self._pending: dict[tuple[str, str], tuple[RunLabels, float]] = {}

    def change(self, old: Body | None, new: Body | None) -> None:
        for run, step in ((old, -1), (new, 1)):
            if run is not None:
                counted = (*labels_of(run), state_of(run).value)
                self._counts[counted] += step
                if not self._counts[counted]:
                    del self._counts[counted]
        run = new if new is not None else old
        place = (text(run, "metadata", "namespace"), text(run, "metadata", "name"))
        since = pending_since(new) if new is not None else None
        if new is not None and since is not None:
            self._pending[place] = (labels_of(new), since.timestamp())
        else:
            self._pending.pop(place, None)

    def collect(self) -> Iterator[Metric]:
        if not self.is_told:
            return
        runs = GaugeMetricFamily("towpath_flowruns", "FlowRuns that exist, by state.", labels=(*_RUN, "state"))
        for values, count in self._counts.items():
            runs.add_metric(values, count)
        yield runs
        oldest: dict[RunLabels, float] = {}
        for labels, since in self._pending.values():
            oldest[labels] = min(since, oldest.get(labels, since))
        pending = GaugeMetricFamily(
            "towpath_flowruns_oldest_pending_timestamp_seconds",
            "When the FlowRun that has been PENDING longest became so; absent when none is.",
            labels=_RUN,
        )
        for labels, since in oldest.items():
            pending.add_metric(labels, since)
        yield pending


class Metrics:
    """All metrics, in a registry of their own.

    Args:
        queue_depth: tells how many objects wait for a worker, at each scrape.
        version: the operator's.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        *,
        queue_depth: Callable[[], float],
        version: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.registry = registry = CollectorRegistry()
        self._clock = clock
        self._counting = False
        self._last_success: dict[RunLabels, float] = {}
        self._runs = _Runs()
        registry.register(self._runs)
        self._finished = Counter(
            "towpath_flowruns_finished",
            "FlowRuns that ended while the operator looked on.",
            (*_RUN, "state", "reason"),
            registry=registry,
        )
        self._duration = Histogram(
            "towpath_flowrun_duration_seconds",
            "From the start of a FlowRun's last attempt to the run's end.",
            (*_RUN, "state"),
            buckets=_DURATIONS,
            registry=registry,
        )
        self._start_latency = Histogram(
            "towpath_flowrun_start_latency_seconds",
            "From a FlowRun's creation, or its scheduledTime if later, until it was RUNNING for the first time.",
            _RUN,
            buckets=_LATENCIES,
            registry=registry,
        )
        self._success = Gauge(
            "towpath_flowrun_last_success_timestamp_seconds",
            "When a FlowRun COMPLETED last; absent as long as none is known to have.",
            _RUN,
            registry=registry,
        )
        self._infra_retries = Counter(
            "towpath_flowrun_infra_retries",
            "New attempts of FlowRuns after infrastructure failures.",
            (*_RUN, "reason"),
            registry=registry,
        )
        self._removed = Counter(
            "towpath_flowruns_removed",
            "FlowRuns that the operator removed, by a ttl or by their Deployment's history.",
            _RUN,
            registry=registry,
        )
        self._reconciles = Histogram(
            "towpath_operator_reconcile_duration_seconds",
            "Time to look at one object and to do what is to be done, waiting for the API server included.",
            ("kind",),
            buckets=_RECONCILES,
            registry=registry,
        )
        self._errors = Counter(
            "towpath_operator_reconcile_errors",
            "Objects that could not be dealt with, each time it was tried.",
            ("kind",),
            registry=registry,
        )
        Gauge("towpath_operator_queue_depth", "Objects that wait for a worker.", registry=registry).set_function(
            queue_depth
        )
        self._requests = Counter(
            "towpath_operator_api_requests",
            "Requests to the API server; code is error where none came back.",
            ("verb", "resource", "code"),
            registry=registry,
        )
        self._request_seconds = Histogram(
            "towpath_operator_api_request_duration_seconds",
            "Time to the API server's answer; of a watch, until it began.",
            ("verb", "resource"),
            buckets=_REQUESTS,
            registry=registry,
        )
        self._heard = Gauge(
            "towpath_operator_watch_last_event_timestamp_seconds",
            "When the watch on a kind gave its last sign of life: an event, a bookmark, or a new connection.",
            ("resource",),
            registry=registry,
        )
        self._leader = Gauge(
            "towpath_operator_leader", "1 in the replica that works, 0 in one that stands by.", registry=registry
        )
        self.schedules = ScheduleMetrics(registry, clock)
        self.lanes = LaneMetrics(registry)
        self.automations = AutomationMetrics(registry)
        self.admission = AdmissionMetrics(registry)
        Gauge("towpath_operator_info", "The operator that runs; always 1.", ("version",), registry=registry).labels(
            version
        ).set(1)

    def start_counting(self) -> None:
        """Tell of runs, and count ends, starts and retries, from now on: what came before is how things stood."""
        self._counting = self._runs.is_told = True
        for labels, at in self._last_success.items():
            self._success.labels(*labels).set(at)
        self._leader.set(1)
        self.schedules.start_counting()
        self.lanes.start_counting()
        self.automations.start_counting()

    def deployment_listed(self, deployment: Body, flow: Body | None) -> None:
        """Note when a Deployment's runs COMPLETED last, before counting begins: the run itself may be gone."""
        if flow is not None and (last := moment(deployment, "status", "lastSucceeded")):
            metadata = mapping(deployment, "metadata")
            labels = RunLabels(text(metadata, "namespace"), name_of_flow(flow), text(metadata, "name"))
            self._last_success[labels] = max(last.timestamp(), self._last_success.get(labels, 0.0))

    def run_changed(self, old: Body | None, new: Body | None) -> None:
        """Note how a FlowRun changed; `old` is None if it was not known before, `new` if it is gone."""
        self._runs.change(old, new)
        if new is None:
            return
        labels, state = labels_of(new), state_of(new)
        if state is StateType.COMPLETED and (end := moment(new, "status", "completionTime")):
            self._last_success[labels] = max(end.timestamp(), self._last_success.get(labels, 0.0))
            if self._counting:
                self._success.labels(*labels).set(self._last_success[labels])
        if not self._counting:
            return
        self.lanes.run_changed(old, new, labels)
        start = moment(new, "status", "startTime")
        if start and not (old and text(old, "status", "startTime")):
            wanted = (moment(new, "metadata", "creationTimestamp"), moment(new, "spec", "scheduledTime"))
            since = max(filter(None, wanted), default=start)
            self._start_latency.labels(*labels).observe(max(0.0, (start - since).total_seconds()))
        if state.is_terminal and not (old and state_of(old).is_terminal):
            self._finished.labels(*labels, state.value, reason_of(new, "status", "state", "reason")).inc()
            if start and (end := moment(new, "status", "completionTime")):
                self._duration.labels(*labels, state.value).observe(max(0.0, (end - start).total_seconds()))

    def run_retried(self, run: Body, reason: str) -> None:
        """Note that a FlowRun gets a new attempt, because the one before ended for a reason that is not its own."""
        self._infra_retries.labels(*labels_of(run), reason if reason in _REASONS else "Other").inc()

    def run_removed(self, run: Body) -> None:
        """Note that the operator removed a FlowRun."""
        self._removed.labels(*labels_of(run)).inc()

    def reconciled(self, kind: str, seconds: float) -> None:
        """Note that an object was dealt with, well or not."""
        self._reconciles.labels(kind).observe(seconds)

    def reconcile_failed(self, kind: str) -> None:
        """Note that an object could not be dealt with."""
        self._errors.labels(kind).inc()

    def api_request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Note a request to the API server."""
        self._requests.labels(verb, resource, code).inc()
        self._request_seconds.labels(verb, resource).observe(seconds)

    def heard(self, resource: str) -> None:
        """Note a sign of life of a kind's watch."""
        self._heard.labels(resource).set(self._clock())
