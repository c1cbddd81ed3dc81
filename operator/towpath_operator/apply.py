"""Does what was decided: one API call an action, each idempotent or conditional, in order, up to the first that fails.

Whatever the API server answers with goes back into the store, so that the next decision about the object sees it
without waiting for the watch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from towpath.errors import ClusterError, TowpathError, Unreachable
from towpath_operator.kinds import BY_PLURAL, FLOWRUNS, JOBS, PODS, REVISIONS
from towpath_operator.reconcile.closing import KILL_SECONDS
from towpath_operator.reconcile.decision import (
    Action,
    ConfirmGone,
    ConfirmPodsEnded,
    ConfirmUnchanged,
    CreateJob,
    CreateRun,
    Decision,
    DeleteJob,
    DeleteRevision,
    DeleteRun,
    EmitEvent,
    KillPod,
    PatchRevision,
    PatchStatus,
    TellMissed,
    TellRetry,
)
from towpath_operator.reconcile.reading import mappings, text
from towpath_operator.reconcile.revision import marked
from towpath_operator.runtime.client import ApiError, Client
from towpath_operator.runtime.store import Store, version_of
from towpath_operator.specs.revisions import UNUSED_SINCE, revision_in

#: Answers to the creation of an object that are about this object, and not about the API server or the moment.
_REFUSALS: Final = frozenset({400, 403, 422})
#: What the API server says, with 500, when somebody's webhook that has to agree does not answer.
_WEBHOOK_AWAY: Final = "failed calling webhook"
_CONFLICTS: Final = frozenset({409, 422})
#: The reason of a 409 that says that an object of that name is there; a quota that others count against gives 409s too.
_EXISTS: Final = "AlreadyExists"
_ENDED: Final = frozenset({"Succeeded", "Failed"})


class StaleError(TowpathError):
    """The decision rests on what is no longer so; the store has been told, and the object has to be looked at again."""


class JobRefusedError(TowpathError):
    """The API server does not take the Job as it is.

    Attributes:
        status: the HTTP status: 400, 403 or 422; 500 if a webhook that has to agree does not answer.
        message: the API server's words.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"The API server refused the Job with {status}: {message}")
        self.status = status
        self.message = message


class RunRefusedError(TowpathError):
    """The API server does not take the run of a schedule.

    Attributes:
        schedule: the schedule's name.
        message: the API server's words.
    """

    def __init__(self, schedule: str, status: int, message: str) -> None:
        super().__init__(f"The API server refused a run of schedule {schedule!r} with {status}: {message}")
        self.schedule = schedule
        self.message = message


def is_final(error: ClusterError) -> bool:
    """Tell whether a write that failed was surely not done; a server that gave no clear answer may have done it."""
    return not isinstance(error, Unreachable) and not (isinstance(error, ApiError) and error.status >= 500)


class Recorder(Protocol):
    """Where Events for people go."""

    def record(self, regarding: Mapping[str, Any], reason: str, message: str, *, warning: bool) -> None:
        """Take an Event; never fails, never waits."""
        ...


class Tally(Protocol):
    """Where what schedules do is counted."""

    def run_scheduled(self, namespace: str, deployment: str, schedule: str, due: datetime) -> None:
        """Count a run that was made for a time."""
        ...

    def runs_missed(self, namespace: str, deployment: str, schedule: str, count: int) -> None:
        """Count times that get no run."""
        ...


class Applier:
    """Carries decisions out.

    Args:
        removed: told of each FlowRun that is removed, as it was last seen.
        retried: told of each that gets a new attempt after an infrastructure failure, and of the failure's reason.
    """

    def __init__(
        self,
        client: Client,
        store: Store,
        recorder: Recorder,
        tally: Tally,
        *,
        removed: Callable[[Mapping[str, Any]], None] = lambda _run: None,
        retried: Callable[[Mapping[str, Any], str], None] = lambda _run, _reason: None,
    ) -> None:
        self._client = client
        self._store = store
        self._recorder = recorder
        self._tally = tally
        self._removed = removed
        self._retried = retried

    async def apply(self, decision: Decision) -> None:
        """Do the actions of a decision in order.

        Raises:
            StaleError: an action found the object changed.
            JobRefusedError: a Job was refused.
            RunRefusedError: the run of a schedule was refused.
            ClusterError: an action failed otherwise.
        """
        for action in decision.actions:
            await self._do(action)

    async def _do(self, action: Action) -> None:
        match action:
            case CreateJob():
                await self._create_job(action)
            case CreateRun():
                await self._create_run(action)
            case DeleteJob():
                await self._delete_job(action)
            case DeleteRun():
                await self._delete_run(action)
            case KillPod():
                await self._kill_pod(action)
            case PatchStatus() | PatchRevision():
                await self._patch(action)
            case DeleteRevision():
                await self._delete_revision(action)
            case EmitEvent():
                self._recorder.record(action.regarding, action.reason, action.message, warning=action.warning)
            case ConfirmGone():
                await self._confirm_gone(action)
            case ConfirmUnchanged():
                await self._confirm_unchanged(action)
            case ConfirmPodsEnded():
                await self._confirm_pods_ended(action)
            case TellRetry():
                if run := self._store.get("flowruns", action.namespace, action.run):
                    self._retried(run, action.reason)
            case TellMissed():
                self._tally.runs_missed(action.namespace, action.deployment, action.schedule, action.count)

    async def _create_job(self, action: CreateJob) -> None:
        name = action.manifest["metadata"]["name"]
        if action.revision is not None:
            await self._keep_revision(action.namespace, action.revision)
        try:
            job = await self._client.create(JOBS, action.namespace, action.manifest)
        except ApiError as error:
            if error.status in _REFUSALS or _WEBHOOK_AWAY in error.message:
                raise JobRefusedError(error.status, error.message) from error
            if error.status != 409:
                raise
            job = await self._existing_job(action, name)
        self._store.put("jobs", job)

    async def _existing_job(self, action: CreateJob, name: str) -> dict[str, Any]:
        try:
            job = await self._client.get(JOBS, action.namespace, name)
        except ApiError as error:
            if error.status == 404:
                raise StaleError(f"The Job {name!r} was there and is not: it has just been deleted.") from error
            raise
        if any(text(owner, "uid") == action.owner_uid for owner in mappings(job, "metadata", "ownerReferences")):
            return job
        raise ClusterError(
            f"A Job named {name!r} exists in namespace {action.namespace!r} and belongs to somebody else:"
            " delete it, so that the run can have its own."
        )

    async def _keep_revision(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Make sure that a ControllerRevision is there, and that nobody is about to remove it."""
        name = manifest["metadata"]["name"]
        found = self._store.get(REVISIONS.plural, namespace, name)
        if found is None:
            try:
                self._store.put(REVISIONS.plural, await self._client.create(REVISIONS, namespace, manifest))
                return
            except ApiError as error:
                if error.status in _REFUSALS:
                    raise JobRefusedError(error.status, error.message) from error
                if error.status != 409 or error.reason != _EXISTS:
                    raise
            found = await self._read(REVISIONS.plural, namespace, name)
            if found is None:
                raise StaleError(f"The ControllerRevision {name!r} was there and is not: it has just been deleted.")
            if (settled := revision_in(found)) is None or settled.name != name:
                raise ClusterError(
                    f"A ControllerRevision named {name!r} exists in namespace {namespace!r} and belongs to somebody"
                    " else: delete it, so that runs can have their own."
                )
        if text(found, "metadata", "annotations", UNUSED_SINCE):
            await self._patch(marked(found, None))

    async def _create_run(self, action: CreateRun) -> None:
        try:
            run = await self._client.create(FLOWRUNS, action.namespace, action.manifest)
        except ApiError as error:
            if error.status in _REFUSALS:
                raise RunRefusedError(action.schedule, error.status, error.message) from error
            if error.status != 409 or error.reason != _EXISTS:
                raise
            return  # made before, and seen by the watch
        self._store.put("flowruns", run)
        self._tally.run_scheduled(action.namespace, action.deployment, action.schedule, action.due)

    async def _delete_job(self, action: DeleteJob) -> None:
        try:
            await self._client.delete(JOBS, action.namespace, action.name, uid=action.uid)
        except ApiError as error:
            if error.status not in (404, 409):  # gone, or another one by that name: ours is gone
                raise

    async def _kill_pod(self, action: KillPod) -> None:
        try:
            await self._client.delete(PODS, action.namespace, action.name, uid=action.uid, grace_seconds=KILL_SECONDS)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def _delete_run(self, action: DeleteRun) -> None:
        run = self._store.get("flowruns", action.namespace, action.name)  # the watch may be faster than the answer
        try:
            left = await self._client.delete(
                FLOWRUNS, action.namespace, action.name, uid=action.uid, resource_version=action.resource_version
            )
        except ApiError as error:
            if error.status == 409:
                await self._read("flowruns", action.namespace, action.name)
                raise StaleError(f"flowruns/{action.name} changed meanwhile.") from error
            if error.status != 404:
                raise
        else:
            if run:
                self._removed(run)
            if left.get("kind") == "FlowRun":  # a finalizer holds it
                self._store.put("flowruns", left)
                return
        self._store.drop("flowruns", action.namespace, action.name, action.uid)

    async def _delete_revision(self, action: DeleteRevision) -> None:
        plural, version = REVISIONS.plural, action.resource_version
        try:
            await self._client.delete(
                REVISIONS, action.namespace, action.name, uid=action.uid, resource_version=version
            )
        except ApiError as error:
            if error.status == 409:
                await self._read(plural, action.namespace, action.name)
                raise StaleError(f"{plural}/{action.name} changed meanwhile.") from error
            if error.status != 404:
                raise
        self._store.drop(plural, action.namespace, action.name, action.uid)

    async def _patch(self, action: PatchStatus | PatchRevision) -> None:
        resource = BY_PLURAL[action.plural]
        part = "status" if isinstance(action, PatchStatus) else None
        seen = {"op": "test", "path": "/metadata/resourceVersion", "value": action.resource_version}
        try:
            body = await self._client.patch(resource, action.namespace, action.name, (seen, *action.patch), part)
        except ApiError as error:
            if error.status == 404:
                self._forget(action.plural, action.namespace, action.name, action.resource_version)
                raise StaleError(f"{action.plural}/{action.name} is gone.") from error
            if error.status not in _CONFLICTS:
                raise
            found = await self._read(action.plural, action.namespace, action.name)
            if found and version_of(found) == int(action.resource_version):
                raise  # nobody came between: the patch itself is wrong
            raise StaleError(f"{action.plural}/{action.name} changed meanwhile.") from error
        self._store.put(action.plural, body)

    async def _confirm_gone(self, action: ConfirmGone) -> None:
        body = await self._read(action.plural, action.namespace, action.name)
        if body and action.uid in (None, text(body, "metadata", "uid")):
            raise StaleError(f"{action.plural}/{action.name} is not gone.")

    async def _confirm_unchanged(self, action: ConfirmUnchanged) -> None:
        body = await self._read(action.plural, action.namespace, action.name)
        if body is None:
            self._forget(action.plural, action.namespace, action.name, action.resource_version)
        if body is None or version_of(body) != int(action.resource_version):
            raise StaleError(f"{action.plural}/{action.name} changed meanwhile.")

    async def _confirm_pods_ended(self, action: ConfirmPodsEnded) -> None:
        pods = dataclasses.replace(PODS, label_selector=f"batch.kubernetes.io/job-name={action.job_name}")
        live = False
        async for items, _ in self._client.pages(pods, action.namespace):
            for pod in items:
                self._store.put("pods", pod)
                live = live or text(pod, "status", "phase") not in _ENDED
        if live:
            raise StaleError(f"The Job {action.job_name!r} has a live pod.")

    async def _read(self, plural: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Read an object, and tell the store."""
        try:
            body = await self._client.get(BY_PLURAL[plural], namespace, name)
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        self._store.put(plural, body)
        return body

    def _forget(self, plural: str, namespace: str, name: str, resource_version: str) -> None:
        known = self._store.get(plural, namespace, name)
        if known and version_of(known) == int(resource_version):
            self._store.drop(plural, namespace, name, text(known, "metadata", "uid"))
