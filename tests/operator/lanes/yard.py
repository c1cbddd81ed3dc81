"""Runs, queues and limits, and the operator's decisions about them, without a cluster: Jobs come and go as a test says.

The store, the view and the decisions are the real ones; the API is the store itself. What an action does can be put
off, or be lost, as between an operator and an API server that is busy or away.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.builders import NAMESPACE, NOW, make_metadata, make_pod
from tests.json_patch import apply_patch

from towpath import names
from towpath.api.v1alpha1 import transitions
from towpath.api.v1alpha1.flowrun_status import FlowRunStatus
from towpath.states import TERMINAL, StateType
from towpath_operator import observe
from towpath_operator.observe import Key
from towpath_operator.reconcile import flowrun, lane_status
from towpath_operator.reconcile.decision import CreateJob, Decision, DeleteJob, PatchStatus
from towpath_operator.runtime.store import Store
from towpath_operator.view import INDEXES, StoreView

Body = dict[str, Any]
_KINDS = {
    "flowruns": "FlowRun",
    "queues": "Queue",
    "concurrencylimits": "ConcurrencyLimit",
    "deployments": "Deployment",
    "flows": "Flow",
}


class Yard:
    """A namespace with runs that take their turn."""

    store: Store
    view: StoreView

    def __init__(self) -> None:
        self.now = datetime.fromisoformat(NOW)
        self.version = 0
        self.writes = 0
        self.dirty: dict[Key, None] = {}
        self.timers: dict[Key, float] = {}
        self.restart({})

    def restart(self, bodies: Mapping[str, list[Body]] | None = None) -> None:
        """Start the operator anew: it lists all there is, and knows nothing else."""
        if bodies is None:
            bodies = {plural: [dict(body) for body in self.store.all(plural)] for plural in (*_KINDS, "jobs", "pods")}
        self.store = Store(INDEXES, listener=self._changed)
        self.view = StoreView(self.store)
        self.dirty = {}
        for plural, found in bodies.items():
            for body in found:
                self.store.put(plural, body)

    def _changed(self, plural: str, old: Any, new: Any) -> None:
        body = new if new is not None else old
        for key in observe.affected_by(self.view, plural, body, deleted=new is None):
            self.dirty[key] = None
        self.view.lanes.changed(plural, old, new)
        self._wake()

    def key(self, name: str) -> Key:
        """Give the key of a run."""
        return Key("flowruns", NAMESPACE, name)

    def _wake(self) -> None:
        self.dirty.update(dict.fromkeys(self.view.lanes.woken()))

    # ---- what people do

    def put(self, plural: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> Body:
        """Apply an object, or change its spec."""
        known = self.body(plural, name)
        body = dict(known) if known else {"apiVersion": names.API_VERSION, "kind": _KINDS[plural]}
        body["metadata"] = known["metadata"] if known else make_metadata(_KINDS[plural], name, **metadata)
        body["spec"] = dict(spec)
        return self._store(plural, body)

    def run(self, name: str, parent: str | None = None, age: float = 0.0, **spec: Any) -> Body:
        """Make a run that is so many seconds old."""
        whole = {"flow": {"image": "image:1", "entrypoint": "flows:main"}, "onParentEnd": "Cancel"} | spec
        if "deploymentRef" in spec:
            del whole["flow"]
        if parent is not None:
            above = self.body("flowruns", parent)
            assert above is not None
            whole["parent"] = {"name": parent, "uid": above["metadata"]["uid"], "call": "c", "depth": 1}
        created = (self.now - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.put("flowruns", name, whole, created=created)

    def change(self, name: str, **spec: Any) -> None:
        """Change what is wished of a run."""
        body = self.body("flowruns", name)
        assert body is not None
        self.put("flowruns", name, body["spec"] | spec)

    def drop(self, plural: str, name: str) -> None:
        """Delete an object."""
        if body := self.body(plural, name):
            self.store.drop(plural, NAMESPACE, name, body["metadata"]["uid"])

    # ---- what runs do

    def report(self, name: str, type_: StateType, called: str | None = None) -> None:
        """Let a run's own process report a state, and go if that is the end of it."""
        body = self.body("flowruns", name)
        assert body is not None
        status = body.get("status") or {}
        new = transitions.state(type_, self.now, name=called)
        patch = transitions.transition(status, new, attempt=status.get("attempt", 1))
        if type_.is_terminal or called == "Suspended":
            over = {"type": "Complete", "status": "True", "lastTransitionTime": NOW}
            job = self.body("jobs", self.job_of(name)) | {"status": {"conditions": [over]}}
            self._store("jobs", job)
            self._store("pods", make_pod(job, phase="Succeeded", exit_code=0))
        self._store("flowruns", apply_patch(body, patch))

    def want(self, name: str, limit: str, slots: int, number: int) -> None:
        """Let a run's own process say how many slots it wants of a limit in all."""
        body = self.body("flowruns", name)
        assert body is not None
        others = [one for one in body["status"].get("slotsWanted", ()) if one["limit"] != limit]
        wish = [{"limit": limit, "slots": slots, "number": number}] if slots else []
        self._store("flowruns", body | {"status": body["status"] | {"slotsWanted": [*others, *wish]}})

    # ---- what the operator does

    def decide(self, name: str) -> Decision:
        """Decide about a run; what follows of it is not done yet."""
        self.dirty.pop(Key("flowruns", NAMESPACE, name), None)
        seen = observe.flowrun(self.view, NAMESPACE, name)
        decision = flowrun.decide(seen, self.now) if seen else Decision()
        if decision.bug is not None:
            raise decision.bug
        self.view.lanes.decided(Key("flowruns", NAMESPACE, name), decision)
        self._wake()
        return decision

    def apply(self, decision: Decision, *, steps: int | None = None) -> bool:
        """Do what was decided, or the first steps of it; tell whether the API took it."""
        for action in decision.actions[:steps]:
            match action:
                case CreateJob(manifest=manifest) if not self.body("jobs", manifest["metadata"]["name"]):
                    metadata = manifest["metadata"] | {"uid": f"job-{self.version}", "namespace": NAMESPACE}
                    job = self._store(
                        "jobs", {**manifest, "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}
                    )
                    self._store("pods", make_pod(job, phase="Running", running=True))
                case DeleteJob(name=name):  # its pod takes its time
                    job = self.body("jobs", name)
                    self._store("jobs", job | {"metadata": job["metadata"] | {"deletionTimestamp": NOW}})
                case PatchStatus(plural=plural, name=name, resource_version=version, patch=patch):
                    body = self.body(plural, name)
                    if body is None or body["metadata"]["resourceVersion"] != version:
                        return False
                    self._store(plural, apply_patch(body, patch))
                    self.writes += 1
        return True

    def look(self, name: str) -> Decision:
        """Decide about a run, and do what follows."""
        decision = self.decide(name)
        if not self.apply(decision):
            self.dirty[Key("flowruns", NAMESPACE, name)] = None
        return decision

    def look_at_lane(self, key: Key) -> Decision:
        """Decide about a Queue or a ConcurrencyLimit, and do what follows."""
        self.dirty.pop(key, None)
        lane = self.view.lane(key)
        decision = lane_status.decide(key.plural, lane, self.now) if lane else Decision()
        if decision.bug is not None:
            raise decision.bug
        self.apply(decision)
        self.view.lanes.given(key, decision.gives)
        self._wake()
        return decision

    def settle(self) -> None:
        """Look at whatever was marked until nothing is."""
        for _ in range(10_000):
            if not self.dirty:
                return
            key = next(iter(self.dirty))
            if key.plural == "flowruns":
                decision = self.look(key.name)
            elif key.plural in {"queues", "concurrencylimits"}:
                decision = self.look_at_lane(key)
            else:
                del self.dirty[key]
                continue
            if decision.requeue_after is not None:
                self.timers[key] = decision.requeue_after
        raise AssertionError(f"deciding does not come to rest: {list(self.dirty)[:5]} …")

    # ---- what there is

    def body(self, plural: str, name: str) -> Any:
        """Give an object."""
        return self.store.get(plural, NAMESPACE, name)

    def status(self, name: str) -> Body:
        """Give a run's status."""
        found: Body = (self.body("flowruns", name) or {}).get("status") or {}
        return found

    def state(self, name: str) -> str:
        """Give a run's state in a word: its reason, or its type if there is none."""
        state = self.status(name).get("state", {})
        return str(state.get("reason") or state.get("type") or "")

    def at_work(self) -> list[str]:
        """Give the runs that have a Job, whether their status says so or not, and have not ended."""
        runs = [run["metadata"]["name"] for run in self.store.all("flowruns")]
        live = [run for run in runs if self.status(run).get("state", {}).get("type") not in TERMINAL]
        return sorted(run for run in live if self.body("jobs", self.job_of(run)))

    def job_of(self, name: str) -> str:
        """Give the name of the Job of a run's attempt."""
        uid = self.body("flowruns", name)["metadata"]["uid"]
        return names.job_name(name, uid, max(self.status(name).get("attempt", 0), 1))

    def granted(self, name: str, limit: str) -> tuple[int, int]:
        """Give how many slots of a limit a run's code is granted, and which wish that answers."""
        grants = self.status(name).get("slotsGranted", ())
        return next(((one["slots"], one["number"]) for one in grants if one["limit"] == limit), (0, 0))

    def _store(self, plural: str, body: Body) -> Body:
        self.version += 1
        body = body | {"metadata": body["metadata"] | {"resourceVersion": str(self.version)}}
        if plural == "flowruns" and body.get("status"):
            FlowRunStatus.model_validate(body["status"])
        self.store.put(plural, body)
        return body
