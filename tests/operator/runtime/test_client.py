"""The API client against a server on loopback: what is sent, what comes back, and how it fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from kubernetes.aio.client.configuration import Configuration
from tests.builders import make_flowrun, make_job
from tests.operator.runtime.api_server import ApiServer, serving
from tests.operator.runtime.clock import real_time, until

from towpath.errors import Unreachable
from towpath_operator.kinds import FLOWRUNS, JOBS
from towpath_operator.runtime import client as client_module
from towpath_operator.runtime.client import ApiError, Client

Seen = list[tuple[str, str, str]]


def make_run(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "ns", "name": name}, "status": status}


@contextlib.asynccontextmanager
async def connected(seen: Seen | None = None) -> AsyncIterator[tuple[ApiServer, Client]]:
    async with serving() as server:
        configuration = Configuration(host=server.url)
        noted: Seen = [] if seen is None else seen
        client = Client(configuration, lambda verb, plural, code, _seconds: noted.append((verb, plural, code)))
        try:
            yield server, client
        finally:
            await client.close()


@real_time
async def test_objects_are_created_read_patched_and_deleted() -> None:
    """Each verb does to the server what it says, with the content type and options that Kubernetes wants."""
    seen: Seen = []
    async with connected(seen) as (server, client):
        made = await client.create(JOBS, "ns", {"metadata": {"name": "j"}})
        assert await client.get(JOBS, "ns", "j") == made
        run = server.put("flowruns", make_run("r", state="old"))
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": run["metadata"]["resourceVersion"]}
        patch = [test, {"op": "replace", "path": "/status/state", "value": "new"}]
        assert (await client.patch(FLOWRUNS, "ns", "r", patch, "status"))["status"] == {"state": "new"}
        await client.delete(JOBS, "ns", "j", uid=made["metadata"]["uid"])
        assert server.get("jobs", "ns", "j") is None
        [create], [patched], [delete] = (
            server.seen("create", "jobs"),
            server.seen("patch", "flowruns"),
            server.seen("delete", "jobs"),
        )
    assert create.query == {"fieldValidation": "Strict"}
    assert create.headers["Content-Type"] == "application/json"
    assert patched.path.endswith("/namespaces/ns/flowruns/r/status")
    assert patched.headers["Content-Type"] == "application/json-patch+json"
    assert delete.body["propagationPolicy"] == "Background"
    assert seen == [
        ("create", "jobs", "201"),
        ("get", "jobs", "200"),
        ("patch", "flowruns", "200"),
        ("delete", "jobs", "200"),
    ]


@real_time
async def test_a_refusal_carries_the_servers_words() -> None:
    """An error has the status code, the reason and the message of the server's answer."""
    async with connected() as (server, client):
        server.fail("create", "jobs", 403, reason="Forbidden", message="exceeded quota: few-jobs")
        with pytest.raises(ApiError, match="exceeded quota: few-jobs") as caught:
            await client.create(JOBS, "ns", {"metadata": {"name": "j"}})
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")


@real_time
async def test_no_answer_is_unreachable() -> None:
    """A connection that breaks, and a server that is not there, are both Unreachable, and counted as an error."""
    seen: Seen = []
    async with connected(seen) as (server, client):
        server.fail("get", "jobs", 0, times=9)
        with pytest.raises(Unreachable, match="no answer to get"):
            await client.get(JOBS, "ns", "j")
    client = Client(Configuration(host=server.url))
    with pytest.raises(Unreachable):
        await client.get(JOBS, "ns", "j")
    await client.close()
    assert seen == [("get", "jobs", "error")]


@real_time
async def test_retry_after_is_obeyed() -> None:
    """A server that says when to come again is asked again then, within the same call."""
    async with connected() as (server, client):
        server.fail("create", "jobs", 429, times=2, headers={"Retry-After": "0"})
        assert await client.create(JOBS, "ns", {"metadata": {"name": "j"}})
        assert len(server.seen("create", "jobs")) == 3


@pytest.mark.parametrize(
    ("status", "headers", "requests"),
    [
        pytest.param(429, {"Retry-After": "0"}, 4, id="again and again"),
        pytest.param(429, {"Retry-After": "3600"}, 1, id="in an hour"),
        pytest.param(429, {}, 1, id="no time given"),
        pytest.param(500, {"Retry-After": "0"}, 1, id="not a 429 or 503"),
    ],
)
@real_time
async def test_patience_ends(status: int, headers: dict[str, str], requests: int) -> None:
    """Who asks for too much waiting, or for none, gets an error, which is for the work queue to retry."""
    async with connected() as (server, client):
        server.fail("get", "jobs", status, times=99, headers=headers)
        with pytest.raises(ApiError) as caught:
            await client.get(JOBS, "ns", "j")
        assert len(server.seen("get", "jobs")) == requests
    assert caught.value.status == status


@real_time
async def test_lists_come_in_pages() -> None:
    """A list is read page by page under its selector; all pages share one version."""
    async with connected() as (server, client):
        server.page_size = 2
        for number in range(5):
            server.put("jobs", make_job(make_flowrun(f"r{number}")))
        server.put("jobs", {"metadata": {"namespace": "ns", "name": "not-ours"}})
        pages = [page async for page in client.pages(JOBS, None)]
    assert [len(items) for items, _ in pages] == [2, 2, 1]
    assert len({version for _, version in pages}) == 1


@real_time
async def test_metadata_alone_can_be_asked_for() -> None:
    """A list for a sweep carries no specs."""
    async with connected() as (server, client):
        server.put("flowruns", make_run("r", state="x"))
        [(items, _)] = [page async for page in client.pages(FLOWRUNS, None, metadata_only=True)]
    assert [sorted(item) for item in items] == [["metadata"]]


@real_time
async def test_a_watch_gives_events_and_signs_of_life() -> None:
    """A watch gives each event once, and each piece that arrives is heard."""
    heard: list[int] = []
    async with connected() as (server, client):
        events: list[str] = []

        async def follow() -> None:
            async for event in client.watch(FLOWRUNS, None, "100", heard=lambda: heard.append(1)):
                events.append(f"{event['type']} {event['object']['metadata']['name']}")  # noqa: PERF401

        following = asyncio.create_task(follow())
        await until(lambda: heard)
        server.put("flowruns", make_run("a"))
        server.put("flowruns", make_run("a", big="x" * 300_000))
        server.delete("flowruns", "ns", "a")
        await until(lambda: len(events) == 3)
        server.end_watches()
        await following
    assert events == ["ADDED a", "MODIFIED a", "DELETED a"]
    assert len(heard) > 3


@real_time
async def test_a_watch_that_is_torn_says_so() -> None:
    """A connection that breaks in the middle of a line is an error; the half line is not an event."""
    async with connected() as (server, client):
        heard: list[int] = []
        watch = client.watch(FLOWRUNS, None, "100", heard=lambda: heard.append(1))
        waiting = asyncio.create_task(anext(watch))
        await until(lambda: heard)
        server.end_watches(torn=True)
        with pytest.raises(Unreachable, match="broke off"):
            await waiting


@real_time
async def test_a_silent_watch_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch on which nothing comes, not even a bookmark, for longer than a server is silent, ends in an error."""
    monkeypatch.setattr(client_module, "_WATCH", aiohttp.ClientTimeout(total=None, sock_read=0.05))
    async with connected() as (_, client):
        with pytest.raises(Unreachable, match="broke off"):
            await anext(client.watch(FLOWRUNS, None, "100", heard=lambda: None))


@real_time
async def test_credentials_are_fresh_for_each_request() -> None:
    """A token that the kubelet rotated is used from the next request on."""
    async with serving() as server:
        configuration = Configuration(host=server.url)
        tokens = iter(["first", "second"])

        def renew(configuration: Configuration) -> None:
            configuration.api_key["BearerToken"] = f"Bearer {next(tokens)}"

        configuration.refresh_api_key_hook = renew
        client = Client(configuration)
        for _ in range(2):
            with pytest.raises(ApiError):
                await client.get(JOBS, "ns", "j")
        await client.close()
        assert [request.headers["Authorization"] for request in server.requests] == ["Bearer first", "Bearer second"]


@real_time
@pytest.mark.parametrize(
    ("environ", "trusts"),
    [
        pytest.param({}, False, id="no proxy"),
        pytest.param({"http_proxy": "http://proxy:3128"}, True, id="a proxy"),
        pytest.param({"https_proxy": "http://proxy:3128"}, False, id="a proxy for something else"),
        pytest.param({"http_proxy": "http://proxy:3128", "no_proxy": "10.0.0.1"}, False, id="a proxy, but not for it"),
    ],
)
async def test_the_environment_is_asked_for_a_proxy_once(
    environ: dict[str, str], trusts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session trusts the environment only where that names a proxy for the server: looking costs at each request."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    async with Client(Configuration(host="http://10.0.0.1:6443")).open_session() as session:
        assert session.trust_env is trusts
