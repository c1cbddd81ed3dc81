"""Who lived when: pods, runs whose processes were ended on purpose, and families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from tests.chaos.history import Body, History, Write

from towpath import names
from towpath.states import StateType

ENDED_PHASES = frozenset({"Succeeded", "Failed"})


def pod_lives(history: History) -> Iterator[tuple[str, datetime, datetime | None, str]]:
    """Give for each pod of a run: the run's UID, from when and to when it lived (None: to the last), and its name."""
    began: dict[str, datetime] = {}
    ended: dict[str, datetime] = {}
    about: dict[str, tuple[str, str]] = {}
    removed: dict[str, datetime] = {}
    for write in history.writes:
        if write.plural != "pods" or not write.succeeded:
            continue
        if write.verb == "delete":
            if _is_final(write):
                removed.setdefault(write.name, write.began)
            continue
        labels = ((write.body or {}).get("metadata") or {}).get("labels") or {}
        if write.body is None or names.LABEL_RUN_UID not in labels:
            continue
        uid = write.body["metadata"]["uid"]
        about[uid] = (labels[names.LABEL_RUN_UID], name_of(write.body))
        began.setdefault(uid, write.done)
        if _has_ended(write.body):
            ended.setdefault(uid, write.began)
    for pod in history.left.get("pods", ()):
        if _has_ended(pod) and pod["metadata"]["uid"] in about:
            ended.setdefault(pod["metadata"]["uid"], began[pod["metadata"]["uid"]])
    left = {pod["metadata"]["uid"] for pod in history.left.get("pods", ())}
    for uid, (run, name) in about.items():
        gone = ended.get(uid) or removed.get(name)
        # Gone without a word about it in the log: so the word was lost, and nothing can be said about when.
        yield run, began[uid], gone if gone or uid in left else began[uid], name


def touched_runs(history: History) -> Iterator[str]:
    """Give the UIDs of runs one of whose processes was ended on purpose, or whose relatives' was."""
    harmed: set[str] = set()
    by_name = {run["metadata"]["name"]: run["metadata"]["uid"] for run in history.left.get("flowruns", ())}
    for blow in history.blows:
        if blow.harms == "*":
            harmed |= {
                run
                for run, began, ended, _ in pod_lives(history)
                if began < blow.ended and not (ended and ended < blow.began)
            }
        elif blow.harms in by_name:
            harmed.add(by_name[blow.harms])
    runs = {run["metadata"]["uid"]: run for run in history.left.get("flowruns", ())}
    for uid, run in runs.items():
        family = {uid, *ancestors(run, runs)}
        if family & harmed or any(uid in ancestors(runs[other], runs) for other in harmed if other in runs):
            yield uid


def ancestors(run: Body, runs: Mapping[str, Body]) -> Iterator[str]:
    """Give the UIDs of the runs above a run."""
    while parent := (run["spec"].get("parent") or {}).get("uid"):
        yield parent
        if parent not in runs:
            return
        run = runs[parent]


def _has_ended(pod: Body) -> bool:
    """Tell whether a pod's flow has ended; the kubelet may take seconds from there to the end of the pod's phase."""
    status = pod.get("status", {})
    flow: Body = next((one for one in status.get("containerStatuses", ()) if one["name"] == names.CONTAINER), {})
    return status.get("phase") in ENDED_PHASES or "terminated" in flow.get("state", {})


def _is_final(write: Write) -> bool:
    """Tell whether a pod's deletion left nothing of it: the answer to a first request has a grace period in it."""
    metadata = (write.body or {}).get("metadata") or {}
    return not metadata.get("deletionGracePeriodSeconds") or metadata.get("deletionTimestamp") is None


def name_of(body: Body) -> str:
    """Give an object's name."""
    return str(body["metadata"]["name"])


def state_of(run: Body) -> StateType:
    """Give the type of a run's state."""
    state: Mapping[str, Any] = (run.get("status") or {}).get("state") or {}
    return StateType(state.get("type", "SCHEDULED"))


def attempt_of(run: Body) -> int:
    """Give a run's attempt; 0 before the first."""
    return int((run.get("status") or {}).get("attempt") or 0)
