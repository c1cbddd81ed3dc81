"""Finds out what a run is to run: the flow's word, the deployment's over it, and the run's own over both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from towpath import names
from towpath.states import Reason, StateType
from towpath_operator.reconcile.claims import has_rate, queue_of
from towpath_operator.reconcile.observed import Body, ObservedFlowRun
from towpath_operator.reconcile.parameters import check_parameters
from towpath_operator.reconcile.problem import Problem
from towpath_operator.reconcile.reading import integer, mapping, mappings, text, texts, value
from towpath_operator.reconcile.run import Run
from towpath_operator.specs import templates
from towpath_operator.specs.resolved import ResolvedRun
from towpath_operator.specs.revisions import Revision
from towpath_operator.specs.terms import Terms

_T = TypeVar("_T")
#: States that only a run has been in that had a Job.
_BEGUN = frozenset({StateType.RUNNING, StateType.PAUSED})


@dataclass(frozen=True, slots=True)
class Missing:
    """A Flow, Deployment, Queue or ConcurrencyLimit that does not exist yet: the order of applying things is free."""

    reason: Reason
    message: str
    waiting_for: str


Resolution: TypeAlias = ResolvedRun | Missing | Problem


def resolve(observed: ObservedFlowRun, run: Run) -> Resolution:
    """Settle what is to be run, or say what is missing or wrong."""
    found = _flow_spec(observed, run)
    if isinstance(found, Missing | Problem):
        return found
    flow_name, flow_spec = found
    deployment_spec, queue_spec = _deployment_spec(observed, run), _queue_spec(observed)
    specs = (flow_spec, deployment_spec, run.spec)
    terms = terms_from_specs(observed, run)
    if problem := check_code(flow_spec):
        return problem
    parameters = dict(mapping(deployment_spec, "parameters")) | dict(mapping(run.spec, "parameters"))
    if problem := check_parameters(flow_name, schema_of(flow_spec), parameters):
        return problem
    if problem := _check_depth(run):
        return problem
    queue, deployment = queue_of(observed.run, observed.deployment), text(run.spec, "deploymentRef")
    owners = (f"Queue {queue!r}: ", f"Flow {flow_name!r}: ", f"Deployment {deployment!r}: ", "")
    for owner, spec in zip(owners, (queue_spec, *specs), strict=True):
        if problem := check_template(spec):
            return Problem(problem.reason, owner + problem.message)
    return ResolvedRun(
        name=run.name,
        namespace=run.namespace,
        uid=run.uid,
        flow=flow_name,
        image=text(flow_spec, "image"),
        entrypoint=text(flow_spec, "entrypoint"),
        command=tuple(texts(flow_spec, "command")),
        parameters=parameters,
        tags=tuple(dict.fromkeys([*texts(deployment_spec, "tags"), *texts(run.spec, "tags")])),
        templates=tuple(mapping(spec, "template") for spec in (queue_spec, *specs) if mapping(spec, "template")),
        deployment=deployment,
        parent=text(run.spec, "parent", "name"),
        root_run=_root_run(observed, run),
        depth=_depth(run),
        timeout_seconds=terms.timeout_seconds,
        pending_timeout_seconds=terms.pending_timeout_seconds,
        retries=_last(integer(spec, "retries") for spec in specs),
        infra_retries=terms.infra_retries,
        result_storage=_last(text(spec, "resultStorage") or None for spec in specs) or "",
        revision=observed.revision
        or Revision.of(
            flow_name, flow={} if mapping(run.spec, "flow") else flow_spec, deployment=deployment_spec, queue=queue_spec
        ),
    )


def missing_lane(observed: ObservedFlowRun, run: Run) -> Missing | Problem | None:
    """Say which Queue or ConcurrencyLimit a run names that it cannot take its turn in; one that has begun goes on."""
    notes = mappings(run.status, "history")
    has_begun = any(note.get("type") in _BEGUN or note.get("reason") == Reason.JOB_CREATED for note in notes)
    if has_begun or text(run.status, "revision"):
        return None
    if (queue := queue_of(observed.run, observed.deployment)) and observed.queue is None:
        said = f"There is no Queue {queue!r} in namespace {run.namespace!r}. Apply it, or name another in a new run."
        return Missing(Reason.QUEUE_NOT_FOUND, said, f"Queue {queue}")
    for name, limit in observed.limits.items():
        if limit is None:
            said = f"There is no ConcurrencyLimit {name!r} in namespace {run.namespace!r}. Apply it, or name another."
            return Missing(Reason.LIMIT_NOT_FOUND, said, f"ConcurrencyLimit {name}")
        if has_rate(limit):
            return _invalid(
                f"ConcurrencyLimit {name!r} has a rate, slotDecayPerSecond: it is for code in runs, not for runs. Name"
                " one without."
            )
    return None


def terms_from_specs(observed: ObservedFlowRun, run: Run) -> Terms:
    """Settle the terms of a run from what is known of its specs, even if some of them are missing."""
    policy = observed.policy
    settled = observed.revision
    flow_spec = mapping(run.spec, "flow") or (settled.flow if settled else mapping(observed.flow, "spec"))
    specs = (flow_spec, _deployment_spec(observed, run), run.spec)
    pending = _last(integer(spec, "pendingTimeoutSeconds") for spec in specs)
    infra_retries = _last(integer(spec, "infraRetries") for spec in specs)
    return Terms(
        reports_itself=not texts(flow_spec, "command"),
        timeout_seconds=_last(integer(spec, "timeoutSeconds") for spec in specs),
        pending_timeout_seconds=policy.pending_timeout_seconds if pending is None else pending,
        infra_retries=policy.infra_retries if infra_retries is None else infra_retries,
        grace_seconds=policy.grace_seconds,
    )


def flow_of(observed: ObservedFlowRun, run: Run) -> str:
    """Give the name of the run's flow as far as it is known, so that a run that never starts is counted too."""
    inline = mapping(run.spec, "flow")
    if inline:
        return _name_of_inline(inline)
    if settled := observed.revision:
        return settled.flow_name
    if observed.flow is not None:
        return name_of_flow(observed.flow)
    reference = text(run.spec, "flowRef") or text(observed.deployment, "spec", "flowRef")
    return names.slug(reference) if reference else ""


def check_code(flow_spec: Mapping[str, Any]) -> Problem | None:
    """Tell what is wrong with the code that a flow names: an image, and either an entrypoint or a command."""
    if not text(flow_spec, "image"):
        return _invalid(f"The flow's image is {flow_spec.get('image')!r}. Name the image that holds its code.")
    entrypoint, command = text(flow_spec, "entrypoint"), texts(flow_spec, "command")
    if bool(entrypoint) == bool(command):
        return _invalid(
            f"The flow's entrypoint is {entrypoint!r} and its command {command!r}. Set exactly one: entrypoint for a"
            " Towpath flow such as 'pkg.mod:fn', command for any container."
        )
    return None


def check_template(spec: Mapping[str, Any]) -> Problem | None:
    """Tell what is wrong with the pod template of a flow, a deployment or a run."""
    try:
        templates.check(spec.get("template"))
    except templates.InvalidTemplate as error:
        return Problem(Reason.INVALID_TEMPLATE, str(error))
    return None


def schema_of(flow_spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the JSON Schema of a flow's parameters, if it has one."""
    return mapping(flow_spec, "parameters") if value(flow_spec, "parameters") is not None else None


def name_of_flow(flow: Body) -> str:
    """Give the name under which a Flow's runs are labelled and counted."""
    return names.slug(text(flow, "spec", "name") or text(flow, "metadata", "name"))


def _deployment_spec(observed: ObservedFlowRun, run: Run) -> Mapping[str, Any]:
    """Give the Deployment's spec as it was when the run's first Job was made, or else as it is."""
    if settled := observed.revision:
        return settled.deployment
    return mapping(observed.deployment, "spec") if text(run.spec, "deploymentRef") else {}


def _queue_spec(observed: ObservedFlowRun) -> Mapping[str, Any]:
    """Give the Queue's spec, whose template is below the flow's."""
    return observed.revision.queue if observed.revision else mapping(observed.queue, "spec")


def _flow_spec(observed: ObservedFlowRun, run: Run) -> tuple[str, Mapping[str, Any]] | Missing | Problem:
    inline = mapping(run.spec, "flow")
    flow_ref, deployment_ref = text(run.spec, "flowRef"), text(run.spec, "deploymentRef")
    if [bool(inline), bool(flow_ref), bool(deployment_ref)].count(True) != 1:
        return _invalid("A run names exactly one of flowRef, deploymentRef and flow. Create a new run that does.")
    if inline:
        return _name_of_inline(inline), inline
    if settled := observed.revision:
        return settled.flow_name, settled.flow
    if deployment_ref:
        if observed.deployment is None:
            return Missing(
                Reason.DEPLOYMENT_NOT_FOUND,
                f"There is no Deployment {deployment_ref!r} in namespace {run.namespace!r}. Apply it, or correct"
                " deploymentRef in a new run.",
                f"Deployment {deployment_ref}",
            )
        flow_ref = text(observed.deployment, "spec", "flowRef")
    if observed.flow is None:
        named_by = f"Deployment {deployment_ref!r} names" if deployment_ref else "the run names"
        return Missing(
            Reason.FLOW_NOT_FOUND,
            f"There is no Flow {flow_ref!r}, which {named_by}, in namespace {run.namespace!r}. Apply it, or correct the"
            " name.",
            f"Flow {flow_ref}",
        )
    return name_of_flow(observed.flow), mapping(observed.flow, "spec")


def _name_of_inline(spec: Mapping[str, Any]) -> str:
    function = text(spec, "entrypoint").rpartition(":")[2].rpartition(".")[2]
    image = text(spec, "image").rpartition("/")[2].partition("@")[0].partition(":")[0]
    return names.slug(text(spec, "name") or function or image)


def _root_run(observed: ObservedFlowRun, run: Run) -> str:
    """Find the top of the tree: children carry its name as a label, and a top run has no parent."""
    parent = text(run.spec, "parent", "name")
    if not parent:
        return run.name
    own = text(observed.run, "metadata", "labels", names.LABEL_ROOT_RUN)
    return own or text(observed.parent, "metadata", "labels", names.LABEL_ROOT_RUN) or parent


def _depth(run: Run) -> int:
    return integer(run.spec, "parent", "depth") or (1 if mapping(run.spec, "parent") else 0)


def _check_depth(run: Run) -> Problem | None:
    if _depth(run) <= names.MAX_DEPTH:
        return None
    return _invalid(
        f"The run is nested {_depth(run)} deep, and at most {names.MAX_DEPTH} are allowed. Does the flow call itself?"
    )


def _invalid(message: str) -> Problem:
    return Problem(Reason.INVALID_SPEC, message)


def _last(values: Iterable[_T | None]) -> _T | None:
    """Give the last value that is set: the word of the most specific."""
    return next((one for one in reversed(list(values)) if one is not None), None)
