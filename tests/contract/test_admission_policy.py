"""The chart's own-run policy on a real API server: what the token of a run's pod can do, and what it is refused.

Tokens are bound to pods that no scheduler looks at: a pod need not run to have one. Policy and roles are the chart's,
word for word, for kinds in a group of their own, so that no operator answers to what is written here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from tests.contract.apiserver import ApiServer
from tests.contract.own_group import OwnGroup
from tests.helm import chart
from tests.kube import ApiError, Body, Kube

from towpath import names

pytestmark = pytest.mark.cluster

RELEASE = "admission-towpath"
RUNNER, OPERATOR = "towpath-runner", f"{RELEASE}-operator"
TEMPLATES = ("runner", "operator-serviceaccount", "operator-rbac", "admission-policy")
POLICIES = "/apis/admissionregistration.k8s.io/v1"
MERGE = "application/merge-patch+json"
SPEC: Body = {"flow": {"image": "none", "entrypoint": "m:f"}}
RUNNING: Body = {"state": {"type": "RUNNING", "name": "Running", "since": "2030-01-01T00:00:00.000000Z"}}


@dataclass(frozen=True, slots=True)
class Writers:
    """Makes runs, and whoever would write to them."""

    apiserver: ApiServer
    kinds: OwnGroup
    opened: list[Kube] = field(default_factory=list)

    @property
    def admin(self) -> Kube:
        """The API server as its administrator sees it."""
        return self.apiserver.kube

    def path(self, name: str = "") -> str:
        """Give the path of the runs, or of one."""
        return self.kinds.path("FlowRun", name)

    def run(self, name: str, attempt: int | None = 1) -> Body:
        """Create a run, and bring it to an attempt as the operator would (None: the operator has not seen it)."""
        run = self.kinds.create({"kind": "FlowRun", "spec": SPEC}, name)
        if attempt:
            self.admin.merge(f"{self.path(name)}/status", {"status": {"attempt": attempt, "job": job_of(run, attempt)}})
        return run

    def pod_of(self, run: Body, attempt: int = 1) -> Kube:
        """Give the API server as the pod of a run's attempt sees it."""
        return self.pod(f"{job_of(run, attempt)}-x7k2p")

    def pod(self, name: str, account: str = RUNNER) -> Kube:
        """Give the API server as a pod of that name sees it."""
        pods = self.apiserver.path("pods", group="/api/v1")
        containers = [{"name": "none", "image": "none"}]
        spec = {"schedulerName": "nobody", "serviceAccountName": account, "containers": containers}
        pod = self.admin.find(f"{pods}/{name}") or self.admin.create(pods, {"metadata": {"name": name}, "spec": spec})
        return self.token(account, {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": pod["metadata"]["uid"]})

    def token(self, account: str, bound_to: Body | None = None) -> Kube:
        """Give the API server as the bearer of a service account's token sees it."""
        request = {"spec": {"expirationSeconds": 3600, **({"boundObjectRef": bound_to} if bound_to else {})}}
        made = self.admin.create(self.apiserver.path("serviceaccounts", account, group="/api/v1") + "/token", request)
        self.opened.append(self.admin.with_token(made["status"]["token"]))
        return self.opened[-1]

    def write(self, who: Kube, run: Body, **status: Any) -> None:
        """Write a run's status, without effect."""
        path = f"{self.path(run['metadata']['name'])}/status"
        who.call("PATCH", path, {"status": status or RUNNING}, kind=MERGE, dryRun="All")

    def cancel(self, who: Kube, run: Body) -> None:
        """Change a run's spec, without effect."""
        who.call("PATCH", self.path(run["metadata"]["name"]), {"spec": {"cancel": True}}, kind=MERGE, dryRun="All")

    def remove(self, who: Kube, run: Body) -> None:
        """Delete a run, without effect."""
        who.call("DELETE", self.path(run["metadata"]["name"]), dryRun="All")

    def create_child(
        self, who: Kube, *, parent: Body | None = None, owner: Body | None = None, label: str | None = None
    ) -> None:
        """Create a run under another, without effect."""
        version = f"{self.kinds.group}/{names.VERSION}"
        metadata: Body = {"generateName": "child-"}
        if owner:
            metadata["ownerReferences"] = [{"apiVersion": version, "kind": "FlowRun", **owner}]
        if label:
            metadata["labels"] = {f"{self.kinds.group}/parent": label}
        spec = {**SPEC, **({"parent": parent} if parent else {})}
        body = {"apiVersion": version, "kind": "FlowRun", "metadata": metadata, "spec": spec}
        who.call("POST", self.path(), body, dryRun="All")

    def allow(self, account: str, *verbs: str) -> None:
        """Grant an account something about runs that the chart does not."""
        group, name = "rbac.authorization.k8s.io", f"{account}-{'-'.join(verbs)}"
        rules = [{"apiGroups": [self.kinds.group], "resources": ["flowruns"], "verbs": list(verbs)}]
        subject = {"kind": "ServiceAccount", "name": account, "namespace": self.apiserver.namespace}
        role = {"apiGroup": group, "kind": "Role", "name": name}
        rest: dict[str, Body] = {"roles": {"rules": rules}, "rolebindings": {"roleRef": role, "subjects": [subject]}}
        for plural, body in rest.items():
            path = self.apiserver.path(plural, group=f"/apis/{group}/v1")
            self.admin.create(path, {"metadata": {"name": name}, **body})


def job_of(run: Body, attempt: int) -> str:
    """Name the Job of a run's attempt."""
    return names.job_name(run["metadata"]["name"], run["metadata"]["uid"], attempt)


def reference(run: Body) -> Body:
    """Name a run as spec.parent does."""
    return {"name": run["metadata"]["name"], "uid": run["metadata"]["uid"]}


def refusal(call: Callable[..., object], *arguments: Any, **named: Any) -> str:
    """Give the words with which the API server forbids something."""
    with pytest.raises(ApiError) as caught:
        call(*arguments, **named)
    assert caught.value.status == 403
    return caught.value.message


@pytest.fixture(scope="module")
def writers(apiserver: ApiServer, kinds: OwnGroup) -> Iterator[Writers]:
    """The chart's policy and roles, for the kinds in their own group."""
    rendered = chart.render(
        {"scope": "namespaces", "runnerNamespaces": [apiserver.namespace]},
        show_only=[f"templates/{name}.yaml" for name in TEMPLATES],
        release=RELEASE,
        namespace=apiserver.namespace,
    )
    made = Writers(apiserver, kinds)
    apiserver.cluster.apply(*json.loads(json.dumps(rendered.objects).replace(names.GROUP, kinds.group)))
    try:
        await_policy(made)
        yield made
    finally:
        for kind, plural in (("", "validatingadmissionpolicies"), ("Binding", "validatingadmissionpolicybindings")):
            name = rendered.one(f"ValidatingAdmissionPolicy{kind}")["metadata"]["name"]
            apiserver.kube.delete(f"{POLICIES}/{plural}/{name}")
        for client in made.opened:
            client.http.close()


def await_policy(writers: Writers) -> None:
    """Return when the API server has taken the policy up; nothing tells but a refusal."""
    run, stranger = writers.run("first"), writers.pod("stranger")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            writers.write(stranger, run)
        except ApiError as error:
            if "a pod writes the status of its own run only" in error.message:
                return
        time.sleep(0.1)
    pytest.fail("the API server does not hold anybody to the policy")


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
    writers.write(writers.pod_of(run), run)


def test_status_of_another(writers: Writers, load: Body, other: Body) -> None:
    """A run's pod is refused another run's status, and told whose it is."""
    words = refusal(writers.write, writers.pod_of(load), other)
    assert f"pod '{job_of(load, 1)}-x7k2p' may not write the status of FlowRun 'other'" in words
    assert "a pod writes the status of its own run only" in words


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("load-{uid}-1", id="its pod's name goes on where the victim's Job ends"),
        pytest.param("load-{uid}", id="it holds the victim's UID"),
        pytest.param("load-{uid}-1-abcde", id="it is called like the victim's pod"),
        pytest.param("loa", id="shorter"),
        pytest.param("load-1", id="longer"),
    ],
)
def test_names_that_resemble(writers: Writers, load: Body, name: str) -> None:
    """A run that is named after another, or after its pod, opens nothing, in either direction."""
    twin = writers.run(name.format(uid=load["metadata"]["uid"][:8]))
    refusal(writers.write, writers.pod_of(twin), load)
    refusal(writers.write, writers.pod_of(load), twin)
    refusal(writers.create_child, writers.pod_of(twin), parent=reference(load))


def test_same_beginning_of_long_names(writers: Writers) -> None:
    """Runs whose names differ only behind the part that the Job's name keeps are told apart by their UIDs."""
    one, two = writers.run("x" * 50 + "-1"), writers.run("x" * 50 + "-2")
    refusal(writers.write, writers.pod_of(one), two)


@pytest.mark.parametrize(
    "status",
    [
        {"attempt": 2},
        {"job": "x"},
        {"job": None},
        {"pod": "x"},
        {"flow": "x"},
        {"revision": "x"},
        {"infraFailures": 1},
        {"retryAt": "2030-01-01T00:00:00Z"},
        {"waitingFor": "x"},
        {"slotsGranted": [{"limit": "db", "slots": 1, "number": 1}]},
    ],
    ids=str,
)
def test_fields_of_the_operator(writers: Writers, load: Body, status: Body) -> None:
    """A run's pod leaves the operator's fields of its own run alone, and the refusal names the field."""
    words = refusal(writers.write, writers.pod_of(load), load, **RUNNING, **status)
    assert f"may not change status.{next(iter(status))} of FlowRun 'load': only the operator writes that" in words


def test_slots_are_given_up_not_taken(writers: Writers) -> None:
    """A run's pod says what slots it wants and removes what it was granted, as its end does; it grants itself none."""
    run = writers.run("slots")
    one = {"limit": "db", "slots": 1, "number": 1}
    writers.admin.merge(f"{writers.path('slots')}/status", {"status": {"slotsGranted": [one]}})
    pod = writers.pod_of(run)
    writers.write(pod, run, **RUNNING, slotsWanted=[one | {"slots": 2}])
    writers.write(pod, run, **RUNNING, slotsGranted=None)
    assert "may not change status.slotsGranted" in refusal(
        writers.write, pod, run, **RUNNING, slotsGranted=[one | {"slots": 2}]
    )


def test_dead_attempt(writers: Writers) -> None:
    """The pod of an earlier attempt, and one that is ahead of the operator, are refused."""
    run, fresh = writers.run("retried", attempt=2), writers.run("fresh", attempt=None)
    assert "it belongs to attempt 1, and the run is at attempt 2" in refusal(writers.write, writers.pod_of(run, 1), run)
    writers.write(writers.pod_of(run, 2), run)
    assert "the run is at attempt none" in refusal(writers.write, writers.pod_of(fresh), fresh)


def test_children(writers: Writers, load: Body) -> None:
    """A run's pod creates children of its own run, and runs without a parent."""
    pod = writers.pod_of(load)
    writers.create_child(pod, parent=reference(load), owner=reference(load), label="load")
    writers.create_child(pod)


def test_children_of_others(writers: Writers, load: Body, other: Body) -> None:
    """A run's pod puts nothing under another run: not by spec.parent, not by owner, not by label."""
    pod = writers.pod_of(load)
    words = refusal(writers.create_child, pod, parent=reference(other))
    assert "a FlowRun with spec.parent 'other': a run's pod names only its own run as the parent" in words
    words = refusal(writers.create_child, pod, parent=reference(load), owner=reference(other))
    assert "owned by FlowRun 'other': a run's pod names only its own run as the owner" in words
    words = refusal(writers.create_child, pod, label="other")
    assert "/parent 'other': the label goes with spec.parent" in words
    refusal(writers.create_child, pod, parent=reference(load), label="other")


def test_parent_with_a_made_up_uid(writers: Writers, load: Body) -> None:
    """The parent's UID must begin as the pod's own run's does; no way of cutting the pod's name helps."""
    pod, uid = writers.pod_of(load), load["metadata"]["uid"]
    for name, made_up in ((f"load-{uid[:8]}", "1"), ("load", "1"), ("load", uid[:7])):
        refusal(writers.create_child, pod, parent={"name": name, "uid": made_up})


def test_token_of_no_pod(writers: Writers, load: Body) -> None:
    """A token of the runner's account that is bound to no pod is refused."""
    anybody = writers.token(RUNNER)
    assert "a token that is bound to no pod may not write the status" in refusal(writers.write, anybody, load)
    refusal(writers.create_child, anybody, parent=reference(load))


def test_specs_and_deletion(writers: Writers, load: Body, other: Body) -> None:
    """Even with a role that grants it, a run's pod neither changes nor deletes runs."""
    writers.allow(RUNNER, "patch", "delete")
    pod = writers.pod_of(load)
    assert "may not change or delete FlowRun 'load'" in refusal(writers.cancel, pod, load)
    assert "may not change or delete FlowRun 'other'" in refusal(writers.remove, pod, other)
    assert "may not change or delete FlowRun 'other'" in refusal(writers.remove, writers.token(RUNNER), other)


def test_other_pods(writers: Writers, load: Body) -> None:
    """A pod that is no run's, such as a GitOps controller's, does with runs what its role says, but makes no children."""
    writers.allow("default", "create", "patch", "delete")
    for name in ("argocd-application-controller-0", "janitor-29384756-abcde", "ci-7d9f8c6b5d-abcde"):
        pod = writers.pod(name, account="default")
        writers.create_child(pod)
        writers.cancel(pod, load)
        writers.remove(pod, load)
        refusal(writers.create_child, pod, parent=reference(load))


def test_the_operator(writers: Writers, load: Body) -> None:
    """The operator's own pod writes any run's status, its own fields too, and cancels what an automation says."""
    operator = writers.pod("operator", OPERATOR)
    writers.write(operator, load, attempt=5, job="x", **RUNNING)
    writers.cancel(operator, load)


def test_pod_names_are_what_the_policy_expects(load: Body) -> None:
    """Policy and `names.job_name` were written for each other; this fails when one of them is changed alone."""
    policy = chart.render(show_only=["templates/admission-policy.yaml"]).one("ValidatingAdmissionPolicy")
    assert f"^.{{0,{names._JOB_RUN_PREFIX - 1}}}[^-]" in yaml.safe_dump(policy)
    assert job_of(load, 3) == f"load-{load['metadata']['uid'][:8]}-3"
