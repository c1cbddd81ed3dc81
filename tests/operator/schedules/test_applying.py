"""The runs of schedules against a server on loopback: made once, refused, and decided on anew."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration
from tests.builders import NAMESPACE, make_deployment
from tests.operator.runtime.api_server import ApiServer, serving
from tests.operator.runtime.clock import real_time

from towpath.errors import ClusterError
from towpath.schedules.resource import run_manifest
from towpath_operator.apply import Applier, RunRefusedError, StaleError
from towpath_operator.reconcile.decision import ConfirmUnchanged, CreateRun, Decision, TellMissed
from towpath_operator.runtime.client import Client
from towpath_operator.runtime.store import Store

DUE = datetime(2026, 3, 1, 12, tzinfo=UTC)
CREATE = CreateRun(NAMESPACE, run_manifest(NAMESPACE, "nightly", "s", DUE, {"x": 1}), "nightly", "s", DUE)
NAME = CREATE.manifest["metadata"]["name"]


@dataclass
class Told:
    """Keeps what an applier tells."""

    what: list[tuple[Any, ...]] = field(default_factory=list)

    def record(self, *_: Any, **__: Any) -> None:
        pass

    def run_scheduled(self, *what: Any) -> None:
        self.what.append(what)

    def runs_missed(self, *what: Any) -> None:
        self.what.append(what)


@contextlib.asynccontextmanager
async def applying() -> AsyncIterator[tuple[ApiServer, Store, Told, Applier]]:
    """Give a server, and an applier with what it tells."""
    async with serving() as server:
        client, store, told = Client(Configuration(host=server.url)), Store(), Told()
        try:
            yield server, store, told, Applier(client, store, told, told)
        finally:
            await client.close()


@real_time
async def test_a_run_is_made_known_and_counted_once() -> None:
    """On the server and in the store; made again, as after a restart in the middle, it is success, and not counted."""
    async with applying() as (server, store, told, applier):
        await applier.apply(Decision((CREATE, CREATE)))

        assert store.get("flowruns", NAMESPACE, NAME) == server.get("flowruns", NAMESPACE, NAME)
        assert told.what == [(NAMESPACE, "nightly", "s", DUE)]
        assert len(server.all("flowruns")) == 1


@real_time
async def test_a_conflict_over_something_else_does_not_pass_for_a_run_that_exists() -> None:
    """Quotas that are counted at the same moment are answered with 409 as well: the run is made when tried again."""
    async with applying() as (server, _, told, applier):
        server.fail("create", "flowruns", 409)
        with pytest.raises(ClusterError, match="409"):
            await applier.apply(Decision((CREATE,)))
        assert told.what == []

        await applier.apply(Decision((CREATE,)))

        assert told.what == [(NAMESPACE, "nightly", "s", DUE)]


@pytest.mark.parametrize("status", [400, 403, 422])
@real_time
async def test_a_refused_run_says_whose_it_is(status: int) -> None:
    """So that the other schedules of the Deployment can go on."""
    async with applying() as (server, _, told, applier):
        server.fail("create", "flowruns", status)
        with pytest.raises(RunRefusedError) as refused:
            await applier.apply(Decision((CREATE,)))

        assert refused.value.schedule == "s"
        assert told.what == []


@real_time
async def test_trouble_of_the_server_is_not_a_refusal() -> None:
    """It is tried again like anything else."""
    async with applying() as (server, _, _told, applier):
        server.fail("create", "flowruns", 500)
        with pytest.raises(ClusterError) as error:
            await applier.apply(Decision((CREATE,)))

        assert not isinstance(error.value, RunRefusedError)


@real_time
async def test_an_old_view_of_a_deployment_is_found_out() -> None:
    """The object has another version, or is gone: the decision is dropped, and the store knows better."""
    async with applying() as (server, store, told, applier):
        old = server.put("deployments", make_deployment("nightly"))
        confirm = ConfirmUnchanged("deployments", NAMESPACE, "nightly", old["metadata"]["resourceVersion"])
        await applier.apply(Decision((confirm, TellMissed(NAMESPACE, "nightly", "s", 3))))
        assert told.what == [(NAMESPACE, "nightly", "s", 3)]

        new = server.put("deployments", make_deployment("nightly", spec={"suspend": True}))
        with pytest.raises(StaleError):
            await applier.apply(Decision((confirm, CREATE)))
        assert store.get("deployments", NAMESPACE, "nightly") == new
        server.delete("deployments", NAMESPACE, "nightly")
        with pytest.raises(StaleError):
            await applier.apply(Decision((confirm, CREATE)))
        assert server.all("flowruns") == []
