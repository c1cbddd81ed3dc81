"""What goes wrong around a run, as a real cluster showed it, and what the run says: state, reason, whose it is, what to do.

`recorded.json` holds Jobs, pods and Events as the API server of a cluster gave them (Kubernetes 1.34, containerd) when
each of these was made to happen, without what no decision looks at. One row a trouble: how it is called, and what a
user sees of it in `kubectl get fr`, `kubectl describe fr`, and in Prometheus.

A node was lost by killing its kubelet, beside a second one that was Ready: where none is, Kubernetes takes no pod away. It
was switched off by killing kubelet, containerd and all containers, and on by starting the first two again; before a
container began, by freezing the kubelet when containerd told of the container's creation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from tests.builders import make_state
from tests.operator.reconcile.deciding import kinds, status_after

from towpath.api.v1alpha1.transitions import rfc3339
from towpath.states import Reason
from towpath_operator.metrics import Metrics
from towpath_operator.reconcile import flowrun
from towpath_operator.reconcile.decision import Decision, EmitEvent, TellRetry
from towpath_operator.reconcile.explaining import complaint_in
from towpath_operator.reconcile.observed import ObservedFlowRun
from towpath_operator.reconcile.pods import flow_container, is_live, killed_at
from towpath_operator.reconcile.reading import mapping, mappings, moment, text
from towpath_operator.specs.terms import ANNOTATION

RECORDED: Final = json.loads((Path(__file__).parent / "recorded.json").read_text())

#: What nobody helps by waiting, or what is asked of a cluster that does not have it: why, and words of the sentence.
WAITS: Final[dict[str, tuple[Reason, str]]] = {
    "image that is not there": (Reason.IMAGE_PULL_FAILED, r"'registry.test/no/such:image'.*imagePullSecrets"),
    "image that is not on the node, never pulled": (
        Reason.IMAGE_PULL_FAILED,
        r"ErrImageNeverPull.*pull policy of Never",
    ),
    "image of an init container": (Reason.IMAGE_PULL_FAILED, r"'registry.test/no/such:init'"),
    "too much cpu": (Reason.UNSCHEDULABLE, r"Insufficient cpu.*Change.*resources.*or give the cluster a node"),
    "node selector": (Reason.UNSCHEDULABLE, r"didn't match Pod's node affinity/selector.*nodeSelector"),
    "node affinity": (Reason.UNSCHEDULABLE, r"didn't match Pod's node affinity/selector.*affinity"),
    "taint of the node": (Reason.UNSCHEDULABLE, r"1 node\(s\) had untolerated taint\(s\)\. Change.*tolerations"),
    "volume claim that is not there": (Reason.UNSCHEDULABLE, r'persistentvolumeclaim "there-is-none" not found'),
    "Secret of an environment that is not there": (
        Reason.CONTAINER_CONFIG_ERROR,
        r"'flow' cannot start.*secret \"there-is-none\" not found",
    ),
    "key of a Secret that is not there": (Reason.CONTAINER_CONFIG_ERROR, r"couldn't find key nokey in Secret"),
    "Secret of a volume that is not there": (
        Reason.CONTAINER_CONFIG_ERROR,
        r"'node-1' cannot prepare the pod \(FailedMount\).*secret \"there-is-none\" not found",
    ),
    "network that the node cannot set up": (
        Reason.CONTAINER_CONFIG_ERROR,
        r"'node-1' cannot prepare the pod \(FailedCreatePodSandBox\).*failed to find plugin",
    ),
    "user that the pod must not be": (Reason.CONTAINER_CONFIG_ERROR, r"runAsUser breaks non-root policy"),
    "sidecar that crashes in a loop": (
        Reason.CONTAINER_CONFIG_ERROR,
        r"'proxy' has ended 3 times.*code 3.*kubectl logs",
    ),
    "quota": (Reason.POD_REFUSED, r"exceeded quota: none, requested: pods=1, used: pods=4, limited: pods=0"),
    "service account that is not there": (Reason.POD_REFUSED, r'serviceaccount "nobody" not found'),
    "priority class that is not there": (Reason.POD_REFUSED, r"no PriorityClass with name nothere"),
    "runtime class that is not there": (Reason.POD_REFUSED, r'RuntimeClass "nothere" not found'),
}


@dataclass(frozen=True, slots=True)
class Ends:
    """How a run ends."""

    state: str
    reason: Reason
    words: str
    """Of its sentence, as a regular expression."""
    kind: str = "User"
    is_retried: bool = False
    """Whether another attempt follows while infraRetries last."""


def infrastructure(reason: Reason, words: str) -> Ends:
    """Say that it is not the author's fault, and that another attempt may do better."""
    return Ends("CRASHED", reason, words, "Infrastructure", is_retried=True)


ENDS: Final[dict[str, Ends]] = {
    "image name that cannot be": Ends(
        "CRASHED",
        Reason.IMAGE_PULL_FAILED,
        r"can never start.*'Registry.test/No Such'.*invalid reference",
        "Infrastructure",
    ),
    "container that exits": Ends("FAILED", Reason.EXITED, r"code 7\. Its last words: bad luck"),
    "PodFailurePolicy of somebody who changes Jobs": Ends(
        "FAILED", Reason.EXITED, r"code 7\. Its last words: bad luck"
    ),
    "process under a PodFailurePolicy": infrastructure(Reason.NO_REPORT, r"code 7 without saying"),
    "command that the shell does not know": Ends("FAILED", Reason.EXITED, r"code 127.*nosuchcommand: not found"),
    "command that is not there": Ends(
        "FAILED", Reason.ENTRYPOINT_NOT_FOUND, r"Correct the flow's command.*/no/such/binary"
    ),
    "command that is no program": Ends("FAILED", Reason.ENTRYPOINT_NOT_FOUND, r"/etc/passwd.*permission denied"),
    "working directory that cannot be": Ends(
        "FAILED", Reason.ENTRYPOINT_NOT_FOUND, r"mkdir /etc/passwd: not a directory"
    ),
    "out of memory": infrastructure(Reason.OUT_OF_MEMORY, r"Raise resources\.limits\.memory.*'flow'"),
    "out of memory before it began": Ends("FAILED", Reason.EXITED, r"137 \(SIGKILL\).*for memory"),
    "liveness probe": Ends("FAILED", Reason.EXITED, r"137 \(SIGKILL\).*a probe of the template"),
    "segmentation fault": Ends("FAILED", Reason.EXITED, r"139 \(SIGSEGV\)"),
    "read-only file system": Ends("FAILED", Reason.EXITED, r"Read-only file system"),
    "init container that fails": Ends(
        "FAILED", Reason.EXITED, r"init container 'fetch' exited with code 3.*no data today"
    ),
    "init container out of memory": infrastructure(Reason.OUT_OF_MEMORY, r"Raise resources\.limits\.memory.*'fetch'"),
    "disk beyond its limit": infrastructure(Reason.EVICTED, r"ephemeral local storage usage exceeds.*20Mi"),
    "deadline of the template": Ends(
        "FAILED", Reason.DEADLINE_EXCEEDED, r"activeDeadlineSeconds.*timeoutSeconds instead"
    ),
    "process beyond the deadline of the template": Ends("FAILED", Reason.DEADLINE_EXCEEDED, r"activeDeadlineSeconds"),
    "evicted": infrastructure(Reason.EVICTED, r"from node 'node-1' \(EvictionByEvictionAPI\)"),
    "process evicted": infrastructure(Reason.EVICTED, r"EvictionByEvictionAPI"),
    "preempted": infrastructure(Reason.EVICTED, r"PreemptionByScheduler.*a higher priority pod"),
    "pod deleted": infrastructure(Reason.POD_DELETED, r"The pod was deleted"),
    "Job deleted": infrastructure(Reason.JOB_DELETED, r"Job was deleted.*set spec\.cancel instead"),
    "Job suspended by somebody": infrastructure(Reason.POD_DELETED, r"The pod was deleted"),
    "exit without a report": infrastructure(Reason.NO_REPORT, r"code 7 without saying.*Its last words: last words"),
    "exit 0 without a report": infrastructure(Reason.NO_REPORT, r"code 0 without saying"),
    "report that is garbage": infrastructure(Reason.NO_REPORT, r"code 1 without saying.*garbage"),
    "report of another attempt": infrastructure(Reason.NO_REPORT, r"code 1 without saying"),
    "taint that takes a pod away": infrastructure(
        Reason.EVICTED, r"'node-1' \(DeletionByTaintManager\).*NoExecute taint"
    ),
    "taint that takes a process away": infrastructure(Reason.EVICTED, r"NoExecute taint"),
    "node lost": infrastructure(Reason.NODE_LOST, r"does not answer any more: its node 'node-1' seems to be lost"),
    "node of a process lost": infrastructure(Reason.NODE_LOST, r"its node 'node-1' seems to be lost"),
    "node lost before the container began": infrastructure(Reason.NODE_LOST, r"its node 'node-1' seems to be lost"),
    "node deleted": infrastructure(Reason.NODE_LOST, r"'node-1' \(DeletionByPodGC\). PodGC: node no longer exists"),
    "node of a process deleted": infrastructure(Reason.NODE_LOST, r"node no longer exists"),
    "node deleted before the container began": infrastructure(Reason.NODE_LOST, r"node no longer exists"),
    "node switched off and on": infrastructure(Reason.NODE_LOST, r"'node-1' lost its containers"),
    "node of a process switched off and on": infrastructure(Reason.NODE_LOST, r"'node-1' lost its containers"),
    "node switched off and on in an init container": infrastructure(Reason.NODE_LOST, r"'node-1' lost its containers"),
    "node switched off and on after an init container": infrastructure(
        Reason.START_INTERRUPTED, r"'node-1' was interrupted while it started the pod.*does not go on with it"
    ),
    "node switched off and on before the container began": infrastructure(
        Reason.START_INTERRUPTED, r"before any code of the flow ran"
    ),
    "process out of memory": infrastructure(Reason.OUT_OF_MEMORY, r"Raise resources\.limits\.memory"),
}


#: What is no trouble for as long as it does not last.
PASSES: Final = ("init container that hangs", "kubelet that starts anew before the container began")

#: What a node is at fault for that does not start a pod: after how many seconds that has lasted too long, and words.
OF_THE_NODE: Final[dict[str, tuple[float, str]]] = {
    "kubelet that starts anew before the container began": (
        600,
        r"'node-1' is starting the pod, and names no obstacle",
    ),
    "network that the node cannot set up": (60, r"FailedCreatePodSandBox.*failed to find plugin"),
}


def observed(row: str, infra_retries: int = 0) -> ObservedFlowRun:
    """Observe a run as it was when its trouble was recorded."""
    recorded = json.loads(json.dumps(RECORDED[row]))
    run, job, pod = recorded["run"], recorded["job"], recorded["pod"]
    for body in filter(None, (job, pod)):
        terms = json.loads(body["metadata"].get("annotations", {}).get(ANNOTATION, "{}"))
        body["metadata"]["annotations"] = {ANNOTATION: json.dumps(terms | {"infra_retries": infra_retries})}
    name = text(job, "metadata", "name") or text(pod, "metadata", "labels", "batch.kubernetes.io/job-name")
    state = mapping(flow_container(pod), "state") if pod else {}
    began = state.keys() & {"running", "terminated"}
    since = run["metadata"]["creationTimestamp"]
    state = make_state("RUNNING" if began else "PENDING", reason=None if began else "JobCreated", since=since)
    run["metadata"]["resourceVersion"] = "1"
    run["status"] = {"state": state, "attempt": 1, "job": name} | ({"startTime": since} if began else {})
    said = [complaint_in(recorded["event"])] if "event" in recorded else []
    complaints = {uid: complaint for uid, complaint in said if complaint}
    return ObservedFlowRun(run, job=job, pods=(pod,) if pod else (), complaints=complaints)


def decided(it: ObservedFlowRun, after: float) -> tuple[dict[str, Any], Decision]:
    """Decide so many seconds after the last thing that was recorded; give the run as it is then."""
    when = last_moment(it) + timedelta(seconds=after)
    decision = flowrun.decide(it, when)
    assert decision.bug is None
    return {**it.run, "status": status_after(it.run, decision)}, decision


def last_moment(it: ObservedFlowRun) -> datetime:
    """Give the latest time that a recorded body tells of; of one that should be gone, that at which it counts as lost."""
    pod = it.pods[0] if it.pods else {}
    if pod and is_live(pod) and (due := killed_at(pod)):
        return due + timedelta(seconds=it.policy.stuck_seconds)
    states = [mapping(one, "state", "terminated") for one in mappings(pod, "status", "containerStatuses")]
    found = [moment(it.run, "metadata", "creationTimestamp"), moment(pod, "metadata", "creationTimestamp")]
    return max(filter(None, [*found, *(moment(state, "finishedAt") for state in states)]))


def events(decision: Decision) -> list[tuple[str, str]]:
    """Give reason and sentence of what `kubectl describe` shows."""
    return [(action.reason, action.message) for action in decision.actions if isinstance(action, EmitEvent)]


def finished(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Give state and reason under which Prometheus counts the end of a run."""
    metrics = Metrics(queue_depth=lambda: 0, version="1", clock=lambda: 0.0)
    metrics.start_counting()
    metrics.run_changed(before, after)
    (family,) = [one for one in metrics.registry.collect() if one.name == "towpath_flowruns_finished"]
    (sample,) = [one for one in family.samples if one.value == 1]
    return {key: sample.labels[key] for key in ("state", "reason")}


def test_every_record_is_in_a_table() -> None:
    """No trouble was recorded for nothing, and none is expected that was not seen."""
    assert {*WAITS, *ENDS, *PASSES} == set(RECORDED)


@pytest.mark.parametrize(("row", "reason", "words"), [(row, *one) for row, one in WAITS.items()], ids=WAITS)
def test_what_a_run_waits_for(row: str, reason: Reason, words: str) -> None:
    """PENDING, why in a word and a sentence, within seconds; once it has waited long enough, CRASHED with the same."""
    it = observed(row)
    shown, decision = decided(it, 6)
    state = shown["status"]["state"]
    assert (state["type"], state["reason"]) == ("PENDING", reason)
    assert re.search(words, state["message"])
    assert kinds(decision) == ["PatchStatus"]
    assert decision.requeue_after is not None

    over, decision = decided(it, 120)
    status = over["status"]
    assert (status["state"]["type"], status["state"]["reason"]) == ("CRASHED", "PendingTimeout")
    assert (status["error"]["kind"], status["error"]["code"]) == ("Infrastructure", reason)
    assert re.search(words, status["error"]["message"])
    assert re.search(r"pendingTimeoutSeconds, \d", status["error"]["message"])
    assert kinds(decision) == [*(["ConfirmUnchanged"] if row in OF_THE_NODE else []), "PatchStatus", "DeleteJob"]
    assert events(decision) == [("PendingTimeout", status["error"]["message"])]
    assert finished(it.run, over) == {"state": "CRASHED", "reason": "PendingTimeout"}


@pytest.mark.parametrize("row", PASSES)
def test_what_may_pass_is_let_pass(row: str) -> None:
    """An init container that works, and a container that a kubelet has to make anew, are no news."""
    assert decided(observed(row), 6)[1].actions == ()


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (("metadata",), {"deletionTimestamp": "2999-01-01T00:00:00Z"}),
        (("status", "initContainerStatuses", 0, "state", "terminated"), {"exitCode": 3}),
        (("status", "conditions", 0), {"status": "True"}),
        (("status", "initContainerStatuses", 0), {"containerID": ""}),
    ],
    ids=["is deleted", "has failed", "has its sandbox", "has no container yet"],
)
def test_a_pod_without_a_sandbox_may_have_other_reasons(place: tuple[str | int, ...], change: dict[str, Any]) -> None:
    """One that goes, or that its kubelet is about to fail, or is about to make, is not what a node has left half made."""
    row = "node switched off and on after an init container"
    assert decided(observed(row), 5)[0]["status"]["state"]["reason"] == Reason.START_INTERRUPTED
    it, when = observed(row), last_moment(observed(row)) + timedelta(seconds=5)
    found: Any = it.pods[0]
    for key in place:
        found = found[key]
    found.update(change)
    assert flowrun.decide(it, when).actions == ()


def test_what_hangs_before_the_flow_is_named_in_the_end() -> None:
    """An init container that never ends is what the run ended for; another pod would hang as well."""
    over, decision = decided(observed("init container that hangs", infra_retries=1), 120)
    assert "'fetch' is at work before the flow" in over["status"]["error"]["message"]
    assert kinds(decision) == ["PatchStatus", "DeleteJob"]
    assert over["status"]["state"]["type"] == "CRASHED"


@pytest.mark.parametrize(("row", "after", "words"), [(row, *one) for row, one in OF_THE_NODE.items()], ids=OF_THE_NODE)
def test_a_pod_that_its_node_does_not_start_is_not_the_last(row: str, after: float, words: str) -> None:
    """PendingTimeout is the node's fault where nothing is missing: another pod, maybe elsewhere, has another chance.

    Not before the API itself says that this one still waits: it may have done its work.
    """
    over, _ = decided(observed(row), after)
    status = over["status"]
    assert (status["state"]["type"], status["state"]["reason"]) == ("CRASHED", "PendingTimeout")
    assert status["error"]["kind"] == "Infrastructure"
    assert re.search(words, status["error"]["message"])

    again, decision = decided(observed(row, infra_retries=1), after)
    assert (again["status"]["attempt"], again["status"]["infraFailures"]) == (2, 1)
    assert "Attempt 1 ended as PendingTimeout" in again["status"]["state"]["message"]
    assert kinds(decision) == ["ConfirmUnchanged", "PatchStatus", "DeleteJob"]


@pytest.mark.parametrize("row", [row for row in WAITS if row not in OF_THE_NODE])
def test_what_nobody_has_put_right_is_not_waited_for_again(row: str) -> None:
    """What is missing would be missing for another pod too: PendingTimeout ends the run, whatever its infraRetries."""
    over, _ = decided(observed(row, infra_retries=3), 120)
    assert (over["status"]["state"]["type"], over["status"]["state"]["reason"]) == ("CRASHED", "PendingTimeout")


@pytest.mark.parametrize(("row", "ends"), ENDS.items(), ids=ENDS)
def test_what_a_run_ended_for(row: str, ends: Ends) -> None:
    """State, reason, whose it is, the Event and the count, and a sentence that says what to do."""
    it = observed(row)
    over, decision = decided(it, 5)
    status = over["status"]
    assert (status["state"]["type"], status["state"]["reason"]) == (ends.state, ends.reason)
    assert (status["error"]["kind"], status["error"]["code"]) == (ends.kind, ends.reason)
    assert re.search(ends.words, status["state"]["message"], re.DOTALL)
    assert events(decision) == [(ends.reason, status["error"]["message"])]
    assert finished(it.run, over) == {"state": ends.state, "reason": ends.reason}


@pytest.mark.parametrize(("row", "ends"), ENDS.items(), ids=ENDS)
def test_who_is_tried_again(row: str, ends: Ends) -> None:
    """What is not the author's fault, and may go better, has another attempt after a back-off; it says what for."""
    it = observed(row, infra_retries=1)
    again, decision = decided(it, 5)
    if not ends.is_retried:
        assert again["status"]["state"]["type"] == ends.state
        return
    status = again["status"]
    assert (status["state"]["name"], status["attempt"], status["infraFailures"]) == ("AwaitingRetry", 2, 1)
    assert status["retryAt"] == rfc3339(last_moment(it) + timedelta(seconds=5 + 5))
    assert status["history"][-1]["reason"] == ends.reason  # which is left of it when the next attempt goes well
    assert f"Attempt 1 ended as {ends.reason}" in status["state"]["message"]
    assert re.search(ends.words, status["state"]["message"], re.DOTALL)
    assert [(one.run, one.reason) for one in decision.actions if isinstance(one, TellRetry)] == [
        (it.run["metadata"]["name"], ends.reason)
    ]
    assert [reason for reason, _ in events(decision)] == [ends.reason]


@pytest.mark.parametrize("row", [row for row, ends in ENDS.items() if ends.is_retried])
def test_nobody_is_tried_again_who_is_to_be_cancelled(row: str) -> None:
    """What ended it, if not the cancel, is no reason for another attempt: CANCELLED, and the Job goes."""
    it = observed(row, infra_retries=3)
    it.run["spec"]["cancel"] = True
    over, decision = decided(it, 5)
    assert over["status"]["state"]["type"] == "CANCELLED"
    assert over["status"]["attempt"] == 1
    assert ("DeleteJob" in kinds(decision)) == (it.job is not None and "deletionTimestamp" not in it.job["metadata"])
