"""The Lease: one replica believes at a time, whatever happens to it, and another takes over in time."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.json_patch import PatchRefusedError, apply_patch
from tests.operator.runtime.clock import fake_time

from towpath.errors import Unreachable
from towpath_operator.runtime.client import ApiError
from towpath_operator.runtime.lease import Lease, LeaseLostError, Terms
from towpath_operator.runtime.resources import Resource

TERMS = Terms()
#: Within this time another has the Lease, as the reference page promises.
TAKEN_OVER_SECONDS = TERMS.duration + 2 * TERMS.every


@dataclass
class Api:
    """The one Lease that there is, held by nobody at first, and how the network is."""

    lease: dict[str, Any] | None = field(default_factory=lambda: {"metadata": {"resourceVersion": "1"}})
    version: int = 1
    away: set[str] = field(default_factory=set)
    """Replicas that get no answer."""
    delay: float = 0.0
    """Seconds until a request arrives."""


@dataclass
class Client:
    """What a replica asks the API through."""

    api: Api
    who: str

    async def get(self, _resource: Resource, _namespace: str, name: str) -> dict[str, Any]:
        await self._arrive()
        if self.api.lease is None:
            raise ApiError(404, "NotFound", name)
        return copy.deepcopy(self.api.lease)

    async def create(self, _resource: Resource, _namespace: str, body: Mapping[str, Any]) -> dict[str, Any]:
        await self._arrive()
        if self.api.lease is not None:
            raise ApiError(409, "AlreadyExists", "there is one")
        return self._kept(copy.deepcopy(dict(body)))

    async def patch(
        self, _resource: Resource, _namespace: str, name: str, patch: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        await self._arrive()
        if self.api.lease is None:
            raise ApiError(404, "NotFound", name)
        try:
            return self._kept(apply_patch(self.api.lease, list(patch)))
        except PatchRefusedError as error:
            raise ApiError(422, "Invalid", str(error)) from error

    async def _arrive(self) -> None:
        await asyncio.sleep(self.api.delay)
        if self.who in self.api.away:
            await asyncio.sleep(30)
            raise Unreachable("away")

    def _kept(self, lease: dict[str, Any]) -> dict[str, Any]:
        self.api.version += 1
        lease["metadata"]["resourceVersion"] = str(self.api.version)
        self.api.lease = lease
        return copy.deepcopy(lease)


def clock() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Replica:
    """A process that wants the Lease, from its start to its end."""

    lease: Lease
    task: asyncio.Task[None]

    async def kill(self) -> None:
        """End without another word."""
        self.task.cancel()
        await asyncio.wait([self.task])


@contextlib.asynccontextmanager
async def replicas(api: Api, *names: str, apart: float = 0.001) -> AsyncIterator[list[Replica]]:
    """Run replicas, which begin one after the other, so many seconds apart."""
    made = []
    for name in names:
        lease = Lease(Client(api, name), "system", "operator", name, terms=TERMS, clock=clock)  # type: ignore[arg-type]
        made.append(Replica(lease, asyncio.ensure_future(lease.run())))
        await asyncio.sleep(apart)
    try:
        yield made
    finally:
        for replica in made:
            await replica.kill()


@fake_time
async def test_the_first_has_it_and_keeps_it() -> None:
    """The second stands by, for as long as the first renews."""
    api = Api()
    async with replicas(api, "a", "b") as (first, second):
        await asyncio.sleep(600)
        assert first.lease.is_held()
        assert not second.lease.is_held()
        assert not second.lease.held.is_set()
        assert api.lease is not None
        assert api.lease["spec"]["holderIdentity"] == "a"
        assert api.lease["spec"]["leaseTransitions"] == 1


@fake_time
async def test_another_takes_over_from_one_that_is_killed() -> None:
    """Within the promised time, and it says so in the Lease."""
    api = Api()
    async with replicas(api, "a", "b") as (first, second):
        await asyncio.sleep(33)
        await first.kill()
        async with asyncio.timeout(TAKEN_OVER_SECONDS):
            await second.lease.held.wait()
        assert not first.lease.is_held()
        assert api.lease is not None
        assert (api.lease["spec"]["holderIdentity"], api.lease["spec"]["leaseTransitions"]) == ("b", 2)


@fake_time
async def test_one_that_ends_in_order_gives_it_up() -> None:
    """The next has it at its next look."""
    async with replicas(Api(), "a", "b") as (first, second):
        await asyncio.sleep(5)
        await first.kill()
        await first.lease.release()
        assert not first.lease.is_held()
        async with asyncio.timeout(TERMS.every + 0.1):
            await second.lease.held.wait()


@fake_time
async def test_one_that_comes_back_under_its_name_has_it_at_once() -> None:
    """A container that is restarted in its pod does not wait for itself."""
    api = Api()
    async with replicas(api, "a") as (first,):
        await first.lease.held.wait()
    async with replicas(api, "a") as (again,), asyncio.timeout(0.1):
        await again.lease.held.wait()


@fake_time
async def test_one_that_cannot_renew_it_stops_believing_and_ends() -> None:
    """Before any other can have it; a short absence of the API server is nothing."""
    api = Api()
    async with replicas(api, "a", "b") as (first, second):
        await asyncio.sleep(10)
        api.away = {"a"}
        await asyncio.sleep(TERMS.every)
        api.away = set()
        await asyncio.sleep(20)
        assert first.lease.is_held()
        api.away = {"a"}
        with pytest.raises(LeaseLostError, match="another replica may work now"):
            await first.task
        assert not second.lease.is_held()
        await second.lease.held.wait()


@fake_time
async def test_one_whose_lease_is_taken_away_ends() -> None:
    """Somebody edits the Lease by hand: whoever it names is believed."""
    api = Api()
    async with replicas(api, "a") as (first,):
        await first.lease.held.wait()
        assert api.lease is not None
        api.lease["spec"]["holderIdentity"] = "somebody"
        api.lease["metadata"]["resourceVersion"] = "1000"
        with pytest.raises(LeaseLostError):
            await first.task


@fake_time
async def test_a_lease_that_is_deleted_is_had_again() -> None:
    """By one replica, whichever is first, and never by two."""
    api = Api()
    async with replicas(api, "a", "b") as both:
        await asyncio.sleep(10)
        api.lease = None
        await asyncio.sleep(TAKEN_OVER_SECONDS)
        assert [replica.lease.is_held() for replica in both].count(True) == 1


@fake_time
async def test_a_lease_that_is_missing_is_made_and_left_alone_for_a_while() -> None:
    """Whoever held it may believe in it still, even if nobody here has ever seen it."""
    api = Api(lease=None)
    async with replicas(api, "a", "b") as both:
        await asyncio.sleep(TERMS.believed)
        assert not any(replica.lease.is_held() for replica in both)
        await asyncio.sleep(TAKEN_OVER_SECONDS - TERMS.believed)
        assert [replica.lease.is_held() for replica in both].count(True) == 1


@settings(deadline=None, max_examples=25)
@example([("away a", 1.0), ("away a", 1.0), ("away a", 1.0), ("away both", 1.0), ("delete", 1.0)], 0.0)
@example([("delete", 9.0), ("away a", 2.0), ("away b", 1.0), ("delete", 1.0)], 0.0)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["away a", "away b", "away both", "back", "slow", "quick", "delete"]), st.floats(0.1, 15)
        ),
        max_size=8,
    ),
    st.floats(0, 2),
)
def test_two_never_believe_at_once(happenings: list[tuple[str, float]], apart: float) -> None:
    """Whatever the network does, and however it delays what is said; and once it is well, somebody has the Lease."""

    @fake_time
    async def history() -> None:
        api = Api()
        async with replicas(api, "a", "b", apart=apart) as made:
            believers: list[int] = []

            async def watch() -> None:
                while True:
                    believers.append([replica.lease.is_held() for replica in made].count(True))
                    await asyncio.sleep(0.5)

            async def start_again(number: int) -> None:
                while True:
                    await asyncio.wait([made[number].task])
                    name = "ab"[number]
                    lease = Lease(Client(api, name), "system", "operator", name, terms=TERMS, clock=clock)  # type: ignore[arg-type]
                    made[number] = Replica(lease, asyncio.ensure_future(lease.run()))

            helpers = [asyncio.ensure_future(each) for each in (watch(), start_again(0), start_again(1))]
            for what, seconds in happenings:
                match what:
                    case "away a" | "away b":
                        api.away = {what[-1]}
                    case "away both":
                        api.away = {"a", "b"}
                    case "back":
                        api.away = set()
                    case "slow" | "quick":
                        api.delay = 2.0 if what == "slow" else 0.0
                    case "delete":
                        api.lease = None
                await asyncio.sleep(seconds)
            api.away, api.delay = set(), 0.0
            await asyncio.sleep(3 * TAKEN_OVER_SECONDS)
            assert [replica.lease.is_held() for replica in made].count(True) == 1
            assert max(believers) <= 1
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers)

    history()
