"""The part as a whole, over an API server in memory: what it asks of the server, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.builders import make_deployment
from tests.json_patch import PatchRefusedError, apply_patch
from tests.operator.automations.deciding import CLEAN_UP, FAILED, at, make_automation, ready_of, run_in
from tests.operator.automations.receiver import receiving

from towpath_operator.apply import Applier
from towpath_operator.automations.metrics import AutomationMetrics
from towpath_operator.automations.part import Automations
from towpath_operator.observe import Key
from towpath_operator.runtime.client import ApiError
from towpath_operator.runtime.resources import Resource
from towpath_operator.runtime.store import Store

Body = dict[str, Any]
TELL = Key("automations", "team-a", "tell")


class Server:
    """Objects, and what was asked for; as `Client`."""

    def __init__(self) -> None:
        self.objects: dict[Key, Body] = {}
        self.asked: list[str] = []
        self.refuse: dict[str, ApiError] = {}
        """By verb and plural: what the next of these requests is answered with."""
        self.version = 100

    def put(self, body: Body) -> Body:
        """Keep an object as a new version."""
        self.version += 1
        body = body | {"metadata": {"uid": "u"} | body["metadata"] | {"resourceVersion": str(self.version)}}
        self.objects[Key(f"{body['kind'].lower()}s", body["metadata"]["namespace"], body["metadata"]["name"])] = body
        return body

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        self._note("get", resource)
        return self._there(resource, namespace, name)

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Body:
        self._note("create", resource)
        if Key(resource.plural, namespace, body["metadata"]["name"]) in self.objects:
            raise ApiError(409, "AlreadyExists", "it exists")
        return self.put(dict(body))

    async def patch(
        self, resource: Resource, namespace: str, name: str, patch: Sequence[Mapping[str, Any]], subresource: str = ""
    ) -> Body:
        self._note("patch", resource)
        try:
            return self.put(apply_patch(self._there(resource, namespace, name), patch))
        except PatchRefusedError as error:
            raise ApiError(422, "Invalid", str(error)) from error

    def _note(self, verb: str, resource: Resource) -> None:
        self.asked.append(f"{verb} {resource.plural}")
        if refusal := self.refuse.pop(self.asked[-1], None):
            raise refusal

    def _there(self, resource: Resource, namespace: str, name: str) -> Body:
        found = self.objects.get(Key(resource.plural, namespace, name))
        if found is None:
            raise ApiError(404, "NotFound", "there is none")
        return found


class World:
    """The server, a store that hears of everything at once, and the part."""

    def __init__(self, *bodies: Body, **settings: Any) -> None:
        self.server, self.registry = Server(), CollectorRegistry()
        self.events: list[str] = []
        self.woken = asyncio.Event()
        self.keys: list[Key] = []
        self.metrics = AutomationMetrics(self.registry)
        self.store = Store(listener=self._changed)
        client: Any = self.server
        self.part = Automations(
            client, self.store, Applier(client, self.store, self, self), self.metrics,  # type: ignore[arg-type]
            wake=self._wake, may_write=lambda: True, **settings,
        )  # fmt: skip
        for body in bodies:
            self.put(body)

    def put(self, body: Body) -> None:
        """Let the server have an object, and the store hear of it."""
        kept = self.server.put(body)
        self.store.put(f"{kept['kind'].lower()}s", kept)

    def record(self, regarding: Mapping[str, Any], reason: str, message: str, *, warning: bool) -> None:
        self.events.append(reason)

    def _wake(self, key: Key) -> None:
        self.keys.append(key)
        self.woken.set()

    def _changed(self, plural: str, old: Any, new: Any) -> None:
        if plural == "flowruns":
            self.keys += self.part.run_changed(old, new)
        if plural == "automations":
            self.part.changed(old, new)

    async def look(self, seconds: float) -> float | None:
        """Look at the automation."""
        return await self.part.look_at(TELL, at(seconds))

    @property
    def status(self) -> Body:
        """Give what the automation's status says."""
        return dict(self.server.objects[TELL]["status"])

    def count(self, name: str, **labels: str) -> float | None:
        """Read a metric."""
        return self.registry.get_sample_value(name, {"namespace": "team-a", "automation": "tell", **labels})


def lived(test: Callable[[World], Awaitable[None]], *bodies: Body, **settings: Any) -> World:
    """Run a test in an event loop."""

    async def run() -> World:
        world = World(*bodies, **settings)
        try:
            await test(world)
        finally:
            await world.part.close()
        return world

    return asyncio.run(run())


def test_a_run_is_awaited_until_the_status_says_what_became_of_it() -> None:
    """Nobody may remove it before: after a restart until the desk is open, later until the event is taken in."""
    run, other = run_in("RUNNING", "FAILED"), run_in("RUNNING", "FAILED", name="other", uid="other")

    async def test(world: World) -> None:
        def awaited(seconds: float) -> list[bool]:
            return [world.part.awaits("team-a", at(seconds))(one) for one in (run, other)]

        world.put(run)
        assert awaited(4) == [True, True], "it is new, and nobody has looked from where on it counts"
        assert awaited(4000) == [False, False], "for an hour at most"
        await world.look(4)
        assert awaited(4000) == [True, True], "it has begun, and its desk is not open"
        await world.look(5)
        assert (world.status["triggered"], awaited(5)) == (1, [False, False])
        world.put(other)
        await world.look(7)
        assert awaited(7) == [False, True], "it is held back by the throttle"
        assert awaited(4000) == [False, False], "for an hour at most"
        assert world.part.awaits("team-b", at(7))(other) is False
        await world.look(66)
        assert (world.status["triggered"], awaited(66)) == (2, [False, False])

    lived(test, make_automation(FAILED, CLEAN_UP, throttle={"seconds": 60}))


@pytest.mark.parametrize(
    "automation",
    [
        make_automation(FAILED, suspend=True),
        make_automation(FAILED, {"webhook": {"url": "https://a.example", "format": "Text", "text": "{{ nothing }}"}}),
        make_automation({"late": {"afterSeconds": 60}}),
    ],
    ids=["suspended", "cannot be understood", "does not count ends"],
)
def test_nobody_waits_for_an_automation_that_takes_nothing_in(automation: Body) -> None:
    """Runs are removed as if it were not there."""

    async def test(world: World) -> None:
        assert world.part.awaits("team-a", at(3))(run_in("RUNNING", "FAILED")) is False

    lived(test, automation)


def test_from_a_failure_to_the_receiver() -> None:
    """A run fails, the message is taken, the status says so; the metrics tell of all of it."""

    async def test(world: World) -> None:
        await world.look(0)
        await world.look(1)  # as its own write of the status makes it do
        world.put(run_in("RUNNING", "FAILED"))
        assert world.keys == [TELL]
        await world.look(5)
        assert world.status["waiting"] == 1
        world.metrics.start_counting()
        assert world.count("towpath_automation_oldest_waiting_timestamp_seconds") == at(5).timestamp()
        await asyncio.wait_for(world.woken.wait(), 60)
        await world.look(7)

    with receiving() as receiver:
        world = lived(test, make_automation(FAILED, {"webhook": {"url": receiver.url}}))
        assert receiver.json()["data"]["run"] == "etl-1"
    assert (world.status["delivered"], world.status["waiting"]) == (1, 0)
    assert world.count("towpath_automation_triggered_total") == 1
    assert world.count("towpath_automation_actions_total", outcome="done") == 1
    assert world.count("towpath_automation_deliveries_total", outcome="delivered") == 1
    assert world.count("towpath_automation_oldest_waiting_timestamp_seconds") is None


def test_a_run_is_made_once() -> None:
    """One that exists was made before; the store hears of a new one at once."""

    async def test(world: World) -> None:
        await world.look(0)
        world.put(run_in("FAILED"))
        world.server.refuse["patch automations"] = ApiError(500, "", "killed, as it were")
        with pytest.raises(ApiError):
            await world.look(5)
        await world.look(6)

    world = lived(test, make_automation(FAILED, CLEAN_UP), make_deployment("clean-up"))
    assert world.server.asked.count("create flowruns") == 2
    made = [body for key, body in world.server.objects.items() if key.name.startswith("clean-up-auto-")]
    assert len(made) == 1
    assert world.store.get("flowruns", "team-a", made[0]["metadata"]["name"])
    assert (world.status["triggered"], world.status["delivered"]) == (1, 1)


def test_what_is_refused_stops_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """A quota refuses the run: the other action is done, and this one later."""

    async def test(world: World) -> None:
        await world.look(0)
        world.put(run_in("RUNNING"))
        world.server.refuse["create flowruns"] = ApiError(403, "Forbidden", "exceeded quota")
        with caplog.at_level(logging.WARNING):
            again = await world.look(5)
        assert again is not None
        assert again <= 5
        assert world.server.objects[Key("flowruns", "team-a", "etl-1")]["spec"]["cancel"] is True
        assert world.status["lastError"] == "The API server refused actions[0] with 403: exceeded quota"
        await world.look(11)

    trigger = {"states": {"types": ["RUNNING"]}}
    world = lived(test, make_automation(trigger, CLEAN_UP, {"cancel": {}}), make_deployment("clean-up"))
    assert "exceeded quota" in caplog.text
    assert world.status["delivered"] == 2
    assert "pending" not in world.status


@pytest.mark.parametrize("how", ["gone", "another", "refused"])
def test_wishes_that_nobody_needs_any_more(how: str) -> None:
    """A run that is gone, or another by its name, is left alone; a refusal that is none of these is told."""

    async def test(world: World) -> None:
        await world.look(0)
        world.put(run_in("RUNNING"))
        key = Key("flowruns", "team-a", "etl-1")
        if how == "gone":
            del world.server.objects[key]
        elif how == "another":
            world.server.put(run_in("RUNNING", uid="another"))
        else:
            world.server.refuse["patch flowruns"] = ApiError(422, "Invalid", "a policy")
        await world.look(5)
        assert how == "gone" or "cancel" not in world.server.objects[key]["spec"]

    world = lived(test, make_automation({"states": {"types": ["RUNNING"]}}, {"cancel": {}}))
    assert world.status["delivered"] == (how != "refused")
    assert ("lastError" in world.status) is (how == "refused")


def test_a_status_that_changed_meanwhile_is_read_again() -> None:
    """Another operator has taken the event in: this one hears of it before it does anything."""

    async def test(world: World) -> None:
        await world.look(0)
        world.put(run_in("FAILED"))
        world.server.put(world.server.objects[TELL] | {"metadata": world.server.objects[TELL]["metadata"]})
        with pytest.raises(Exception, match="changed meanwhile"):
            await world.look(5)
        assert "create flowruns" not in world.server.asked
        await world.look(6)

    assert lived(test, make_automation(FAILED, CLEAN_UP), make_deployment("clean-up")).status["triggered"] == 1


def test_deployments_tell_of_success() -> None:
    """A Deployment's own word on its last success counts, for the run may have been removed."""
    body = make_automation({"noSuccess": {"forSeconds": 600}}, match={"deployments": ["etl"]})

    async def test(world: World) -> None:
        await world.look(0)
        assert await world.look(1) == 60
        world.put(make_deployment("etl", status={"lastSucceeded": at(500).isoformat()}))
        assert await world.look(700) == 60

    assert "triggered" not in lived(test, body, make_deployment("etl")).status


def test_secrets_that_are_missing_are_told() -> None:
    """The condition says it before anything has happened."""
    hook = {"webhook": {"urlFrom": {"secretKeyRef": {"name": "chat", "key": "url"}}}}

    async def test(world: World) -> None:
        await world.look(0)

    status = lived(test, make_automation(FAILED, hook)).status
    assert ready_of({"status": status})["message"] == "There is no Secret 'chat' in namespace 'team-a'. Make it."


def test_an_automation_that_is_gone() -> None:
    """Nothing is left of it, and nothing fails."""

    async def test(world: World) -> None:
        await world.look(0)
        await world.look(1)
        world.put(run_in("FAILED"))
        body = world.server.objects.pop(TELL)
        world.store.drop(*TELL, body["metadata"]["uid"])
        assert await world.look(5) is None
        world.keys.clear()
        world.put(run_in("FAILED", name="etl-2"))
        assert world.keys == []

    lived(test, make_automation())
