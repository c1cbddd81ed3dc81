"""What is said about an object before it is taken: the operator's own sentences, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import make_deployment, make_flow, make_flowrun
from tests.operator.automations.deciding import FAILED, make_automation
from tests.operator.reconcile.deciding import decide, now, status_after

from towpath_operator.reconcile.admission import Verdict, of_automation, of_deployment, of_flow, of_queue, of_run
from towpath_operator.reconcile.observed import ObservedDeployment, ObservedFlowRun

SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}
FLOW = make_flow(spec={"parameters": SCHEMA})
HOST = {"spec": {"hostNetwork": True}}
WRONG = "Wrong parameters for flow 'main': x='many' must be a whole number."


def observe(run: dict[str, Any], flow: dict[str, Any] | None = FLOW, **more: Any) -> ObservedFlowRun:
    """Observe a run that is about to be made."""
    return ObservedFlowRun(run, flow=flow, **more)


@pytest.mark.parametrize(
    "run",
    [
        make_flowrun(parameters={"x": "many"}),
        make_flowrun(parameters={"z": 1}),
        make_flowrun(flow={"image": "a:1", "entrypoint": "a:b", "parameters": SCHEMA}, parameters={"y": 1}),
        make_flowrun(parameters={"x": 1}, spec={"template": HOST}),
        make_flowrun(parameters={"x": "y" * 20_000}),
        make_flowrun(spec={"flowRef": None}),
    ],
    ids=["wrong", "misspelt", "missing, inline", "template", "size", "nothing to run"],
)
def test_a_run_is_refused_with_the_words_with_which_it_would_fail(run: dict[str, Any]) -> None:
    """One sentence, whether it is said by `kubectl apply` or, when the webhook is away, by the run's status."""
    (problem,) = of_run(observe(run)).problems
    status = status_after(run, decide(observe(run)))
    assert status["state"]["type"] == "FAILED"
    assert status["error"]["message"] == problem


def test_a_recursion_is_refused() -> None:
    """A run that is nested too deeply is not made."""
    deep = make_flowrun(parameters={"x": 1}, spec={"parent": {"name": "p", "uid": "u", "depth": 21}})
    assert "nested 21 deep" in of_run(observe(deep)).problems[0]


def test_a_flow_that_cannot_be_run_is_said_so() -> None:
    """Whoever names it hears why at once."""
    broken = make_flow(spec={"parameters": {"type": "strange"}})
    (problem,) = of_run(observe(make_flowrun(), broken)).problems
    assert "is no usable JSON Schema" in problem


def test_a_good_run_is_not_talked_about() -> None:
    """No problem and no warning."""
    assert of_run(observe(make_flowrun(parameters={"x": 1}))) == Verdict()


@pytest.mark.parametrize(
    ("observed", "words"),
    [
        (observe(make_flowrun(), None), "There is no Flow 'main'"),
        (observe(make_flowrun(deployment_ref="nightly"), None), "There is no Deployment 'nightly'"),
        (observe(make_flowrun(parameters={"x": 1}, spec={"queue": "small"})), "There is no Queue 'small'"),
        (
            observe(make_flowrun(parameters={"x": 1}, spec={"limits": ["db"]}), limits={"db": None}),
            "There is no ConcurrencyLimit 'db'",
        ),
        (
            observe(
                make_flowrun(deployment_ref="nightly", parameters={"x": 1}),
                deployment=make_deployment("nightly", spec={"suspend": True}),
            ),
            "Deployment 'nightly' is suspended",
        ),
        (
            observe(
                make_flowrun(parameters={"x": 1}, spec={"queue": "small"}),
                queue={"metadata": {"name": "small"}, "spec": {"suspend": True}},
            ),
            "Queue 'small' is suspended",
        ),
    ],
    ids=["flow", "deployment", "queue", "limit", "suspended deployment", "suspended queue"],
)
def test_what_may_come_right_by_itself_is_a_warning(observed: ObservedFlowRun, words: str) -> None:
    """The order in which things are applied is free: nothing is refused for what is not there yet."""
    verdict = of_run(observed)
    assert verdict.problems == ()
    (warning,) = verdict.warnings
    assert words in warning


def test_a_missing_queue_hides_no_wrong_parameter() -> None:
    """What a run has to wait for is no reason to say nothing of what will make it fail then."""
    verdict = of_run(observe(make_flowrun(parameters={"x": "many"}, spec={"queue": "small"})))
    assert verdict.problems == (WRONG,)
    assert "There is no Queue 'small'" in verdict.warnings[0]


def deployment(flow: dict[str, Any] | None = FLOW, absent: tuple[str, ...] = (), **spec: Any) -> Verdict:
    """Judge a Deployment of a spec."""
    return of_deployment(ObservedDeployment(make_deployment("nightly", spec=spec), flow=flow), now, absent)


DAILY = {"name": "daily", "cron": "0 2 * * *"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"parameters": {"x": "many"}}, "x='many' must be a whole number"),
        ({"parameters": {"z": 1}}, "z=1 is not a parameter of the flow"),
        ({"template": HOST}, "template.spec.hostNetwork=True is not allowed"),
        ({"schedules": [{"name": "odd", "cron": "0 25 * * *"}], "parameters": {"x": 1}}, "Schedule 'odd':"),
        ({"schedules": [{"name": "odd", "cron": "0 0 30 2 *"}], "parameters": {"x": 1}}, "Schedule 'odd':"),
        ({"schedules": [DAILY | {"timezone": "Mars/Base"}], "parameters": {"x": 1}}, "Mars/Base"),
        ({"schedules": [DAILY | {"cron": "x", "suspend": True}], "parameters": {"x": 1}}, "Schedule 'daily':"),
        ({"schedules": [DAILY | {"cron": "x"}], "suspend": True, "parameters": {"x": 1}}, "Schedule 'daily':"),
        ({"schedules": [DAILY]}, "Schedule 'daily': Wrong parameters for flow 'main': x is missing"),
        (
            {"schedules": [DAILY | {"parameters": {"x": "many"}}], "parameters": {"x": 1}},
            "Schedule 'daily': Wrong parameters for flow 'main': x='many'",
        ),
    ],
    ids=[
        "parameter",
        "misspelt",
        "template",
        "hour 25",
        "never due",
        "zone",
        "suspended",
        "whole suspended",
        "a schedule without a parameter that must be",
        "a schedule's own parameter",
    ],
)
def test_a_deployment_is_refused_for_what_is_its_own_fault(spec: dict[str, Any], words: str) -> None:
    """Its parameters, its template and each of its schedules."""
    (problem,) = deployment(**spec).problems
    assert words in problem


@pytest.mark.parametrize(
    "spec", [{}, {"parameters": {"x": 1}, "schedules": [DAILY]}], ids=["incomplete, no schedule", "complete"]
)
def test_a_good_deployment_is_not_talked_about(spec: dict[str, Any]) -> None:
    """Parameters may be missing where no schedule makes runs: each run brings its own."""
    assert deployment(**spec) == Verdict()


def test_a_deployment_comes_before_its_flow() -> None:
    """A Flow that is not there, or not well, is a warning; a template is looked at all the same."""
    assert "There is no Flow 'main'" in deployment(None).warnings[0]
    assert "cannot be run" in deployment(make_flow(spec={"parameters": {"type": "strange"}})).warnings[0]
    assert deployment(None, absent=("Queue 'small'",)).warnings[0] == "There is no Queue 'small' yet."
    assert "hostNetwork" in deployment(None, template=HOST).problems[0]
    assert "Schedule 'daily'" in deployment(None, schedules=[DAILY | {"cron": "x"}]).problems[0]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"parameters": {"type": "strange"}}, "is no usable JSON Schema"),
        ({"parameters": {"properties": {"x": {"$ref": "http://elsewhere"}}}}, "refers to another document"),
        ({"template": HOST}, "hostNetwork"),
    ],
    ids=["schema", "reference", "template"],
)
def test_a_flow_that_cannot_be_run_is_refused(spec: dict[str, Any], words: str) -> None:
    """Its schema must be one that can be checked by, and its template one that may be."""
    (problem,) = of_flow(make_flow(spec=spec)).problems
    assert words in problem


def test_a_flow_that_outgrows_its_deployments_warns() -> None:
    """Whoever takes a parameter away hears which Deployments still give it."""
    using = [make_deployment("good", parameters={"x": 1}), make_deployment("old", parameters={"w": 1})]
    verdict = of_flow(FLOW, using)
    assert verdict.problems == ()
    (warning,) = verdict.warnings
    assert warning.startswith("Deployment 'old' does not fit: ")


def test_a_queue_is_judged_by_its_template() -> None:
    """Its template goes into the pods of others."""
    assert of_queue({"spec": {"limit": 1}}) == Verdict()
    assert "hostNetwork" in of_queue({"spec": {"template": HOST}}).problems[0]


def test_an_automation_is_judged_by_its_texts() -> None:
    """One whose message could not be understood when it is needed is refused; a Deployment may come later."""
    assert of_automation(make_automation()) == Verdict()
    typo = make_automation(FAILED, {"webhook": {"url": "https://a.example", "format": "Text", "text": "{{ run.nme }}"}})
    (problem,) = of_automation(typo).problems
    assert problem.startswith("actions[0] has the placeholder '{{ run.nme }}', which stands for nothing.")
    assert of_automation(make_automation(), ["Deployment 'clean-up'"]).warnings == (
        "There is no Deployment 'clean-up' yet.",
    )


def test_what_was_wrong_before_is_told_and_not_refused() -> None:
    """A Deployment that the Flow has outgrown can still be suspended, or get another wrong thing refused."""
    before, after = Verdict(("old",)), Verdict(("old", "new"), ("odd",))
    assert before.since(before) == Verdict((), ("old",))
    assert after.since(before) == Verdict(("new",), ("old", "odd"))


def test_warnings_fit_what_the_api_server_takes() -> None:
    """It cuts what is longer than 256 characters, and drops all beyond 4096: few, short, and none twice."""
    told = Verdict((), ("word " * 100, "same", "same", *(str(number) for number in range(20)))).told()
    assert len(told) == 8
    assert all(len(one.encode()) <= 256 for one in told)
    assert told.count("same") == 1
