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
from datetime import datetime, timedelta
from typing import Any

from tests.operator.simulated_api import (
    KINDS,
    NAMESPACE,
    Body,
    KilledError,
    LawBrokenError,
    RefusedError,
    Seen,
    parsed,
    run_of,
    seconds,
)
from tests.operator.simulated_cluster import Cluster, finished

from towpath.states import StateType
from towpath_operator import observe
from towpath_operator.observe import Key
from towpath_operator.reconcile import flowrun
from towpath_operator.reconcile.closing import KILL_SECONDS
from towpath_operator.reconcile.decision import (
    Action,
    ConfirmGone,
    ConfirmPodsEnded,
    CreateJob,
    Decision,
    DeleteJob,
    EmitEvent,
    KillPod,
    PatchStatus,
    TellRetry,
)


class World(Cluster):
    """The cluster, its processes, and one operator that can be killed at any action.

    Args:
        programs: what the process does in each attempt (the last one repeats), by run: `succeed`, `fail`, `vanish`
            (exit 1, no report), `silent` (exit 0, no report), `oom`, `mute` (termination message only), `hang`,
            `stubborn` (ignores SIGTERM), `ask` (pauses for input in its process), `leave` (suspends itself for input), `linger` (succeeds, reports it, and does not go), `exit0`, `exit3` (plain
            containers), `no-image`, `no-node` (never start).
        specs: further fields of the runs' specs.
        child_of: the parent of a run.
        lanes: Queues, ConcurrencyLimits and Deployments, by their plurals.
    """

    def __init__(
        self,
        programs: Mapping[str, Sequence[str]],
        specs: Mapping[str, Mapping[str, Any]] | None = None,
        child_of: Mapping[str, str] | None = None,
        lanes: Mapping[str, Sequence[Body]] | None = None,
    ) -> None:
        super().__init__(programs, specs or {}, child_of or {})
        self.lanes = lanes or {}
        self.jobs_made: dict[str, int] = {}
        self.seen = Seen(self.api)
        self.dirty: dict[Key, None] = {}
        self.timers: dict[Key, datetime] = {}
        self.restart()

    # ---- the operator

    def restart(self, behind: int = 0) -> None:
        """Start the operator anew: everything is listed, and everything is looked at.

        Args:
            behind: how many changes to Jobs, and to pods, came after they were listed.
        """
        self.seen = Seen(self.api, behind)
        for plural, bodies in self.lanes.items():
            for body in bodies:
                self.seen.put(plural, body)
        self.dirty = dict.fromkeys(Key("flowruns", NAMESPACE, name) for name in self.programs)
        self.timers = {}

    def watch(self, plural: str) -> None:
        """Let the operator see one more change of a kind."""
        if self.seen.behind(plural) and (news := self.seen.next(plural)):
            body, gone = news
            self.dirty |= dict.fromkeys(observe.affected_by(self.seen, plural, body, deleted=gone))
            self._wake()

    def _wake(self) -> None:
        """Mark the runs whose turn it may be."""
        self.dirty |= dict.fromkeys(key for key in self.seen.lanes.woken() if key.plural == "flowruns")

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
        self.seen.lanes.decided(key, decision)
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
        finally:
            self._wake()
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
            case KillPod(name=name, uid=uid):
                pod = self.api.get("pods", name)
                if pod is not None and pod["metadata"]["uid"] == uid:
                    self._ask_to_go(pod, KILL_SECONDS)
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
            case EmitEvent() | TellRetry():
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

    def operator_step(self) -> bool:
        """Let the operator see all there is and do all it has to do at this moment; tell whether it did anything."""
        busy = False
        for plural in KINDS:
            while self.seen.behind(plural):
                busy = True
                self.watch(plural)
        for key, due in list(self.timers.items()):
            if due <= self.now:
                del self.timers[key]
                self.dirty[key] = None
        for key in list(self.dirty):
            busy = True
            self.look_at(key)
        return busy

    def look_at(self, key: Key) -> None:
        """Let the operator do what it has to do about an object, and make sure that it then rests."""
        self.dirty.pop(key, None)
        if key.plural == "flowruns":
            self.reconcile(key.name)
            self.check_rest(key.name)

    def check_rest(self, name: str) -> None:
        """Make sure that deciding comes to rest at once when nothing else happens than what it causes itself."""
        for _ in range(3):
            for plural in KINDS:
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
        """Tell whether every run has ended, neither process nor Job goes on, and nothing is left of deleted runs."""
        alive, there = any(process.alive for process in self.processes.values()), set(self.runs())
        if alive or not all(finished(job) for job in self.api.all("jobs")):
            return False
        if any(run_of(body) not in there for kind in ("jobs", "pods") for body in self.api.all(kind)):
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
