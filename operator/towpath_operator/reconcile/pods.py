"""How far the pod of an attempt has come, as pod and Job tell it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from towpath import names
from towpath.states import Reason
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import condition, integer, mapping, mappings, moment, text
from towpath_operator.reconcile.run import Run

_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_STARTING: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
_IMAGE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
)
#: Begins what the scheduler adds about pods that it might take away, on every node once more.
_ASIDE: Final = re.compile(r" (?:no new claims to deallocate|preemption:)")
#: The image's name itself is wrong: no waiting will help.
_BAD_IMAGE_NAME: Final = "InvalidImageName"


@dataclass(frozen=True, slots=True)
class NoPod:
    """The Job has no pod, or none yet."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The pod has not started to run the flow."""

    reason: Reason
    message: str
    hopeless: bool = False
    """True if it never will."""
    elsewhere: bool = False
    """True if another pod might, on another node or even on this one: nothing is missing."""


@dataclass(frozen=True, slots=True)
class Running:
    """The flow's container runs."""

    pod: str
    started: datetime | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The flow's container has ended, or the pod has."""

    pod: Body
    finished: datetime | None
    """When the container ended; None if nobody can tell."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The pod should be gone, or cannot be asked any more, and may be running all the same."""

    pod: Body


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The pod's node has begun to make it, and will not go on: nothing of it runs, and nothing ever will."""

    pod: Body


Stage: TypeAlias = NoPod | Waiting | Running | Ended | Lost | Abandoned


def own_pods(run: Run, job: Body | None, pods: Sequence[Body]) -> list[Body]:
    """Give the pods that really are the attempt's, newest first: anybody can put a label on a pod."""
    return sorted((pod for pod in pods if _belongs(run, job, pod)), key=_age, reverse=True)


def owned_job(run: Run, job: Body | None) -> Body | None:
    """Give the Job if it is the run's own, and not one that merely has its name."""
    owners = mappings(job, "metadata", "ownerReferences")
    return job if any(text(owner, "uid") == run.uid for owner in owners) else None


def is_live(pod: Body) -> bool:
    """Tell whether a pod may still be running something."""
    return text(pod, "status", "phase") not in _FINISHED


def is_finished(job: Body) -> bool:
    """Tell whether a Job is over, so that it will make no further pod."""
    return condition(job, "Complete") is not None or condition(job, "Failed") is not None


def is_deleting(body: Body) -> bool:
    """Tell whether an object is on its way out."""
    return bool(text(body, "metadata", "deletionTimestamp"))


def stage_of(pods: Sequence[Body], now: datetime, stuck_seconds: float) -> Stage:
    """Tell how far an attempt has come by its pods, newest first.

    Args:
        pods: as `own_pods` gives them.
        now: the time.
        stuck_seconds: how long after it should have been killed a pod counts as lost.
    """
    if not pods:
        return NoPod()
    pod = pods[0]
    status = flow_container(pod)
    terminated = mapping(status, "state", "terminated")
    if terminated or not is_live(pod):
        return Ended(pod, moment(terminated, "finishedAt"))
    if _is_lost(pod, now, stuck_seconds):
        return Lost(pod)
    running = mapping(status, "state", "running")
    if running:
        return Running(text(pod, "metadata", "name"), moment(running, "startedAt"))
    return Abandoned(pod) if _is_abandoned(pod) else _waiting(pod)


def flow_container(pod: Body) -> Mapping[str, Any]:
    """Give the status of the container that runs the flow; empty if it has none."""
    statuses = mappings(pod, "status", "containerStatuses")
    return next((status for status in statuses if status.get("name") == names.CONTAINER), {})


def killed_at(pod: Body) -> datetime | None:
    """Tell when a pod that is being deleted is to be gone at the latest; None if it is not being deleted."""
    return moment(pod, "metadata", "deletionTimestamp")


def _waiting(pod: Body) -> Waiting:
    for found in mappings(pod, "status", "conditions"):
        if found.get("type") == "PodScheduled" and found.get("status") == "False":
            said = _ASIDE.split(text(found, "message"))[0].rstrip(". ") or "the scheduler does not say why"
            return Waiting(
                Reason.UNSCHEDULABLE,
                f"No node takes the pod: {said}. Change what the template asks for (resources, nodeSelector, affinity,"
                " tolerations, volumes), or give the cluster a node that has it.",
            )
    statuses = [*mappings(pod, "status", "initContainerStatuses"), *mappings(pod, "status", "containerStatuses")]
    for status in statuses:
        if (ends := integer(status, "restartCount")) and mapping(status, "state", "terminated"):
            code = integer(status, "state", "terminated", "exitCode")
            return Waiting(
                Reason.CONTAINER_CONFIG_ERROR,
                f"The container {text(status, 'name')!r} has ended {ends + 1} times, the last time with code {code}:"
                " the flow cannot start before it runs. Its words: kubectl logs, with --previous.",
            )
        if mapping(status, "state", "running") and status.get("ready") is not True:
            return Waiting(Reason.JOB_CREATED, f"The container {text(status, 'name')!r} is at work before the flow.")
        waiting = mapping(status, "state", "waiting")
        word, said = text(waiting, "reason"), text(waiting, "message")
        if word == _BAD_IMAGE_NAME or word in _IMAGE:
            image = text(status, "image")
            return Waiting(
                Reason.IMAGE_PULL_FAILED,
                f"The image {image!r} cannot be pulled ({word}). Check its name, that the registry has it, and"
                f" imagePullSecrets. {said}".rstrip(),
                hopeless=word == _BAD_IMAGE_NAME,
            )
        if word not in _STARTING:
            return Waiting(
                Reason.CONTAINER_CONFIG_ERROR,
                f"The container {text(status, 'name')!r} cannot start ({word}): {said or 'see kubectl describe pod'}",
            )
    node = text(pod, "spec", "nodeName")
    if not node:
        return Waiting(Reason.JOB_CREATED, "No scheduler has looked for a node for the pod yet.")
    said = f"The node {node!r} is starting the pod, and names no obstacle; to pull a large image takes its time."
    return Waiting(Reason.JOB_CREATED, said, elsewhere=True)


def _is_abandoned(pod: Body) -> bool:
    """Tell whether a node was switched off after it had made a container of the pod and before the flow's ran.

    A kubelet that comes back makes no new sandbox for a pod that never restarts, once a container was made in the old
    one. It does not say so, nor does it fail the pod: the pod is pending, without a sandbox, for ever.
    """
    if is_deleting(pod):
        return False
    before = mappings(pod, "status", "initContainerStatuses")
    if any(integer(one, "state", "terminated", "exitCode") for one in before):
        return False  # it has failed, and is being cleared away before its kubelet says so
    made = any(text(one, "containerID") for one in (*before, *mappings(pod, "status", "containerStatuses")))
    return made and any(
        one.get("type") == "PodReadyToStartContainers" and one.get("status") == "False"
        for one in mappings(pod, "status", "conditions")
    )


def _is_lost(pod: Body, now: datetime, stuck_seconds: float) -> bool:
    if text(pod, "status", "phase") == "Unknown" or text(pod, "status", "reason") == "NodeLost":
        return True
    due = killed_at(pod)
    return due is not None and now >= due + timedelta(seconds=stuck_seconds)


def _belongs(run: Run, job: Body | None, pod: Body) -> bool:
    if text(pod, "metadata", "labels", names.LABEL_RUN_UID) != run.uid:
        return False
    uid = text(job, "metadata", "uid")
    return not uid or any(text(owner, "uid") == uid for owner in mappings(pod, "metadata", "ownerReferences"))


def _age(pod: Body) -> tuple[str, str]:
    return text(pod, "metadata", "creationTimestamp"), text(pod, "metadata", "name")
