"""ControllerRevisions against a server on loopback: made once, used again, marked and removed, with what can come between."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration
from tests.builders import NAMESPACE, make_flowrun, make_job
from tests.operator.runtime.api_server import ApiServer, serving
from tests.operator.runtime.clock import real_time

from towpath.errors import ClusterError
from towpath_operator.apply import Applier, JobRefusedError, StaleError
from towpath_operator.reconcile.decision import Action, ConfirmGone, CreateJob, Decision, DeleteRevision
from towpath_operator.reconcile.revision import marked
from towpath_operator.runtime.client import Client
from towpath_operator.runtime.store import Store
from towpath_operator.specs.revisions import UNUSED_SINCE, Revision

PLURAL = "controllerrevisions"
RUN = make_flowrun("r", flow_ref="f")
SETTLED = Revision("main", {"image": "a:1", "entrypoint": "a:b"}, {}, {})
NAME = SETTLED.name
SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Silent:
    """Takes Events and counts, and keeps none."""

    def record(self, *_: Any, **__: Any) -> None:
        pass

    run_scheduled = runs_missed = record


@dataclass
class World:
    """A server, a store, and an applier between them."""

    server: ApiServer
    store: Store
    applier: Applier

    async def apply(self, *actions: Action) -> None:
        await self.applier.apply(Decision(actions))

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make a ControllerRevision that server and store both have."""
        kept = self.server.put(PLURAL, body)
        self.store.put(PLURAL, kept)
        return kept

    def writes(self) -> list[tuple[str, str]]:
        """Give the writes that the server has seen."""
        return [(one.verb, one.plural) for one in self.server.requests if one.verb not in {"get", "list", "watch"}]


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with serving() as server:
        client, store = Client(Configuration(host=server.url)), Store()
        try:
            yield World(server, store, Applier(client, store, Silent(), Silent()))
        finally:
            await client.close()


def create(run: dict[str, Any] = RUN) -> CreateJob:
    job = make_job(run)
    manifest = {"metadata": {key: job["metadata"][key] for key in ("name", "labels", "ownerReferences")}, "spec": {}}
    return CreateJob(NAMESPACE, manifest, run["metadata"]["uid"], revision=SETTLED.manifest(NAMESPACE))


@real_time
async def test_it_comes_before_the_job_and_once() -> None:
    """A Job whose revision is not there yet would have no second attempt; the second run finds it."""
    async with world() as it:
        await it.apply(create())
        await it.apply(create(make_flowrun("s", flow_ref="f")))
        assert it.writes() == [("create", PLURAL), ("create", "jobs"), ("create", "jobs")]
        assert it.store.get(PLURAL, NAMESPACE, NAME) == it.server.get(PLURAL, NAMESPACE, NAME)


@real_time
async def test_one_that_another_operator_made_is_found() -> None:
    """The store may lag: that the name is taken is success, if it is by the same content."""
    async with world() as it:
        it.server.put(PLURAL, SETTLED.manifest(NAMESPACE))
        await it.apply(create())
        assert it.store.get(PLURAL, NAMESPACE, NAME)
        assert it.server.all("jobs")


@real_time
async def test_one_that_somebody_has_made_up_is_not_used() -> None:
    """No Job is made; the error names the object, and says what to do."""
    async with world() as it:
        made_up = Revision("main", {"image": "evil:1"}, {}, {}).manifest(NAMESPACE)
        it.server.put(PLURAL, SETTLED.manifest(NAMESPACE) | {"data": made_up["data"]})
        with pytest.raises(ClusterError, match=f"{NAME}.*somebody else"):
            await it.apply(create())
        assert not it.server.all("jobs")


@real_time
async def test_a_mark_is_taken_away_before_the_job_is_made() -> None:
    """So whoever would remove it holds an old version in his hands."""
    async with world() as it:
        old = it.put(SETTLED.manifest(NAMESPACE) | {"metadata": SETTLED.manifest(NAMESPACE)["metadata"]})
        await it.apply(marked(old, SINCE))
        found = it.store.get(PLURAL, NAMESPACE, NAME)
        assert found
        assert found["metadata"]["annotations"][UNUSED_SINCE]
        removal = DeleteRevision(NAMESPACE, NAME, found["metadata"]["uid"], found["metadata"]["resourceVersion"])
        await it.apply(create())
        assert it.writes()[1:] == [("patch", PLURAL), ("create", "jobs")]
        with pytest.raises(StaleError):
            await it.apply(removal)
        assert it.server.get(PLURAL, NAMESPACE, NAME)


@real_time
async def test_one_that_is_removed_is_forgotten_and_made_again() -> None:
    """A run that begins after the removal makes a new one; a second removal finds nothing to do."""
    async with world() as it:
        old = it.put(SETTLED.manifest(NAMESPACE))
        removal = DeleteRevision(NAMESPACE, NAME, old["metadata"]["uid"], old["metadata"]["resourceVersion"])
        await it.apply(removal)
        await it.apply(removal)
        assert it.store.get(PLURAL, NAMESPACE, NAME) is None
        await it.apply(create())
        assert it.server.get(PLURAL, NAMESPACE, NAME)


@real_time
async def test_one_that_goes_while_it_is_marked_as_used_is_stale() -> None:
    """The run is looked at again, and makes its own."""
    async with world() as it:
        old = it.put(SETTLED.manifest(NAMESPACE))
        await it.apply(marked(old, SINCE))
        it.server.delete(PLURAL, NAMESPACE, NAME)
        with pytest.raises(StaleError):
            await it.apply(create())
        assert not it.server.all("jobs")
        await it.apply(create())
        assert it.server.all("jobs")


@real_time
async def test_the_store_that_lags_is_told() -> None:
    """Before a run gives up what it was made of, the API server is asked; what it has, the store then has too."""
    async with world() as it:
        it.server.put(PLURAL, SETTLED.manifest(NAMESPACE))
        confirm = ConfirmGone(PLURAL, NAMESPACE, NAME)
        with pytest.raises(StaleError):
            await it.apply(confirm)
        assert it.store.get(PLURAL, NAMESPACE, NAME)
        await it.apply(replace(confirm, name="another"))


@real_time
@pytest.mark.parametrize("status", [403, 422])
async def test_a_refusal_is_told_like_that_of_a_job(status: int) -> None:
    """A quota for ControllerRevisions, or a missing right, holds the run up and says so."""
    async with world() as it:
        it.server.fail("create", PLURAL, status, times=1, message="exceeded quota")
        with pytest.raises(JobRefusedError, match="exceeded quota"):
            await it.apply(create())
        assert not it.server.all("jobs")
