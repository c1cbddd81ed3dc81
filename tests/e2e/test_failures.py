"""What goes wrong in a cluster, and what a run says then: state, reason, whose fault, what to do."""

from __future__ import annotations

import secrets

import pytest
from tests.cluster.api import Cluster
from tests.e2e.operators import jobs_created
from tests.e2e.runs import Runs, result, state
from tests.kube import ApiError, Kube

from towpath.states import StateType

pytestmark = pytest.mark.cluster


def test_bad_parameters_are_refused_by_the_webhook(runs: Runs) -> None:
    """Parameters that do not fit the schema: no run is made, and each wrong one is named with its value."""
    schema = {
        "type": "object",
        "properties": {"x": {"type": "integer"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    with pytest.raises(ApiError) as refused:
        runs.start("add", {"x": "many", "z": 1}, flow={"parameters": schema})

    assert refused.value.status == 422
    assert "x='many' must be a whole number" in refused.value.message
    assert "z=1 is not a parameter of the flow" in refused.value.message


def test_bad_parameters_without_a_schema_fail_in_the_pod_before_user_code(runs: Runs) -> None:
    """Without a schema the pod finds out, with the same reason, and never runs."""
    wrong = runs.ended(runs.start("add", {"x": "many"}))

    assert (state(wrong)["type"], state(wrong)["reason"]) == ("FAILED", "InvalidParameters")
    assert "'many'" in state(wrong)["message"]
    assert "RUNNING" not in [entry["type"] for entry in wrong["status"]["history"]]


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [("flows.py:subtract", "subtract"), ("nothing.py:add", "nothing.py"), ("no.such.module:add", "no")],
    ids=["function", "file", "module"],
)
def test_an_entrypoint_that_is_not_there_is_named(runs: Runs, entrypoint: str, words: str) -> None:
    """FAILED as EntrypointNotFound, with the name that is missing."""
    run = runs.ended(runs.create({"flow": {"image": runs.image, "entrypoint": entrypoint}}))

    assert (state(run)["type"], state(run)["reason"]) == ("FAILED", "EntrypointNotFound")
    assert words in state(run)["message"]


def test_an_image_that_cannot_be_pulled_is_shown_and_then_ends_the_run(runs: Runs) -> None:
    """PENDING says ImagePullFailed within seconds; after pendingTimeoutSeconds the run CRASHED with that reason."""
    name = runs.create(
        {
            "flow": {"image": "localhost/no/such:image", "entrypoint": "flows.py:add", "infraRetries": 0},
            "pendingTimeoutSeconds": 12,
        }
    )
    shown = runs.kube.wait(
        runs.path("flowruns", name), lambda run: run is not None and state(run).get("reason") == "ImagePullFailed", 30
    )
    assert shown is not None
    assert "localhost/no/such:image" in state(shown)["message"]

    run = runs.ended(name)
    assert state(run)["type"] == "CRASHED"
    assert run["status"]["error"]["kind"] == "Infrastructure"
    assert "image" in state(run)["message"]
    for job in runs.jobs(name):
        runs.gone(runs.path("jobs", job["metadata"]["name"], group="/apis/batch/v1"))


def test_what_a_volume_lacks_is_named_and_the_run_goes_on_when_it_is_there(runs: Runs) -> None:
    """PENDING says ContainerConfigError with the Secret's name, which only an Event tells; then the pod starts."""
    secret = f"{runs.prefix}-secret"
    container = {"name": "flow", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    template = {"spec": {"volumes": [{"name": "v", "secret": {"secretName": secret}}], "containers": [container]}}
    name = runs.create({"flow": {"image": runs.image, "command": ["true"], "template": template}})
    shown = runs.kube.wait(
        runs.path("flowruns", name),
        lambda run: run is not None and state(run).get("reason") == "ContainerConfigError",
        60,
    )
    assert shown is not None
    assert secret in state(shown)["message"]

    secrets = runs.path("secrets", group="/api/v1")
    runs.kube.create(secrets, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}})
    try:
        assert state(runs.ended(name))["type"] == "COMPLETED"
    finally:
        runs.kube.delete(f"{secrets}/{secret}")


def test_a_pod_that_may_not_be_made_says_why(runs: Runs) -> None:
    """The Job exists and has no pod: PendingTimeout, and that the service account is missing, not a riddle."""
    template = {"spec": {"serviceAccountName": "nobody-of-that-name"}}
    flow = {"image": runs.image, "command": ["true"], "template": template}
    run = runs.ended(runs.create({"flow": flow, "pendingTimeoutSeconds": 8}))

    assert (state(run)["type"], state(run)["reason"]) == ("CRASHED", "PendingTimeout")
    assert run["status"]["error"]["code"] == "PodRefused"
    assert "nobody-of-that-name" in state(run)["message"]


def test_an_evicted_pod_is_made_anew(runs: Runs) -> None:
    """As a drain does it: the attempt ended as Evicted, and the next one completes."""
    script = 'test "$TOWPATH_ATTEMPT" = 2 || { trap "exit 143" TERM; sleep 300 & wait; }'
    name = runs.create({"flow": {"image": runs.image, "command": ["sh", "-c", script]}})
    pod = runs.reached(name, StateType.RUNNING)["status"]["pod"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": runs.namespace}}
    runs.kube.create(runs.path("pods", f"{pod}/eviction", group="/api/v1"), eviction)

    run = runs.ended(name)
    assert (state(run)["type"], run["status"]["attempt"]) == ("COMPLETED", 2)
    told = runs.kube.items(runs.path("events", group="/api/v1"), fieldSelector=f"involvedObject.name={name}")
    assert "Evicted" in [event["reason"] for event in told]


def test_memory_beyond_the_limit_is_out_of_memory(runs: Runs) -> None:
    """The kernel's kill is named, with what to raise."""
    limits = {"spec": {"containers": [{"name": "flow", "resources": {"limits": {"memory": "96Mi"}}}]}}
    run = runs.ended(runs.start("glutton", {"mebibytes": 400}, flow={"template": limits, "infraRetries": 0}))

    assert (state(run)["type"], state(run)["reason"]) == ("CRASHED", "OutOfMemory")
    assert "memory" in state(run)["message"]


def test_a_process_that_ends_without_a_word_is_no_report(runs: Runs) -> None:
    """CRASHED as NoReport with the exit code."""
    run = runs.ended(runs.start("vanish", {"code": 7}, infraRetries=0))

    assert (state(run)["type"], state(run)["reason"]) == ("CRASHED", "NoReport")
    assert "7" in state(run)["message"]


def test_an_infrastructure_failure_is_retried_in_a_new_job(runs: Runs) -> None:
    """The second attempt has a Job of its own and completes; the first one's failure stays in the history."""
    run = runs.ended(runs.start("vanish_once"))

    assert (state(run)["type"], result(run), run["status"]["attempt"]) == ("COMPLETED", 2, 2)
    assert "AwaitingRetry" in [entry["name"] for entry in run["status"]["history"]]
    assert len(runs.jobs(run["metadata"]["name"])) == 2


def test_a_deleted_job_is_noticed(runs: Runs) -> None:
    """Somebody deletes the Job of a running attempt: JobDeleted, and a new attempt while infraRetries last."""
    name = runs.start("nap", {"seconds": 300}, infraRetries=0)
    running = runs.reached(name, StateType.RUNNING)

    runs.kube.delete(
        runs.path("jobs", running["status"]["job"], group="/apis/batch/v1"), propagationPolicy="Background"
    )

    run = runs.ended(name)
    assert state(run)["type"] == "CRASHED"
    assert state(run)["reason"] in {"JobDeleted", "Terminated"}


def test_a_namespace_takes_its_runs_along(runs: Runs, kube: Kube, cluster: Cluster) -> None:
    """One that is deleted is gone within seconds, with what is at work in it, and no attempt follows there."""
    namespace = f"towpath-going-{secrets.token_hex(3)}"
    path = f"/api/v1/namespaces/{namespace}"
    kube.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    going = Runs(kube, namespace, runs.image, "going")
    try:
        wait = {"image": runs.image, "command": ["sh", "-c", 'trap "exit 143" TERM; sleep 300 & wait']}
        name = going.create({"flow": wait})
        going.reached(name, StateType.RUNNING)
    finally:
        kube.delete(path)
    going.gone(path, timeout=90)
    assert list(jobs_created(cluster, name, namespace).values()) == [1]


def test_a_timeout_ends_the_run(runs: Runs) -> None:
    """timeoutSeconds of the resource holds whatever the decorator says: FAILED as TimedOut."""
    run = runs.ended(runs.start("nap", {"seconds": 300}, timeoutSeconds=2))

    assert (state(run)["type"], state(run)["name"], state(run)["reason"]) == ("FAILED", "TimedOut", "TimedOut")


def test_a_cancel_before_the_pod_starts_needs_no_pod(runs: Runs) -> None:
    """A run whose time has not come is CANCELLED at once, without a Job ever."""
    name = runs.start("add", {"x": 1}, scheduledTime="2999-01-01T00:00:00Z")
    runs.reached(name, StateType.SCHEDULED)

    runs.cancel(name)

    assert state(runs.ended(name, timeout=10))["type"] == "CANCELLED"
    assert runs.jobs(name) == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"flowRef": "a", "deploymentRef": "b"}, "exactly one of flowRef, deploymentRef and flow"),
        ({}, "exactly one of flowRef, deploymentRef and flow"),
        ({"flow": {"image": "x"}}, "exactly one of entrypoint"),
        ({"flow": {"image": "x", "entrypoint": "no-colon"}}, "entrypoint"),
        ({"flowRef": "a", "infraRetries": -1}, "infraRetries"),
    ],
    ids=["two refs", "no ref", "no code", "malformed entrypoint", "negative retries"],
)
def test_a_bad_resource_is_refused_with_words(runs: Runs, spec: dict[str, object], words: str) -> None:
    """The API server itself refuses what cannot be right."""
    with pytest.raises(ApiError) as refused:
        runs.create(spec)

    assert refused.value.status == 422
    assert words in refused.value.message


def test_a_template_that_wants_too_much_is_refused(runs: Runs) -> None:
    """A run with a privileged pod is not made; the refusal says which field to take out."""
    template = {"spec": {"containers": [{"name": "flow", "securityContext": {"privileged": True}}]}}
    with pytest.raises(ApiError, match="privileged=True is not allowed"):
        runs.start("add", {"x": 1}, template=template)


def test_a_failed_run_is_tried_again_when_somebody_asks(runs: Runs, cluster: Cluster) -> None:
    """It has one more attempt, on a Job of its own; asked for again, one more; and once it completed, no more."""
    name = runs.start("out_of_stock_until", {"attempt": 3})
    for attempt in (1, 2):
        run = runs.ended(name)
        assert (state(run)["type"], run["status"]["attempt"]) == ("FAILED", attempt)
        runs.retry(name, attempt)
    run = runs.ended(name)
    assert (state(run)["type"], result(run), run["status"]["attempt"]) == ("COMPLETED", 3, 3)
    with pytest.raises(ApiError, match="has completed, so there is nothing to try again"):
        runs.kube.merge(runs.path("flowruns", name), {"spec": {"retryAfterAttempt": 3}})
    later = runs.start("add", {"x": 1})
    runs.ended(later)
    assert state(runs.get(name))["type"] == "COMPLETED"
    assert sorted(jobs_created(cluster, name).values()) == [1, 1, 1]
