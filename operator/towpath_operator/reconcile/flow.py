"""Decides what should be done about a Flow: say whether it can be run."""

from __future__ import annotations

from datetime import datetime

from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.guard import guarded
from towpath_operator.reconcile.observed import Body, ObservedFlow
from towpath_operator.reconcile.parameters import check_schema
from towpath_operator.reconcile.problem import Problem
from towpath_operator.reconcile.reading import mapping
from towpath_operator.reconcile.ready import say_ready
from towpath_operator.reconcile.resolve import check_code, check_template, schema_of


def decide(observed: ObservedFlow, now: datetime) -> Decision:
    """Decide what should be done about a Flow; pure, and never raises: see `Decision.bug`."""
    return guarded(lambda: say_ready("flows", observed.flow, check_flow(observed.flow), now))


def check_flow(flow: Body) -> Problem | None:
    """Tell why a Flow cannot be run, if it cannot."""
    spec = mapping(flow, "spec")
    return check_code(spec) or check_schema(schema_of(spec)) or check_template(spec)
