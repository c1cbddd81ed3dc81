"""Applying decisions: each action against a server on loopback, with what can come between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration
from tests.builders import NAMESPACE, make_flowrun, make_job, make_pod
from tests.operator.runtime.api_server import ApiServer, serving
from tests.operator.runtime.clock import real_time, until

from towpath.errors import ClusterError, Unreachable
from towpath_operator.apply import Applier, JobRefusedError, StaleError
from towpath_operator.reconcile.decision import (
    Action,
    ConfirmGone,
    ConfirmPodsEnded,
    CreateJob,
    Decision,
    DeleteJob,
    DeleteRun,
    EmitEvent,
    KillPod,
    PatchStatus,
)
from towpath_operator.runtime.client import ApiError, Client
from towpath_operator.runtime.store import Store

RUN = make_flowrun("r", flow_ref="f")
UID = RUN["metadata"]["uid"]


@dataclass
class Recorder:
    """Keeps what it is told."""

    events: list[tuple[str, str, bool]] = field(default_factory=list)

    def record(self, regarding: Mapping[str, Any], reason: str, message: str, *, warning: bool = False) -> None:
        self.events.append((reason, message, warning))


@dataclass
class Tally:
    """Counts what schedules do."""

    made: list[tuple[str, ...]] = field(default_factory=list)
    missed: list[tuple[Any, ...]] = field(default_factory=list)

    def run_scheduled(self, namespace: str, deployment: str, schedule: str, due: datetime) -> None:
        self.made.append((namespace, deployment, schedule, due.isoformat()))

    def runs_missed(self, namespace: str, deployment: str, schedule: str, count: int) -> None:
        self.missed.append((namespace, deployment, schedule, count))


@dataclass
class World:
    """A server, a store, and an applier between them."""

    server: ApiServer
    store: Store
    applier: Applier
    recorder: Recorder
    tally: Tally = field(default_factory=Tally)
    removed: list[str] = field(default_factory=list)

    async def apply(self, *actions: Action) -> None:
        await self.applier.apply(Decision(actions))

    def put(self, plural: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make an object that server and store both have."""
        kept = self.server.put(plural, body)
        self.store.put(plural, kept)
        return kept


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with serving() as server:
        client, store, recorder, tally = Client(Configuration(host=server.url)), Store(), Recorder(), Tally()
        try:
            removed: list[str] = []
            applier = Applier(
                client, store, recorder, tally, removed=lambda run: removed.append(run["metadata"]["name"])
            )
            yield World(server, store, applier, recorder, tally, removed)
        finally:
            await client.close()


def job_manifest() -> dict[str, Any]:
    job = make_job(RUN)
    return {"metadata": {key: job["metadata"][key] for key in ("name", "labels", "ownerReferences")}, "spec": {}}


CREATE = CreateJob(NAMESPACE, job_manifest(), UID)
JOB = CREATE.manifest["metadata"]["name"]


def patch_of(run: dict[str, Any], **status: Any) -> PatchStatus:
    operations = tuple({"op": "add", "path": f"/status/{key}", "value": value} for key, value in status.items())
    metadata = run["metadata"]
    return PatchStatus("flowruns", NAMESPACE, metadata["name"], metadata["resourceVersion"], operations)


@real_time
async def test_a_job_is_created_and_known() -> None:
    """The Job is on the server, and in the store before its watch event comes."""
    async with world() as it:
        await it.apply(CREATE)
        assert it.server.get("jobs", NAMESPACE, JOB)
        assert it.store.get("jobs", NAMESPACE, JOB) == it.server.get("jobs", NAMESPACE, JOB)


@real_time
async def test_a_job_that_is_there_and_ours_is_success() -> None:
    """Creating a Job twice, as after a restart in the middle, is no error, and makes the Job known."""
    async with world() as it:
        await it.apply(CREATE)
        it.store = Store()
        it.applier = Applier(it.applier._client, it.store, it.recorder, it.tally)
        await it.apply(CREATE)
        assert it.store.get("jobs", NAMESPACE, JOB)
        assert len(it.server.all("jobs")) == 1


@real_time
async def test_a_job_of_somebody_else_is_an_error() -> None:
    """A Job of that name with another owner is neither taken nor touched, and the error says what to do."""
    async with world() as it:
        it.server.put("jobs", make_job(make_flowrun("other"), name=JOB))
        with pytest.raises(ClusterError, match="belongs to somebody else: delete it"):
            await it.apply(CREATE)
        assert it.store.get("jobs", NAMESPACE, JOB) is None


@real_time
async def test_a_job_that_goes_while_it_is_looked_at_is_looked_at_again() -> None:
    """A name that is taken and then free again leads to another look, not to an error."""
    async with world() as it:
        it.server.fail("create", "jobs", 409)
        with pytest.raises(StaleError):
            await it.apply(CREATE)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "strict decoding error: unknown field spec.template.spec.containers[0].resurces"),
        (403, "exceeded quota: few-jobs"),
        (422, "Job is invalid: spec.template.spec.containers[0].image: Required value"),
        (500, 'Internal error occurred: failed calling webhook "agree.example.com": connection refused'),
    ],
)
@real_time
async def test_a_refused_job_is_told_apart(status: int, message: str) -> None:
    """What the API server has against this very Job is handed on with its words, for the run's status."""
    async with world() as it:
        it.server.fail("create", "jobs", status, message=message)
        with pytest.raises(JobRefusedError) as caught:
            await it.apply(CREATE)
    assert (caught.value.status, caught.value.message) == (status, message)


@pytest.mark.parametrize("status", [404, 429, 500, 503])
@real_time
async def test_other_answers_are_failures(status: int) -> None:
    """What is not about the Job is an error that is tried again."""
    async with world() as it:
        it.server.fail("create", "jobs", status)
        with pytest.raises(ApiError):
            await it.apply(CREATE)


@real_time
async def test_a_lost_answer_is_a_failure() -> None:
    """A connection that breaks leaves it open whether the Job was created; trying again finds out."""
    async with world() as it:
        it.server.fail("create", "jobs", 0)
        with pytest.raises(Unreachable):
            await it.apply(CREATE)
        await it.apply(CREATE)
        assert len(it.server.all("jobs")) == 1


@real_time
async def test_exactly_this_job_is_deleted() -> None:
    """A Job is deleted by its UID; one that is gone, or was made anew, is left alone and is success."""
    async with world() as it:
        job = it.put("jobs", make_job(RUN))
        await it.apply(DeleteJob(NAMESPACE, JOB, "another-uid"))
        assert it.server.get("jobs", NAMESPACE, JOB)
        await it.apply(DeleteJob(NAMESPACE, JOB, job["metadata"]["uid"]))
        assert not it.server.get("jobs", NAMESPACE, JOB)
        await it.apply(DeleteJob(NAMESPACE, JOB, job["metadata"]["uid"]))
        it.server.fail("delete", "jobs", 500)
        with pytest.raises(ApiError):
            await it.apply(DeleteJob(NAMESPACE, JOB, job["metadata"]["uid"]))


@real_time
async def test_exactly_this_pod_is_killed() -> None:
    """With a grace period of a second, which the API server keeps it for; one that is gone is success."""
    async with world() as it:
        pod = it.put("pods", make_pod(make_job(RUN)))
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        await it.apply(KillPod(NAMESPACE, name, "another-uid"))
        assert it.server.get("pods", NAMESPACE, name)
        await it.apply(KillPod(NAMESPACE, name, uid))
        assert [request.body["gracePeriodSeconds"] for request in it.server.seen("delete", "pods")] == [1, 1]
        await it.apply(KillPod(NAMESPACE, name, uid))
        it.server.fail("delete", "pods", 500)
        with pytest.raises(ApiError):
            await it.apply(KillPod(NAMESPACE, name, uid))


def removal_of(run: dict[str, Any]) -> DeleteRun:
    metadata = run["metadata"]
    return DeleteRun(NAMESPACE, metadata["name"], metadata["uid"], metadata["resourceVersion"])


@real_time
async def test_a_run_is_removed_as_it_was_observed() -> None:
    """It is gone from the store at once, and counted; one that is gone already is success, and not counted."""
    async with world() as it:
        run = it.put("flowruns", RUN)
        await it.apply(removal_of(run))
        assert it.server.get("flowruns", NAMESPACE, "r") is None
        assert it.store.get("flowruns", NAMESPACE, "r") is None
        await it.apply(removal_of(run))
        assert it.removed == ["r"]


@real_time
async def test_a_run_whose_end_the_watch_tells_first_is_counted() -> None:
    """The DELETED event may be here before the answer to the request."""
    async with world() as it:
        run = it.put("flowruns", RUN)
        gate = it.server.hold("delete", "flowruns")
        removing = asyncio.create_task(it.apply(removal_of(run)))
        await until(lambda: it.server.get("flowruns", NAMESPACE, "r") is None)
        it.store.drop("flowruns", NAMESPACE, "r", UID)
        gate.open()
        await removing
        assert it.removed == ["r"]


@real_time
async def test_a_run_that_changed_is_not_removed() -> None:
    """Somebody asked for another attempt meanwhile: the decision is stale, and the store knows what is new."""
    async with world() as it:
        seen = it.put("flowruns", RUN)
        it.server.put("flowruns", seen | {"spec": seen["spec"] | {"retryAfterAttempt": 1}})
        with pytest.raises(StaleError, match="changed meanwhile"):
            await it.apply(removal_of(seen))
        assert it.server.get("flowruns", NAMESPACE, "r")
        known = it.store.get("flowruns", NAMESPACE, "r")
        assert known is not None
        assert known["spec"]["retryAfterAttempt"] == 1
        assert it.removed == []


@real_time
async def test_a_run_that_a_finalizer_holds_is_known_to_be_on_its_way() -> None:
    """Whoever keeps a record takes the finalizer off; until then the run is there, and being deleted."""
    async with world() as it:
        held = RUN | {"metadata": RUN["metadata"] | {"finalizers": ["example.com/record"]}}
        await it.apply(removal_of(it.put("flowruns", held)))
        known = it.store.get("flowruns", NAMESPACE, "r")
        assert known is not None
        assert known["metadata"]["deletionTimestamp"]


@real_time
async def test_a_status_is_patched_and_known() -> None:
    """The patch is applied on top of the observed version, and the answer is in the store."""
    async with world() as it:
        run = it.put("flowruns", RUN | {"status": {}})
        await it.apply(patch_of(run, job="j"))
        known = it.store.get("flowruns", NAMESPACE, "r")
        assert known
        assert known["status"] == {"job": "j"}
        [request] = it.server.seen("patch", "flowruns")
        version = run["metadata"]["resourceVersion"]
        assert request.body[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": version}


@real_time
async def test_a_run_that_changed_meanwhile_is_not_written_over() -> None:
    """Somebody else's write wins: nothing is patched, the store learns the new version, and the run is looked at again."""
    async with world() as it:
        run = it.put("flowruns", RUN | {"status": {}})
        theirs = it.server.put("flowruns", run | {"status": {"state": "theirs"}})
        with pytest.raises(StaleError, match="changed meanwhile"):
            await it.apply(patch_of(run, state="ours"))
        assert it.store.get("flowruns", NAMESPACE, "r") == theirs == it.server.get("flowruns", NAMESPACE, "r")


@real_time
async def test_a_patch_that_the_rules_refuse_is_an_error() -> None:
    """A refusal although nobody came between is told as an error: looking again would not help."""
    async with world() as it:
        run = it.put("flowruns", RUN | {"status": {}})
        it.server.fail("patch", "flowruns", 422, message="a terminal state is final within its attempt")
        with pytest.raises(ApiError, match="terminal state is final"):
            await it.apply(patch_of(run, state="x"))


@real_time
async def test_a_run_that_is_gone_is_forgotten() -> None:
    """A patch of a run that was deleted drops it from the store, so that it is not decided on again."""
    async with world() as it:
        run = it.put("flowruns", RUN | {"status": {}})
        it.server.delete("flowruns", NAMESPACE, "r")
        with pytest.raises(StaleError, match="is gone"):
            await it.apply(patch_of(run, state="x"))
        assert it.store.get("flowruns", NAMESPACE, "r") is None


@real_time
async def test_actions_stop_at_the_first_that_fails() -> None:
    """What comes after a failed action is not done: the order is part of the decision."""
    async with world() as it:
        run = it.put("flowruns", RUN | {"status": {}})
        it.server.fail("create", "jobs", 403)
        with pytest.raises(JobRefusedError):
            await it.apply(CREATE, patch_of(run, job=JOB))
        assert it.server.seen("patch", "flowruns") == []


@pytest.mark.parametrize("uid", ["same", "other", "any"])
@pytest.mark.parametrize("plural", ["jobs", "flowruns"])
@real_time
async def test_gone_is_confirmed_by_the_server(plural: str, uid: str) -> None:
    """An object that the server still has, by the UID that is asked for, stops the decision and is in the store."""
    async with world() as it:
        body = it.server.put(plural, make_job(RUN) if plural == "jobs" else RUN)
        metadata = body["metadata"]
        wanted = {"same": metadata["uid"], "other": "another-uid", "any": None}[uid]
        action = ConfirmGone(plural, NAMESPACE, metadata["name"], wanted)
        if uid == "other":
            await it.apply(action)
        else:
            with pytest.raises(StaleError, match="is not gone"):
                await it.apply(action)
        assert it.store.get(plural, NAMESPACE, metadata["name"]) == body
        it.server.delete(plural, NAMESPACE, metadata["name"])
        await it.apply(action)


@pytest.mark.parametrize(
    ("phase", "ended"), [("Running", False), ("Pending", False), ("Succeeded", True), ("Failed", True)]
)
@real_time
async def test_the_end_of_pods_is_confirmed_by_the_server(phase: str, *, ended: bool) -> None:
    """A pod that the server knows as live stops the decision and is in the store; other Jobs' pods do not matter."""
    async with world() as it:
        other = make_pod(make_job(make_flowrun("other")), phase="Running")
        it.server.put("pods", other)
        pod = it.server.put("pods", make_pod(make_job(RUN), phase=phase))
        action = ConfirmPodsEnded(NAMESPACE, JOB)
        if ended:
            await it.apply(action)
        else:
            with pytest.raises(StaleError, match="live pod"):
                await it.apply(action)
        assert list(it.store.all("pods")) == [pod]


@real_time
async def test_events_are_recorded_and_never_fail() -> None:
    """An Event costs the decision no request."""
    async with world() as it:
        await it.apply(EmitEvent({"name": "r"}, "JobCreated", "words", warning=True))
        assert it.recorder.events == [("JobCreated", "words", True)]
        assert it.server.requests == []
