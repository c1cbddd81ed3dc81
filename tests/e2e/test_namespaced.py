"""An installation that is limited to one namespace: what its Roles allow is enough, and a run is what it was at first.

The operator under test runs from this checkout, as the service account that the chart makes, with no right to anything
outside of its namespace; the installed one is away meanwhile.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from tests.e2e.operators import OperatorProcess
from tests.e2e.runs import Runs, state
from tests.helm import chart
from tests.installation import Installation
from tests.kube import Body, Kube
from tests.operator.admission.certificates import make_certificate
from tests.operator.automations.receiver import receiving

from towpath import names
from towpath.states import StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
TEMPLATES = ("runner", "operator-serviceaccount", "operator-rbac")
#: Waits in its first attempt, and is done in the next.
ONCE_MORE = ["sh", "-c", 'test "$TOWPATH_ATTEMPT" != 1 || sleep 600']


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"towpath-narrow-{secrets.token_hex(3)}"
    kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    kube.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def account(kube: Kube, towpath: Installation, namespace: str, tmp_path: Path) -> Path:
    """A kubeconfig of the operator's service account, which has the chart's Roles in its namespace and nothing else."""
    rendered = chart.render(
        {"scope": "namespaces", "runnerNamespaces": [namespace]},
        show_only=[f"templates/{name}.yaml" for name in TEMPLATES],
        namespace=namespace,
    )
    assert {body["metadata"].get("namespace") for body in rendered.objects} == {namespace}
    towpath.cluster.apply(*rendered.objects)
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/towpath-operator/token"
    token = kube.create(path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    config = yaml.safe_load(kube.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    return kubeconfig


@pytest.fixture
def operator(account: Path, namespace: str, tmp_path: Path, installed_operator_away: None) -> Iterator[OperatorProcess]:
    """The operator under test, running, with a webhook."""
    make_certificate(tmp_path / "certificate", "DNS:localhost")
    own = OperatorProcess(
        account,
        tmp_path / "operator.log",
        TOWPATH_OPERATOR_NAMESPACES=namespace,
        TOWPATH_OPERATOR_LEASE=f"{namespace}/towpath-operator",
        TOWPATH_OPERATOR_ADMISSION_CERTIFICATE=str(tmp_path / "certificate"),
        TOWPATH_OPERATOR_ADMISSION_PORT="0",
    )
    own.start()
    yield own
    own.stop()


def test_roles_in_one_namespace_are_enough(
    kube: Kube, towpath: Installation, namespace: str, operator: OperatorProcess, tmp_path: Path
) -> None:
    """A run begins, loses its pod and its Flow, goes on as what it was, and ends well; automations and history have all
    that they need. Nothing was forbidden."""
    runs = Runs(kube, namespace, towpath.flow_image, "narrow")
    spec = {"image": runs.image, "command": ONCE_MORE}
    flow: Body = {"apiVersion": "towpath.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "once"}, "spec": spec}
    kube.create(runs.path("flows"), flow)
    name = runs.create({"flowRef": "once"})
    first = runs.reached(name, StateType.RUNNING, 90)["status"]
    kept = runs.path("controllerrevisions", first["revision"], group="/apis/apps/v1")
    assert kube.get(kept)["data"]["flow"] == spec

    kube.delete(runs.path("flows", "once"))
    kube.delete(runs.path("pods", first["pod"], group="/api/v1"), gracePeriodSeconds="0")
    ended = runs.ended(name, 120)
    assert (state(ended)["type"], ended["status"]["attempt"]) == ("COMPLETED", 2)
    assert ended["status"]["revision"] == first["revision"]

    schema = {"properties": {"x": {"type": "integer"}}}
    taken = {"flow": spec | {"parameters": schema}, "parameters": {"x": "many"}}  # for nobody asked the webhook
    wrong = runs.ended(runs.create(taken))
    assert (state(wrong)["type"], state(wrong)["reason"]) == ("FAILED", "InvalidParameters")
    assert runs.jobs(wrong["metadata"]["name"]) == []

    said = ask_the_webhook(operator, tmp_path, {"metadata": {"namespace": namespace}, "spec": {"flowRef": "once"}})
    assert "There is no Flow 'once'" in said["warnings"][0]

    automations_and_history(kube, runs)
    assert "forbidden" not in operator.log.read_text()


def automations_and_history(kube: Kube, runs: Runs) -> None:
    """Have a run fail without a pod: it is told of, tidied up after, and removed; whose Deployment it is, is suspended."""

    def make(kind: str, name: str, spec: Body) -> None:
        body = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        kube.create(runs.path(f"{kind.lower()}s"), body)

    def done(automation: str, count: int) -> None:
        path = runs.path("automations", automation)
        kube.wait(path, lambda body: bool(body and body.get("status", {}).get("delivered") == count), 60, "it is done")

    with receiving() as receiver:
        secret = {"metadata": {"name": "towpath-automations"}, "stringData": {"url": receiver.url}}
        kube.create(runs.path("secrets", group="/api/v1"), secret)
        make("Flow", "typed", {"image": runs.image, "command": ["true"], "parameters": {"required": ["x"]}})
        make("Deployment", "etl", {"flowRef": "typed", "history": {"failed": 0}})
        make("Deployment", "tidy", {"flowRef": "there-is-none"})
        url = {"secretKeyRef": {"name": "towpath-automations", "key": "url"}}
        told = [
            {"webhook": {"urlFrom": url}},
            {"runDeployment": {"name": "tidy"}},
            {"suspend": {"target": "Deployment"}},
        ]
        failed = {"states": {"types": ["FAILED"]}}
        make("Automation", "failed", {"trigger": failed, "match": {"deployments": ["etl"]}, "actions": told})
        late = {"late": {"afterSeconds": 1}}
        make("Automation", "late", {"trigger": late, "match": {"deployments": ["tidy"]}, "actions": [{"cancel": {}}]})
        wrong = runs.create({"deploymentRef": "etl"})
        done("failed", 3)
        done("late", 1)
        runs.gone(runs.path("flowruns", wrong))
        assert receiver.json()["subject"] == wrong
    assert kube.get(runs.path("deployments", "etl"))["spec"]["suspend"] is True


def ask_the_webhook(operator: OperatorProcess, tmp_path: Path, run: Body) -> Body:
    """Ask about a new run, as the API server does; give the response."""
    (line,) = [line for line in operator.log.read_text().splitlines() if "webhook listens" in line]
    port = int("".join(filter(str.isdigit, line.rpartition("port ")[2])))
    request = {"uid": "asked", "resource": {"resource": "flowruns"}, "namespace": run["metadata"]["namespace"]}
    review = {"apiVersion": "admission.k8s.io/v1", "request": {**request, "object": run}}
    trusted = ssl.create_default_context(cafile=tmp_path / "certificate" / "tls.crt")
    answer: Body = httpx.post(f"https://localhost:{port}/review", json=review, verify=trusted).json()["response"]
    return answer
