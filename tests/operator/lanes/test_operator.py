"""The whole operator with queues and limits, against a server on loopback: many workers, and a server that says no."""

from __future__ import annotations

from typing import Any

from tests.builders import NAMESPACE, make_flow, make_metadata
from tests.operator.runtime.api_server import ApiServer, serving
from tests.operator.runtime.clock import real_time, until
from tests.operator.test_app import operating, ready, run_body, state_of

from towpath import names
from towpath_operator.settings import Settings

MANY_WORKERS = Settings(listen_port=0, workers=16)


def lane(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """Build a Queue or ConcurrencyLimit."""
    metadata = make_metadata(kind, name)
    del metadata["uid"]
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def with_jobs(server: ApiServer) -> set[str]:
    """Give the runs for which Jobs were made."""
    return {job["metadata"]["labels"][names.LABEL_RUN] for job in server.all("jobs")}


def waiting(server: ApiServer) -> int:
    """Count the runs that say that they wait for their turn."""
    return sum(state_of(server, f"r{number:02}")[1] == "AwaitingConcurrencySlot" for number in range(12))


def end(server: ApiServer, name: str) -> None:
    """Let a run's process report its end."""
    run = server.get("flowruns", NAMESPACE, name)
    assert run
    state = {"type": "COMPLETED", "name": "Completed", "reason": "Succeeded", "since": "2026-03-01T12:00:00Z"}
    server.put("flowruns", {**run, "status": {**run["status"], "state": state}})


@real_time
async def test_many_workers_fill_a_queue_to_its_limit_and_not_beyond() -> None:
    """However many runs are looked at while Jobs are being made; each end lets one more begin."""
    async with serving() as server, operating(server, MANY_WORKERS) as operator:
        server.put("flows", make_flow("f"))
        server.put("queues", lane("Queue", "q", limit=3))
        await ready(operator)
        for number in range(12):
            server.put("flowruns", run_body(f"r{number:02}", spec={"queue": "q"}))
        await until(lambda: waiting(server) == 9 and with_jobs(server) >= {"r00", "r01", "r02"})
        assert len(with_jobs(server)) == 3

        for number in range(5):
            end(server, f"r{number:02}")
            await until(lambda: f"r{number + 3:02}" in with_jobs(server))  # noqa: B023 - waited for at once
        await until(lambda: waiting(server) == 4)
        assert max(with_jobs(server)) == "r07"


@real_time
async def test_a_job_that_is_not_allowed_gives_its_place_to_the_next() -> None:
    """A quota that keeps one run from beginning does not keep its place from others."""
    async with serving() as server, operating(server, MANY_WORKERS) as operator:
        server.put("flows", make_flow("f"))
        server.put("queues", lane("Queue", "q", limit=1, suspend=True))
        await ready(operator)
        for name in ("first", "second"):
            server.put("flowruns", run_body(name, spec={"queue": "q"}))
            await until(lambda: state_of(server, name)[1] == "AwaitingConcurrencySlot")  # noqa: B023 - as above
        server.fail("create", "jobs", 403, times=1)
        queue = server.get("queues", NAMESPACE, "q")
        assert queue
        server.put("queues", {**queue, "spec": {"limit": 1}})
        await until(lambda: state_of(server, "second") == ("PENDING", "JobCreated"))
        assert with_jobs(server) == {"second"}


@real_time
async def test_code_of_runs_is_granted_what_a_limit_has() -> None:
    """Written into the runs' status; the limit says who has its slots."""
    async with serving() as server, operating(server, MANY_WORKERS) as operator:
        server.put("flows", make_flow("f"))
        server.put("concurrencylimits", lane("ConcurrencyLimit", "db", limit=3))
        await ready(operator)
        for name in ("a", "b"):
            server.put("flowruns", run_body(name))
            await until(lambda: state_of(server, name)[1] == "JobCreated")  # noqa: B023 - as above
            run = server.get("flowruns", NAMESPACE, name)
            assert run
            state = {"type": "RUNNING", "name": "Running", "since": run["status"]["state"]["since"]}
            wish = [{"limit": "db", "slots": 2, "number": 1}]
            server.put("flowruns", {**run, "status": {**run["status"], "state": state, "slotsWanted": wish}})
            await until(lambda: granted(server, name) > 0)  # noqa: B023 - as above
        assert (granted(server, "a"), granted(server, "b")) == (2, 1)
        end(server, "a")
        await until(lambda: granted(server, "b") == 2)


def granted(server: ApiServer, name: str) -> int:
    """Count the slots that a run's code is granted."""
    run = server.get("flowruns", NAMESPACE, name) or {}
    return sum(one["slots"] for one in run.get("status", {}).get("slotsGranted", ()))
