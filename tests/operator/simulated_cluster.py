"""The cluster of the simulation: controllers, kubelets, processes, and people who meddle with all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.operator.simulated_api import (
    JOB_LABEL,
    NAMESPACE,
    START,
    Api,
    Body,
    LawBrokenError,
    RefusedError,
    parsed,
    run_of,
    seconds,
)

from towpath import names
from towpath.api.v1alpha1 import transitions
from towpath.states import StateType

GRACE = 30
#: The wishes by which a run waits.
HOLDS = {"pause", "suspend", "answers"}
#: What the code of runs waits for, input that fits it, and input that does not.
WANTED = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
RIGHT, WRONG = {"ok": True}, {"ok": "perhaps"}


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
    started: datetime = START
    finished: datetime | None = None


class Cluster:
    """Runs, Jobs, pods and processes, and all that happens to them without the operator.

    Args:
        programs, specs, child_of: as `World` takes them.
    """

    def __init__(
        self,
        programs: Mapping[str, Sequence[str]],
        specs: Mapping[str, Mapping[str, Any]],
        child_of: Mapping[str, str],
    ) -> None:
        self.now = START
        self.api = Api()
        self.programs = {name: list(steps) for name, steps in programs.items()}
        self.processes: dict[str, Process] = {}
        self.lost_nodes: dict[str, datetime] = {}
        self.nodes_ever_lost: set[str] = set()
        self.meddled: set[str] = set()
        self.deleted_by_others: set[str] = set()
        self.finished_well: dict[str, int] = {}
        self.told_to_go: dict[str, str] = {}
        self.writes: dict[str, list[str]] = {name: [] for name in programs}
        for name, steps in programs.items():
            self._create_run(name, steps[0], specs.get(name, {}), child_of.get(name))

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
            self.api.put("flowruns", run | {"spec": run["spec"] | {"cancel": True}})

    def cancel_now(self, name: str) -> None:
        """Wish a run killed; it may have been told to end before."""
        self._wish(name, {"cancel": True, "cancelMode": "Now"})

    def toggle(self, name: str, wish: str) -> None:
        """Wish for `pause` or `suspend`, or take that back."""
        run = self.api.get("flowruns", name)
        if run is not None:
            self._wish(name, {wish: not run["spec"].get(wish)})

    def answer(self, name: str, given: Body) -> None:
        """Answer the pause in a run's code, whether it has come to it or not."""
        self._wish(name, {"answers": [{"pause": "1", "input": given}]})

    def let_go(self, name: str) -> None:
        """Take back what holds a run, and answer what it waits for."""
        run = self.api.get("flowruns", name)
        if run is not None and ({"ask", "leave"} & set(self.programs[name]) or HOLDS & run["spec"].keys()):
            self._wish(name, {"pause": False, "suspend": False, "answers": [{"pause": "1", "input": RIGHT}]})

    def _wish(self, name: str, spec: Body) -> None:
        self.meddled.add(name)
        run = self.api.get("flowruns", name)
        if run is not None:
            self.api.put("flowruns", run | {"spec": run["spec"] | spec})

    def retry(self, name: str) -> None:
        """Ask for one more attempt of a run, as `towpath runs retry` does: of one that has ended, and not well."""
        self.meddled.add(name)
        run = self.api.get("flowruns", name)
        ended = run is not None and run.get("status", {}).get("state", {}).get("type") in {"FAILED", "CRASHED"}
        if run is not None and ended and not run["spec"].get("cancel"):
            self.finished_well.pop(name, None)  # somebody wants its work done again
            wish = {"retryAfterAttempt": run["status"].get("attempt", 0)}
            self.api.put("flowruns", run | {"spec": run["spec"] | wish})

    def retry_in_any_case(self, name: str) -> None:
        """Ask for another attempt after the current one, however that stands: a wish that only a bad end fulfils."""
        run = self.api.get("flowruns", name)
        attempt = ((run or {}).get("status") or {}).get("attempt", 0)
        if run is not None and attempt and not run["spec"].get("cancel"):
            if run["status"]["state"]["type"] in {"FAILED", "CRASHED"}:
                self.finished_well.pop(name, None)
            self._wish(name, {"retryAfterAttempt": attempt})

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
        self.told_to_go[pod["metadata"]["name"]] = seconds(START)  # nobody may have seen how it ended
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
        elif not status.get("startTime"):  # made anew under a name that had pods before
            self.api.put("jobs", job | {"status": status | {"startTime": seconds(self.now), "active": 1}})
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
        if run["status"]["state"]["type"] == "PAUSED":
            if not self._is_held(process, run):
                self._report(process, run, StateType.RUNNING)
            return
        if run["spec"].get("suspend") or (process.program == "leave" and self._is_held(process, run)):
            self._stand_still(process, run, "Suspended")
            return
        if self._is_held(process, run):
            self._stand_still(process, run, "Paused")
            return
        match process.program:
            case "succeed" | "fail" | "ask" | "leave":
                end = StateType.FAILED if process.program == "fail" else StateType.COMPLETED
                self._report(process, run, end, leave=True)
            case "linger" if not StateType(run["status"]["state"]["type"]).is_terminal:
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

    @staticmethod
    def _is_held(process: Process, run: Body) -> bool:
        """Tell whether a process waits for somebody: because that is wished, or in its code."""
        if process.program not in {"ask", "leave"}:
            return bool(run["spec"].get("pause"))
        return bool(run["spec"].get("pause")) or all(
            answer["input"] != RIGHT for answer in run["spec"].get("answers", ())
        )

    def _stand_still(self, process: Process, run: Body, name: str) -> None:
        """Report that the run waits, in its process or without one."""
        if wants_cancel(run):
            return  # the signal to stop is on its way
        if wants_cancel(run):  # the signal is on its way
            if name == "Suspended":
                self._report(process, run, StateType.CANCELLED, leave=True)
            return
        asks = process.program in {"ask", "leave"} and not run["spec"].get("pause") and not run["spec"].get("suspend")
        pause = {"key": "1", "wanted": json.dumps(WANTED)} if asks else None
        self._report(process, run, StateType.PAUSED, leave=name == "Suspended", name=name, pause=pause)

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
            if process.program == "exit0" or not self._wants_another(process):
                self._note_well(process)
            self._exit(process, int(process.program[4:]))

    def _report(
        self,
        process: Process,
        run: Body,
        type_: StateType,
        *,
        leave: bool = False,
        name: str | None = None,
        pause: Body | None = None,
    ) -> None:
        """Report as the SDK does: conditional on attempt and state as they were seen."""
        status = run["status"]
        reason = {"COMPLETED": "Succeeded", "FAILED": "FlowFailed", "CANCELLED": "CancelledByRequest"}.get(type_)
        new = transitions.state(type_, self.now, reason=reason, name=name)
        fields: Body = {} if pause is None else {"pause": pause}
        if type_ is StateType.FAILED:
            fields["error"] = {"code": "FlowFailed", "kind": "User", "message": "no"}
        operations = [
            {"op": "test", "path": "/status/attempt", "value": process.attempt},
            {"op": "test", "path": "/status/state/type", "value": status["state"]["type"]},
            {"op": "test", "path": "/status/state/since", "value": status["state"]["since"]},
            *transitions.transition(status, new, attempt=process.attempt, fields=fields),
        ]
        try:
            self.api.patch_run(process.run, operations)
            self.writes[process.run].append(str(type_))
        except RefusedError:
            leave = leave or process.step > 0
        else:
            process.step += 1
            if type_ is StateType.COMPLETED or (type_ is StateType.FAILED and not self._wants_another(process)):
                self._note_well(process)
        if leave:
            self._exit(process, 0)

    def _wants_another(self, process: Process) -> bool:
        """Tell whether somebody wants another attempt once that of a process has ended badly."""
        run = self.api.get("flowruns", process.run)
        return run is not None and run["spec"].get("retryAfterAttempt") == process.attempt

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
        name = pod["metadata"]["name"]
        self.processes[name] = Process(name, run, attempt, program, started=self.now)
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
        """Tell whether nobody could know that an attempt did its work: its pod went before it was seen to end.

        What ended in the second in which its pod was told to go may have ended because of that.
        """
        pod = f"{names.job_name(run, f'{run}-uid-0123456789', attempt)}-pod"
        ended, told = self.processes[pod].finished, self.told_to_go.get(pod)
        return pod not in self.shown_ended or (ended is not None and told is not None and seconds(ended) >= told)

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
            phase, state = "Running", {"running": {"startedAt": seconds(process.started)}}
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

    def _ask_to_go(self, pod: Body, grace: int = GRACE) -> None:
        metadata = pod["metadata"]
        self.told_to_go.setdefault(metadata["name"], seconds(self.now))
        if metadata.get("deletionGracePeriodSeconds", grace + 1) > grace:  # as often as somebody shortens it
            gone_by = {
                "deletionTimestamp": seconds(self.now + timedelta(seconds=grace)),
                "deletionGracePeriodSeconds": grace,
            }
            self.api.put("pods", pod | {"metadata": metadata | gone_by})

    def _finish_job(self, job: Body, type_: str, reason: str) -> None:
        condition = {"type": type_, "status": "True", "reason": reason, "lastTransitionTime": seconds(self.now)}
        self.api.put("jobs", job | {"status": (job.get("status") or {}) | {"conditions": [condition], "active": 0}})

    def _pods_of(self, job_name: str) -> list[Body]:
        return [pod for pod in self.api.all("pods") if pod["metadata"]["labels"][JOB_LABEL] == job_name]

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


def finished(job: Body) -> Body | None:
    """Give the condition by which a Job is finished."""
    conditions = (job.get("status") or {}).get("conditions", ())
    return next((c for c in conditions if c["type"] in {"Complete", "Failed"}), None)
