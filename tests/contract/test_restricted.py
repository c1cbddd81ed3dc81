"""Pods of runs and of the operator are let into a namespace that holds every pod to the restricted standard."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.contract.apiserver import ApiServer
from tests.helm import chart
from tests.kube import ApiError, Body

pytestmark = pytest.mark.cluster

GOLDEN = Path(__file__).parents[1] / "golden"
JOBS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(GOLDEN.glob("job-*.yaml"))}


@pytest.fixture(scope="module")
def restricted(apiserver: ApiServer) -> Iterator[str]:
    """A namespace as docs/install.md has it labelled."""
    name = f"restricted-{secrets.token_hex(3)}"
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    apiserver.kube.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": label}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    apiserver.kube.wait(account, lambda body: body is not None, 60, "the account without which no pod is judged")
    yield name
    apiserver.kube.delete(f"/api/v1/namespaces/{name}")


def ask(apiserver: ApiServer, namespace: str, template: Body) -> None:
    """Have the API server judge a pod of a template; nothing is made. What is no matter of security is left out."""
    left_out = {"serviceAccountName", "priorityClassName"}  # they would have to be there
    spec = {key: said for key, said in template["spec"].items() if key not in left_out}
    body = {"metadata": {"generateName": "judged-"}, "spec": spec | {"automountServiceAccountToken": False}}
    apiserver.kube.call("POST", f"/api/v1/namespaces/{namespace}/pods", body, dryRun="All")


@pytest.fixture(params=[*JOBS, "operator"])
def template(request: pytest.FixtureRequest) -> Body:
    """A pod template of Towpath's."""
    manifest = JOBS.get(request.param) or chart.render().one("Deployment")
    found: Body = manifest["spec"]["template"]
    return found


def test_pods_meet_the_restricted_standard(apiserver: ApiServer, restricted: str, template: Body) -> None:
    """As they are; with any of what makes them restricted left out, the API server refuses them."""
    ask(apiserver, restricted, template)
    spec = template["spec"]
    for container in spec["containers"]:
        loose = {key: said for key, said in container.items() if key != "securityContext"}
        with pytest.raises(ApiError, match="violates PodSecurity"):
            ask(apiserver, restricted, {"spec": spec | {"containers": [loose]}})
