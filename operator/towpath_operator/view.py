"""What the store holds of our kinds, and how observing looks it up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from towpath.states import StateType
from towpath_operator.ended import EndedRuns, Order
from towpath_operator.lanes.lanes import Lanes
from towpath_operator.observe import HISTORY, Key, live_run_of, waits_for
from towpath_operator.reconcile.lane_status import ObservedLane
from towpath_operator.reconcile.observed import EndedRun
from towpath_operator.reconcile.reading import mapping, moment, text
from towpath_operator.reconcile.verdicts import Turn
from towpath_operator.runtime.store import Body, Index, Store

_JOB_LABEL: Final = "batch.kubernetes.io/job-name"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
#: Parts of bodies that no decision looks at, and that weigh, or change often: what a run returned and raised, how a pod
#: is made and where it is reached, how a Job counts its pods.
_DROPPED: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "flowruns": {"status": frozenset({"result", "tasks", "children"})},
    "jobs": {
        "spec": frozenset({"template", "selector"}),
        "status": frozenset({"active", "ready", "terminating", "succeeded", "failed", "uncountedTerminatedPods"}),
    },
    "pods": {
        "metadata": frozenset({"finalizers", "generation"}),
        "spec": frozenset({"volumes", "containers", "initContainers", "tolerations", "affinity"}),
        "status": frozenset({"podIP", "podIPs", "hostIP", "hostIPs"}),
    },
}


def _pods_of_job(pod: Body) -> Iterable[str]:
    job = text(pod, "metadata", "labels", _JOB_LABEL)
    return (_value(text(pod, "metadata", "namespace"), job),) if job else ()


def _children_of_run(run: Body) -> Iterable[str]:
    uid = text(run, "spec", "parent", "uid")
    return (uid,) if uid else ()


def _runs_waiting_for(run: Body) -> Iterable[str]:
    key = waits_for(run)
    return (_value(*key),) if key else ()


def _live_runs_of_deployment(run: Body) -> Iterable[str]:
    key = live_run_of(run)
    return (_value(key.namespace, key.name),) if key else ()


def _deployments_of_flow(deployment: Body) -> Iterable[str]:
    return (_value(text(deployment, "metadata", "namespace"), text(deployment, "spec", "flowRef")),)


def _value(*parts: str) -> str:
    return "/".join(parts)


def _runs_of_revision(run: Body) -> Iterable[str]:
    name = text(run, "status", "revision")
    return (_value(text(run, "metadata", "namespace"), name),) if name else ()


INDEXES: Final = {
    "pods of job": Index("pods", _pods_of_job),
    "children of run": Index("flowruns", _children_of_run),
    "runs waiting for": Index("flowruns", _runs_waiting_for),
    "live runs of deployment": Index("flowruns", _live_runs_of_deployment),
    "runs of revision": Index("flowruns", _runs_of_revision),
    "deployments of flow": Index("deployments", _deployments_of_flow),
}


def lean(plural: str, body: Body) -> Body:
    """Give a body without what nobody reads; a FlowRun of 10 kB keeps about half."""
    dropped = _DROPPED.get(plural, {})
    slim: dict[str, Any] = {
        key: {k: v for k, v in part.items() if k not in dropped[key]} if key in dropped and part else part
        for key, part in body.items()
    }
    metadata = {key: value for key, value in slim["metadata"].items() if key != "managedFields"}
    if _LAST_APPLIED in mapping(metadata, "annotations"):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != _LAST_APPLIED}
    slim["metadata"] = metadata
    return slim


def says_the_same(old: Body | None, new: Body | None) -> bool:
    """Tell whether a lean body says what one before it said, in a newer version of its object."""
    if old is None or new is None:
        return False
    before, after = ({**body, "metadata": {**body["metadata"], "resourceVersion": ""}} for body in (old, new))
    return before == after


class StoreView:
    """The store as `observe.View`: it must have been made with `INDEXES`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last_success: dict[tuple[str, str], datetime] = {}
        self._ended = EndedRuns()
        self.lanes = Lanes(store.get)
        """Whose turn it is."""

    def run_changed(self, old: Body | None, new: Body | None) -> Key | None:
        """Note how a FlowRun changed; give the history that has to be looked at, if one has to.

        Noted, because a walk through ten thousand that have ended would take too long.
        """
        if new is not None:
            self._note_success(new)
        group = self._ended.changed(old, new)
        return Key(HISTORY, *group) if group is not None else None

    def ended_runs(
        self, namespace: str, deployment: str, order: Order, look_up: Callable[[str], EndedRun]
    ) -> Sequence[EndedRun]:
        """Give the runs of a Deployment, or of none, that have ended, in an order."""
        return self._ended.of((namespace, deployment), order, look_up)

    def turn(self, namespace: str, name: str) -> Turn:
        """Tell whether it is a run's turn to begin."""
        return self.lanes.turn(Key("flowruns", namespace, name))

    def grants(self, namespace: str, name: str) -> Sequence[Body] | None:
        """Give what a run's status should say of the slots of its code; None if it says so."""
        return self.lanes.grants(Key("flowruns", namespace, name))

    def lane(self, key: Key) -> ObservedLane | None:
        """Give what is known of a Queue or a ConcurrencyLimit, or None if there is no such object."""
        body = self.get(*key)
        return None if body is None else self.lanes.observed(key, body)

    def _note_success(self, run: Body) -> None:
        name = text(run, "spec", "deploymentRef")
        if not name or text(run, "status", "state", "type") != StateType.COMPLETED:
            return
        if ended := moment(run, "status", "completionTime"):
            place = (text(run, "metadata", "namespace"), name)
            self._last_success[place] = max(ended, self._last_success.get(place, ended))

    def get(self, plural: str, namespace: str, name: str) -> Body | None:
        """Give an object as last seen."""
        return self._store.get(plural, namespace, name)

    def pods_of_job(self, namespace: str, job_name: str) -> Sequence[Body]:
        """Give the pods that carry a Job's label."""
        return self._store.find("pods of job", _value(namespace, job_name))

    def children_of_run(self, uid: str) -> Sequence[Body]:
        """Give the runs that name this UID as their parent's."""
        return self._store.find("children of run", uid)

    def runs_waiting_for(self, plural: str, namespace: str, name: str) -> Sequence[Body]:
        """Give the runs that cannot go on without this Flow or Deployment."""
        return self._store.find("runs waiting for", _value(plural, namespace, name))

    def deployments_of_flow(self, namespace: str, name: str) -> Sequence[Body]:
        """Give the Deployments of a Flow."""
        return self._store.find("deployments of flow", _value(namespace, name))

    def live_runs_of_deployment(self, namespace: str, name: str) -> int:
        """Count the runs of a Deployment that have not ended."""
        return self._store.count_found("live runs of deployment", _value(namespace, name))

    def runs_of_revision(self, namespace: str, name: str) -> int:
        """Count the runs that name a ControllerRevision."""
        return self._store.count_found("runs of revision", _value(namespace, name))

    def last_success(self, namespace: str, name: str) -> datetime | None:
        """Tell when a run of a Deployment COMPLETED last."""
        return self._last_success.get((namespace, name))
