"""What is wrong or odd about an object that somebody is about to apply: the operator's own word, before it is too late.

Nothing is judged here that the operator would not say later, in the same sentences: a run that would fail at once, a
Flow or Deployment that would not be ready. What may come right by itself is a warning and no refusal: the order in
which things are applied is free. And what was wrong before is no reason to refuse a change that does not touch it, such
as one that suspends a Deployment: that is a warning too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from towpath.limits import cut
from towpath.states import Reason
from towpath_operator.reconcile import deployment as deployments
from towpath_operator.reconcile import messages
from towpath_operator.reconcile.flow import check_flow
from towpath_operator.reconcile.observed import Body, ObservedDeployment, ObservedFlowRun
from towpath_operator.reconcile.parameters import check_parameters
from towpath_operator.reconcile.problem import Problem
from towpath_operator.reconcile.reading import mapping, mappings, text, value
from towpath_operator.reconcile.resolve import Missing, check_template, missing_lane, name_of_flow, resolve, schema_of
from towpath_operator.reconcile.run import Run
from towpath_operator.reconcile.schedules import outlooks

#: Bytes of a warning: the API server cuts what is longer than 256 characters, and drops what is more than 4096 in all.
_WARNING = 250
_WARNINGS = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said, in whole sentences."""

    problems: tuple[str, ...] = ()
    """Why the object is of no use as it is."""
    warnings: tuple[str, ...] = ()
    """What is odd about it."""

    def since(self, before: Verdict) -> Verdict:
        """Give the verdict on a change: what was wrong before is told, and no reason to refuse it."""
        new = tuple(said for said in self.problems if said not in before.problems)
        old = tuple(said for said in self.problems if said in before.problems)
        return Verdict(new, old + self.warnings)

    def told(self) -> list[str]:
        """Give the warnings as the API server takes them."""
        return [cut(said, _WARNING) for said in dict.fromkeys(self.warnings)][:_WARNINGS]


def of_run(observed: ObservedFlowRun) -> Verdict:
    """Judge a new FlowRun: what would make it fail before its first Job, and what it will have to wait for."""
    run = Run.of(observed.run)
    found = (resolve(observed, run), missing_lane(observed, run))
    warnings = [missing.message for missing in found if isinstance(missing, Missing)]
    if value(observed.deployment, "spec", "suspend") is True:
        name = text(observed.deployment, "metadata", "name")
        warnings.append(f"Deployment {name!r} is suspended: its schedules make no runs. This run starts all the same.")
    if value(observed.queue, "spec", "suspend") is True:
        name = text(observed.queue, "metadata", "name")
        warnings.append(f"Queue {name!r} is suspended: the run waits until it no longer is.")
    return _verdict([problem for problem in found if isinstance(problem, Problem)], warnings)


def of_deployment(observed: ObservedDeployment, now: datetime, absent: Sequence[str] = ()) -> Verdict:
    """Judge a Deployment: its parameters as far as they go, its template, and every schedule, suspended or not.

    Args:
        observed: the Deployment as it is to be, and its Flow.
        now: the time.
        absent: what else it names, and is not there, such as "Queue 'small'".
    """
    spec = mapping(observed.deployment, "spec")
    awake = [{**entry, "suspend": False} for entry in mappings(spec, "schedules")]
    body = {**observed.deployment, "spec": {**spec, "suspend": False, "schedules": awake}, "status": {}}
    observed = dataclasses.replace(observed, deployment=body, refused={})
    problem, warnings = deployments.check(observed), [f"There is no {one} yet." for one in absent]
    if problem is not None and (observed.flow is None or check_flow(observed.flow)):  # nothing of its own
        warnings.append(problem.message)
        problem = check_template(spec)
    troubles = [
        Problem(Reason.INVALID_SPEC, said)
        for word, said in deployments.troubles(observed, outlooks(observed, now))
        if problem is None or word is not deployments.Word.INVALID_PARAMETERS  # it would say the same again
    ]
    return _verdict([problem, *troubles], warnings)


def of_flow(body: Body, using: Iterable[Body] = ()) -> Verdict:
    """Judge a Flow, and warn of Deployments of it that it does not fit any more.

    Args:
        body: the Flow as it is to be.
        using: the Deployments that name it.
    """
    problem = check_flow(body)
    if problem is not None:
        return _verdict([problem])
    schema, name = schema_of(mapping(body, "spec")), name_of_flow(body)
    unfit = [
        f"Deployment {text(one, 'metadata', 'name')!r} does not fit: {found.message}"
        for one in using
        if (found := check_parameters(name, schema, mapping(one, "spec", "parameters"), complete=False))
    ]
    return _verdict([], unfit)


def of_queue(body: Body) -> Verdict:
    """Judge a Queue: its pod template."""
    return _verdict([check_template(mapping(body, "spec"))])


def of_automation(body: Body, absent: Sequence[str] = ()) -> Verdict:
    """Judge an Automation: its texts, for nobody looks at them before something happens.

    Args:
        body: the Automation as it is to be.
        absent: what it names, and is not there, such as "Deployment 'clean-up'".
    """
    said = messages.problem_of(body)
    return Verdict((said,) if said else (), tuple(f"There is no {one} yet." for one in absent))


def _verdict(problems: Iterable[Problem | None], warnings: Iterable[str] = ()) -> Verdict:
    return Verdict(tuple(one.message for one in problems if one is not None), tuple(warnings))
