"""What `towpath doctor` finds, and what it says helps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.cli.fake_sender import FakeSender, listed, sent

from towpath.api.v1alpha1 import KINDS
from towpath.cli import checks, doctor
from towpath.cli.__main__ import main
from towpath.cli.checks import Finding, field_paths, in_cluster, on_this_machine
from towpath.cli.exits import Exit
from towpath.cluster.console import Console
from towpath.errors import Refused, Unreachable

OPENAPI = "/openapi/v3/apis/towpath.dev/v1alpha1"
OPERATORS = "/apis/apps/v1/deployments"
ACCOUNT = "/api/v1/namespaces/data/serviceaccounts/towpath-runner"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin with a home of the test's own and no cluster."""
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "home" / "history.db"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for name in ("TOWPATH_TARGET", "TOWPATH_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)


def document(change: Any = None) -> dict[str, Any]:
    """Build the API server's description of our kinds, changed or as it should be."""
    schemas = {}
    for kind in KINDS:
        name = kind.__name__
        schema = kind.model_json_schema(by_alias=True)
        schema["x-kubernetes-group-version-kind"] = [{"group": "towpath.dev", "version": "v1alpha1", "kind": name}]
        schemas[name] = schema
    if change:
        change(schemas)
    return {"components": {"schemas": schemas}}


def operator(available: int) -> dict[str, Any]:
    """Build the operator's Deployment."""
    containers = [{"image": "towpath/operator:1"}]
    return {
        "metadata": {"name": "towpath-operator", "namespace": "towpath-system"},
        "spec": {"template": {"spec": {"containers": containers}}},
        "status": {"availableReplicas": available},
    }


def cluster() -> FakeSender:
    """Give a cluster in which all is as it should be."""
    sender = FakeSender()
    sender.tell("GET", "/version", {"gitVersion": "v1.34.4"})
    sender.tell("GET", OPENAPI, document())
    sender.tell("GET", OPERATORS, listed(operator(1)))
    sender.tell("GET", ACCOUNT, {"metadata": {}})
    sender.tell("POST", REVIEWS, {"status": {"allowed": True}})
    return sender


def found(sender: FakeSender) -> dict[str, Finding]:
    """Check a cluster; gives the findings by what was checked."""
    return {one.check: one for one in in_cluster(Console(sender, "data"))}


def test_a_cluster_in_which_all_is_well_passes() -> None:
    """Every check, and each right once."""
    sender = cluster()
    findings = found(sender)
    assert [one for one in findings.values() if not one.passed] == []
    assert findings["Operator"].said == "towpath-system/towpath-operator (towpath/operator:1)"
    asked = [sent(request)["spec"]["resourceAttributes"] for request in sender.requests if request.path == REVIEWS]
    rights = {(one["verb"], one["resource"], one.get("subresource", "")) for one in asked}
    assert rights >= {
        ("create", "flowruns", ""),
        ("patch", "flowruns", ""),
        ("get", "pods", "log"),
        ("patch", "flows", ""),
    }


def no_flow_run(schemas: dict[str, Any]) -> None:
    """Take a kind away."""
    del schemas["FlowRun"]


def older(schemas: dict[str, Any]) -> None:
    """Take a field away."""
    del schemas["FlowRun"]["$defs"]["FlowRunSpec"]["properties"]["cancel"]


def newer(schemas: dict[str, Any]) -> None:
    """Add a field."""
    schemas["Flow"]["$defs"]["FlowSpec"]["properties"]["wings"] = {"type": "integer"}


@pytest.mark.parametrize(
    ("path", "answer", "check", "passed", "said", "cure"),
    [
        pytest.param("/version", {"gitVersion": "v1.30.9"}, "Kubernetes", False, "v1.30.9", "1.31 or newer", id="old"),
        pytest.param("/version", {"gitVersion": "v1.31+k3s1"}, "Kubernetes", True, "v1.31+k3s1", None, id="odd version"),
        pytest.param(OPENAPI, document(no_flow_run), "Resources", False, "FlowRun of towpath.dev", "kubectl apply", id="no kind"),
        pytest.param(OPENAPI, document(older), "Resources", False, "older than this Towpath: no FlowRun spec.cancel", "kubectl apply", id="older CRDs"),
        pytest.param(OPENAPI, document(newer), "Resources", False, "newer than this Towpath, which does not know Flow spec.wings", "pip install", id="newer CRDs"),
        pytest.param(OPENAPI, Refused("no"), "Resources", None, "not allowed to look", None, id="no discovery"),
        pytest.param(OPERATORS, listed(), "Operator", False, "there is none", "helm install", id="no operator"),
        pytest.param(OPERATORS, listed(operator(0)), "Operator", False, "is not ready", "describe pods", id="operator down"),
        pytest.param(OPERATORS, Refused("no"), "Operator", None, "not allowed to look", None, id="operator unseen"),
        pytest.param(ACCOUNT, None, "Namespace data", False, "pods of runs cannot start here", "runnerNamespaces", id="no account"),
        pytest.param(ACCOUNT, Unreachable("Gone."), "Namespace data", False, "Gone.", None, id="away"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_cluster_comes_with_a_cure(
    path: str, answer: Any, check: str, passed: bool | None, said: str, cure: str | None
) -> None:
    """Each check by itself; what may not be looked at is neither good nor bad."""
    sender = cluster()
    sender.answers.pop(f"GET {path}")
    if answer is not None:
        sender.tell("GET", path, answer)
    finding = found(sender)[check]
    assert finding.passed is passed
    assert said in finding.said
    assert (cure or "") in (finding.cure or "")
    assert (cure is None) == (finding.cure is None)


def test_resources_that_are_not_installed_at_all_are_told() -> None:
    """The API server does not know the group."""
    sender = cluster()
    del sender.answers[f"GET {OPENAPI}"]
    assert (
        found(sender)["Resources"].said
        == "Flow, Deployment, FlowRun, Queue, ConcurrencyLimit, Automation of towpath.dev/v1alpha1 not installed"
    )


def test_rights_that_are_lacking_are_named() -> None:
    """With what to ask for."""
    sender = cluster()
    sender.tell("POST", REVIEWS, lambda request: {"status": {"allowed": "pods" not in str(request.body)}})
    logs = found(sender)["You may read logs"]
    assert (logs.passed, logs.said) == (False, "not allowed: list pods, get pods/log")
    assert logs.cure == "Ask for a Role in namespace 'data' that allows: list pods, get pods/log."


def test_a_cluster_that_does_not_answer_is_asked_no_further() -> None:
    """One line says it all."""
    sender = cluster()
    sender.tell("GET", "/version", Unreachable("Nobody answers."))
    assert [(one.check, one.passed, one.said) for one in found(sender).values()] == [
        ("Kubernetes", False, "Nobody answers.")
    ]


def test_fields_are_listed_by_their_paths() -> None:
    """Through references, alternatives and lists."""
    inner = {"properties": {"c": {}}}
    schema = {
        "properties": {"a": {"$ref": "#/$defs/A"}, "l": {"items": inner}, "u": {"anyOf": [inner, {"type": "null"}]}},
        "$defs": {"A": {"properties": {"b": {}}}},
    }
    assert field_paths(schema) == {"a", "a.b", "l", "l.c", "u", "u.c"}


def test_this_machine_is_checked() -> None:
    """Python, packages, settings and the history, which is opened for real."""
    findings = {one.check: one for one in on_this_machine(with_cluster=True)}
    packages = {"Packages", "Packages for clusters", "Packages for a live tree"}
    assert set(findings) == {"Python", *packages, "Settings", "History"}
    assert all(one.passed for one in findings.values())


def test_packages_for_clusters_are_needed_only_for_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them, this machine is as it should be; with a cluster in mind, it is not."""
    monkeypatch.setattr(checks, "_version", lambda package: None if package == "httpx" else "1")
    for with_cluster, passed in ((False, None), (True, False)):
        findings = {one.check: one for one in on_this_machine(with_cluster=with_cluster)}
        assert findings["Packages for clusters"].passed is passed
        assert findings["Packages for clusters"].cure == "pip install 'towpath[cluster]'"


def test_a_home_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file where a folder should be, a history that is none, one that is off, a setting that cannot be."""
    (tmp_path / "file").write_text("no history")

    def history(value: str) -> Finding:
        monkeypatch.setenv("TOWPATH_HISTORY", value)
        return next(one for one in on_this_machine(with_cluster=False) if one.check == "History")

    blocked = history(str(tmp_path / "file" / "history.db"))
    assert blocked.passed is False
    assert "cannot be written" in blocked.said
    assert "TOWPATH_HOME" in (blocked.cure or "")
    assert history("off").passed is None
    monkeypatch.setenv("TOWPATH_LOG_LEVEL", "loud")
    assert [one.passed for one in on_this_machine(with_cluster=False) if one.check == "Settings"] == [False]


def test_without_a_cluster_there_is_nothing_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """A laptop needs none, unless one is asked for."""
    assert main(["doctor"]) == Exit.OK
    assert "?  Cluster" in capsys.readouterr().out
    assert main(["doctor", "--local"]) == Exit.OK
    assert main(["doctor", "--cluster"]) == Exit.NOT_COMPLETED
    assert "✘  Cluster" in capsys.readouterr().out


def test_the_report_shows_cures_below_what_they_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Marks, words, cures; the exit code says whether all passed; as JSON for programs."""
    sender = cluster()
    sender.tell("GET", OPERATORS, listed())

    @contextmanager
    def meant(_: object) -> Iterator[tuple[None, Console]]:
        yield None, Console(sender, "data")

    monkeypatch.setattr(doctor, "cluster_meant", meant)
    assert main(["doctor", "-n", "data"]) == Exit.NOT_COMPLETED
    lines = capsys.readouterr().out.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("✘  Operator"))
    assert lines[at + 1].startswith("   → Install it: helm install")
    assert main(["doctor", "-n", "data", "--json"]) == Exit.NOT_COMPLETED
    assert {"check", "passed", "said", "cure"} == set(json.loads(capsys.readouterr().out)[0])
