"""Puts the parts together: what is seen goes to the store, what it concerns to the queue, what is decided to the API.

    kopf (Flow, Deployment, FlowRun) ─┐
    reflectors (Job, Pod) ────────────┼─▶ Store ─ a change ─▶ affected_by ─▶ WorkQueue ─▶ observe, decide, apply
    lists, sweeps, our own writes ────┘                                          ▲              │
                                                                                 └── later ─────┘

Nothing is decided before every kind has been listed in full: after a restart, what is not listed yet must not pass for
what is gone. Of several replicas one decides, the one that holds the Lease; the others know all that it knows, so that
each can go on at once. Every task runs as long as the process; the first that fails ends it, for starting again is
cheap and puts everything right.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import gc
import logging
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Final

from towpath.errors import ClusterError
from towpath_operator import endpoints, handlers, observe
from towpath_operator.admission.part import Admission
from towpath_operator.apply import Applier, JobRefusedError, RunRefusedError, StaleError, is_final
from towpath_operator.automations.part import Automations
from towpath_operator.complaints import Complaints
from towpath_operator.health import Health
from towpath_operator.kinds import BY_KOPF, BY_PLURAL, BY_REFLECTOR, EVENTS
from towpath_operator.logs import field_of
from towpath_operator.metrics import Metrics
from towpath_operator.reconcile import deployment, flow, flowrun, history, lane_status, revision
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.observed import ObservedFlowRun
from towpath_operator.reconcile.reading import mapping, text
from towpath_operator.runtime.backoff import Backoff
from towpath_operator.runtime.client import ApiError, Client
from towpath_operator.runtime.connection import Connection
from towpath_operator.runtime.guard import Guard
from towpath_operator.runtime.lease import Lease
from towpath_operator.runtime.listing import Filler
from towpath_operator.runtime.recorder import EventRecorder
from towpath_operator.runtime.reflector import Reflector
from towpath_operator.runtime.resources import Resource
from towpath_operator.runtime.store import Body, Store
from towpath_operator.runtime.sweeper import Sweeper
from towpath_operator.runtime.wall_clock import feel_steps
from towpath_operator.runtime.workqueue import WorkQueue
from towpath_operator.settings import Settings
from towpath_operator.view import INDEXES, StoreView, lean, says_the_same

log = logging.getLogger(__name__)

#: Long enough for the changes that one write brings about to arrive, short beside what a person notices.
_REST_SECONDS: Final = 0.05


class Operator:
    """One operator process, from its first list to its last write."""

    def __init__(self, settings: Settings, connection: Connection) -> None:
        self.port = settings.listen_port
        """Where the HTTP endpoints are; if 0 was set, known once it runs."""
        self._settings = settings
        self._policy = settings.policy
        self._connection = connection
        self._namespaces: Sequence[str | None] = settings.namespaces or (None,)
        self._queue: WorkQueue[observe.Key] = WorkQueue(Backoff(base=0.05, cap=60.0), rest=_REST_SECONDS)
        self._store = Store(INDEXES, lean=lean, listener=self._changed)
        self._view = StoreView(self._store)
        self._metrics = Metrics(
            queue_depth=lambda: len(self._queue) if self._works.is_set() else 0,
            version=metadata.version("towpath"),
        )
        self._metrics.lanes.ask(self._view.lanes.figures)
        self._health = Health(stale_seconds=settings.stale_seconds, stuck_seconds=self._stuck_seconds)
        self._lease_client = Client(connection.configuration, self._metrics.api_request)
        self._lease = self._own_lease()
        self._client = Client(connection.configuration, self._metrics.api_request, may_write=self._may_write)
        self._recorder = EventRecorder(self._client, EVENTS, "towpath-operator")
        self._applier = Applier(
            self._client,
            self._store,
            self._recorder,
            self._metrics.schedules,
            removed=self._metrics.run_removed,
            retried=self._metrics.run_retried,
        )
        self._automations = Automations(
            self._client,
            self._store,
            self._applier,
            self._metrics.automations,
            wake=self._queue.add,
            may_write=self._may_write,
            hosts=settings.webhook_hosts,
        )
        self._complaints = Complaints(self._client)
        self._filler = Filler(self._client, self._store, BY_KOPF, self._namespaces)
        self.admission = Admission(
            settings,
            self._client,
            self._store,
            self._view,
            metrics=self._metrics.admission,
            is_listed=self._filler.filled.is_set,
        )
        """The webhook, and where it is."""
        self._sweeper = Sweeper(
            self._client,
            self._store,
            (*BY_KOPF, *BY_REFLECTOR),
            self._namespaces,
            every=settings.sweep_seconds,
            missed=self._health.missed,
        )
        self._served = asyncio.Event()
        self._listed = asyncio.Event()
        self._works = asyncio.Event()
        self._works_since = 0.0
        self._kopf_ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._stop_kopf = asyncio.Event()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then end in order.

        Raises:
            ExceptionGroup: a task failed, and with it the operator; LeaseLostError in it: another replica may work now.
            ConfigurationError: a port is taken.
        """
        self._catch_signals()
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._client.close)
            stack.push_async_callback(self._lease_client.close)
            front = await stack.enter_async_context(contextlib.AsyncExitStack())
            self.port = await front.enter_async_context(
                endpoints.serve(self._settings.listen_port, self._metrics.registry, self._health)
            )
            log.info("Listening on port %d.", self.port)
            await front.enter_async_context(self.admission.served())
            async with asyncio.TaskGroup() as tasks:
                await self._live(tasks, front)

    def stop(self) -> None:
        """Begin no more work, finish what is in hand, and end; what SIGTERM does."""
        self._stop.set()

    async def _live(self, tasks: asyncio.TaskGroup, front: contextlib.AsyncExitStack) -> None:
        # kopf, when it ends, waits some seconds for every task that began after it did, and cancels it: all of ours
        # begin before it, and those of the HTTP server end before it.
        reflectors = [self._reflector(resource, space) for resource in BY_REFLECTOR for space in self._namespaces]
        background = [
            tasks.create_task(forever)
            for forever in (
                *(reflector.run() for reflector in reflectors),
                self._health.feel_the_loop(),
                self._connection.keep_fresh(),
                self._recorder.run(),
                self._filler.run(),
                self._sweep(),
                self._take_signals_back(),
                feel_steps(self._clock_was_set),
                *([self._lease.run()] if self._lease else []),
            )
        ]
        workers = [tasks.create_task(self._worker()) for _ in range(self._settings.workers)]
        starting = tasks.create_task(self._start(reflectors))
        kopf = tasks.create_task(self._watch_with_kopf())
        await self._stop.wait()
        log.info("Stopping.")
        self._health.stopping()
        self._queue.stop()
        starting.cancel()
        self._served.set()
        self._listed.set()
        self._works.set()
        _, unfinished = await asyncio.wait(workers, timeout=self._settings.drain_seconds)
        await front.aclose()
        await self._automations.close()
        self._stop_kopf.set()
        await asyncio.wait([kopf])
        for task in (*unfinished, *background):
            task.cancel()
        if self._lease:
            await asyncio.wait((*unfinished, *background))  # nothing is written, and the Lease not renewed, any more
            await self._lease.release()

    async def _start(self, reflectors: Sequence[Reflector]) -> None:
        """Wait until everything has been listed, then let the work begin."""
        for resource in BY_KOPF:
            await self._await_kind(resource)
        self._served.set()
        await self._filler.filled.wait()
        for reflector in reflectors:
            await reflector.synced.wait()
        gc.collect()
        gc.freeze()  # what is listed mostly stays: each search through all of it for garbage would stop all work
        self._health.ready()
        self._listed.set()
        log.info(
            "Everything is listed: %s.", ", ".join(f"{self._store.count(plural)} {plural}" for plural in BY_PLURAL)
        )
        if self._lease:
            await self._lease.held.wait()
            await self._catch_up()
        for body in self._store.all("deployments"):
            named = text(body, "spec", "flowRef")
            self._metrics.deployment_listed(body, self._store.get("flows", body["metadata"]["namespace"], named))
        self._works_since = asyncio.get_running_loop().time()
        self._metrics.start_counting()
        self._works.set()

    async def _catch_up(self) -> None:
        """See what the one before us did last: a watch that is behind would have us do it again."""
        backoff, failures = Backoff(base=0.2, cap=5.0), 0
        while True:
            try:
                return await self._sweeper.catch_up()
            except ClusterError as error:
                failures += 1
                log.warning("What there is cannot be listed, so the work does not begin yet: %s", error)
                await asyncio.sleep(backoff.delay(failures))

    async def _await_kind(self, resource: Resource) -> None:
        """Wait until a kind is served, and we may see it: kopf would not say why it does not watch."""
        backoff, failures = Backoff(base=0.5, cap=15.0), 0
        while True:
            try:
                for namespace in self._namespaces:
                    async with contextlib.aclosing(self._client.pages(resource, namespace, size=1)) as pages:
                        await anext(pages)
                return
            except ClusterError as error:
                failures += 1
                absent = isinstance(error, ApiError) and error.status == 404
                hint = " Are the CRDs installed? They are in the chart, and in crds/." if absent else ""
                log.warning("The %s cannot be listed: %s%s", resource.plural, error, hint)
                await asyncio.sleep(backoff.delay(failures))

    async def _sweep(self) -> None:
        await self._listed.wait()
        await self._sweeper.run()

    async def _watch_with_kopf(self) -> None:
        await self._served.wait()
        if self._stop.is_set():
            return
        guard = Guard(
            self._connection.configuration,
            {resource.plural for resource in BY_KOPF},
            observer=self._metrics.api_request,
            heard=self._heard,
            listed=self._filler.listed,
            is_news=self._store.is_news,
        )
        await handlers.run(
            handlers.registry(self._store, BY_KOPF),
            self._connection.configuration.host,
            lambda: self._client.open_session(guard),
            self._settings.namespaces,
            ready=self._kopf_ready,
            stop=self._stop_kopf,
        )
        self._stop.set()  # without an error it ends only when told to: by us, or by a signal before we took them back

    async def _take_signals_back(self) -> None:
        await self._kopf_ready.wait()
        self._catch_signals()

    def _catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop)

    def _own_lease(self) -> Lease | None:
        namespace, _, name = self._settings.lease.partition("/")
        if not name:
            return None
        return Lease(self._lease_client, namespace, name, self._settings.identity or socket.gethostname())

    def _may_write(self) -> bool:
        return self._lease is None or self._lease.is_held()

    def _stuck_seconds(self) -> float:
        """Tell for how long there has been work for this replica, and none of it got done."""
        if not self._works.is_set():
            return 0.0
        return min(self._queue.stuck_seconds(), asyncio.get_running_loop().time() - self._works_since)

    def _clock_was_set(self, seconds: float) -> None:
        log.warning("The clock was set by %+.1f s; looking at everything that waits for its time.", seconds)
        self._queue.ring_all()

    def _reflector(self, resource: Resource, namespace: str | None) -> Reflector:
        heard = functools.partial(self._heard, resource.plural, namespace)
        return Reflector(self._client, self._store, resource, namespace, heard=heard)

    def _heard(self, plural: str, namespace: str | None) -> None:
        self._health.heard(plural, namespace)
        self._metrics.heard(plural)

    def _changed(self, plural: str, old: Body | None, new: Body | None) -> None:
        """Mark what a change of the store concerns; the store's listener."""
        body = new if new is not None else old
        assert body is not None
        if says_the_same(old, new):
            return
        if plural == "flowruns":
            self._metrics.run_changed(old, new)
            if history_of := self._view.run_changed(old, new):
                self._queue.add(history_of)
            for looking in self._automations.run_changed(old, new):
                self._queue.add(looking)
            if counted := observe.counted_by(old, new):
                self._queue.add(counted)
            state = mapping(new, "status", "state")
            if self._works.is_set() and state and state != mapping(old, "status", "state"):
                about = {"namespace": body["metadata"]["namespace"], "run": body["metadata"]["name"]}
                log.info("%s %s %s", state.get("type"), state.get("reason", ""), state.get("message", ""), extra=about)
        if plural == "deployments":
            self._metrics.schedules.deployment_changed(old, new)
            self._queue.add(observe.key_of(plural, body)._replace(plural=observe.HISTORY))
        if new is None:
            self._queue.forget(observe.key_of(plural, body))
        if plural == "automations":
            self._automations.changed(old, new)
        for key in observe.affected_by(self._view, plural, body, deleted=new is None):
            self._queue.add(key)
        self._view.lanes.changed(plural, old, new)
        self._wake()

    def _wake(self) -> None:
        """Mark those whose turn it may be."""
        for key in self._view.lanes.woken():
            self._queue.add(key)

    async def _worker(self) -> None:
        await self._works.wait()
        while (key := await self._queue.get()) is not None:
            try:
                await self._reconcile(key)
            finally:
                self._queue.done(key)
            await asyncio.sleep(0)  # thousands of keys without anything to do must not hold up the event loop

    async def _reconcile(self, key: observe.Key) -> None:
        kind = BY_PLURAL[key.plural].kind if key.plural in BY_PLURAL else key.plural.capitalize()
        about = {"namespace": key.namespace, field_of(kind): key.name}
        began = time.perf_counter()
        try:
            again = await self._look_at(key, about)
        except StaleError as error:
            log.debug("%s", error, extra=about)
            self._queue.failed(key)
        except ClusterError as error:
            self._metrics.reconcile_failed(kind)
            delay = self._queue.failed(key, at_least=getattr(error, "retry_after", None) or 0.0)
            log.warning("%s; trying again in %.1f s.", error, delay, extra=about)
        except Exception:
            self._metrics.reconcile_failed(kind)
            delay = self._queue.failed(key)
            log.exception("A bug; trying again in %.1f s.", delay, extra=about)
        else:
            self._queue.succeeded(key)
            self._queue.set_timer(key, again)
        finally:
            self._metrics.reconciled(kind, time.perf_counter() - began)

    async def _look_at(self, key: observe.Key, about: Mapping[str, str]) -> float | None:
        """Observe, decide and apply; give the seconds until the object has to be looked at again."""
        now = datetime.now(UTC)
        match key.plural:
            case "flowruns":
                run = observe.flowrun(self._view, key.namespace, key.name, self._policy)
                try:
                    return await self._apply_to_run(key, await self._decide_about_run(run, now))
                except JobRefusedError as refusal:
                    assert run is not None
                    log.warning("%s", refusal, extra=about)
                    decision = flowrun.job_refused(run, refusal.status, refusal.message, now)
                    return await self._apply_to_run(key, decision)
            case observe.REVISIONS:
                settled = observe.revision(self._view, key.namespace, key.name)
                return await self._apply(revision.decide(settled, now) if settled else Decision())
            case "flows":
                found = observe.flow(self._view, key.namespace, key.name, self._policy)
                return await self._apply(flow.decide(found, now) if found else Decision())
            case "deployments":
                return await self._look_at_deployment(key, now, about)
            case "queues" | "concurrencylimits":
                lane = self._view.lane(key)
                decision = lane_status.decide(key.plural, lane, now) if lane else Decision()
                again = await self._apply(decision)
                self._view.lanes.given(key, decision.gives)
                self._wake()
                return again
            case "automations":
                return await self._automations.look_at(key, now)
            case observe.HISTORY:
                is_awaited = self._automations.awaits(key.namespace, now)
                ended = observe.history(self._view, key.namespace, key.name, self._policy, is_awaited)
                return await self._apply(history.decide(ended, now))
            case _:
                raise AssertionError(f"nothing is decided about {key.plural}")

    async def _decide_about_run(self, run: ObservedFlowRun | None, now: datetime) -> Decision:
        decision = flowrun.decide(run, now) if run else Decision()
        if run is None or not decision.asks_why:
            return decision
        namespace = run.run["metadata"]["namespace"]
        return flowrun.decide(dataclasses.replace(run, complaints=await self._complaints.of(namespace)), now)

    async def _look_at_deployment(self, key: observe.Key, now: datetime, about: Mapping[str, str]) -> float | None:
        """Do what is to be done about a Deployment; what is refused to one schedule does not stop the others."""
        refused: dict[str, str] = {}
        while True:
            found = observe.deployment(self._view, key.namespace, key.name, self._policy)
            if found is None:
                return None
            try:
                return await self._apply(deployment.decide(dataclasses.replace(found, refused=refused), now))
            except RunRefusedError as refusal:
                log.warning("%s", refusal, extra=about)
                refused[refusal.schedule] = refusal.message

    async def _apply_to_run(self, key: observe.Key, decision: Decision) -> float | None:
        """Apply a decision about a run. Its slots are its own from now on: others are decided about meanwhile."""
        self._view.lanes.decided(key, decision)
        self._wake()
        try:
            return await self._apply(decision)
        except ClusterError as error:
            if is_final(error):
                self._view.lanes.failed(key)
                self._wake()
            raise

    async def _apply(self, decision: Decision) -> float | None:
        if decision.bug is not None:
            raise decision.bug
        await self._applier.apply(decision)
        return decision.requeue_after
