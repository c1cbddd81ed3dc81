"""The Job of an attempt: whole manifests against golden files, and what must hold for every one."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from towpath import names
from towpath_operator.reconcile.policy import Policy
from towpath_operator.specs.jobs import build_job
from towpath_operator.specs.resolved import ResolvedRun
from towpath_operator.specs.terms import terms_on

VARIABLES = {"prefix": "TOWPATH_VARIABLE_", "configMapRef": {"name": "towpath-variables", "optional": True}}
GOLDEN = Path(__file__).parents[2] / "golden"
#: Set to write the golden files anew; then read what changed before it is committed.
WRITE = "TOWPATH_WRITE_GOLDEN"


def make_run(**fields: Any) -> ResolvedRun:
    """Build a resolved run, by default of a flow with an entrypoint."""
    code: dict[str, Any] = {} if "command" in fields else {"entrypoint": "shop.flows:main"}
    base = {"name": "nightly-7", "namespace": "team-a", "uid": "0f2c9a44-7d1e-4a53-9a0e-1f9b6f1f0001", "flow": "main"}
    return ResolvedRun(**(base | {"image": "registry.test/flows:1"} | code | fields))


RUNS = {
    "job-entrypoint": (
        make_run(
            parameters={"path": "a.csv", "limit": 3},
            tags=("nightly", "eu"),
            deployment="nightly",
            parent="year",
            root_run="decade",
            depth=2,
            timeout_seconds=120,
            retries=2,
            result_storage="s3://bucket/results",
        ),
        2,
    ),
    "job-command": (make_run(command=("sh", "-c", "echo hello")), 1),
    "job-template": (
        make_run(
            templates=(
                {
                    "metadata": {
                        "labels": {"kueue.x-k8s.io/queue-name": "team-a", names.LABEL_RUN: "forged"},
                        "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                    },
                    "spec": {
                        "nodeSelector": {"disk": "ssd"},
                        "serviceAccountName": "loader",
                        "terminationGracePeriodSeconds": 90,
                        "initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}],
                        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}],
                        "containers": [
                            {
                                "name": "flow",
                                "image": "registry.test/flows:2",
                                "env": [{"name": "HOME", "value": "/tmp"}],
                                "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}},
                                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                            }
                        ],
                    },
                },
            ),
        ),
        1,
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_job_is_as_it_was_agreed(name: str) -> None:
    """Any change of a manifest shows up in a diff of a file that people can read."""
    run, attempt = RUNS[name]
    manifest = build_job(run, attempt, Policy())
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get(WRITE):
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(manifest, sort_keys=False, width=120))

    assert yaml.safe_load(file.read_text()) == manifest


def test_a_job_is_the_same_every_time() -> None:
    """Deterministic, so that making it twice is harmless, whoever does it."""
    for run, attempt in RUNS.values():
        assert build_job(run, attempt, Policy()) == build_job(run, attempt, Policy())


def flow_container(manifest: dict[str, Any]) -> dict[str, Any]:
    """Give the container that runs the flow."""
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_a_plain_container_gets_no_credentials() -> None:
    """It does not report, so it has no token, no mount, and needs no service account of ours."""
    spec = build_job(make_run(command=("x",)), 1, Policy())["spec"]["template"]["spec"]

    assert "volumes" not in spec
    assert "serviceAccountName" not in spec
    assert spec["automountServiceAccountToken"] is False


def test_every_container_is_restricted_whoever_brought_it() -> None:
    """No privileges, no capabilities: also for sidecars of a template, and if the template says nothing."""
    template = {
        "spec": {
            "initContainers": [{"name": "side", "image": "i"}],
            "containers": [{"name": "flow", "securityContext": None}],
        }
    }
    spec = build_job(make_run(templates=(template,)), 1, Policy())["spec"]["template"]["spec"]

    for container in (*spec["containers"], *spec["initContainers"]):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["securityContext"]["runAsNonRoot"] is True


@given(st.text(alphabet="$()HOMEa", max_size=12))
@example("$(HOME)")
@example("$$(HOME) costs $5")
def test_kubernetes_expands_nothing_in_parameters(text: str) -> None:
    """`$(VAR)` in a value is the author's text: what arrives in the process is what was given."""
    manifest = build_job(make_run(parameters={"x": text}), 1, Policy())
    written = next(e["value"] for e in flow_container(manifest)["env"] if e["name"] == names.ENV_PARAMETERS)

    assert expanded(written) == names.canonical_json({"x": text})


def expanded(value: str) -> str:
    """Expand a value as the kubelet does, with no variable known: `$$` is `$`, a reference to nothing stays."""
    result, index = "", 0
    while index < len(value):
        if value.startswith("$$", index):
            result, index = result + "$", index + 2
        elif value.startswith("$(", index):
            raise AssertionError(f"a reference is left in {value!r}")
        else:
            result, index = result + value[index], index + 1
    return result


def test_the_process_is_told_the_image_it_runs_in() -> None:
    """Children inherit it, so a template's image counts."""
    manifest = build_job(*RUNS["job-template"], Policy())
    told = {item["name"]: item["value"] for item in flow_container(manifest)["env"]}

    assert told[names.ENV_IMAGE] == flow_container(manifest)["image"] == "registry.test/flows:2"


def test_what_does_not_apply_is_not_told() -> None:
    """An empty variable is no variable."""
    told = {item["name"] for item in flow_container(build_job(make_run(), 1, Policy()))["env"]}

    assert not told & {names.ENV_PARENT, names.ENV_DEPLOYMENT, names.ENV_RETRIES, names.ENV_TIMEOUT_SECONDS}


def test_the_terms_travel_on_job_and_pod() -> None:
    """What was settled can be read from either, with the grace period that the template asks for."""
    manifest = build_job(*RUNS["job-template"], Policy(infra_retries=9))
    on_job, on_pod = terms_on(manifest), terms_on(manifest["spec"]["template"])

    assert on_job == on_pod
    assert on_job is not None
    assert (on_job.grace_seconds, on_job.reports_itself) == (90, True)


@pytest.mark.parametrize(
    ("run", "deadline"),
    [(make_run(), None), (make_run(timeout_seconds=60, pending_timeout_seconds=100), 60 + 100 + 15 + 30)],
    ids=["none", "timeout"],
)
def test_the_deadline_leaves_room_for_waiting_and_for_saying_so(run: ResolvedRun, deadline: int | None) -> None:
    """The Job's clock starts before the pod does; its deadline is for the case that the operator is away."""
    assert build_job(run, 1, Policy())["spec"].get("activeDeadlineSeconds") == deadline


def test_labels_name_run_tree_flow_and_attempt() -> None:
    """The same on Job and pod, and a template cannot forge them."""
    manifest = build_job(*RUNS["job-template"], Policy())
    labels = manifest["metadata"]["labels"]

    assert labels == manifest["spec"]["template"]["metadata"]["labels"]
    assert labels[names.LABEL_RUN] == "nightly-7"
    assert labels[names.LABEL_MANAGED_BY] == names.MANAGED_BY
    assert labels["kueue.x-k8s.io/queue-name"] == "team-a"


@pytest.mark.parametrize(("pod", "process"), [(1, 1), (3, 2), (30, 25), (600, 595)])
def test_the_process_gets_a_little_less_time_to_end_than_its_pod(pod: int, process: int) -> None:
    """What the template says about the grace period reaches the process, less what it needs to say how it ended."""
    run, attempt = RUNS["job-entrypoint"]
    template = {"spec": {"terminationGracePeriodSeconds": pod}}

    job = build_job(dataclasses.replace(run, templates=(template,)), attempt, Policy())

    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert {"name": "TOWPATH_GRACE_SECONDS", "value": str(process)} in container["env"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param(None, [VARIABLES], id="none"),
        pytest.param([{"secretRef": {"name": "etl"}}], [VARIABLES, {"secretRef": {"name": "etl"}}], id="own"),
        pytest.param({"name": "etl"}, {"name": "etl"}, id="no list: the API server says so"),
    ],
)
def test_a_template_does_not_cost_a_run_its_variables(given: Any, found: Any) -> None:
    """The namespace's variables come first, so that what a template brings goes over them."""
    job = build_job(make_run(templates=({"spec": {"containers": [{"name": "flow", "envFrom": given}]}},)), 1, Policy())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == found
