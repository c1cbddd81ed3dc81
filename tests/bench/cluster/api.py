"""The API server as the benchmark uses it: many objects at once, and a look-out that notes when what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from tests.bench.cluster.place import Place
from tests.cluster.output import say

from towpath import names
from towpath.errors import ClusterError
from towpath.states import TERMINAL
from towpath_operator.kinds import FLOWRUNS
from towpath_operator.runtime.client import Client
from towpath_operator.runtime.connection import connect
from towpath_operator.runtime.resources import Resource

ALL_JOBS: Final = Resource("batch", "v1", "jobs", "Job")
ALL_PODS: Final = Resource("", "v1", "pods", "Pod")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")
_NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace")
_AT_ONCE: Final = 16
_JOB_LABEL: Final = "batch.kubernetes.io/job-name"
_PROGRESS_SECONDS: Final = 10.0

_See: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Takes what a watch says: the event's type, and the object."""


class Api:
    """Requests of the benchmark itself; none of them is counted as the operator's."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @classmethod
    async def open(cls, place: Place) -> Api:
        """Connect as the cluster's administrator."""
        connection = await connect({"KUBECONFIG": str(place.cluster.kubeconfig)})
        return cls(Client(connection.configuration))

    async def namespace(self, name: str) -> str:
        """Make a namespace."""
        await self.client.create(_NAMESPACES, "", {"metadata": {"name": name}})
        return name

    async def create(self, resource: Resource, namespace: str, bodies: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """Create objects, many at once; give the moment at which each was sent, by name."""
        sent: dict[str, float] = {}

        async def one(body: Mapping[str, Any]) -> None:
            sent[body["metadata"]["name"]] = time.monotonic()
            await self.client.create(resource, namespace, body)

        await self.each(one, list(bodies))
        return sent

    async def each(self, do: Callable[[Any], Awaitable[object]], items: Sequence[Any]) -> None:
        """Do something for each item, some at the same time."""
        waiting = iter(items)

        async def work() -> None:
            for item in waiting:
                await do(item)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(_AT_ONCE, len(items))):
                tasks.create_task(work())

    async def objects(self, resource: Resource, namespace: str | None) -> list[dict[str, Any]]:
        """List everything of a kind."""
        return [body async for items, _ in self.client.pages(resource, namespace) for body in items]

    async def delete_all(self, resource: Resource, namespace: str) -> None:
        """Delete everything of a kind, and what it owns in the background."""

        async def one(body: Mapping[str, Any]) -> None:
            metadata = body["metadata"]
            await self.client.delete(resource, namespace, metadata["name"], uid=metadata["uid"])

        await self.each(one, await self.objects(resource, namespace))

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()


class Lookout:
    """Watches FlowRuns, Jobs and pods everywhere, and notes the first moment of each thing that matters, by name.

    Names of runs and raw Jobs are unique in the benchmark. Moments are of the monotonic clock.
    """

    def __init__(self, api: Api) -> None:
        self.appeared: dict[str, float] = {}
        """FlowRuns that were seen to exist."""
        self.jobs: dict[str, float] = {}
        """Jobs that were seen to exist, by the names of their runs, or their own."""
        self.started: dict[str, float] = {}
        """Containers that were seen to run."""
        self.stopped: dict[str, float] = {}
        """Containers that were seen to have ended."""
        self.running: dict[str, float] = {}
        """FlowRuns that said so."""
        self.ended: dict[str, float] = {}
        """FlowRuns in a terminal state."""
        self.live: dict[str, Mapping[str, Any]] = {}
        """The FlowRuns that have not ended, as they were last seen."""
        self.finished: dict[str, float] = {}
        """Jobs that are complete, or failed."""
        self._api = api
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        for resource, see in ((FLOWRUNS, self._run), (ALL_JOBS, self._job), (ALL_PODS, self._pod)):
            version = await self._list(resource, see)
            task = tasks.create_task(self._watch(resource, version, see))
            self._stack.callback(task.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def until(self, what: str, reached: Callable[[], int], wanted: int, seconds: float) -> None:
        """Wait until a count is as high as it should be, and say how far it is now and then.

        Raises:
            TimeoutError: it was not reached in time.
        """
        began = told = time.monotonic()
        while (count := reached()) < wanted:
            await asyncio.sleep(0.05)
            now = time.monotonic()
            if now > began + seconds:
                raise TimeoutError(f"{what}: {count} of {wanted} after {seconds:.0f} s")
            if now > told + _PROGRESS_SECONDS:
                say(f"  {what}: {count} of {wanted}")
                told = now

    async def _list(self, resource: Resource, see: _See) -> str:
        newest = ""
        async for items, version in self._api.client.pages(resource, None):
            newest = version
            for body in items:
                see("ADDED", body)
        return newest

    async def _watch(self, resource: Resource, version: str, see: _See) -> None:
        while True:
            try:
                version = version or await self._list(resource, see)
                async for event in self._api.client.watch(resource, None, version, heard=lambda: None):
                    if event["type"] == "ERROR":
                        version = ""
                        break
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        see(event["type"], event["object"])
            except ClusterError as error:  # the API server has more to do than it can
                say(f"  {error}")
                version = ""
                await asyncio.sleep(1)

    def _run(self, event: str, run: Mapping[str, Any]) -> None:
        name, now = run["metadata"]["name"], time.monotonic()
        self.appeared.setdefault(name, now)
        state = ((run.get("status") or {}).get("state") or {}).get("type", "")
        if event == "DELETED" or state in TERMINAL:
            self.live.pop(name, None)
        else:
            self.live[name] = run
        if state == "RUNNING":
            self.running.setdefault(name, now)
        if state in TERMINAL:
            self.ended.setdefault(name, now)

    def _job(self, _: str, job: Mapping[str, Any]) -> None:
        metadata, now = job["metadata"], time.monotonic()
        name = metadata.get("labels", {}).get(names.LABEL_RUN) or metadata["name"]
        self.jobs.setdefault(name, now)
        conditions = job["status"].get("conditions") or ()
        if any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions):
            self.finished.setdefault(name, now)

    def _pod(self, _: str, pod: Mapping[str, Any]) -> None:
        labels = pod["metadata"].get("labels", {})
        name = labels.get(names.LABEL_RUN) or labels.get(_JOB_LABEL)
        statuses = pod["status"].get("containerStatuses") or ()
        if name and statuses and {"running", "terminated"} & set(statuses[0]["state"]):
            self.started.setdefault(name, time.monotonic())
            if "terminated" in statuses[0]["state"]:
                self.stopped.setdefault(name, time.monotonic())
