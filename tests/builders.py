"""Bodies of Kubernetes objects as the API server gives them: plain dictionaries, complete enough for any reader of ours.

Each builder takes what a test is about as keyword arguments and fills in the rest with believable values; `spec` and
`status` take what has no argument of its own, in the wire's camelCase, and win over the rest. Every call makes a fresh
body, so a test may change what it got. UIDs are derived from kind, namespace and name, so that equal names are the same
object and failures read the same twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from towpath import names

Body = dict[str, Any]

NAMESPACE = "team-a"
NOW = "2026-03-01T12:00:00.000000Z"
CREATED = "2026-03-01T11:59:00Z"
IMAGE = "registry.test/flows:1"
ENTRYPOINT = "shop.flows:main"


def uid_of(kind: str, name: str, namespace: str = NAMESPACE) -> str:
    """Give the UID that the builders give an object of this kind and name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{namespace}/{name}"))


def make_metadata(
    kind: str,
    name: str,
    *,
    namespace: str = NAMESPACE,
    uid: str | None = None,
    resource_version: str = "1",
    generation: int | None = 1,
    created: str = CREATED,
    deleted: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Mapping[str, Any] | None = None,
) -> Body:
    """Build an object's metadata; `deleted` is a time, `owner` a body whose controller reference is written."""
    metadata: Body = {
        "name": name,
        "namespace": namespace,
        "uid": uid or uid_of(kind, name, namespace),
        "resourceVersion": resource_version,
        "creationTimestamp": created,
    }
    if generation is not None:
        metadata["generation"] = generation
    if deleted is not None:
        metadata["deletionTimestamp"] = deleted
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    if owner is not None:
        metadata["ownerReferences"] = [make_owner_reference(owner)]
    return metadata


def make_owner_reference(owner: Mapping[str, Any]) -> Body:
    """Build the reference by which an object says that `owner` controls it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def make_state(
    type_: str, *, name: str | None = None, reason: str | None = None, message: str | None = None, since: str = NOW
) -> Body:
    """Build `status.state`; the name is the type's own unless given."""
    state: Body = {"type": str(type_), "name": name or str(type_).capitalize(), "since": since}
    if reason is not None:
        state["reason"] = str(reason)
    if message is not None:
        state["message"] = message
    return state


def make_flow(
    name: str = "main",
    *,
    image: str = IMAGE,
    entrypoint: str | None = ENTRYPOINT,
    command: Sequence[str] | None = None,
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Body:
    """Build a Flow; with `command` it is a plain container and has no entrypoint."""
    code: Body = {"command": list(command)} if command is not None else {"entrypoint": entrypoint}
    return _custom("Flow", name, {"image": image} | code | dict(spec or {}), status, metadata)


def make_deployment(
    name: str = "main-nightly",
    *,
    flow_ref: str = "main",
    parameters: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Body:
    """Build a Deployment of a Flow."""
    built: Body = {"flowRef": flow_ref}
    if parameters is not None:
        built["parameters"] = dict(parameters)
    return _custom("Deployment", name, built | dict(spec or {}), status, metadata)


def make_flowrun(
    name: str = "run-1",
    *,
    flow_ref: str | None = None,
    deployment_ref: str | None = None,
    flow: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    parent: Mapping[str, Any] | None = None,
    cancel: bool | None = None,
    state: str | Mapping[str, Any] | None = None,
    attempt: int | None = None,
    job: str | None = None,
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Body:
    """Build a FlowRun, by default of the Flow `main` and without any status.

    Args:
        name: the run's name.
        flow_ref: name of a Flow; `main` if none of the three references is given.
        deployment_ref: name of a Deployment.
        flow: an inline flow's spec.
        parameters: the run's own parameters.
        parent: the body of the parent run; it also becomes the owner.
        cancel: the wish; None leaves it out.
        state: a state's type, or a whole `status.state`.
        attempt: `status.attempt`.
        job: `status.job`; see `job_name_of` for the name that the operator would give.
        spec: further fields of the spec.
        status: further fields of the status.
        **metadata: as `make_metadata` takes them.
    """
    built: Body = {"onParentEnd": "Cancel"}
    if flow is not None:
        built["flow"] = dict(flow)
    if deployment_ref is not None:
        built["deploymentRef"] = deployment_ref
    if flow_ref is not None or (flow is None and deployment_ref is None):
        built["flowRef"] = flow_ref or "main"
    if parameters is not None:
        built["parameters"] = dict(parameters)
    if cancel is not None:
        built["cancel"] = cancel
    if parent is not None:
        of_parent = parent["metadata"]
        depth = parent["spec"].get("parent", {}).get("depth", 0) + 1
        built["parent"] = {
            "name": of_parent["name"],
            "uid": of_parent["uid"],
            "call": f"call-{name}"[:63],
            "depth": depth,
        }
        metadata = {"owner": parent, "labels": {names.LABEL_PARENT: of_parent["name"]}} | metadata
    facts: Body = {}
    if state is not None:
        facts["state"] = make_state(state) if isinstance(state, str) else dict(state)
    if attempt is not None:
        facts["attempt"] = attempt
    if job is not None:
        facts["job"] = job
    facts |= status or {}
    return _custom("FlowRun", name, built | dict(spec or {}), facts or None, metadata)


def job_name_of(run: Mapping[str, Any], attempt: int = 1) -> str:
    """Give the name of a run's Job for an attempt."""
    return names.job_name(run["metadata"]["name"], run["metadata"]["uid"], attempt)


def make_job(
    run: Mapping[str, Any] | None = None,
    *,
    attempt: int = 1,
    name: str | None = None,
    conditions: Iterable[str | Mapping[str, Any]] = (),
    active: int = 0,
    ready: int = 0,
    succeeded: int = 0,
    failed: int = 0,
    start_time: str | None = NOW,
    suspend: bool = False,
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Body:
    """Build the Job of a run's attempt, or of nobody if `run` is None.

    Args:
        run: the FlowRun that owns it.
        attempt: which attempt of the run it is.
        name: the Job's name; by default the one that the operator gives.
        conditions: condition types that are True, such as `"Failed"`, or whole conditions (`make_condition`).
        active: number of pods that are pending or running.
        ready: number of pods that are ready.
        succeeded: number of pods that exited with 0.
        failed: number of pods that did not.
        start_time: when the Job controller took it up; None if it has not.
        suspend: `spec.suspend`.
        spec: further fields of the spec.
        status: further fields of the status.
        **metadata: as `make_metadata` takes them.
    """
    if run is not None:
        metadata = {
            "owner": run,
            "namespace": run["metadata"]["namespace"],
            "labels": run_labels(run, attempt),
        } | metadata
        name = name or job_name_of(run, attempt)
    name = name or "job-1"
    counts = {"active": active, "ready": ready, "succeeded": succeeded, "failed": failed}
    facts: Body = {key: count for key, count in counts.items() if count}
    if start_time is not None:
        facts["startTime"] = start_time
    whole = [make_condition(c) if isinstance(c, str) else dict(c) for c in conditions]
    if whole:
        facts["conditions"] = whole
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": make_metadata("Job", name, **metadata),
        "spec": {"backoffLimit": 0, "suspend": suspend, "podReplacementPolicy": "Failed"} | dict(spec or {}),
        "status": facts | dict(status or {}),
    }


def make_pod(
    job: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    phase: str = "Pending",
    reason: str | None = None,
    message: str | None = None,
    node: str | None = None,
    conditions: Iterable[str | Mapping[str, Any]] = (),
    waiting: str | None = None,
    running: bool = False,
    exit_code: int | None = None,
    exit_reason: str | None = None,
    termination_message: str | None = None,
    container: str = names.CONTAINER,
    restarts: int = 0,
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Body:
    """Build the pod of a Job; its one container waits, runs or has ended as the arguments say.

    Args:
        job: the Job that owns it; its labels are the pod's, as the Job controller copies them.
        name: the pod's name; by default the Job's with a suffix.
        phase: Pending, Running, Succeeded, Failed or Unknown.
        reason: the pod's own reason, such as `"Evicted"`.
        message: the pod's own message.
        node: the node it is bound to.
        conditions: condition types that are True, such as `"DisruptionTarget"`, or whole conditions.
        waiting: why the container waits, such as `"ImagePullBackOff"`.
        running: whether the container runs.
        exit_code: what the container exited with.
        exit_reason: the runtime's word for it; Completed or Error by the exit code unless given (`"OOMKilled"`).
        termination_message: what the container wrote into its termination message.
        container: the container's name.
        restarts: its restart count.
        spec: further fields of the spec.
        status: further fields of the status.
        **metadata: as `make_metadata` takes them.
    """
    if job is not None:
        of_job = job["metadata"]
        labels = of_job.get("labels", {}) | {
            "batch.kubernetes.io/job-name": of_job["name"],
            "batch.kubernetes.io/controller-uid": of_job["uid"],
        }
        metadata = {"owner": job, "namespace": of_job["namespace"], "labels": labels} | metadata
        name = name or f"{of_job['name']}-x7k2p"
    name = name or "pod-1"
    facts: Body = {"phase": phase}
    if reason is not None:
        facts["reason"] = reason
    if message is not None:
        facts["message"] = message
    whole = [make_condition(c) if isinstance(c, str) else dict(c) for c in conditions]
    if whole:
        facts["conditions"] = whole
    container_state: Body | None = None
    if exit_code is not None:
        ended: Body = {"exitCode": exit_code, "reason": exit_reason or ("Completed" if exit_code == 0 else "Error")}
        ended |= {"startedAt": CREATED, "finishedAt": NOW}
        if termination_message is not None:
            ended["message"] = termination_message
        container_state = {"terminated": ended}
    elif running:
        container_state = {"running": {"startedAt": NOW}}
    elif waiting is not None:
        container_state = {"waiting": {"reason": waiting}}
    if container_state is not None:
        facts["containerStatuses"] = [
            {
                "name": container,
                "ready": running,
                "restartCount": restarts,
                "image": IMAGE,
                "imageID": "",
                "state": container_state,
            }
        ]
    built: Body = {"restartPolicy": "Never", "containers": [{"name": container, "image": IMAGE}]}
    if node is not None:
        built["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": make_metadata("Pod", name, **({"generation": None} | metadata)),
        "spec": built | dict(spec or {}),
        "status": facts | dict(status or {}),
    }


def make_condition(
    type_: str, status: str = "True", *, reason: str | None = None, message: str | None = None, since: str = NOW
) -> Body:
    """Build a condition of a Job, a Pod or one of our kinds."""
    condition: Body = {"type": type_, "status": status, "lastTransitionTime": since}
    if reason is not None:
        condition["reason"] = reason
    if message is not None:
        condition["message"] = message
    return condition


def run_labels(run: Mapping[str, Any], attempt: int = 1) -> dict[str, str]:
    """Give the labels by which a Job and its pod say which run and attempt they belong to."""
    return {
        names.LABEL_RUN: run["metadata"]["name"],
        names.LABEL_RUN_UID: run["metadata"]["uid"],
        names.LABEL_ATTEMPT: str(attempt),
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }


def _custom(kind: str, name: str, spec: Body, status: Mapping[str, Any] | None, metadata: Mapping[str, Any]) -> Body:
    body: Body = {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": make_metadata(kind, name, **metadata),
        "spec": spec,
    }
    if status is not None:
        body["status"] = dict(status)
    return body
