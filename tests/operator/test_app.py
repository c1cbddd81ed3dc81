"""The whole operator against a server on loopback: what goes in by the watches comes out as writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubernetes.aio.client.configuration import Configuration
from tests.builders import NAMESPACE, make_deployment, make_flow, make_flowrun, make_job, make_pod
from tests.operator.automations.deciding import CLEAN_UP, FAILED, NOON, at, make_automation, run_in
from tests.operator.runtime.api_server import ApiServer, serving
from tests.operator.runtime.clock import real_time, until

from towpath import names
from towpath_operator import app
from towpath_operator.app import Operator
from towpath_operator.kinds import BY_PLURAL
from towpath_operator.reconcile import history
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.occurrences import definition_of
from towpath_operator.runtime.connection import Connection
from towpath_operator.settings import Settings

Body = dict[str, Any]


def run_body(name: str = "r", **arguments: Any) -> Body:
    """Build a run that was made just now and has no status yet."""
    run = make_flowrun(name, flow_ref="f", **arguments)
    run["metadata"]["creationTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    del run["metadata"]["uid"]
    run.pop("status", None)
    return run


def state_of(server: ApiServer, name: str = "r") -> tuple[str | None, str | None]:
    """Give type and reason of a run's state."""
    run = server.get("flowruns", NAMESPACE, name) or {}
    state = run.get("status", {}).get("state", {})
    return state.get("type"), state.get("reason")


@contextlib.asynccontextmanager
async def operating(server: ApiServer, settings: Settings | None = None) -> AsyncIterator[Operator]:
    """Run an operator until the block ends, and see that it ends well."""
    settings = settings or Settings(listen_port=0, workers=2)
    operator = Operator(settings, Connection(Configuration(host=server.url)))
    running = asyncio.create_task(operator.run())
    try:
        yield operator
    finally:
        operator.stop()
        await running


async def probe(operator: Operator, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{operator.port}{path}") as response:
        return response.status, await response.text()


async def ready(operator: Operator) -> None:
    """Wait until the operator says that it is ready."""
    await until(lambda: operator.port)
    while (await probe(operator, "/readyz"))[0] != 200:  # noqa: ASYNC110 - it is asked as the kubelet asks
        await asyncio.sleep(0.01)


@real_time
async def test_a_run_gets_its_job_and_then_its_status() -> None:
    """A new run costs one POST and one PATCH, in this order, and the Job is owned by it."""
    async with serving() as server, operating(server) as operator:
        server.put("flows", make_flow("f"))
        await ready(operator)
        run = server.put("flowruns", run_body())
        await until(lambda: state_of(server) == ("PENDING", "JobCreated"))
        [job] = server.all("jobs")
        assert job["metadata"]["ownerReferences"][0]["uid"] == run["metadata"]["uid"]
        assert job["metadata"]["labels"][names.LABEL_MANAGED_BY] == names.MANAGED_BY
        writes = [
            request.verb for request in server.requests if request.plural in ("jobs", "flowruns") and request.body
        ]
        assert writes == ["create", "patch"]


@real_time
async def test_the_pods_end_becomes_the_runs_end() -> None:
    """What the reflector sees of a pod is decided on, written, and told in the metrics."""
    async with serving() as server, operating(server) as operator:
        server.put("flows", make_flow("f", command=["true"], entrypoint=None))
        await ready(operator)
        server.put("flowruns", run_body())
        await until(lambda: state_of(server)[0] == "PENDING")
        [job] = server.all("jobs")
        pod = make_pod(job, phase="Succeeded", exit_code=0)
        server.put("pods", pod)
        await until(lambda: state_of(server) == ("COMPLETED", "Succeeded"))
        await until_metric(operator, 'towpath_flowruns_finished_total{deployment="",flow="f",namespace="team-a"')


@real_time
async def test_who_takes_over_looks_at_what_there_is_first() -> None:
    """A watch that is behind does not have it do again what the one before has done: the run stays as it ended."""
    settings = Settings(listen_port=0, workers=2, lease=f"{NAMESPACE}/lease", identity="second")
    lease = {"kind": "Lease", "metadata": {"namespace": NAMESPACE, "name": "lease"}}
    async with serving() as server:
        server.put("flows", make_flow("f"))
        server.put("leases", {**lease, "spec": {"holderIdentity": "first", "leaseDurationSeconds": 3600}})
        made = server.put("flowruns", run_body("done-by-first"))
        async with operating(server, settings) as operator:
            await ready(operator)
            server.deaf.add("flowruns")
            state = {"type": "CANCELLED", "name": "Cancelled", "since": made["metadata"]["creationTimestamp"]}
            server.put("flowruns", {**made, "status": {"attempt": 1, "state": state}})
            server.put("leases", {**lease, "spec": {"holderIdentity": ""}})
            await until(lambda: server.get("leases", NAMESPACE, "lease")["spec"]["holderIdentity"] == "second")
            server.put("flowruns", run_body("after"))
            server.deaf.clear()
            await until(lambda: state_of(server, "after") == ("PENDING", "JobCreated"))
            assert [job["metadata"]["labels"][names.LABEL_RUN] for job in server.all("jobs")] == ["after"]


@real_time
async def test_a_failure_is_told_before_its_run_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that failed while no operator was there are not to be kept; an automation that counts them hears of both."""
    monkeypatch.setattr(history, "NEEDED_SECONDS", 0.2)
    automation = make_automation(FAILED, CLEAN_UP, created=NOON)
    marks = dict.fromkeys(("began", "lookFrom"), at(0).isoformat())
    automation["status"] = {"definition": definition_of(automation), **marks}
    async with serving() as server:
        server.put("automations", automation)
        server.put("deployments", make_deployment("etl", spec={"history": {"failed": 0}}))
        for name in ("one", "two"):
            server.put("flowruns", run_in("RUNNING", "FAILED", name=name, uid=name))
        async with operating(server):
            await until(lambda: not {"one", "two"} & {run["metadata"]["name"] for run in server.all("flowruns")})
            assert server.all("automations")[0]["status"]["triggered"] == 2


@real_time
async def test_who_takes_over_does_not_work_before_it_has_looked() -> None:
    """Trouble with the list is tried again, and no write goes out until it has come to its end."""
    settings = Settings(listen_port=0, workers=2, lease=f"{NAMESPACE}/lease", identity="second")
    lease = {"kind": "Lease", "metadata": {"namespace": NAMESPACE, "name": "lease"}}
    async with serving() as server:
        server.put("flows", make_flow("f"))
        server.put("leases", {**lease, "spec": {"holderIdentity": "first", "leaseDurationSeconds": 3600}})
        server.put("flowruns", run_body())
        async with operating(server, settings) as operator:
            await ready(operator)
            server.fail("list", "flowruns", 500, times=2)
            server.put("leases", {**lease, "spec": {"holderIdentity": ""}})
            await until(lambda: server.seen("create", "jobs"))
            verbs = [(request.verb, request.plural) for request in server.requests]
            taken = verbs.index(("patch", "leases"))
            lists = [one for one in verbs[taken : verbs.index(("create", "jobs"))] if one == ("list", "flowruns")]
            assert len(lists) == 3


async def until_metric(operator: Operator, start: str) -> None:
    while start not in (await probe(operator, "/metrics"))[1]:  # noqa: ASYNC110 - it is asked as Prometheus asks
        await asyncio.sleep(0.01)


@real_time
async def test_a_flow_that_comes_later_wakes_the_run() -> None:
    """A run that waits for its Flow goes on as soon as the Flow is there."""
    async with serving() as server, operating(server) as operator:
        await ready(operator)
        server.put("flowruns", run_body())
        await until(lambda: state_of(server)[1] == "FlowNotFound")
        server.put("flows", make_flow("f"))
        await until(lambda: state_of(server) == ("PENDING", "JobCreated"))


@pytest.mark.parametrize("plural", ["flows", "flowruns", "jobs", "pods"])
@real_time
async def test_nothing_is_decided_before_everything_is_listed(plural: str) -> None:
    """As long as one kind cannot be listed, the operator is alive, not ready, and writes nothing."""
    async with serving() as server:
        server.put("flows", make_flow("f"))
        server.put("flowruns", run_body())
        server.fail("list", plural, 500, times=1)
        async with operating(server) as operator:
            await until(lambda: operator.port and server.seen("list", plural))
            assert await probe(operator, "/readyz") == (503, "Starting.\n")
            assert await probe(operator, "/healthz") == (200, "ok\n")
            assert not server.all("jobs")
            await ready(operator)
            await until(lambda: state_of(server) == ("PENDING", "JobCreated"))


@real_time
async def test_an_operator_that_starts_again_makes_no_second_job() -> None:
    """A Job that was created before a crash, of which the status does not know yet, is found by its name."""
    async with serving() as server:
        server.put("flows", make_flow("f"))
        run = server.put("flowruns", run_body())
        job = make_job(run, created=run["metadata"]["creationTimestamp"])
        server.put("jobs", job)
        async with operating(server):
            await until(lambda: state_of(server) == ("PENDING", "JobCreated"))
        assert [body["metadata"]["name"] for body in server.all("jobs")] == [job["metadata"]["name"]]
        assert server.seen("create", "jobs") == []


@real_time
async def test_a_job_that_can_never_be_ends_the_run() -> None:
    """The API server's objection to the Job itself becomes the run's end, with its words."""
    async with serving() as server, operating(server) as operator:
        server.put("flows", make_flow("f"))
        await ready(operator)
        server.fail("create", "jobs", 422, times=99, message="spec.template.spec.containers[0].image: Invalid value")
        server.put("flowruns", run_body())
        await until(lambda: state_of(server) == ("FAILED", "InvalidTemplate"))
        run = server.get("flowruns", NAMESPACE, "r") or {}
        assert "containers[0].image: Invalid value" in run["status"]["state"]["message"]


@real_time
async def test_a_quota_is_waited_for() -> None:
    """A Job that is not allowed right now is tried again, and the run says what it waits for."""
    async with serving() as server, operating(server) as operator:
        server.put("flows", make_flow("f"))
        await ready(operator)
        server.fail("create", "jobs", 403, reason="Forbidden", message="exceeded quota: few-jobs")
        server.put("flowruns", run_body())
        await until(lambda: "exceeded quota" in json.dumps(server.get("flowruns", NAMESPACE, "r")))
        assert state_of(server)[0] not in ("FAILED", "CRASHED")


@real_time
async def test_a_lost_race_is_run_again() -> None:
    """A patch that is refused because somebody wrote in between is decided anew, and no error is counted."""
    async with serving() as server, operating(server) as operator:
        server.put("flows", make_flow("f"))
        await ready(operator)
        gate = server.hold("create", "jobs")
        run = server.put("flowruns", run_body())
        await until(lambda: server.seen("create", "jobs"))
        server.put("flowruns", run | {"metadata": run["metadata"] | {"annotations": {"by": "somebody"}}})
        gate.open()
        await until(lambda: state_of(server) == ("PENDING", "JobCreated"))
        found = server.get("flowruns", NAMESPACE, "r") or {}
        assert found["metadata"]["annotations"] == {"by": "somebody"}
        assert "reconcile_errors_total{" not in (await probe(operator, "/metrics"))[1]


@pytest.mark.parametrize("status", [0, 500, 503])
@real_time
async def test_a_failed_write_is_tried_again(status: int) -> None:
    """A write that fails for the moment is made a moment later, and the failure is counted."""
    async with serving() as server, operating(server) as operator:
        server.put("flows", make_flow("f"))
        await ready(operator)
        server.fail("create", "jobs", status)
        server.fail("patch", "flowruns", status)
        server.put("flowruns", run_body())
        await until(lambda: state_of(server) == ("PENDING", "JobCreated"))
        assert len(server.all("jobs")) == 1
        assert 'reconcile_errors_total{kind="FlowRun"} 2.0' in (await probe(operator, "/metrics"))[1]


@pytest.mark.parametrize("how", ["bug", "raise"])
@real_time
async def test_a_bug_in_a_decision_stops_nothing_else(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision that fails is counted and tried again; other objects are worked on meanwhile."""
    decide = app.flowrun.decide

    def broken(observed: Any, now: datetime) -> Decision:
        if observed.run["metadata"]["name"] != "odd":
            return decide(observed, now)
        if how == "raise":
            raise ZeroDivisionError("odd")
        return Decision(bug=ZeroDivisionError("odd"))

    monkeypatch.setattr(app.flowrun, "decide", broken)
    async with serving() as server, operating(server) as operator:
        server.put("flows", make_flow("f"))
        server.put("flowruns", run_body("odd"))
        server.put("flowruns", run_body("fine"))
        await until(lambda: state_of(server, "fine") == ("PENDING", "JobCreated"))
        while await failures(operator) < 2:  # noqa: ASYNC110 - it is asked as Prometheus asks
            await asyncio.sleep(0.01)
        assert state_of(server, "odd") == (None, None)


async def failures(operator: Operator) -> float:
    """Tell how often the operator has failed on runs."""
    page = (await probe(operator, "/metrics"))[1]
    found = re.search(r'^towpath_operator_reconcile_errors_total{kind="FlowRun"} (\S+)$', page, re.MULTILINE)
    return float(found[1]) if found else 0.0


@real_time
async def test_work_in_hand_is_finished_before_the_end() -> None:
    """Told to stop in the middle of a decision, the operator carries it through, and begins nothing new."""
    async with serving() as server:
        server.put("flows", make_flow("f"))
        async with operating(server) as operator:
            await ready(operator)
            gate = server.hold("create", "jobs")
            server.put("flowruns", run_body())
            await until(lambda: server.seen("create", "jobs"))
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
            assert await probe(operator, "/readyz") == (503, "Stopping.\n")
            server.put("flowruns", run_body("late"))
            gate.open()
        assert state_of(server) == ("PENDING", "JobCreated")
        assert state_of(server, "late") == (None, None)


@real_time
async def test_an_end_does_not_wait_for_ever() -> None:
    """Work that does not get done within its time is given up."""
    async with serving() as server:
        server.put("flows", make_flow("f"))
        async with operating(server, Settings(listen_port=0, workers=2, drain_seconds=0)) as operator:
            await ready(operator)
            server.hold("create", "jobs")
            server.put("flowruns", run_body())
            await until(lambda: server.seen("create", "jobs"))
        assert state_of(server) == (None, None)


@real_time
async def test_stopping_before_everything_is_listed() -> None:
    """An operator that is told to stop while it still waits for the API server ends at once."""
    async with serving() as server:
        server.fail("list", "flows", 404, times=99)
        async with operating(server):
            await until(lambda: server.seen("list", "flows"))


@real_time
async def test_a_silent_watch_makes_the_probe_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing is heard of a kind any more, kopf's kinds among them, /healthz says so."""
    async with serving() as server, operating(server) as operator:
        await ready(operator)
        await until(lambda: len(operator._health._heard) == len(BY_PLURAL))
        assert await probe(operator, "/healthz") == (200, "ok\n")
        monkeypatch.setattr(operator._health, "_stale_seconds", -1.0)
        status, text = await probe(operator, "/healthz")
        assert status == 503
        for plural in BY_PLURAL:
            assert f"The watch on {plural} was last heard" in text


def kubeconfig(folder: Path, url: str) -> Path:
    """Write a kubeconfig for a server without any credentials."""
    path = folder / "kubeconfig"
    entry = {"cluster": "c", "user": "u"}
    document = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": entry}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(json.dumps(document))
    return path


@contextlib.asynccontextmanager
async def process(folder: Path, server: ApiServer, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start `python -m towpath_operator` as a process of its own."""
    environ = {"KUBECONFIG": str(kubeconfig(folder, server.url)), "TOWPATH_OPERATOR_LISTEN_PORT": "0"} | environ
    operator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "towpath_operator", env=os.environ | environ, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield operator
    finally:
        if operator.returncode is None:
            operator.kill()
        await operator.wait()


def lines_of(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@real_time
async def test_sigterm_ends_the_process_well(tmp_path: Path) -> None:
    """The process ends with 0 on SIGTERM, after kopf has set signal handlers of its own, and has logged JSON only."""
    async with serving() as server, process(tmp_path, server) as operator:
        await until(lambda: server.seen("watch", "flowruns"))
        operator.send_signal(signal.SIGTERM)
        _, errors = await operator.communicate()
        assert operator.returncode == 0
        lines = lines_of(errors)
        assert "Stopping." in [line["message"] for line in lines if line["logger"] == "towpath_operator.app"]
        assert {"ts", "level", "logger", "message"} <= set(lines[0])


@real_time
async def test_the_end_of_kopf_is_the_end_of_the_process(tmp_path: Path) -> None:
    """When kopf fails, the process ends with 1 within seconds, however kopf hangs, and has said why."""
    async with serving() as server, process(tmp_path, server) as operator:
        await until(lambda: len(server.seen("watch", "flowruns")) == 1)
        server.fail("watch", "flowruns", 404, times=99)
        server.end_watches()
        _, errors = await operator.communicate()
        assert operator.returncode == 1
        last = lines_of(errors)[-1]
        assert last["message"] == "The operator failed, and ends."
        assert "kopf stopped watching and did not end" in last["exception"]


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"KUBECONFIG": "/nowhere/kubeconfig"}, "The kubeconfig '/nowhere/kubeconfig' cannot be used"),
        ({"TOWPATH_OPERATOR_WORKERS": "many"}, "TOWPATH_OPERATOR_WORKERS is 'many', but must be a whole number"),
    ],
    ids=["no cluster", "bad setting"],
)
@real_time
async def test_what_cannot_work_is_said_in_a_sentence(environ: dict[str, str], words: str, tmp_path: Path) -> None:
    """A wrong setting or kubeconfig ends the process with 2 and one sentence, without a traceback."""
    async with serving() as server, process(tmp_path, server, **environ) as operator:
        _, errors = await operator.communicate()
        assert operator.returncode == 2
        assert words in errors.decode()
        assert "Traceback" not in errors.decode()


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """--help tells what the operator is, where it finds its cluster, and every setting."""
    from towpath_operator.__main__ import main

    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    assert "turns FlowRun resources into Jobs" in text
    assert "KUBECONFIG" in text
    assert "TOWPATH_OPERATOR_NAMESPACES" in text


def test_a_missing_extra_is_said() -> None:
    """Without what the operator needs, the words are what to install."""
    code = "import sys; sys.modules['kopf'] = None; from towpath_operator.__main__ import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "The operator needs kopf, which is not installed: pip install 'towpath[operator]'\n"
