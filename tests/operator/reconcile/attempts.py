"""Runs in their first attempt, with Job and pod, as the tests observe them."""

from __future__ import annotations

import json
from typing import Any

from tests.builders import job_name_of, make_flow, make_flowrun, make_job, make_state
from tests.operator.reconcile.deciding import Body, at

from towpath_operator.reconcile.observed import ObservedFlowRun
from towpath_operator.specs.terms import ANNOTATION, Terms

OWN, PLAIN = Terms(), Terms(reports_itself=False)


def running_run(state: str = "RUNNING", since: str = at(-60), **more: Any) -> Body:
    """Build a run in its first attempt, which has a Job."""
    run = make_flowrun(state=make_state(state, since=since), attempt=1, **more)
    run["status"] |= {"job": job_name_of(run), "startTime": since} if state == "RUNNING" else {"job": job_name_of(run)}
    return run


def job_of(run: Body, terms: Terms = OWN, **more: Any) -> Body:
    """Build the Job of a run's first attempt, under given terms."""
    return make_job(run, annotations={ANNOTATION: terms.written()}, **({"created": at(-60)} | more))


def observe(run: Body, job: Body | None, *pods: Body) -> ObservedFlowRun:
    """Observe a run with its Job and pods."""
    return ObservedFlowRun(run, flow=make_flow(), job=job, pods=pods)


def report(type_: str, reason: str, attempt: int = 1, **fields: Any) -> str:
    """Write a termination message."""
    state = {"type": type_, "name": type_.capitalize(), "reason": reason, "message": "own words", "since": at(-1)}
    return json.dumps({"towpath": 1, "attempt": attempt, "state": state} | fields)


def crash(reason: str) -> Body:
    """Build the error of an infrastructure failure as the SDK reports it."""
    return {"code": reason, "kind": "Infrastructure", "message": "told to stop"}
