"""The whole operator against a server on loopback: schedules by the real clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.builders import NAMESPACE, make_deployment, make_flow
from tests.operator.runtime.api_server import ApiServer, serving
from tests.operator.runtime.clock import real_time, until
from tests.operator.test_app import operating, probe, ready

from towpath import names

Body = dict[str, Any]


def deployment(name: str, *schedules: Body, **spec: Any) -> Body:
    """Build a Deployment that was applied just now."""
    body = make_deployment(name, flow_ref="f", spec={"schedules": list(schedules), **spec})
    body["metadata"]["creationTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    del body["metadata"]["uid"]
    return body


def times(server: ApiServer, schedule: str) -> list[datetime]:
    """Give the times of the runs that a schedule has made."""
    runs = [run for run in server.all("flowruns") if run["metadata"]["labels"].get(names.LABEL_SCHEDULE) == schedule]
    return sorted(datetime.fromisoformat(run["spec"]["scheduledTime"]) for run in runs)


def condition(server: ApiServer, name: str) -> tuple[str, str]:
    """Give reason and message of a Deployment's condition Scheduled."""
    body = server.get("deployments", NAMESPACE, name) or {}
    found = {one["type"]: one for one in body.get("status", {}).get("conditions", ())}
    said = found.get("Scheduled", {})
    return said.get("reason", ""), said.get("message", "")


@real_time
async def test_a_schedule_makes_its_runs_on_time_and_after_a_restart() -> None:
    """Run after run without anything that changes, none left out or doubled when the operator is another one."""
    async with serving() as server:
        server.put("flows", make_flow("f"))
        server.put("deployments", deployment("d", {"name": "s", "intervalSeconds": 1}, missedRunPolicy="All"))
        async with operating(server) as operator:
            await ready(operator)
            await until(lambda: len(times(server, "s")) >= 2)
            page = (await probe(operator, "/metrics"))[1]
            labels = 'deployment="d",namespace="team-a",schedule="s"'
            assert f"towpath_schedule_lateness_seconds_count{{{labels}}}" in page
        before = len(times(server, "s"))
        async with operating(server) as operator:
            await until(lambda: len(times(server, "s")) >= before + 1)
        made = times(server, "s")
        first = made[0].timestamp()
        assert [one.timestamp() - first for one in made] == [*range(len(made))]
        status = (server.get("deployments", NAMESPACE, "d") or {})["status"]
        assert status["active"] > 0
        assert datetime.fromisoformat(status["lastScheduled"]) in made


@real_time
async def test_an_edit_takes_effect_at_once() -> None:
    """A schedule that was due once a year is due once a second as soon as it says so, and suspended at once."""
    async with serving() as server, operating(server) as operator:
        server.put("flows", make_flow("f"))
        await ready(operator)
        server.put("deployments", deployment("d", {"name": "s", "cron": "0 0 1 1 *"}))
        await until(lambda: condition(server, "d")[0] == "Scheduled")
        await edit(server, "d", schedules=[{"name": "s", "intervalSeconds": 1}])
        await until(lambda: times(server, "s"))
        await edit(server, "d", suspend=True)
        await until(lambda: condition(server, "d")[0] == "Suspended")
        assert "nextRuns" not in (server.get("deployments", NAMESPACE, "d") or {})["status"]


async def edit(server: ApiServer, name: str, **spec: Any) -> None:
    """Apply a Deployment with other fields in its spec."""
    body = server.get("deployments", NAMESPACE, name) or {}
    metadata = body["metadata"] | {"generation": body["metadata"]["generation"] + 1}
    server.put("deployments", body | {"spec": body["spec"] | spec, "metadata": metadata})


@real_time
async def test_a_refused_run_does_not_stop_other_schedules() -> None:
    """The other schedule makes its run in the same breath, and the refused one is tried again, for the same time."""
    async with serving() as server, operating(server) as operator:
        server.put("flows", make_flow("f"))
        await ready(operator)
        server.fail("create", "flowruns", 403)
        both = [{"name": name, "intervalSeconds": 3600, "anchor": soon()} for name in ("a", "b")]
        server.put("deployments", deployment("d", *both))
        await until(lambda: len(server.seen("create", "flowruns")) >= 3)
        asked = [
            request.body["metadata"]["labels"][names.LABEL_SCHEDULE] for request in server.seen("create", "flowruns")
        ]
        assert asked[:3] == ["a", "b", "a"]
        await until(lambda: times(server, "a") == times(server, "b") != [])


def soon() -> str:
    """Give a time in a second or two."""
    return (datetime.now(UTC) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
