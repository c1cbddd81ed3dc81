"""The simulated cluster with Flows, Deployments and ControllerRevisions in it, and the laws that hold for these."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from tests.builders import make_deployment, make_flow
from tests.operator.simulated_api import NAMESPACE, Body, LawBrokenError, RefusedError, run_of
from tests.operator.simulation import World

from towpath import names
from towpath_operator import observe
from towpath_operator.observe import Key
from towpath_operator.reconcile import revision
from towpath_operator.reconcile.decision import (
    Action,
    ConfirmGone,
    CreateJob,
    Decision,
    DeleteRevision,
    PatchRevision,
    PatchStatus,
)
from towpath_operator.specs.revisions import UNUSED_SINCE

REVISIONS = "controllerrevisions"


class ChangingWorld(World):
    """Runs of a Flow and a Deployment that people change and delete at any moment.

    Args:
        programs: as `World` takes them.
        by: how each run names what it runs: `flowRef` or `deploymentRef`.
    """

    def __init__(self, programs: Mapping[str, Sequence[str]], by: str = "deploymentRef") -> None:
        reference = {"flow": None, by: "main" if by == "flowRef" else "nightly", "infraRetries": 9}
        self.edits = 0
        self.first: dict[str, Body] = {}
        super().__init__(programs, dict.fromkeys(programs, reference))
        self.edit_flow()
        self.edit_deployment()
        self.restart()

    # ---- what people do

    def edit_flow(self) -> None:
        """Apply the Flow with everything changed that a Job is made of."""
        self.edits += 1
        template = {"metadata": {"labels": {"edit": str(self.edits)}}}
        changed = {"template": template, "timeoutSeconds": 600 + self.edits, "retries": self.edits % 9}
        self._put("flows", make_flow("main", image=f"image:{self.edits}", spec=changed, namespace=NAMESPACE))

    def edit_deployment(self) -> None:
        """Apply the Deployment with everything changed that a Job is made of."""
        self.edits += 1
        changed = {"tags": [f"edit-{self.edits}"], "resultStorage": f"/results/{self.edits}"}
        given = {"edit": self.edits}
        self._put("deployments", make_deployment("nightly", parameters=given, spec=changed, namespace=NAMESPACE))

    def delete_flow(self) -> None:
        """Delete the Flow."""
        self.api.remove("flows", "main")

    def delete_deployment(self) -> None:
        """Delete the Deployment."""
        self.api.remove("deployments", "nightly")

    def _put(self, plural: str, body: Body) -> None:
        uid = f"{plural}-{self.edits}"
        old = self.api.get(plural, body["metadata"]["name"])
        metadata = body["metadata"] | {"uid": old["metadata"]["uid"] if old else uid}
        self.api.put(plural, body | {"metadata": metadata})

    # ---- the operator

    def restart(self, behind: int = 0) -> None:
        super().restart(behind)
        self.dirty |= {Key(REVISIONS, NAMESPACE, body["metadata"]["name"]): None for body in self.api.all(REVISIONS)}

    def look_at(self, key: Key) -> None:
        super().look_at(key)
        if key.plural == REVISIONS:
            self.look_at_revision(key.name)

    def look_at_revision(self, name: str) -> None:
        """Look at a ControllerRevision as the operator does."""
        key = Key(REVISIONS, NAMESPACE, name)
        observed = observe.revision(self.seen, NAMESPACE, name)
        decision = revision.decide(observed, self.now) if observed else Decision()
        if decision.bug is not None:
            raise decision.bug
        try:
            for action in decision.actions:
                self._do(action)
        except RefusedError:
            self.dirty[key] = None
            return
        if decision.requeue_after is not None:
            self.timers[key] = self.now + timedelta(seconds=decision.requeue_after)

    def _do(self, action: Action) -> None:
        match action:
            case CreateJob(manifest=manifest, revision=settled):
                if settled is not None:
                    self._keep(settled)
                self._check_same(manifest)
                super()._do(action)
            case PatchStatus(name=name, patch=patch):
                super()._do(action)
                named = self.status(name).get("revision")
                changed = any(str(step.get("path", "")) in {"/status", "/status/revision"} for step in patch)
                if named and changed and self.api.get(REVISIONS, named) is None:
                    raise LawBrokenError(f"{name} names the revision {named}, which is gone")
                if self.status(name)["state"].get("reason") in {"FlowNotFound", "DeploymentNotFound"} and named:
                    raise LawBrokenError(f"{name} had begun, and waits for what it was made of")
            case PatchRevision(name=name, resource_version=version, patch=(change,)):
                body = self._as_seen(name, version)
                self._put_revision(body | {"metadata": body["metadata"] | {"annotations": change["value"]}})
            case DeleteRevision(name=name, resource_version=version):
                self._as_seen(name, version)
                if users := [run["metadata"]["name"] for run in self.api.all("flowruns") if self._names(run, name)]:
                    raise LawBrokenError(f"the revision {name} is removed, and {users} name it")
                self.api.remove(REVISIONS, name)
            case ConfirmGone(plural=plural, name=name) if plural == REVISIONS:
                if found := self.api.get(REVISIONS, name):
                    self.seen.put(REVISIONS, found)
                    raise RefusedError("not gone")
            case _:
                super()._do(action)

    def _keep(self, manifest: Mapping[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        known = self.seen.get(REVISIONS, NAMESPACE, name)
        if known is None:
            found = self.api.get(REVISIONS, name)
            metadata = manifest["metadata"] | {"uid": f"revision-{self.api.version}"}
            known = found or self._put_revision(json.loads(json.dumps({**manifest, "metadata": metadata})))
            self.seen.put(REVISIONS, known)
        if known["metadata"].get("annotations", {}).get(UNUSED_SINCE):
            self._do(revision.marked(known, None))

    def _put_revision(self, body: Body) -> Body:
        put = self.api.put(REVISIONS, body)
        self.seen.put(REVISIONS, put)
        self.dirty |= dict.fromkeys(observe.affected_by(self.seen, REVISIONS, put))
        return put

    def _as_seen(self, name: str, version: str) -> Body:
        body = self.api.get(REVISIONS, name)
        if body is None or body["metadata"]["resourceVersion"] != version:
            raise RefusedError("changed meanwhile")
        return body

    @staticmethod
    def _names(run: Body, revision_name: str) -> bool:
        return bool((run.get("status") or {}).get("revision") == revision_name)

    def _check_same(self, manifest: Mapping[str, Any]) -> None:
        """Make sure that a run's Jobs differ in nothing but the number of the attempt."""
        job = without_attempt(manifest)
        first = self.first.setdefault(run_of(dict(manifest)), job)
        if job != first:
            raise LawBrokenError(f"an attempt differs from the first:\n{job}\n{first}")


def without_attempt(manifest: Mapping[str, Any]) -> Body:
    """Give what a Job is made of, without the number of the attempt."""
    spec: Body = copy.deepcopy(dict(manifest["spec"]))
    template = spec["template"]
    del template["metadata"]["labels"][names.LABEL_ATTEMPT]
    for container in template["spec"]["containers"]:
        container["env"] = [item for item in container["env"] if item["name"] != names.ENV_ATTEMPT]
    return spec
