"""Decides what should be done about a Deployment: say whether it can be run."""

from __future__ import annotations

from datetime import datetime

from towpath.states import Reason
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.flow import check_flow
from towpath_operator.reconcile.guard import guarded
from towpath_operator.reconcile.observed import ObservedDeployment
from towpath_operator.reconcile.parameters import check_parameters
from towpath_operator.reconcile.problem import Problem
from towpath_operator.reconcile.reading import mapping, text
from towpath_operator.reconcile.ready import say_ready
from towpath_operator.reconcile.resolve import check_template, name_of_flow, schema_of


def decide(observed: ObservedDeployment, now: datetime) -> Decision:
    """Decide what should be done about a Deployment; pure, and never raises: see `Decision.bug`."""
    return guarded(lambda: say_ready("deployments", observed.deployment, _check(observed), now))


def _check(observed: ObservedDeployment) -> Problem | None:
    spec = mapping(observed.deployment, "spec")
    if observed.flow is None:
        wanted, namespace = text(spec, "flowRef"), text(observed.deployment, "metadata", "namespace")
        message = f"There is no Flow {wanted!r} in namespace {namespace!r}. Apply it, or correct flowRef."
        return Problem(Reason.FLOW_NOT_FOUND, message)
    if problem := check_flow(observed.flow):
        message = f"Flow {text(observed.flow, 'metadata', 'name')!r} cannot be run: {problem.message}"
        return Problem(problem.reason, message)
    schema = schema_of(mapping(observed.flow, "spec"))
    flow_name = name_of_flow(observed.flow)
    return check_parameters(flow_name, schema, mapping(spec, "parameters"), complete=False) or check_template(spec)
