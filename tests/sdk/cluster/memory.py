"""The cluster port over objects in memory: for unit tests that look at what is done, not at how it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tests.contract.fake_objects import FakeObjects, Refusal

from towpath.cluster.port import Body, Event, EventType, Expired, Listing, Selector
from towpath.errors import ClusterError, Conflict, NotFound, Refused

ERRORS: Mapping[int, type[ClusterError]] = {404: NotFound, 409: Conflict, 410: Expired}


class MemoryCluster:
    """A cluster in memory; `failures` are raised by the next calls, `calls` says what was asked."""

    def __init__(self, objects: FakeObjects | None = None, namespace: str = "default") -> None:
        self.objects = objects or FakeObjects()
        self.namespace = namespace
        self.calls: list[str] = []
        self.failures: list[tuple[str, Exception]] = []
        self.patience: list[float] = []

    def fail(self, call: str, *errors: Exception) -> None:
        """Let the next calls of this name raise these."""
        self.failures += [(call, error) for error in errors]

    def create_run(self, manifest: Body) -> Body:
        self._meet("create_run")
        return self._do(lambda: self.objects.create("flowruns", dict(manifest), self.namespace))

    def get_run(self, name: str) -> Body:
        self._meet("get_run")
        return self._do(lambda: self.objects.read("flowruns", name, self.namespace))

    def patch_status(self, name: str, operations: Sequence[Mapping[str, Any]]) -> Body:
        self._meet("patch_status")
        return self._do(lambda: self.objects.patch_status(name, self.namespace, [dict(o) for o in operations]))

    def list_runs(self, selector: Selector) -> Listing:
        self._meet("list_runs")
        listed = self.objects.listing("flowruns", self.namespace, query(selector))
        return Listing(tuple(listed["items"]), listed["metadata"]["resourceVersion"])

    def watch_runs(self, selector: Selector, resource_version: str) -> MemoryWatch:
        self._meet("watch_runs")
        return MemoryWatch(self.objects, self.namespace, selector, resource_version)

    def get_deployment(self, name: str) -> Body:
        self._meet("get_deployment")
        return self._do(lambda: self.objects.read("deployments", name, self.namespace))

    def list_deployments(self) -> Listing:
        self._meet("list_deployments")
        listed = self.objects.listing("deployments", self.namespace, {})
        return Listing(tuple(listed["items"]), listed["metadata"]["resourceVersion"])

    def list_limits(self) -> Listing:
        self._meet("list_limits")
        listed = self.objects.listing("concurrencylimits", self.namespace, {})
        return Listing(tuple(listed["items"]), listed["metadata"]["resourceVersion"])

    def with_patience(self, seconds: float) -> MemoryCluster:
        self.patience.append(seconds)
        return self

    def close(self) -> None:
        self.objects.close()

    def _meet(self, call: str) -> None:
        self.calls.append(call)
        for failure in self.failures:
            if failure[0] == call:
                self.failures.remove(failure)
                raise failure[1]

    def _do(self, what: Any) -> Body:
        try:
            body: Body = what()
        except Refusal as refusal:
            causes = refusal.body["details"].get("causes")
            kind = Refused if causes else Conflict if refusal.code == 422 else ERRORS.get(refusal.code, Refused)
            raise kind(str(refusal)) from refusal
        return body


class MemoryWatch:
    """A watch over objects in memory."""

    def __init__(self, objects: FakeObjects, namespace: str, selector: Selector, version: str) -> None:
        self._objects = objects
        self._closed = threading.Event()
        asked = query(selector) | {"resourceVersion": [version]}
        self._events = objects.watch("flowruns", namespace, asked, closed=self._closed.is_set)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def __iter__(self) -> Iterator[Event]:
        try:
            for event in self._events:
                yield Event(EventType(event["type"]), event["object"])
        except Refusal as refusal:
            raise Expired(str(refusal)) from refusal

    def close(self) -> None:
        self._closed.set()
        with self._objects.changed:
            self._objects.changed.notify_all()


def query(selector: Selector) -> dict[str, list[str]]:
    """Write a selector as the query of a request."""
    asked = {}
    if selector.labels:
        asked["labelSelector"] = [",".join(f"{key}={value}" for key, value in selector.labels.items())]
    if selector.name:
        asked["fieldSelector"] = [f"metadata.name={selector.name}"]
    return asked
