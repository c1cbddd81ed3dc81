"""AdmissionReviews over a store that may lag: what is looked up again before anything is said, and how it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.builders import NAMESPACE, make_deployment, make_flow, make_flowrun
from tests.operator.automations.deciding import FAILED, make_automation

from towpath.errors import Unreachable
from towpath_operator.admission.review import MalformedReviewError, Reviewer
from towpath_operator.observe import Key
from towpath_operator.reconcile.policy import DEFAULT
from towpath_operator.runtime.store import Store
from towpath_operator.view import INDEXES, StoreView, lean

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False}
GOOD = {"x": 1}
WRONG = {"x": "many"}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Body = dict[str, Any]


class World:
    """What the operator has seen, and what the API server has."""

    def __init__(self, *seen: Body, there: tuple[Body, ...] | None = None) -> None:
        self.store = Store(INDEXES, lean=lean)
        self.there = {key_of(body): body for body in (seen if there is None else there)}
        for body in seen:
            self.store.put(key_of(body).plural, body)
        self.read: list[Key] = []
        self.trouble: Callable[[], Awaitable[None]] | None = None

    async def refresh(self, key: Key) -> None:
        self.read.append(key)
        if self.trouble:
            await self.trouble()
        if key in self.there:
            self.store.put(key.plural, self.there[key])
        elif known := self.store.get(*key):
            self.store.drop(*key, known["metadata"]["uid"])

    async def ask(self, body: Body, before: Body | None = None) -> Body:
        """Ask about an object, as the API server does; give the response."""
        reviewer = Reviewer(StoreView(self.store), self.refresh, DEFAULT, clock=lambda: NOW)
        answer = await reviewer.answer(review(body, before))
        assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        response: Body = answer["response"]
        assert response["uid"] == "asked"
        return response


def key_of(body: Body) -> Key:
    return Key(f"{body['kind'].lower()}s", body["metadata"]["namespace"], body["metadata"]["name"])


def review(body: Body, before: Body | None = None) -> Body:
    """Build the question."""
    request = {
        "uid": "asked",
        "kind": {"group": "towpath.dev", "version": "v1alpha1", "kind": body["kind"]},
        "resource": {"group": "towpath.dev", "version": "v1alpha1", "resource": key_of(body).plural},
        "namespace": NAMESPACE,
        "operation": "UPDATE" if before else "CREATE",
        "object": body,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request | {"oldObject": before}}


def flow(schema: Body = SCHEMA, version: str = "1") -> Body:
    return make_flow(spec={"parameters": schema}, resource_version=version)


def answered(world: World, body: Body, before: Body | None = None) -> Body:
    """Ask, and give the response."""
    return asyncio.run(world.ask(body, before))


def test_what_is_well_is_accepted_without_a_question_to_anybody() -> None:
    """The everyday answer costs no request."""
    world = World(flow())
    assert answered(world, make_flowrun(parameters=GOOD)) == {"uid": "asked", "allowed": True}
    assert world.read == []


def test_what_is_wrong_is_refused_with_the_whole_sentence() -> None:
    """kubectl shows the details, as for what the CRD's own rules refuse; others show the message."""
    response = answered(World(flow()), make_flowrun(parameters=WRONG))
    said = "Wrong parameters for flow 'main': x='many' must be a whole number."
    assert response["allowed"] is False
    assert response["status"] == {
        "code": 422,
        "reason": "Invalid",
        "message": said,
        "details": {
            "group": "towpath.dev",
            "kind": "FlowRun",
            "name": "run-1",
            "causes": [{"reason": "FieldValueInvalid", "field": "spec", "message": said}],
        },
    }


def test_nothing_is_refused_by_a_flow_that_has_just_changed() -> None:
    """`kubectl apply` of a new Flow and a run of it in one file: the store has the old Flow for a moment longer."""
    wider = SCHEMA | {"properties": {"x": {"type": "string"}}}
    world = World(flow(), there=(flow(wider, version="2"),))
    assert answered(world, make_flowrun(parameters=WRONG)) == {"uid": "asked", "allowed": True}
    assert {key.plural for key in world.read} == {"flows", "flowruns"}


def test_nothing_is_warned_of_that_is_there() -> None:
    """A Flow that was made a moment ago, and the Flow of a Deployment that was, are found."""
    world = World(there=(flow(), make_deployment("nightly")))
    assert answered(world, make_flowrun(deployment_ref="nightly", parameters=GOOD)) == {"uid": "asked", "allowed": True}


def test_what_is_gone_is_not_believed_in() -> None:
    """A Flow that was deleted a moment ago refuses nobody's parameters any more; there is a warning instead."""
    response = answered(World(flow(), there=()), make_flowrun(parameters=WRONG))
    assert response["allowed"] is True
    assert "There is no Flow 'main'" in response["warnings"][0]


def test_a_change_that_does_not_touch_what_is_wrong_is_accepted() -> None:
    """A Deployment that the Flow has outgrown can be suspended."""
    old = make_deployment("nightly", parameters=WRONG)
    suspended = make_deployment("nightly", parameters=WRONG, spec={"suspend": True})
    response = answered(World(flow(), old), suspended, old)
    assert response["allowed"] is True
    assert "x='many'" in response["warnings"][0]
    assert answered(World(flow()), make_deployment("nightly", parameters={"w": 1}), old)["allowed"] is False


def test_a_run_that_is_there_is_not_judged_again() -> None:
    """Whoever makes a run twice is told by the API server that its name is taken, even if the Flow has changed since."""
    run = make_flowrun(parameters=WRONG)
    assert answered(World(flow(), run), run) == {"uid": "asked", "allowed": True}
    assert answered(World(flow(), there=(flow(), run)), run) == {"uid": "asked", "allowed": True}


def test_a_flow_is_compared_with_its_deployments() -> None:
    """Which Deployments a new schema leaves behind is said."""
    response = answered(World(make_deployment("nightly", parameters={"w": 1})), flow())
    assert response["allowed"] is True
    assert "Deployment 'nightly' does not fit" in response["warnings"][0]


def test_an_automation_is_warned_of_deployments_that_are_missing() -> None:
    """One that is there, though the store has not heard of it, is none of them."""
    deployment = make_deployment("clean-up")
    actions = [{"runDeployment": {"name": name}} for name in ("clean-up", "nobody")]
    response = answered(World(there=(deployment,)), make_automation(FAILED, *actions))
    assert (response["allowed"], response["warnings"]) == (True, ["There is no Deployment 'nobody' yet."])


def test_a_name_that_is_still_to_be_made_is_no_trouble() -> None:
    """A run with generateName has no name yet; kinds about which there is nothing to say are accepted."""
    run = make_flowrun(parameters=GOOD)
    del run["metadata"]["name"]
    run["metadata"]["generateName"] = "run-"
    reviewed = review(make_flowrun()) | {}
    reviewed["request"] |= {"object": run}
    world = World(flow())
    reviewer = Reviewer(StoreView(world.store), world.refresh, DEFAULT, clock=lambda: NOW)
    assert asyncio.run(reviewer.answer(reviewed))["response"]["allowed"] is True
    reviewed["request"]["resource"]["resource"] = "concurrencylimits"
    assert asyncio.run(reviewer.answer(reviewed))["response"]["allowed"] is True


@pytest.mark.parametrize(
    "odd", [{}, {"apiVersion": "admission.k8s.io/v1"}, review(make_flowrun()) | {"apiVersion": "x"}]
)
def test_what_is_no_review_is_an_error(odd: Body) -> None:
    """An error is no answer, and then the API server goes on without one."""
    world = World()
    with pytest.raises(MalformedReviewError):
        asyncio.run(Reviewer(StoreView(world.store), world.refresh, DEFAULT).answer(odd))


def test_an_object_of_any_shape_is_answered() -> None:
    """The CRD's schema comes before, but nothing here relies on it."""
    for spec in (
        None,
        [],
        "x",
        {"flowRef": 1},
        {"flow": [1]},
        {"parameters": 3, "flowRef": "main"},
        {"schedules": [1]},
    ):
        for body in (make_flowrun(), make_deployment("main-nightly"), flow()):
            assert "allowed" in answered(World(flow()), body | {"spec": spec})


def test_nothing_is_said_when_the_api_server_cannot_be_asked() -> None:
    """Rather no answer than a refusal that rests on old news."""

    async def away() -> None:
        raise Unreachable("no answer")

    world = World(flow())
    world.trouble = away
    with pytest.raises(Unreachable):
        answered(world, make_flowrun(parameters=WRONG))
    assert answered(world, make_flowrun(parameters=GOOD))["allowed"] is True


def test_the_api_server_is_not_waited_for_longer_than_it_waits_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up after some seconds anyway."""
    monkeypatch.setattr("towpath_operator.admission.review._PATIENCE", 0.01)
    world = World(flow())
    world.trouble = asyncio.Event().wait  # type: ignore[assignment]
    with pytest.raises(TimeoutError):
        answered(world, make_flowrun(parameters=WRONG))
