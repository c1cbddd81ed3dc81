"""Towpath's resources in people's hands: kubectl's lists, columns, categories and explanations."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builders import NOW, make_deployment, make_flow, make_flowrun
from tests.contract.apiserver import ApiServer
from tests.contract.own_group import PLURALS, OwnGroup
from tests.kube import TOWPATH, Body

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


def kubectl(kinds: OwnGroup, *arguments: str) -> str:
    """Give what kubectl prints about the session's namespace."""
    return kinds.apiserver.cluster.kubectl("--namespace", kinds.apiserver.namespace, *arguments)


def table(printed: str) -> list[list[str]]:
    """Take a table of kubectl's apart; no cell of ours has two spaces in it."""
    return [[cell for cell in line.split("  ") if cell.strip()] for line in printed.splitlines()]


@pytest.fixture(scope="module")
def named(kinds: OwnGroup) -> Iterator[dict[str, Body]]:
    """One object of each kind, and a child that has failed."""
    run = make_flowrun("parent", deployment_ref="nightly", state="RUNNING", attempt=1, status={"flow": "main"})
    failed = {
        "state": {
            "type": "FAILED",
            "name": "TimedOut",
            "reason": "TimedOut",
            "message": "longer than 60 s",
            "since": NOW,
        },
        "attempt": 2,
        "flow": "main",
        "job": "child-1234abcd-2",
        "startTime": NOW,
        "completionTime": NOW,
    }
    child = make_flowrun("child", parent=run, status=failed)
    made = {
        body["metadata"]["name"]: kinds.create(body, body["metadata"]["name"])
        for body in (make_flow("main"), run, child)
    }
    made["nightly"] = kinds.create(make_deployment("nightly"), "nightly")
    yield made
    for name, body in made.items():
        kinds.apiserver.kube.delete(kinds.path(body["kind"], name))


def test_the_category_lists_all_kinds(kinds: OwnGroup, named: dict[str, Body], tmp_path: Path) -> None:
    """`kubectl get towpath` shows everything of Towpath's."""
    deadline = time.monotonic() + 30
    listed: set[str] = set()
    for (
        attempt
    ) in itertools.count():  # the server publishes a new group a moment later, and kubectl remembers it for hours
        cache = str(tmp_path / str(attempt))
        printed = kubectl(kinds, "get", "towpath", "--output", "name", "--cache-dir", cache)
        listed = {name.split("/")[-1] for name in printed.split()}
        if listed >= named.keys() or time.monotonic() > deadline:
            break

    assert listed >= named.keys()


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("status.state.type=FAILED", {"child"}),
        ("status.state.type=RUNNING", {"parent"}),
        ("status.state.type=PAUSED", set()),
        ("spec.deploymentRef=nightly", {"parent"}),
        ("status.state.type!=FAILED,spec.deploymentRef=nightly", {"parent"}),
    ],
)
def test_runs_are_found_by_their_fields(
    kinds: OwnGroup, named: dict[str, Body], selector: str, found: set[str]
) -> None:
    """The API server itself selects runs by state and by deployment."""
    items = kinds.apiserver.kube.items(kinds.path("FlowRun"), fieldSelector=selector)

    assert {item["metadata"]["name"] for item in items} & named.keys() == found


def test_a_watch_sees_runs_come_into_a_state(kinds: OwnGroup) -> None:
    """A watch on a state gets a run when it enters the state and loses it when it leaves, and hears of no other."""
    kube, path = kinds.apiserver.kube, kinds.path("FlowRun")
    version = kube.get(path)["metadata"]["resourceVersion"]
    run = kinds.create(make_flowrun(state="PAUSED", attempt=1))
    run["status"] = make_flowrun(state="RUNNING", attempt=1)["status"]
    kinds.replace(run, "status")
    params = {
        "watch": "1",
        "resourceVersion": version,
        "fieldSelector": "status.state.type=PAUSED",
        "timeoutSeconds": "20",
    }
    with kube.http.stream("GET", path, params=params) as stream:
        lines = stream.iter_lines()
        seen = [json.loads(next(lines)) for _ in range(2)]

    name = run["metadata"]["name"]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in seen] == [
        ("ADDED", name),
        ("DELETED", name),
    ]


def test_deployments_are_found_by_their_flow(kinds: OwnGroup, named: dict[str, Body]) -> None:
    """Which Deployments a Flow has is a question that the API server answers."""
    path = kinds.path("Deployment")

    assert [d["metadata"]["name"] for d in kinds.apiserver.kube.items(path, fieldSelector="spec.flowRef=main")]
    assert kinds.apiserver.kube.items(path, fieldSelector="spec.flowRef=other") == []


def test_a_list_of_runs_is_worth_reading(kinds: OwnGroup, named: dict[str, Body]) -> None:
    """The columns say which flow, how it stands and why, and since when."""
    printed = table(kubectl(kinds, "get", f"flowruns.{kinds.group}", "child"))

    assert [head.strip() for head in printed[0]] == ["NAME", "FLOW", "STATE", "REASON", "STARTED", "ENDED", "AGE"]
    assert [cell.strip() for cell in printed[1][:4]] == ["child", "main", "TimedOut", "TimedOut"]


def test_a_wide_list_of_runs_says_more(kinds: OwnGroup, named: dict[str, Body]) -> None:
    """With --output wide there are parent, attempt, Job and message too."""
    head, row = table(kubectl(kinds, "get", f"flowruns.{kinds.group}", "child", "--output", "wide"))
    cells = dict(zip((h.strip() for h in head), (c.strip() for c in row), strict=True))

    assert (cells["PARENT"], cells["ATTEMPT"], cells["JOB"], cells["MESSAGE"]) == (
        "parent",
        "2",
        "child-1234abcd-2",
        "longer than 60 s",
    )


@pytest.mark.parametrize(
    ("kind", "name", "cells"),
    [
        ("Flow", "main", {"IMAGE": "registry.test/flows:1", "ENTRYPOINT": "shop.flows:main"}),
        ("Deployment", "nightly", {"FLOW": "main"}),
    ],
)
def test_lists_of_flows_and_deployments_show_what_they_are(
    kinds: OwnGroup, named: dict[str, Body], kind: str, name: str, cells: dict[str, str]
) -> None:
    """A Flow shows its image and entrypoint, a Deployment its Flow."""
    head, row = table(kubectl(kinds, "get", f"{PLURALS[kind]}.{kinds.group}", name))
    shown = dict(zip((h.strip() for h in head), (c.strip() for c in row), strict=False))

    assert cells.items() <= shown.items()


@pytest.mark.parametrize(("short", "plural"), [("fl", "flows"), ("fdep", "deployments"), ("fr", "flowruns")])
def test_short_names_are_taken(apiserver: ApiServer, short: str, plural: str) -> None:
    """Two to four letters are enough."""
    resources = apiserver.kube.get(TOWPATH)["resources"]

    assert {r["name"]: r.get("shortNames") for r in resources}[plural] == [short]


def test_kubectls_deployments_stay_those_of_kubernetes(apiserver: ApiServer) -> None:
    """The kind Deployment takes nothing away: the bare plural means apps/v1, as before."""
    listed = apiserver.cluster.kubectl("get", "deployments", "--namespace", "kube-system", "--output", "name")

    assert all(name.startswith("deployment.apps/") for name in listed.split())


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("fr.spec.cancel", "Set to true to cancel the run and every run below it; cannot be taken back."),
        ("fr.status.state", "Where the run stands."),
        ("fdep.spec.flowRef", "Name of the Flow in the same namespace."),
        ("fl", "Code that can be run"),
    ],
)
def test_kubectl_explains(apiserver: ApiServer, field: str, words: str) -> None:
    """The sentence beside a field in the model is what people read."""
    deadline = time.monotonic() + 30
    explained = ""
    while words not in explained and time.monotonic() < deadline:  # the server publishes a new schema a moment later
        explained = " ".join(apiserver.cluster.kubectl("explain", field, check=False).split())

    assert words in explained
