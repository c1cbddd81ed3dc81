"""Reads what is known of one object out of the store and freezes it for `decide`; says whom a change concerns.

The shell uses it like this: whenever an object changes, it marks the keys that `affected_by` gives; for each marked key
it calls `flowrun`, `flow` or `deployment` (by the key's plural), hands what it gets to `decide`, and applies the
decision. None means that the object is gone, and that there is nothing to do.

Two things are asked of the store beside `View`. Lists of all kinds are complete before anything is decided. And what
the operator itself created or patched is in the store (as the API answered) before the same key is decided again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from towpath import names, states
from towpath_operator.ended import Order
from towpath_operator.reconcile.claims import LIMITS, QUEUES, limits_of, queue_of
from towpath_operator.reconcile.observed import (
    EndedRun,
    ObservedDeployment,
    ObservedFlow,
    ObservedFlowRun,
    ObservedHistory,
    ObservedRevision,
)
from towpath_operator.reconcile.policy import DEFAULT, Policy
from towpath_operator.reconcile.reading import integer, text, value
from towpath_operator.reconcile.verdicts import Turn
from towpath_operator.specs.revisions import revision_in

Body: TypeAlias = Mapping[str, Any]
"""An object as the API gave it, without managedFields."""


REVISIONS: Final = "controllerrevisions"
#: The plural of keys for the runs of a Deployment, or of none, that have ended: no kind, but looked at like one.
HISTORY: Final = "history"


class Key(NamedTuple):
    """Which object to look at; equal to the plain tuple of the same three."""

    plural: str
    namespace: str
    name: str


def key_of(plural: str, body: Body | None) -> Key:
    """Give the key of an object."""
    return Key(plural, text(body, "metadata", "namespace"), text(body, "metadata", "name"))


class View(Protocol):
    """What observing needs of the store: look-ups of bodies, all in memory; None or empty where there is nothing."""

    def get(self, plural: str, namespace: str, name: str) -> Body | None:
        """Give the object; plural is one of flows, deployments, flowruns, jobs, pods, controllerrevisions."""
        ...

    def pods_of_job(self, namespace: str, job_name: str) -> Sequence[Body]:
        """Give the pods of a Job (by their label batch.kubernetes.io/job-name), in no order."""
        ...

    def children_of_run(self, uid: str) -> Sequence[Body]:
        """Give the FlowRuns whose spec.parent.uid this is, in no order."""
        ...

    def runs_waiting_for(self, plural: str, namespace: str, name: str) -> Sequence[Body]:
        """Give the FlowRuns for which `waits_for` gives exactly this key, in no order."""
        ...

    def deployments_of_flow(self, namespace: str, name: str) -> Sequence[Body]:
        """Give the Deployments whose spec.flowRef this is, in no order."""
        ...

    def live_runs_of_deployment(self, namespace: str, name: str) -> int:
        """Count the FlowRuns whose spec.deploymentRef this is and that have not ended."""
        ...

    def runs_of_revision(self, namespace: str, name: str) -> int:
        """Count the FlowRuns whose status.revision this is."""
        ...

    def last_success(self, namespace: str, name: str) -> datetime | None:
        """Tell when a run of a Deployment COMPLETED last, as far as it was seen."""
        ...

    def turn(self, namespace: str, name: str) -> Turn:
        """Tell whether it is a run's turn to begin."""
        ...

    def grants(self, namespace: str, name: str) -> Sequence[Body] | None:
        """Give what a run's status should say of the slots of its code; None if it says so."""
        ...

    def ended_runs(
        self, namespace: str, deployment: str, order: Order, look_up: Callable[[str], EndedRun]
    ) -> Sequence[EndedRun]:
        """Give the runs of a Deployment, or of none (empty), that have ended, in an order, looked up when asked for."""
        ...


def waits_for(run: Body) -> Key | None:
    """Give the Flow or Deployment that a run names, while it has no Job and has not ended; else None.

    The store indexes FlowRuns by it: thousands of finished runs of a Flow cost nothing when the Flow changes.
    """
    if text(run, "status", "job") or text(run, "status", "state", "type") in states.TERMINAL:
        return None
    for plural, field in (("flows", "flowRef"), ("deployments", "deploymentRef")):
        if name := text(run, "spec", field):
            return Key(plural, text(run, "metadata", "namespace"), name)
    return None


def live_run_of(run: Body) -> Key | None:
    """Give the Deployment of a run that has not ended; the store indexes FlowRuns by it."""
    name = text(run, "spec", "deploymentRef")
    if not name or text(run, "status", "state", "type") in states.TERMINAL:
        return None
    return Key("deployments", text(run, "metadata", "namespace"), name)


def flowrun(view: View, namespace: str, name: str, policy: Policy = DEFAULT) -> ObservedFlowRun | None:
    """Give what is known of a FlowRun, or None if there is no such run."""
    run = view.get("flowruns", namespace, name)
    if run is None:
        return None
    deployment = _named(view, "deployments", namespace, text(run, "spec", "deploymentRef"))
    flow_name = text(run, "spec", "flowRef") or text(deployment, "spec", "flowRef")
    attempt = integer(run, "status", "attempt") or 1
    job_name = names.job_name(name, text(run, "metadata", "uid"), attempt)
    previous_name = names.job_name(name, text(run, "metadata", "uid"), attempt - 1)
    return ObservedFlowRun(
        run=run,
        flow=_named(view, "flows", namespace, flow_name),
        deployment=deployment,
        parent=_named(view, "flowruns", namespace, text(run, "spec", "parent", "name")),
        job=view.get("jobs", namespace, job_name),
        pods=tuple(view.pods_of_job(namespace, job_name)),
        previous_job=view.get("jobs", namespace, previous_name) if attempt > 1 else None,
        previous_pods=tuple(view.pods_of_job(namespace, previous_name)) if attempt > 1 else (),
        queue=_named(view, QUEUES, namespace, queue_of(run, deployment)),
        limits={limit: view.get(LIMITS, namespace, limit) for limit in limits_of(run, deployment)},
        turn=view.turn(namespace, name),
        grants=view.grants(namespace, name),
        revision=revision_in(_named(view, REVISIONS, namespace, text(run, "status", "revision"))),
        policy=policy,
    )


def flow(view: View, namespace: str, name: str, policy: Policy = DEFAULT) -> ObservedFlow | None:
    """Give what is known of a Flow, or None if there is no such Flow."""
    found = view.get("flows", namespace, name)
    return None if found is None else ObservedFlow(found, policy)


def deployment(view: View, namespace: str, name: str, policy: Policy = DEFAULT) -> ObservedDeployment | None:
    """Give what is known of a Deployment, or None if there is no such Deployment."""
    found = view.get("deployments", namespace, name)
    if found is None:
        return None
    return ObservedDeployment(
        found,
        flow=_named(view, "flows", namespace, text(found, "spec", "flowRef")),
        active=view.live_runs_of_deployment(namespace, name),
        last_success=view.last_success(namespace, name),
        policy=policy,
    )


def history(
    view: View,
    namespace: str,
    name: str,
    policy: Policy = DEFAULT,
    is_awaited: Callable[[Body], bool] = lambda _: False,
) -> ObservedHistory:
    """Give what is known of the runs of a Deployment that have ended, or of those of none if the name is empty.

    Args:
        view: what is known.
        namespace: of the runs.
        name: of the Deployment.
        policy: the operator's settings.
        is_awaited: tells whether an Automation has yet to write down what became of a run.
    """

    def look_up(run_name: str) -> EndedRun:
        run = view.get("flowruns", namespace, run_name)
        assert run is not None, run_name  # what is sorted is in the store
        uid, attempt = text(run, "metadata", "uid"), integer(run, "status", "attempt") or 1
        parent = _named(view, "flowruns", namespace, text(run, "spec", "parent", "name"))
        return EndedRun(
            run,
            job=view.get("jobs", namespace, names.job_name(run_name, uid, attempt)),
            parent=parent if text(parent, "metadata", "uid") == text(run, "spec", "parent", "uid") else None,
            has_live_below=_has_live_below(view, uid),
            is_awaited=is_awaited(run),
        )

    return ObservedHistory(
        deployment=_named(view, "deployments", namespace, name),
        succeeded=view.ended_runs(namespace, name, Order.SUCCEEDED, look_up),
        failed=view.ended_runs(namespace, name, Order.FAILED, look_up),
        by_own_ttl=view.ended_runs(namespace, name, Order.OWN_TTL, look_up),
        policy=policy,
    )


def revision(view: View, namespace: str, name: str) -> ObservedRevision | None:
    """Give what is known of a ControllerRevision, or None if there is no such one."""
    found = view.get(REVISIONS, namespace, name)
    return None if found is None else ObservedRevision(found, view.runs_of_revision(namespace, name))


def affected_by(view: View, plural: str, body: Body, *, deleted: bool = False) -> tuple[Key, ...]:
    """Say which objects have to be looked at because this one appeared, changed or went.

    Args:
        view: the store, already holding the change.
        plural: one of flows, deployments, flowruns, jobs, pods, controllerrevisions.
        body: the object as it is now, or as it was last seen.
        deleted: whether it is gone.

    The answer costs O(children) for a run that ends, O(waiting runs) for a Flow or Deployment, and O(1) otherwise.
    """
    namespace, name = text(body, "metadata", "namespace"), text(body, "metadata", "name")
    match plural:
        case "jobs" | "pods":
            run_name = text(body, "metadata", "labels", names.LABEL_RUN)
            return (Key("flowruns", namespace, run_name),) if run_name else ()
        case "flowruns":
            named = text(body, "status", "revision")
            unused = (Key(REVISIONS, namespace, named),) if deleted and named else ()
            own = unused if deleted else (Key("flowruns", namespace, name),)
            if not deleted and not _concerns_children(body):
                return own
            return own + _keys("flowruns", view.children_of_run(text(body, "metadata", "uid")))
        case "controllerrevisions":
            return () if deleted else (Key(REVISIONS, namespace, name),)
        case "deployments":
            own = () if deleted else (Key("deployments", namespace, name),)
            return own + _keys("flowruns", view.runs_waiting_for("deployments", namespace, name))
        case "flows":
            own = () if deleted else (Key("flows", namespace, name),)
            keys = own + _keys("flowruns", view.runs_waiting_for("flows", namespace, name))
            for using in view.deployments_of_flow(namespace, name):
                keys += affected_by(view, "deployments", using)
            return keys
        case "queues" | "concurrencylimits" | "automations":
            return () if deleted else (Key(plural, namespace, name),)
        case _:
            return ()


def counted_by(old: Body | None, new: Body | None) -> Key | None:
    """Say which Deployment has a run more or less that has not ended, because of a change of a FlowRun."""
    before, after = (None if run is None else live_run_of(run) for run in (old, new))
    return None if before == after else before or after


def _concerns_children(run: Body) -> bool:
    """Tell whether a run's children may have to end because of the state it is in."""
    return (
        value(run, "spec", "cancel") is True
        or bool(text(run, "metadata", "deletionTimestamp"))
        or text(run, "status", "state", "type") in states.TERMINAL | {states.StateType.CANCELLING}
    )


def _has_live_below(view: View, uid: str) -> bool:
    """Tell whether a run that this one called has not ended, or one below that."""
    seen, ahead = {uid}, [uid]
    while ahead:
        for child in view.children_of_run(ahead.pop()):
            if text(child, "status", "state", "type") not in states.TERMINAL:
                return True
            below = text(child, "metadata", "uid")
            if below not in seen:
                seen.add(below)
                ahead.append(below)
    return False


def _named(view: View, plural: str, namespace: str, name: str) -> Body | None:
    return view.get(plural, namespace, name) if name else None


def _keys(plural: str, bodies: Sequence[Body]) -> tuple[Key, ...]:
    return tuple(Key(plural, text(body, "metadata", "namespace"), text(body, "metadata", "name")) for body in bodies)
