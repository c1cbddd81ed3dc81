"""Bodies of any shape: a decision is always made, and is always one that can be applied."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import job_name_of, make_deployment, make_flow, make_flowrun, make_job, make_pod, make_state
from tests.operator.reconcile.deciding import at, now, searching

from towpath_operator.reconcile import deployment, flow, flowrun, guard
from towpath_operator.reconcile.decision import CreateJob, Decision, PatchStatus
from towpath_operator.reconcile.observed import ObservedDeployment, ObservedFlow, ObservedFlowRun

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**12),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([None, {}, "x"]),
    st.just({"type": "COMPLETED"}),
    st.just({"": {"": None}}),
).map(copy.deepcopy)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of everything inside of a body."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*path, key)
        yield from places(inner, (*path, key))


def observed_runs() -> list[ObservedFlowRun]:
    """Build one run in each stage of its life, with all that belongs to it."""
    parent = make_flowrun("top", state="RUNNING", attempt=1)
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    named = make_flow(spec={"parameters": schema, "template": {"spec": {"containers": [{"name": "flow"}]}}})
    deployment_ = make_deployment(parameters={"x": 1}, spec={"tags": ["a"]})
    built = []
    for state in (None, "SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "COMPLETED"):
        run = make_flowrun(
            deployment_ref="main-nightly",
            parent=parent,
            state=make_state(state, since=at(-60)) if state else None,
            attempt=2 if state else None,
            spec={"scheduledTime": at(-60), "template": {"metadata": {"labels": {"a": "b"}}}, "cancel": False},
        )
        if state:
            run["status"] |= {
                "retryAt": at(-1),
                "infraFailures": 1,
                "startTime": at(-50),
                "history": [{"type": "PENDING", "name": "Pending", "at": at(-60), "attempt": 2}],
                "conditions": [{"type": "Succeeded", "status": "Unknown", "lastTransitionTime": at(-60)}],
            }
        if state not in {None, "SCHEDULED"}:
            run["status"]["job"] = job_name_of(run, 2)
        job = make_job(run, attempt=2, conditions=["Failed"])
        ended = make_pod(job, phase="Failed", exit_code=1, termination_message="x", deleted=at(10))
        waiting = make_pod(job, name="w", waiting="ErrImagePull", conditions=["PodScheduled"], created=at(-99))
        previous = make_job(run, attempt=1, conditions=["Failed"])
        built.append(ObservedFlowRun(run, named, deployment_, parent, job, (ended, waiting), previous, ()))
    return built


RUNS = observed_runs()
PARTS = ("run", "flow", "deployment", "parent", "job", "pods", "previous_job")


@searching(150)
@given(st.data())
def test_no_shape_of_a_body_breaks_a_decision(data: st.DataObject) -> None:
    """Anything may stand anywhere: there is a decision, it makes at most one Job and one status, and deletes only ours."""
    base = data.draw(st.sampled_from(RUNS))
    parts = {part: copy.deepcopy(getattr(base, part)) for part in PARTS}
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from(PARTS))
        body = parts[part][0] if part == "pods" else parts[part]
        *above, last = data.draw(st.sampled_from(list(places(body))))
        target = body
        try:
            for key in above:
                target = target[key]
            target[last] = data.draw(JUNK)
        except (KeyError, TypeError, IndexError):
            continue  # an earlier change has taken the place away
    decision = flowrun.decide(ObservedFlowRun(**parts), now)

    if decision.bug is not None:
        raise decision.bug
    assert sum(isinstance(action, CreateJob) for action in decision.actions) <= 1
    assert sum(isinstance(action, PatchStatus) for action in decision.actions) <= 1


@searching(60)
@given(st.data())
def test_no_shape_of_a_flow_or_deployment_breaks_a_decision(data: st.DataObject) -> None:
    """The same for what says whether it can be run."""
    bodies = {"flow": copy.deepcopy(RUNS[0].flow), "deployment": copy.deepcopy(RUNS[0].deployment)}
    which = data.draw(st.sampled_from(list(bodies)))
    *above, last = data.draw(st.sampled_from(list(places(bodies[which]))))
    target: Any = bodies[which]
    for key in above:
        target = target[key]
    target[last] = data.draw(JUNK)
    assert bodies["flow"] is not None
    assert bodies["deployment"] is not None

    assert flow.decide(ObservedFlow(bodies["flow"]), now).bug is None
    assert deployment.decide(ObservedDeployment(bodies["deployment"], bodies["flow"]), now).bug is None


def test_a_status_written_by_hand_is_built_upon() -> None:
    """History and conditions of a shape that nobody of ours wrote are replaced, the rest stays."""
    run = make_flowrun(status={"history": "none", "conditions": [{"type": "Succeeded"}, 3], "attempt": "one"})
    decision = flowrun.decide(ObservedFlowRun(run, flow=make_flow()), now)

    (patch,) = (action for action in decision.actions if isinstance(action, PatchStatus))
    written = {operation["path"]: operation["value"] for operation in patch.patch}
    assert written["/status/attempt"] == 1
    assert len(written["/status/history"]) == 1
    assert [c["type"] for c in written["/status/conditions"]] == ["Succeeded"]


def test_a_mistake_in_deciding_comes_back_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done, and the object is looked at again: one run must not stop the others."""
    mistake = ZeroDivisionError("a bug")

    def wrong(*_: Any) -> Decision:
        raise mistake

    monkeypatch.setattr("towpath_operator.reconcile.start.decide", wrong)
    decision = flowrun.decide(ObservedFlowRun(make_flowrun(), flow=make_flow()), now)

    assert decision == Decision((), guard.BUG_SECONDS, mistake)
