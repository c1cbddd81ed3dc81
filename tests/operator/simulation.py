"""A small Kubernetes in which runs live through anything that can happen to them, with the operator's core at work.

What is simulated is what decisions depend on: an API server that checks preconditions and the CRD's rules, watches that
lag behind it, the Job controller, garbage collection, kubelets that see what happens late or never, and processes that
report as the SDK does, or do not. Everything is a step, and any order of steps is allowed: so the tests can try orders
that a real cluster shows once in a million runs.

The laws that no order may break are checked inside: a broken one raises `LawBrokenError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.json_patch import apply_patch

from towpath import names
from towpath.api.v1alpha1 import transitions
from towpath.api.v1alpha1.flowrun_status import FlowRunStatus
from towpath.states import StateType, may_follow
from towpath_operator import observe
from towpath_operator.observe import Key
from towpath_operator.reconcile import flowrun
from towpath_operator.reconcile.decision import (
    Action,
    ConfirmGone,
    ConfirmPodsEnded,
    CreateJob,
    Decision,
    DeleteJob,
    EmitEvent,
    PatchStatus,
)

Body = dict[str, Any]
NAMESPACE = "team-a"
GRACE = 30
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
JOB_LABEL = "batch.kubernetes.io/job-name"
PLURALS = ("flowruns", "jobs", "pods")


class LawBrokenError(AssertionError):
    """Something happened that must never happen."""


class RefusedError(Exception):
    """The API server said no."""


class KilledError(Exception):
    """The operator was killed between two actions."""


@dataclass
class Process:
    """What really runs in a container, whatever the API says about it."""

    pod: str
    run: str
    attempt: int
    program: str
    step: int = 0
    alive: bool = True
    exit_code: int = 0
    message: str = ""
    oom: bool = False
    told_to_stop: bool = False
    finished: datetime | None = None


@dataclass
class Api:
    """Objects as they are, and a log of changes for each kind that watches read at their own pace."""

    objects: dict[Key, Body] = field(default_factory=dict)
    log: dict[str, list[tuple[str, Body]]] = field(default_factory=lambda: {plural: [] for plural in PLURALS})
    version: int = 0

    def put(self, plural: str, body: Body) -> Body:
        """Store an object as a new version."""
        self.version += 1
        body = body | {"metadata": body["metadata"] | {"resourceVersion": str(self.version)}}
        self.objects[Key(plural, body["metadata"]["namespace"], body["metadata"]["name"])] = body
        self.log[plural].append(("PUT", body))
        return body

    def remove(self, plural: str, name: str) -> None:
        """Remove an object."""
        body = self.objects.pop(Key(plural, NAMESPACE, name), None)
        if body is not None:
            self.version += 1
            self.log[plural].append(("GONE", body))

    def get(self, plural: str, name: str) -> Body | None:
        """Give an object."""
        return self.objects.get(Key(plural, NAMESPACE, name))

    def all(self, plural: str) -> list[Body]:
        """Give all objects of a kind."""
        return [body for key, body in self.objects.items() if key.plural == plural]

    def patch_run(self, name: str, operations: Sequence[Mapping[str, Any]]) -> Body:
        """Patch a FlowRun's status as the API server does, with the CRD's rules."""
        run = self.get("flowruns", name)
        if run is None:
            raise RefusedError("not found")
        try:
            patched = apply_patch(run, operations)
        except AssertionError as error:
            raise RefusedError(str(error)) from error
        before, after = run.get("status") or {}, patched["status"]
        FlowRunStatus.model_validate(after)
        same_attempt = after.get("attempt", 0) == before.get("attempt", 0)
        if after.get("attempt", 0) < before.get("attempt", 0):
            raise RefusedError("attempt never falls")
        old, new = (status.get("state", {}).get("type") for status in (before, after))
        if old and StateType(old).is_terminal and same_attempt and before["state"] != after["state"]:
            raise RefusedError("a terminal state is final within its attempt")
        if old and same_attempt and not may_follow(StateType(old), StateType(new)):
            raise LawBrokenError(f"{name} went from {old} to {new} within attempt {after.get('attempt')}")
        return self.put("flowruns", patched)


class Seen:
    """What the operator has seen so far: `observe.View` over caches that lag behind the API."""

    def __init__(self, api: Api, behind: int = 0) -> None:
        self.api = api
        self.bodies: dict[Key, Body] = {}
        self.read = dict.fromkeys(PLURALS, 0)
        self.dead: set[str] = set()
        for plural in PLURALS:  # lists are not taken at the same moment: Jobs and pods may be older than the runs
            for _ in range(len(api.log[plural]) - (0 if plural == "flowruns" else behind)):
                self.next(plural)

    def behind(self, plural: str) -> int:
        """Count the changes that have not been seen."""
        return len(self.api.log[plural]) - self.read[plural]

    def next(self, plural: str) -> tuple[Body, bool] | None:
        """See one more change; give the object and whether it is gone, if that was news."""
        kind, body = self.api.log[plural][self.read[plural]]
        self.read[plural] += 1
        if kind == "PUT":
            return (body, False) if self.put(plural, body) else None
        key, uid = Key(plural, NAMESPACE, body["metadata"]["name"]), body["metadata"]["uid"]
        self.dead.add(uid)
        known = self.bodies.get(key)
        if known is not None and known["metadata"]["uid"] == uid:
            del self.bodies[key]
        return body, True

    def put(self, plural: str, body: Body) -> bool:
        """Keep a body if it is newer than what is known."""
        key = Key(plural, NAMESPACE, body["metadata"]["name"])
        known = self.bodies.get(key)
        if body["metadata"]["uid"] in self.dead:
            return False
        if known is not None and int(known["metadata"]["resourceVersion"]) >= int(body["metadata"]["resourceVersion"]):
            return False
        self.bodies[key] = body
        return True

    def get(self, plural: str, namespace: str, name: str) -> Body | None:
        return self.bodies.get(Key(plural, namespace, name))

    def _where(self, plural: str, fits: Callable[[Body], bool]) -> list[Body]:
        return [body for key, body in self.bodies.items() if key.plural == plural and fits(body)]

    def pods_of_job(self, namespace: str, job_name: str) -> list[Body]:
        return self._where("pods", lambda pod: pod["metadata"]["labels"].get(JOB_LABEL) == job_name)

    def children_of_run(self, uid: str) -> list[Body]:
        return self._where("flowruns", lambda run: run["spec"].get("parent", {}).get("uid") == uid)

    def runs_waiting_for(self, plural: str, namespace: str, name: str) -> list[Body]:
        return self._where("flowruns", lambda run: observe.waits_for(run) == Key(plural, namespace, name))

    def deployments_of_flow(self, namespace: str, name: str) -> list[Body]:
        return []


class World:
    """The cluster, its processes, and one operator that can be killed at any action.

    Args:
        programs: what the process does in each attempt (the last one repeats), by run: `succeed`, `fail`, `vanish`
            (exit 1, no report), `silent` (exit 0, no report), `oom`, `mute` (termination message only), `hang`,
            `stubborn` (ignores SIGTERM), `linger` (succeeds, reports it, and does not go), `exit0`, `exit3` (plain
            containers), `no-image`, `no-node` (never start).
        specs: further fields of the runs' specs.
        child_of: the parent of a run.
    """

    def __init__(
        self,
        programs: Mapping[str, Sequence[str]],
        specs: Mapping[str, Mapping[str, Any]] | None = None,
        child_of: Mapping[str, str] | None = None,
    ) -> None:
        self.now = START
        self.api = Api()
        self.programs = {name: list(steps) for name, steps in programs.items()}
        self.processes: dict[str, Process] = {}
        self.lost_nodes: dict[str, datetime] = {}
        self.nodes_ever_lost: set[str] = set()
        self.jobs_made: dict[str, int] = {}
        self.deleted_by_others: set[str] = set()
        self.meddled: set[str] = set()
        self.finished_well: dict[str, int] = {}
        self.writes: dict[str, list[str]] = {name: [] for name in programs}
        self.wished_at: dict[str, datetime] = {}
        for name, steps in programs.items():
            self._create_run(name, steps[0], (specs or {}).get(name, {}), (child_of or {}).get(name))
        self.seen = Seen(self.api)
        self.dirty: dict[Key, None] = {}
        self.timers: dict[Key, datetime] = {}
        self.restart()

    # ---- what people and the cluster do

    def _create_run(self, name: str, program: str, spec: Mapping[str, Any], parent: str | None) -> None:
        code = {"command": ["sh"]} if program.startswith("exit") else {"entrypoint": "flows:main"}
        whole: Body = {"flow": {"image": "image:1"} | code, "onParentEnd": "Cancel"} | dict(spec)
        if parent is not None:
            whole["parent"] = {"name": parent, "uid": f"{parent}-uid-0123456789", "call": "c", "depth": 1}
        metadata = {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"{name}-uid-0123456789",
            "creationTimestamp": seconds(self.now),
            "generation": 1,
        }
        self.api.put(
            "flowruns", {"apiVersion": names.API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": whole}
        )

    def pass_time(self, duration: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=duration)

    def cancel(self, name: str) -> None:
        """Wish a run cancelled."""
        self.meddled.add(name)
        run = self.api.get("flowruns", name)
        if run is not None and not run["spec"].get("cancel"):
            self.wished_at[name] = self.now
            self.api.put("flowruns", run | {"spec": run["spec"] | {"cancel": True}})

    def delete_run(self, name: str) -> None:
        """Delete a run; garbage collection takes what it owns."""
        self.meddled.add(name)
        self.api.remove("flowruns", name)

    def delete_job(self, name: str) -> None:
        """Delete the Job of a run's attempt behind the operator's back, once the operator has written it down."""
        self.meddled.add(name)
        run = self.api.get("flowruns", name)
        job = ((run or {}).get("status") or {}).get("job")
        if job and self.api.get("jobs", job):
            self.deleted_by_others.add(job)
            self.api.remove("jobs", job)

    def delete_pod(self, pod: Body) -> None:
        """Delete a pod as kubectl does."""
        self.meddled.add(run_of(pod))
        self._ask_to_go(pod)

    def force_delete_pod(self, pod: Body) -> None:
        """Delete a pod with --force, which says that its process is gone."""
        self.meddled.add(run_of(pod))
        self._kill(pod["metadata"]["name"], self.now)
        self.api.remove("pods", pod["metadata"]["name"])

    def evict(self, pod: Body) -> None:
        """Let the kubelet evict a pod."""
        self.meddled.add(run_of(pod))
        name = pod["metadata"]["name"]
        if name in self.lost_nodes or pod["status"]["phase"] in {"Succeeded", "Failed"}:
            return
        self._kill(name, self.now)
        status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}
        self.api.put("pods", pod | {"status": status})

    def lose_node(self, pod: Body) -> None:
        """Cut a pod's node off: nobody sees any more what the pod does, and it does not see that it should go."""
        self.meddled.add(run_of(pod))
        if pod["status"]["phase"] not in {"Succeeded", "Failed"}:
            self.lost_nodes.setdefault(pod["metadata"]["name"], self.now)
            self.nodes_ever_lost.add(pod["metadata"]["name"])

    def taint_manager(self, pod: Body) -> None:
        """Ask the pods of lost nodes to go."""
        if pod["metadata"]["name"] in self.lost_nodes:
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByTaintManager",
                "lastTransitionTime": seconds(self.now),
            }
            self._ask_to_go(pod | {"status": pod["status"] | {"conditions": [condition]}})

    def node_comes_back(self, pod: Body) -> None:
        """Let a lost node's kubelet be heard again."""
        self.lost_nodes.pop(pod["metadata"]["name"], None)

    def node_is_removed(self, pod: Body) -> None:
        """Remove a lost node: its pods are gone for good."""
        if self.lost_nodes.pop(pod["metadata"]["name"], None):
            self.force_delete_pod(pod)

    # ---- controllers

    def job_controller(self, job: Body) -> None:
        """Make a Job's pod, and finish the Job after it."""
        name = job["metadata"]["name"]
        if finished(job):
            return
        pods = self._pods_of(name)
        status = job.get("status") or {}
        if not pods and not status.get("startTime"):
            self._create_pod(job)
            self.api.put("jobs", job | {"status": status | {"startTime": seconds(self.now), "active": 1}})
            return
        phases = {pod["status"]["phase"] for pod in pods}
        deadline = job["spec"].get("activeDeadlineSeconds")
        if "Succeeded" in phases:
            self._finish_job(job, "Complete", "")
        elif "Failed" in phases or not pods:
            self._finish_job(job, "Failed", "BackoffLimitExceeded")
        elif deadline and (self.now - parsed(status["startTime"])).total_seconds() > deadline:
            for pod in pods:
                self._ask_to_go(pod)
            self._finish_job(job, "Failed", "DeadlineExceeded")

    def garbage_collector(self) -> None:
        """Delete what has lost its owner."""
        uids = {body["metadata"]["uid"] for body in self.api.objects.values()}
        for plural in ("flowruns", "jobs", "pods"):
            for body in self.api.all(plural):
                owners = body["metadata"].get("ownerReferences", ())
                if plural == "flowruns" and body["spec"].get("parent"):
                    owners = [{"uid": body["spec"]["parent"]["uid"]}]
                if owners and all(owner["uid"] not in uids for owner in owners):
                    if plural == "pods":
                        self._ask_to_go(body)
                    else:
                        self.api.remove(plural, body["metadata"]["name"])

    def ttl_controller(self, job: Body) -> None:
        """Remove a Job that has been finished for long enough."""
        done = finished(job)
        ttl = job["spec"]["ttlSecondsAfterFinished"]
        if done and (self.now - parsed(done["lastTransitionTime"])).total_seconds() >= ttl:
            self.api.remove("jobs", job["metadata"]["name"])

    def kubelet(self, pod: Body) -> None:
        """Start, stop and report on a pod, if its node is in touch."""
        name = pod["metadata"]["name"]
        if name in self.lost_nodes:
            return
        process = self.processes.get(name)
        due = pod["metadata"].get("deletionTimestamp")
        over = pod["status"]["phase"] in {"Succeeded", "Failed"}
        if due and (process is None or (over and not process.alive)):
            self.api.remove("pods", name)  # the Job controller has counted it and let it go
            return
        if over:
            return
        if process is None:
            self._start(pod)
            return
        if due and process.alive:
            process.told_to_stop = True
            if self.now >= parsed(due):
                self._kill(name, self.now)
        status = self._container_status(process)
        if pod["status"] != status:
            self.api.put("pods", pod | {"status": status})

    # ---- processes

    def run_process(self, process: Process) -> None:
        """Let a process do its next thing."""
        if not process.alive:
            return
        if process.program.startswith("exit"):
            self._run_plain(process)
            return
        run = self.api.get("flowruns", process.run)
        status = (run or {}).get("status") or {}
        if run is None or status.get("attempt", 0) > process.attempt:
            self._exit(process, 0)
        elif process.told_to_stop and process.program != "stubborn":
            self._stop(process, run)
        elif status.get("attempt", 0) == process.attempt:
            self._go_on(process, run)

    def _go_on(self, process: Process, run: Body) -> None:
        if process.step == 0:
            if StateType(run["status"]["state"]["type"]).is_terminal:
                self._exit(process, 0)
            elif wants_cancel(run):
                self._report(process, run, StateType.CANCELLED, leave=True)
            else:
                self._report(process, run, StateType.RUNNING)
            return
        match process.program:
            case "succeed" | "fail":
                end = StateType.COMPLETED if process.program == "succeed" else StateType.FAILED
                self._report(process, run, end, leave=True)
            case "linger" if process.step == 1:
                self._report(process, run, StateType.COMPLETED)
            case "vanish":
                self._exit(process, 1)
            case "silent":
                self._exit(process, 0)
            case "oom":
                process.oom = True
                self._exit(process, 137)
            case "mute":
                self._note_well(process)
                process.message = message(process.attempt, StateType.COMPLETED, "Succeeded")
                self._exit(process, 1)

    def _stop(self, process: Process, run: Body) -> None:
        if wants_cancel(run):
            self._report(process, run, StateType.CANCELLED, leave=True)
        else:
            error = {"code": "Terminated", "kind": "Infrastructure", "message": "told to stop"}
            process.message = message(process.attempt, StateType.CRASHED, "Terminated", error)
            self._exit(process, 143)

    def _run_plain(self, process: Process) -> None:
        if process.told_to_stop:
            self._exit(process, 143)
        elif process.step == 0:
            process.step = 1
        else:
            self._note_well(process)
            self._exit(process, int(process.program[4:]))

    def _report(self, process: Process, run: Body, type_: StateType, *, leave: bool = False) -> None:
        """Report as the SDK does: conditional on attempt and state as they were seen."""
        status = run["status"]
        reason = {"COMPLETED": "Succeeded", "FAILED": "FlowFailed", "CANCELLED": "CancelledByRequest"}.get(type_)
        new = transitions.state(type_, self.now, reason=reason)
        fields: Body = {}
        if type_ is StateType.FAILED:
            fields["error"] = {"code": "FlowFailed", "kind": "User", "message": "no"}
        operations = [
            {"op": "test", "path": "/status/attempt", "value": process.attempt},
            {"op": "test", "path": "/status/state", "value": status["state"]},
            *transitions.transition(status, new, attempt=process.attempt, fields=fields),
        ]
        try:
            self.api.patch_run(process.run, operations)
            self.writes[process.run].append(str(type_))
        except RefusedError:
            leave = leave or process.step > 0
        else:
            process.step += 1
            if type_ in {StateType.COMPLETED, StateType.FAILED}:
                self._note_well(process)
        if leave:
            self._exit(process, 0)

    def _note_well(self, process: Process) -> None:
        """Note that a run has come to an end of its own: it must never be run again."""
        self.finished_well.setdefault(process.run, process.attempt)

    def _exit(self, process: Process, code: int) -> None:
        process.alive, process.exit_code, process.finished = False, code, self.now

    def _kill(self, pod: str, at: datetime) -> None:
        process = self.processes.get(pod)
        if process is not None and process.alive:
            process.finished = at
            self._exit(process, 137)

    # ---- pods and Jobs

    def _create_pod(self, job: Body) -> None:
        template = job["spec"]["template"]
        metadata = {
            "name": f"{job['metadata']['name']}-pod",
            "namespace": NAMESPACE,
            "uid": f"pod-{self.api.version}",
            "creationTimestamp": seconds(self.now),
            "labels": template["metadata"]["labels"] | {JOB_LABEL: job["metadata"]["name"]},
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": [{"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}],
        }
        self.api.put("pods", {"metadata": metadata, "spec": {"nodeName": "node-1"}, "status": {"phase": "Pending"}})

    def _start(self, pod: Body) -> None:
        labels = pod["metadata"]["labels"]
        run, attempt = labels[names.LABEL_RUN], int(labels[names.LABEL_ATTEMPT])
        steps = self.programs[run]
        program = steps[min(attempt, len(steps)) - 1]
        if program in {"no-image", "no-node"}:
            status = stuck_status(program)
            if pod["status"] != status:
                self.api.put("pods", pod | {"status": status})
            return
        if run in self.finished_well and labels[JOB_LABEL] not in self.deleted_by_others:
            self._check_not_again(run, attempt)
        self.processes[pod["metadata"]["name"]] = Process(pod["metadata"]["name"], run, attempt, program)
        self._check_one_alive(run)

    def _check_one_alive(self, run: str) -> None:
        alive = [process.pod for process in self.processes.values() if process.run == run and process.alive]
        if len(alive) > 1:
            raise LawBrokenError(f"two live pods of {run}: {alive}")

    def _check_not_again(self, run: str, attempt: int) -> None:
        well = self.finished_well[run]
        job = names.job_name(run, f"{run}-uid-0123456789", well)
        if attempt > well and job not in self.deleted_by_others and not self._evidence_lost(run, well):
            raise LawBrokenError(f"{run} did its work in attempt {well}, and is at it again in attempt {attempt}")

    def _evidence_lost(self, run: str, attempt: int) -> bool:
        """Tell whether nobody could know that an attempt did its work: its pod went before it was seen to end."""
        pod = f"{names.job_name(run, f'{run}-uid-0123456789', attempt)}-pod"
        return pod not in self.shown_ended

    @property
    def shown_ended(self) -> set[str]:
        """Pods whose end the kubelet has told the API."""
        return {
            body["metadata"]["name"]
            for kind, body in self.api.log["pods"]
            if kind == "PUT" and "containerStatuses" in body["status"] and ended_container(body)
        }

    def _container_status(self, process: Process) -> Body:
        state: Body
        if process.alive:
            phase, state = "Running", {"running": {"startedAt": seconds(START)}}
        else:
            assert process.finished is not None
            phase = "Succeeded" if process.exit_code == 0 else "Failed"
            ended = {
                "exitCode": process.exit_code,
                "reason": "OOMKilled" if process.oom else "Completed" if process.exit_code == 0 else "Error",
                "finishedAt": seconds(process.finished),
                "message": process.message,
            }
            state = {"terminated": ended}
        return {"phase": phase, "containerStatuses": [{"name": "flow", "image": "image:1", "state": state}]}

    def _ask_to_go(self, pod: Body) -> None:
        metadata = pod["metadata"]
        if "deletionTimestamp" not in metadata:
            gone_by = {
                "deletionTimestamp": seconds(self.now + timedelta(seconds=GRACE)),
                "deletionGracePeriodSeconds": GRACE,
            }
            self.api.put("pods", pod | {"metadata": metadata | gone_by})

    def _finish_job(self, job: Body, type_: str, reason: str) -> None:
        condition = {"type": type_, "status": "True", "reason": reason, "lastTransitionTime": seconds(self.now)}
        self.api.put("jobs", job | {"status": (job.get("status") or {}) | {"conditions": [condition], "active": 0}})

    def _pods_of(self, job_name: str) -> list[Body]:
        return [pod for pod in self.api.all("pods") if pod["metadata"]["labels"][JOB_LABEL] == job_name]

    # ---- the operator

    def restart(self, behind: int = 0) -> None:
        """Start the operator anew: everything is listed, and everything is looked at.

        Args:
            behind: how many changes to Jobs, and to pods, came after they were listed.
        """
        self.seen = Seen(self.api, behind)
        self.dirty = dict.fromkeys(Key("flowruns", NAMESPACE, name) for name in self.programs)
        self.timers = {}

    def watch(self, plural: str) -> None:
        """Let the operator see one more change of a kind."""
        if self.seen.behind(plural) and (news := self.seen.next(plural)):
            body, gone = news
            self.dirty |= dict.fromkeys(observe.affected_by(self.seen, plural, body, deleted=gone))

    def reconcile(self, name: str, *, kill_before: int | None = None) -> Decision:
        """Look at a run as the operator does.

        Args:
            name: the run.
            kill_before: number of the action before which the operator is killed and started again.
        """
        key = Key("flowruns", NAMESPACE, name)
        self.dirty.pop(key, None)
        observed = observe.flowrun(self.seen, NAMESPACE, name)
        decision = flowrun.decide(observed, self.now) if observed else Decision()
        if decision.bug is not None:
            raise decision.bug
        try:
            for number, action in enumerate(decision.actions):
                if number == kill_before:
                    raise KilledError
                self._do(action)
        except RefusedError:
            self.dirty[key] = None
            return decision
        except KilledError:
            self.restart()
            return decision
        self.timers.pop(key, None)
        if decision.requeue_after is not None:
            if decision.requeue_after <= 0:
                raise LawBrokenError(f"{name} is to be looked at again after {decision.requeue_after} s")
            self.timers[key] = self.now + timedelta(seconds=decision.requeue_after)
        return decision

    def _do(self, action: Action) -> None:
        match action:
            case CreateJob(manifest=manifest):
                self._create_job(manifest)
            case DeleteJob(name=name, uid=uid):
                job = self.api.get("jobs", name)
                if job is not None and job["metadata"]["uid"] == uid:
                    self.api.remove("jobs", name)
                    self.writes[run_of(job)].append("delete job")
            case PatchStatus(name=name, resource_version=version, patch=patch):
                run = self.api.get("flowruns", name)
                if run is None or run["metadata"]["resourceVersion"] != version:
                    raise RefusedError("changed meanwhile")
                try:
                    body = self.api.patch_run(name, patch)
                except RefusedError as error:
                    raise LawBrokenError(f"the operator wrote what the API refuses: {error}") from error
                self.writes[name].append(body["status"]["state"]["type"])
                self.seen.put("flowruns", body)
                self.dirty |= dict.fromkeys(observe.affected_by(self.seen, "flowruns", body))
            case ConfirmGone(plural=plural, name=name, uid=uid):
                body_ = self.api.get(plural, name)
                if body_ is not None and uid in {None, body_["metadata"]["uid"]}:
                    raise RefusedError("not gone")
            case ConfirmPodsEnded(job_name=job_name):
                if any(pod["status"]["phase"] not in {"Succeeded", "Failed"} for pod in self._pods_of(job_name)):
                    raise RefusedError("still live")
            case EmitEvent():
                pass

    def _create_job(self, manifest: Mapping[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        if found := self.api.get("jobs", name):
            self.seen.put("jobs", found)
            return
        self.jobs_made[name] = self.jobs_made.get(name, 0) + 1
        if self.jobs_made[name] > 1 and self.api.get("flowruns", run_of(dict(manifest))):
            raise LawBrokenError(f"the Job {name} was made twice")
        metadata = manifest["metadata"] | {"uid": f"job-{self.api.version}", "creationTimestamp": seconds(self.now)}
        body = self.api.put("jobs", json.loads(json.dumps({**manifest, "metadata": metadata})))
        self.writes[run_of(body)].append("create job")
        self.seen.put("jobs", body)

    # ---- letting things take their course

    def cluster_step(self) -> bool:
        """Let the cluster do all it has to do at this moment; tell whether anything changed."""
        before = self.api.version, sum(process.alive for process in self.processes.values())
        steps = sum(process.step for process in self.processes.values())
        for process in list(self.processes.values()):
            self.run_process(process)
        for pod in self.api.all("pods"):
            self.kubelet(pod)
        for job in self.api.all("jobs"):
            self.job_controller(job)
        for job in self.api.all("jobs"):
            self.ttl_controller(job)
        self.garbage_collector()
        after = self.api.version, sum(process.alive for process in self.processes.values())
        return before != after or steps != sum(process.step for process in self.processes.values())

    def operator_step(self) -> bool:
        """Let the operator see all there is and do all it has to do at this moment; tell whether it did anything."""
        busy = False
        for plural in PLURALS:
            while self.seen.behind(plural):
                busy = True
                self.watch(plural)
        for key, due in list(self.timers.items()):
            if due <= self.now:
                del self.timers[key]
                self.dirty[key] = None
        for key in list(self.dirty):
            busy = True
            self.reconcile(key.name)
            self.check_rest(key.name)
        return busy

    def check_rest(self, name: str) -> None:
        """Make sure that deciding comes to rest at once when nothing else happens than what it causes itself."""
        for _ in range(3):
            for plural in PLURALS:
                while self.seen.behind(plural):
                    self.watch(plural)
            observed = observe.flowrun(self.seen, NAMESPACE, name)
            again = flowrun.decide(observed, self.now) if observed else Decision()
            if not again.actions:
                return
            self.reconcile(name)
        raise LawBrokenError(f"{name}: deciding does not come to rest: {again.actions}")

    def settle(self, limit_seconds: float = 4 * 3600, *, until: Callable[[], bool] | None = None) -> None:
        """Let everything take its course, woken only by changes and timers, until all is quiet and every run has ended.

        The pods of lost nodes are told to go after 40 s, as the control plane does it, and such nodes are removed after
        15 minutes, as an administrator or a cloud does it.

        Args:
            limit_seconds: by when all must have ended.
            until: stop as soon as this holds.
        """
        end = self.now + timedelta(seconds=limit_seconds)
        while not (until and until()):
            while self.operator_step() | self.cluster_step():
                pass
            if self.quiet():
                return
            if self.now > end:
                raise LawBrokenError(f"not all has ended: {self.story()}")
            self._wait()

    def _wait(self) -> None:
        """Go on to the next moment at which something is due."""
        dues = [*self.timers.values(), self.now + timedelta(seconds=600)]
        dues += [
            parsed(pod["metadata"]["deletionTimestamp"])
            for pod in self.api.all("pods")
            if "deletionTimestamp" in pod["metadata"]
        ]
        dues += [since + timedelta(seconds=40) for since in self.lost_nodes.values()]
        self.now = min((due for due in dues if due > self.now), default=self.now + timedelta(seconds=1))
        for pod in self.api.all("pods"):
            since = self.lost_nodes.get(pod["metadata"]["name"])
            if since is not None and self.now >= since + timedelta(seconds=900):
                self.node_is_removed(pod)
            elif since is not None and self.now >= since + timedelta(seconds=40):
                self.taint_manager(pod)

    def quiet(self) -> bool:
        """Tell whether every run has ended, and neither process nor Job goes on."""
        alive = any(process.alive for process in self.processes.values())
        if alive or not all(finished(job) for job in self.api.all("jobs")):
            return False
        return all(StateType(self.state(name)).is_terminal for name in self.runs())

    def runs(self) -> Iterator[str]:
        """Give the names of the runs that exist."""
        return (run["metadata"]["name"] for run in self.api.all("flowruns"))

    def status(self, name: str) -> Body:
        """Give a run's status; empty if it has none, or is gone."""
        return (self.api.get("flowruns", name) or {}).get("status") or {}

    def state(self, name: str) -> str:
        """Give the type of a run's state; SCHEDULED if it has none."""
        return str(self.status(name).get("state", {}).get("type", "SCHEDULED"))

    def story(self) -> dict[str, Any]:
        """Tell how the runs went, for the report of a failure."""
        return {
            name: [f"{e['type']}/{e.get('reason')}" for e in self.status(name).get("history", ())]
            for name in self.runs()
        }


def wants_cancel(run: Body) -> bool:
    """Tell whether a pod that is told to stop should say that it was cancelled."""
    return bool(run["spec"].get("cancel")) or run["status"]["state"]["type"] in {"CANCELLING", "CANCELLED"}


def message(attempt: int, type_: StateType, reason: str, error: Body | None = None) -> str:
    """Write a termination message as the SDK does."""
    state = {"type": str(type_), "name": type_.capitalize(), "reason": reason, "since": "2026-03-01T12:00:00Z"}
    return json.dumps({"towpath": 1, "attempt": attempt, "state": state} | ({"error": error} if error else {}))


def stuck_status(program: str) -> Body:
    """Build the status of a pod that never starts."""
    if program == "no-node":
        why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes fit."}
        return {"phase": "Pending", "conditions": [why]}
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    return {"phase": "Pending", "containerStatuses": [{"name": "flow", "image": "image:1", "state": waiting}]}


def ended_container(pod: Body) -> bool:
    """Tell whether a pod's container has ended, as its status has it."""
    return any("terminated" in status["state"] for status in pod["status"]["containerStatuses"])


def run_of(body: Body) -> str:
    """Give the name of the run that a Job or pod belongs to."""
    return str(body["metadata"]["labels"][names.LABEL_RUN])


def finished(job: Body) -> Body | None:
    """Give the condition by which a Job is finished."""
    conditions = (job.get("status") or {}).get("conditions", ())
    return next((c for c in conditions if c["type"] in {"Complete", "Failed"}), None)


def seconds(moment: datetime) -> str:
    """Write a time as Kubernetes does: to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def parsed(text: str) -> datetime:
    """Read a time."""
    return datetime.fromisoformat(text)
