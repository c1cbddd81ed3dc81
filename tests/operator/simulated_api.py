"""The API server of the simulation: objects with versions, the CRD's rules, and watches that are read at their own pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.json_patch import apply_patch

from towpath import names
from towpath.api.v1alpha1.flowrun_status import FlowRunStatus
from towpath.states import StateType, may_follow
from towpath_operator import observe
from towpath_operator.lanes.lanes import Lanes
from towpath_operator.observe import Key
from towpath_operator.reconcile.verdicts import Turn

Body = dict[str, Any]
NAMESPACE = "team-a"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
JOB_LABEL = "batch.kubernetes.io/job-name"
PLURALS = ("flowruns", "jobs", "pods")
#: All kinds: also those that only some tests have objects of.
KINDS = (*PLURALS, "flows", "deployments", "controllerrevisions")


class LawBrokenError(AssertionError):
    """Something happened that must never happen."""


class RefusedError(Exception):
    """The API server said no."""


class KilledError(Exception):
    """The operator was killed between two actions."""


@dataclass
class Api:
    """Objects as they are, and a log of changes for each kind that watches read at their own pace."""

    objects: dict[Key, Body] = field(default_factory=dict)
    log: dict[str, list[tuple[str, Body]]] = field(default_factory=lambda: {plural: [] for plural in KINDS})
    version: int = 0

    def put(self, plural: str, body: Body) -> Body:
        """Store an object as a new version."""
        self.version += 1
        body = body | {"metadata": body["metadata"] | {"resourceVersion": str(self.version)}}
        self.objects[Key(plural, body["metadata"]["namespace"], body["metadata"]["name"])] = body
        self.log[plural].append(("PUT", body))
        return body

    def remove(self, plural: str, name: str) -> None:
        """Remove an object."""
        body = self.objects.pop(Key(plural, NAMESPACE, name), None)
        if body is not None:
            self.version += 1
            self.log[plural].append(("GONE", body))

    def get(self, plural: str, name: str) -> Body | None:
        """Give an object."""
        return self.objects.get(Key(plural, NAMESPACE, name))

    def all(self, plural: str) -> list[Body]:
        """Give all objects of a kind."""
        return [body for key, body in self.objects.items() if key.plural == plural]

    def patch_run(self, name: str, operations: Sequence[Mapping[str, Any]]) -> Body:
        """Patch a FlowRun's status as the API server does, with the CRD's rules."""
        run = self.get("flowruns", name)
        if run is None:
            raise RefusedError("not found")
        try:
            patched = apply_patch(run, operations)
        except AssertionError as error:
            raise RefusedError(str(error)) from error
        before, after = run.get("status") or {}, patched["status"]
        FlowRunStatus.model_validate(after)
        same_attempt = after.get("attempt", 0) == before.get("attempt", 0)
        if after.get("attempt", 0) < before.get("attempt", 0):
            raise RefusedError("attempt never falls")
        old, new = (status.get("state", {}).get("type") for status in (before, after))
        if old and StateType(old).is_terminal and same_attempt and before["state"] != after["state"]:
            raise RefusedError("a terminal state is final within its attempt")
        if old and same_attempt and not may_follow(StateType(old), StateType(new)):
            raise LawBrokenError(f"{name} went from {old} to {new} within attempt {after.get('attempt')}")
        return self.put("flowruns", patched)


class Seen:
    """What the operator has seen so far: `observe.View` over caches that lag behind the API."""

    def __init__(self, api: Api, behind: int = 0) -> None:
        self.api = api
        self.bodies: dict[Key, Body] = {}
        self.read = dict.fromkeys(KINDS, 0)
        self.dead: set[str] = set()
        self.lanes = Lanes(self.get)
        for plural in KINDS:  # lists are not taken at the same moment: Jobs and pods may be older than the runs
            for _ in range(len(api.log[plural]) - (behind if plural in {"jobs", "pods"} else 0)):
                self.next(plural)

    def behind(self, plural: str) -> int:
        """Count the changes that have not been seen."""
        return len(self.api.log[plural]) - self.read[plural]

    def next(self, plural: str) -> tuple[Body, bool] | None:
        """See one more change; give the object and whether it is gone, if that was news."""
        kind, body = self.api.log[plural][self.read[plural]]
        self.read[plural] += 1
        if kind == "PUT":
            return (body, False) if self.put(plural, body) else None
        key, uid = Key(plural, NAMESPACE, body["metadata"]["name"]), body["metadata"]["uid"]
        self.dead.add(uid)
        known = self.bodies.get(key)
        if known is not None and known["metadata"]["uid"] == uid:
            del self.bodies[key]
            self.lanes.changed(plural, known, None)
        return body, True

    def put(self, plural: str, body: Body) -> bool:
        """Keep a body if it is newer than what is known."""
        key = Key(plural, NAMESPACE, body["metadata"]["name"])
        known = self.bodies.get(key)
        if body["metadata"]["uid"] in self.dead:
            return False
        if known is not None and int(known["metadata"]["resourceVersion"]) >= int(body["metadata"]["resourceVersion"]):
            return False
        self.bodies[key] = body
        self.lanes.changed(plural, known, body)
        return True

    def get(self, plural: str, namespace: str, name: str) -> Body | None:
        return self.bodies.get(Key(plural, namespace, name))

    def _where(self, plural: str, fits: Callable[[Body], bool]) -> list[Body]:
        return [body for key, body in self.bodies.items() if key.plural == plural and fits(body)]

    def pods_of_job(self, namespace: str, job_name: str) -> list[Body]:
        return self._where("pods", lambda pod: pod["metadata"]["labels"].get(JOB_LABEL) == job_name)

    def children_of_run(self, uid: str) -> list[Body]:
        return self._where("flowruns", lambda run: run["spec"].get("parent", {}).get("uid") == uid)

    def runs_waiting_for(self, plural: str, namespace: str, name: str) -> list[Body]:
        return self._where("flowruns", lambda run: observe.waits_for(run) == Key(plural, namespace, name))

    def turn(self, namespace: str, name: str) -> Turn:
        return self.lanes.turn(Key("flowruns", namespace, name))

    def grants(self, namespace: str, name: str) -> list[Body] | None:
        return self.lanes.grants(Key("flowruns", namespace, name))

    def runs_of_revision(self, namespace: str, name: str) -> int:
        return len(self._where("flowruns", lambda run: (run.get("status") or {}).get("revision") == name))

    def deployments_of_flow(self, namespace: str, name: str) -> list[Body]:
        return []


def run_of(body: Body) -> str:
    """Give the name of the run that a Job or pod belongs to."""
    return str(body["metadata"]["labels"][names.LABEL_RUN])


def seconds(moment: datetime) -> str:
    """Write a time as Kubernetes does: to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def parsed(text: str) -> datetime:
    """Read a time."""
    return datetime.fromisoformat(text)
