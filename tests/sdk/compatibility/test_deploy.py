"""`flow.deploy(...)`: what is applied to a cluster, and what is refused before anything is."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.sdk.cli import flows_to_run
from tests.sdk.cli.fake_sender import FakeSender, sent

from towpath import serve
from towpath.api.v1alpha1 import Deployment, Flow
from towpath.cluster import connect, deploying
from towpath.deployments import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from towpath.errors import ConfigurationError, Conflict, ParameterError
from towpath.schedules import Cron, Interval, RRule, Schedule
from towpath.schedules.resource import schedule_of

FLOW = flows_to_run.etl
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
SCHEDULES: dict[str, Schedule] = {
    "cron": Cron("0 9 * * *"),
    "cron with all": Cron("0 9 1 * MON", timezone="Europe/Berlin", day_or=False),
    "interval": Interval(90),
    "days from a wall time": Interval(timedelta(days=2), datetime(2026, 1, 31, 9), "America/New_York"),
    "days from an instant": Interval(timedelta(days=1), datetime(2026, 1, 31, 9, tzinfo=BERLIN)),
    "hours from an instant": Interval(timedelta(hours=5), datetime(2026, 1, 31, 9, tzinfo=UTC)),
    "rrule": RRule("FREQ=MONTHLY;BYDAY=-1FR", timezone="Asia/Tokyo"),
}


def made(name: str | None = "nightly", **options: Any) -> tuple[Any, Any]:
    """Make the resources, as the API would take them."""
    flow, deployment = deploying.manifests(FLOW, name, "registry.test/etl:1", "etl.py:etl", **options)
    return Flow.model_validate(flow), Deployment.model_validate(deployment)


def test_a_flow_and_a_deployment_are_made() -> None:
    """Each with what was said, and no more, so that the cluster's defaults hold."""
    flow, deployment = made(parameters={"day": "2026-01-31"}, tags={"b", "a"})
    assert (flow.metadata["name"], flow.spec.image, flow.spec.entrypoint) == (
        "nightly-etl",
        "registry.test/etl:1",
        "etl.py:etl",
    )
    assert deployment.metadata["name"] == "nightly"
    assert deployment.spec.model_dump(by_alias=True, exclude_unset=True) == {
        "flowRef": "nightly-etl",
        "parameters": {"day": "2026-01-31"},
        "tags": ["a", "b"],
    }


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_a_schedule_in_a_cluster_is_due_when_it_is_here(schedule: Schedule) -> None:
    """The operator makes of the entry what was written in Python, over changes of the clock too."""
    [entry] = made(schedule=schedule, parameters={"day": "2026-01-31"})[1].spec.schedules
    read = schedule_of(entry.model_dump(mode="json", by_alias=True, exclude_unset=True))
    assert read.next_times(NOW, 40) == schedule.next_times(NOW, 40)


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        ({"concurrency_limit": 3}, {"concurrency": {"limit": 3, "onConflict": "Enqueue"}}),
        (
            {"concurrency_limit": ConcurrencyLimitConfig(1, ConcurrencyLimitStrategy.CANCEL_NEW)},
            {"concurrency": {"limit": 1, "onConflict": "CancelNew"}},
        ),
        (
            {"concurrency_limit": ConcurrencyLimitConfig(limit=2, collision_strategy="cancel_running")},  # type: ignore[arg-type]
            {"concurrency": {"limit": 2, "onConflict": "CancelRunning"}},
        ),
        ({"limits": ("db", "api", "db"), "work_queue_name": "nightly"}, {"limits": ["api", "db"], "queue": "nightly"}),
        ({"priority": -5}, {"priority": -5}),
        (
            {"history": {"succeeded": 0, "failed": 20, "ttl_seconds": 3600}},
            {"history": {"succeeded": 0, "failed": 20, "ttlSeconds": 3600}},
        ),
    ],
    ids=["a limit", "cancel new", "cancel running", "limits and a queue", "a priority", "history"],
)
def test_what_is_said_of_turns_goes_into_the_deployment(options: dict[str, Any], spec: dict[str, Any]) -> None:
    """As the resource has it."""
    made_spec = made(**options)[1].spec.model_dump(by_alias=True, exclude_unset=True)
    assert made_spec == {"flowRef": "nightly-etl"} | spec


@pytest.mark.parametrize(
    "arguments",
    [(0,), (None,), (1, "SKIP")],
    ids=["none", "nothing", "another strategy"],
)
def test_a_limit_that_cannot_be_is_refused_when_it_is_made(arguments: tuple[Any, ...]) -> None:
    """Not only when it is used."""
    with pytest.raises(ConfigurationError, match="limit"):
        ConcurrencyLimitConfig(*arguments)


@pytest.mark.parametrize(
    "options",
    [
        {"work_queue_name": "nightly"},
        {"limits": ["db"]},
        {"priority": 1},
        {"history": {"failed": 1}},
        {"concurrency_limit": ConcurrencyLimitConfig(1, ConcurrencyLimitStrategy.CANCEL_NEW)},
    ],
    ids=["queue", "limits", "priority", "history", "strategy"],
)
def test_what_is_for_a_cluster_is_not_served_in_silence(options: dict[str, Any]) -> None:
    """Whoever serves it here is told, before anything is."""
    with pytest.raises(ConfigurationError, match=r"cannot be served on this machine with .* flow\.deploy"):
        serve(FLOW.to_deployment("nightly", **options))


def test_what_goes_with_schedules_goes_along() -> None:
    """Their names, parameters and rest; the policy for missed runs, and a pause of all."""
    several = [Cron("@daily", slug="Every night", parameters={"label": "n"}), Interval(3600, active=False)]
    spec = made(schedules=several, cron="0 6 * * *", parameters={"day": "2026-01-31"}, missed_runs="skip", paused=True)[
        1
    ].spec
    assert spec.missed_run_policy == "Skip"
    assert spec.suspend is True
    assert [(one.parameters, one.suspend) for one in spec.schedules] == [
        (None, None),
        ({"label": "n"}, None),
        (None, True),
    ]
    assert spec.schedules[1].name == "every-night"
    assert made(cron="0 6 * * *", parameters={"day": "2026-01-31"})[1].spec.missed_run_policy is None


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"parameters": {"dya": "x"}}, ParameterError, "dya='x' is not a parameter"),
        ({"cron": "0 2 * * *"}, ParameterError, "day is missing"),
        ({"cron": "0 2 * *"}, ConfigurationError, "0 2 "),
        ({"interval": 1.5, "parameters": {"day": "2026-01-31"}}, ConfigurationError, "whole seconds; got 1.5"),
        ({"description": "…"}, ConfigurationError, "has no description"),
        ({"concurrency_limit": 0}, ConfigurationError, "concurrency_limit must be a whole number, 1 or more"),
        ({"work_queue_name": "Night_Shift"}, ConfigurationError, "work_queue_name must be .* Use 'night-shift'"),
        ({"work_queue_name": ""}, ConfigurationError, "work_queue_name must be the name of a resource"),
        ({"limits": "db"}, ConfigurationError, "limits must be a list of names of ConcurrencyLimits; got 'db'"),
        ({"limits": list("abcde")}, ConfigurationError, "at most 4 limits; got 5"),
        ({"priority": "high"}, ConfigurationError, "priority must be a whole number from .* got 'high'"),
        ({"history": {"kept": 3}}, ConfigurationError, "history says which runs are kept, by succeeded, failed"),
        ({"history": {"ttl_seconds": 0}}, ConfigurationError, r"history\['ttl_seconds'\] must be .* got 0"),
        ({"work_pool_name": "k8s"}, ConfigurationError, "no option 'work_pool_name'"),
        ({"name": "etl/nightly"}, ConfigurationError, "without '/'"),
    ],
)
def test_what_cannot_be_is_refused_here(options: dict[str, Any], error: type[Exception], said: str) -> None:
    """Before a request is made, in words that name the value."""
    with pytest.raises(error, match=said):
        made(**options)


def test_a_flow_in_the_script_that_deploys_it_is_found_in_its_file(tmp_path: Path) -> None:
    """The entrypoint is the file as seen from the working directory, which is the image's too."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "etl.py").write_text(
        "from towpath import flow\n"
        "from towpath.cluster.deploying import manifests\n"
        "@flow\n"
        "def etl(): ...\n"
        "print(manifests(etl, None, 'image', None)[0]['spec']['entrypoint'])\n"
    )
    command = [sys.executable, "flows/etl.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "flows/etl.py:etl\n"


class Cluster(FakeSender):
    """A cluster that can be connected to."""

    namespace = "data"
    closed = False

    def close(self) -> None:
        """Note that it was let go."""
        self.closed = True


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Give a cluster in memory that takes what is applied."""
    cluster = Cluster()
    for plural, name in (("flows", "nightly-etl"), ("deployments", "nightly")):
        path = f"/apis/towpath.dev/v1alpha1/namespaces/data/{plural}/{name}"
        cluster.tell("PATCH", path, sent)
    asked: dict[str, Any] = {}

    def answer(**where: Any) -> Cluster:
        asked.update(where)
        return cluster

    monkeypatch.setattr(connect, "connect", answer)
    monkeypatch.setattr(cluster, "asked_for", asked, raising=False)
    return cluster


def test_both_are_applied_the_flow_first(cluster: Cluster) -> None:
    """In the namespace that was asked for; the Deployment's name comes back."""
    name = FLOW.deploy("nightly", image="i:1", entrypoint="etl.py:etl", namespace="data", force=True)
    assert name == "nightly"
    assert [sent(request)["kind"] for request in cluster.requests] == ["Flow", "Deployment"]
    assert {dict(request.query)["force"] for request in cluster.requests} == {"true"}
    assert cluster.asked_for == {"context": None, "namespace": "data"}  # type: ignore[attr-defined]
    assert cluster.closed


def test_a_refusal_of_the_cluster_comes_out(cluster: Cluster) -> None:
    """And the connection is let go."""
    path = "/apis/towpath.dev/v1alpha1/namespaces/data/deployments/nightly"
    cluster.tell("PATCH", path, Conflict("Somebody else has set spec.tags."))
    with pytest.raises(Conflict, match=r"spec\.tags"):
        FLOW.deploy("nightly", image="i:1", entrypoint="etl.py:etl")
    assert cluster.closed
