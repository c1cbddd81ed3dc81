"""The chart's own-run policy on a real API server: what the token of a run's pod can do, and what it is refused.

Tokens are bound to pods that no scheduler looks at: a pod need not run to have one. Writes that should pass are dry runs,
so that the operator, which is alive here, has nothing to answer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from tests.cluster.api import Cluster, ClusterUnavailable
from tests.cluster.api import cluster as find_cluster
from tests.cluster.settings import in_ci
from tests.helm import chart
from tests.installation import RELEASE, SYSTEM, install
from tests.kube import TOWPATH, ApiError, Body, Kube

from towpath import names

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

NAMESPACE = "towpath-admission"
RUNS = f"{TOWPATH}/namespaces/{NAMESPACE}/flowruns"
RUNNER, OPERATOR = "towpath-runner", f"{RELEASE}-operator"
RUNNING = {"state": {"type": "RUNNING", "name": "Running", "since": "2030-01-01T00:00:00.000000Z"}}
#: The operator leaves a run alone until its time has come.
SPEC = {"flow": {"image": "none", "entrypoint": "m:f"}, "scheduledTime": "2100-01-01T00:00:00.000000Z"}


def core(kind: str, namespace: str = NAMESPACE) -> str:
    """Give the path of a core kind's objects."""
    return f"/api/v1/namespaces/{namespace}/{kind}"


@dataclass(frozen=True, slots=True)
class Writers:
    """Makes runs, and whoever would write to them."""

    admin: Kube
    opened: list[Kube] = field(default_factory=list)

    def run(self, name: str, attempt: int | None = 1) -> Body:
        """Create a run, and bring it to an attempt as the operator would (None: the operator has not seen it)."""
        self.admin.delete(f"{RUNS}/{name}")
        body = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "metadata": {"name": name}, "spec": SPEC}
        run = self.admin.create(RUNS, body)
        if attempt:
            self.admin.merge(f"{RUNS}/{name}/status", {"status": {"attempt": attempt, "job": job_of(run, attempt)}})
        return run

    def pod_of(self, run: Body, attempt: int = 1) -> Kube:
        """Give the API server as the pod of a run's attempt sees it."""
        return self.pod(f"{job_of(run, attempt)}-x7k2p")

    def pod(self, name: str, account: str = RUNNER, namespace: str = NAMESPACE) -> Kube:
        """Give the API server as a pod of that name sees it."""
        container = {
            "name": "none",
            "image": "none",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "schedulerName": "nobody",
            "serviceAccountName": account,
            "containers": [container],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        }
        self.admin.delete(f"{core('pods', namespace)}/{name}", gracePeriodSeconds="0")
        pod = self.admin.create(core("pods", namespace), {"metadata": {"name": name}, "spec": spec})
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
        return self.token(account, namespace, {"boundObjectRef": bound})

    def token(self, account: str, namespace: str = NAMESPACE, spec: Body | None = None) -> Kube:
        """Give the API server as the bearer of a service account's token sees it."""
        request = {"spec": {"expirationSeconds": 3600, **(spec or {})}}
        made = self.admin.create(f"{core('serviceaccounts', namespace)}/{account}/token", request)
        self.opened.append(self.admin.with_token(made["status"]["token"]))
        return self.opened[-1]


def job_of(run: Body, attempt: int) -> str:
    """Name the Job of a run's attempt."""
    return names.job_name(run["metadata"]["name"], run["metadata"]["uid"], attempt)


def write(who: Kube, run: Body, **status: Any) -> None:
    """Write a run's status, without effect."""
    path = f"{RUNS}/{run['metadata']['name']}/status"
    who.call("PATCH", path, {"status": status or RUNNING}, kind="application/merge-patch+json", dryRun="All")


def reference(run: Body) -> Body:
    """Name a run as spec.parent does."""
    return {"name": run["metadata"]["name"], "uid": run["metadata"]["uid"]}


def create_child(who: Kube, *, parent: Body | None = None, owner: Body | None = None, label: str | None = None) -> None:
    """Create a run under another, without effect."""
    metadata: Body = {"generateName": "child-"}
    if owner:
        metadata["ownerReferences"] = [{"apiVersion": names.API_VERSION, "kind": "FlowRun", **owner}]
    if label:
        metadata["labels"] = {names.LABEL_PARENT: label}
    spec = {**SPEC, **({"parent": parent} if parent else {})}
    body = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": spec}
    who.call("POST", RUNS, body, dryRun="All")


def refusal(attempt: Callable[[], object]) -> str:
    """Give the words with which the API server forbids something."""
    with pytest.raises(ApiError) as caught:
        attempt()
    assert caught.value.status == 403
    return caught.value.message


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    """A namespace of these tests' own, with the runner's account and role as the chart makes them."""
    try:
        cluster: Cluster = find_cluster()
    except ClusterUnavailable as unavailable:
        if in_ci():
            pytest.fail(str(unavailable))
        pytest.skip(str(unavailable))
    install(cluster)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")  # what an interrupted run left
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    cluster.apply(*chart.render({"runnerNamespaces": [NAMESPACE]}, show_only=["templates/runner.yaml"]).objects)
    made = Writers(Kube(cluster.kubeconfig))
    yield made
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    for client in (made.admin, *made.opened):
        client.http.close()


@pytest.fixture(scope="module")
def load(writers: Writers) -> Body:
    """A run at its first attempt."""
    return writers.run("load")


@pytest.fixture(scope="module")
def other(writers: Writers) -> Body:
    """Another run of the namespace."""
    return writers.run("other")


@pytest.mark.parametrize(
    "name", ["plain", "a" * 63, "b" * 39 + "-" + "c" * 20, "d-1-abcde", "e" * 38 + "--" + "f" * 10]
)
def test_own_status(writers: Writers, name: str) -> None:
    """A run's pod writes its own run's status, whatever the run is called."""
    run = writers.run(name)
    write(writers.pod_of(run), run)


def test_status_of_another(writers: Writers, load: Body, other: Body) -> None:
    """A run's pod is refused another run's status, and told whose it is."""
    words = refusal(lambda: write(writers.pod_of(load), other))
    assert f"pod '{job_of(load, 1)}-x7k2p' may not write the status of FlowRun 'other'" in words
    assert "a pod writes the status of its own run only" in words


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(lambda victim: f"load-{victim['uid'][:8]}-1", id="pod's name goes on where the victim's job ends"),
        pytest.param(lambda victim: f"load-{victim['uid'][:8]}", id="name holds the victim's UID"),
        pytest.param(lambda victim: f"load-{victim['uid'][:8]}-1-abcde", id="name is the victim's pod"),
        pytest.param(lambda _: "loa", id="shorter"),
        pytest.param(lambda _: "load-1", id="longer"),
    ],
)
def test_names_that_resemble(writers: Writers, load: Body, name: Callable[[Body], str]) -> None:
    """A run whose name is made to look like another's, or like the start of it, opens nothing, in either direction."""
    twin = writers.run(name(load["metadata"]))
    refusal(lambda: write(writers.pod_of(twin), load))
    refusal(lambda: write(writers.pod_of(load), twin))
    refusal(lambda: create_child(writers.pod_of(twin), parent=reference(load)))


def test_same_beginning_of_long_names(writers: Writers) -> None:
    """Runs whose names differ only behind the part that the Job's name keeps are told apart by their UIDs."""
    one, two = writers.run("x" * 50 + "-1"), writers.run("x" * 50 + "-2")
    refusal(lambda: write(writers.pod_of(one), two))


@pytest.mark.parametrize(
    "status", [{"attempt": 2}, {"job": "x"}, {"job": None}, {"infraFailures": 1}, {"retryAt": "2030-01-01T00:00:00Z"}]
)
def test_fields_of_the_operator(writers: Writers, load: Body, status: Body) -> None:
    """A run's pod leaves the operator's fields of its own run alone, and the refusal names the field."""
    words = refusal(lambda: write(writers.pod_of(load), load, **RUNNING, **status))
    assert f"may not change status.{next(iter(status))} of FlowRun 'load': only the operator writes that" in words


def test_dead_attempt(writers: Writers) -> None:
    """The pod of an earlier attempt, and one that is ahead of the operator, are refused."""
    run, fresh = writers.run("retried", attempt=2), writers.run("fresh", attempt=None)
    assert "it belongs to attempt 1, and the run is at attempt 2" in refusal(lambda: write(writers.pod_of(run, 1), run))
    write(writers.pod_of(run, 2), run)
    assert "the run is at attempt none" in refusal(lambda: write(writers.pod_of(fresh), fresh))


def test_children(writers: Writers, load: Body) -> None:
    """A run's pod creates children of its own run, and runs without a parent."""
    pod = writers.pod_of(load)
    create_child(pod, parent=reference(load), owner=reference(load), label="load")
    create_child(pod)


def test_children_of_others(writers: Writers, load: Body, other: Body) -> None:
    """A run's pod puts nothing under another run: not by spec.parent, not by owner, not by label."""
    pod = writers.pod_of(load)
    words = refusal(lambda: create_child(pod, parent=reference(other)))
    assert (
        "may not create a FlowRun with spec.parent 'other': a run's pod names only its own run as the parent" in words
    )
    words = refusal(lambda: create_child(pod, parent=reference(load), owner=reference(other)))
    assert "owned by FlowRun 'other': a run's pod names only its own run as the owner" in words
    words = refusal(lambda: create_child(pod, label="other"))
    assert "may not create a FlowRun with the label towpath.dev/parent 'other'" in words
    refusal(lambda: create_child(pod, parent=reference(load), label="other"))


def test_parent_with_a_made_up_uid(writers: Writers, load: Body) -> None:
    """The parent's UID must begin as the pod's own run's does; no way of cutting the pod's name helps."""
    pod, uid = writers.pod_of(load), load["metadata"]["uid"]
    for parent in (
        {"name": f"load-{uid[:8]}", "uid": "1"},
        {"name": "load", "uid": "1"},
        {"name": "load", "uid": uid[:7]},
    ):
        refusal(functools.partial(create_child, pod, parent=parent))


def test_token_of_no_pod(writers: Writers, load: Body) -> None:
    """A token of the runner's account that is bound to no pod is refused."""
    anybody = writers.token(RUNNER)
    assert "a token that is bound to no pod may not write the status" in refusal(lambda: write(anybody, load))
    refusal(lambda: create_child(anybody, parent=reference(load)))


def test_specs_and_deletion(writers: Writers, load: Body, other: Body) -> None:
    """Even with a role that grants it, a run's pod neither changes nor deletes runs; other pods may, as their role says."""
    rules = [{"apiGroups": [names.GROUP], "resources": ["flowruns"], "verbs": ["patch", "delete"]}]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "too-much"}
    accounts = [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE} for name in (RUNNER, "default")]
    writers.admin.create(f"{rbac}/roles", {"metadata": {"name": "too-much"}, "rules": rules})
    writers.admin.create(
        f"{rbac}/rolebindings", {"metadata": {"name": "too-much"}, "roleRef": role, "subjects": accounts}
    )
    janitor = writers.pod("janitor-29384756-abcde", account="default")
    assert janitor.call("DELETE", f"{RUNS}/other", dryRun="All")

    def cancel(who: Kube) -> None:
        who.call("PATCH", f"{RUNS}/load", {"spec": {"cancel": True}}, kind="application/merge-patch+json", dryRun="All")

    cancel(janitor)
    pod = writers.pod_of(load)
    assert "may not change or delete FlowRun 'load'" in refusal(lambda: cancel(pod))
    assert "may not change or delete FlowRun 'other'" in refusal(lambda: pod.call("DELETE", f"{RUNS}/other"))
    refusal(lambda: writers.token(RUNNER).call("DELETE", f"{RUNS}/other"))


def test_other_pods(writers: Writers, load: Body) -> None:
    """A pod that is no run's, such as a GitOps controller's, creates runs, but not below a run."""
    rules = [{"apiGroups": [names.GROUP], "resources": ["flowruns"], "verbs": ["create"]}]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "creator"}
    account = {"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}
    writers.admin.create(f"{rbac}/roles", {"metadata": {"name": "creator"}, "rules": rules})
    writers.admin.create(
        f"{rbac}/rolebindings", {"metadata": {"name": "creator"}, "roleRef": role, "subjects": [account]}
    )
    controller = writers.pod("argocd-application-controller-0", account="default")
    create_child(controller)
    refusal(lambda: create_child(controller, parent=reference(load)))


def test_the_operator(writers: Writers, load: Body) -> None:
    """The operator's own pod writes any run's status, its own fields too, and no spec."""
    operator = writers.pod("admission-test", OPERATOR, SYSTEM)
    write(operator, load, attempt=5, job="x", **RUNNING)
    words = refusal(lambda: operator.merge(f"{RUNS}/load", {"spec": {"cancel": True}}))
    assert "cannot patch resource" in words
    writers.admin.delete(f"{core('pods', SYSTEM)}/admission-test", gracePeriodSeconds="0")


def test_pod_names_are_what_the_policy_expects(load: Body) -> None:
    """The policy's expressions and `names.job_name` were written for each other; this fails when one is changed alone."""
    policy = yaml.safe_dump(
        chart.render(show_only=["templates/admission-policy.yaml"]).one("ValidatingAdmissionPolicy")
    )
    assert f"^.{{0,{names._JOB_RUN_PREFIX - 1}}}[^-]" in policy
    assert job_of(load, 3) == f"load-{load['metadata']['uid'][:8]}-3"
