"""The FlowRun of a Deployment that somebody asks for: what it looks like, and under which name it is found again."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.api.v1alpha1.transitions import rfc3339
from towpath.cluster.children import template_of
from towpath.errors import ClusterError, ConfigurationError, Conflict, NotFound, Refused
from towpath.parameters import to_json

if TYPE_CHECKING:
    from towpath.cluster.launcher import ClusterLauncher
    from towpath.cluster.port import Body, Cluster
    from towpath.runs import FlowRun

_NAME_LENGTH: Final = 50
_JOB_VARIABLES: Final = frozenset(
    {"image", "image_pull_policy", "env", "resources", "labels", "service_account_name", "template"}
)
log: Final = logging.getLogger("towpath.deployments")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody asks of a Deployment; the arguments of `run_deployment` that say what to run."""

    deployment: str
    parameters: Mapping[str, Any]
    scheduled_time: datetime | None = None
    run_name: str | None = None
    """Beginning of the run's name."""
    tags: frozenset[str] = frozenset()
    idempotency_key: str | None = None
    queue: str | None = None
    job_variables: Mapping[str, Any] | None = None
    outlives_parent: bool = False

    def spec(self) -> dict[str, Any]:
        """Build the spec of the run.

        Raises:
            ParameterError: a parameter has no form in JSON.
            ConfigurationError: a job variable is unknown.
        """
        spec: dict[str, Any] = {"deploymentRef": self.deployment}
        if self.parameters:
            spec["parameters"] = to_json(self.parameters, self.deployment)
        if self.scheduled_time is not None:
            spec["scheduledTime"] = rfc3339(self.scheduled_time)
        if self.tags:
            spec["tags"] = sorted(self.tags)
        if self.queue is not None:
            spec["queue"] = self.queue
        if self.job_variables:
            spec["template"] = template_of_variables(self.job_variables)
        if self.outlives_parent:
            spec["onParentEnd"] = "Orphan"
        return spec

    def place(self, cluster: Cluster) -> Body:
        """Create a run that is nobody's child, or find the one with the same idempotency key."""
        shown = names.slug(self.run_name or self.deployment, _NAME_LENGTH)
        name = self._keyed_name() or f"{shown}-{secrets.token_hex(3)}"
        labels = {
            names.LABEL_RUN: name,
            names.LABEL_ROOT_RUN: name,
            names.LABEL_DEPLOYMENT: self.deployment,
            names.LABEL_MANAGED_BY: names.MANAGED_BY,
        }
        metadata = {"name": name, "labels": labels}
        manifest = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": self.spec()}
        try:
            return cluster.create_run(manifest)
        except Conflict:
            return self._found(cluster.get_run(name))

    def place_as_child(self, launcher: ClusterLauncher, caller: FlowRun) -> Body:
        """Create a child of the run that calls, or find it: by its call, or by its idempotency key."""
        name = self._keyed_name()
        if name is None:
            return launcher.create(caller, self.deployment, self.spec(), shown=self.run_name)
        try:
            return launcher.create_as(name, caller, self.spec())
        except Conflict:
            return self._found(launcher.cluster.get_run(name))

    def _keyed_name(self) -> str | None:
        if self.idempotency_key is None:
            return None
        key = names.digest(self.deployment, self.idempotency_key, length=10)
        return f"{names.slug(self.deployment, _NAME_LENGTH)}-{key}"

    def _found(self, run: Body) -> Body:
        if run["spec"].get("deploymentRef") != self.deployment:
            raise Conflict(
                f"Deployment {self.deployment!r} cannot be run under the key {self.idempotency_key!r}: another"
                f" FlowRun has the name {run['metadata']['name']!r}. Delete it, or choose another key."
            )
        return run


def check_exists(cluster: Cluster, deployment: str) -> None:
    """Make sure that there is a Deployment, where that can be read.

    Raises:
        NotFound: there is none; the message says which there are.
    """
    try:
        cluster.get_deployment(deployment)
    except NotFound as error:
        try:
            there = sorted(str(each["metadata"]["name"]) for each in cluster.list_deployments().items)
        except ClusterError:
            raise error from None
        have = f"There are {', '.join(map(repr, there))}." if there else "There are none."
        raise NotFound(f"There is no deployment {deployment!r} in namespace {cluster.namespace!r}. {have}") from error
    except Refused:  # who may create runs need not be allowed to read deployments: the run itself will tell
        log.debug("Whether deployment %r exists cannot be read.", deployment)


def template_of_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Make a pod template of job variables.

    Raises:
        ConfigurationError: a variable is unknown.
    """
    if unknown := sorted(set(variables) - _JOB_VARIABLES):
        raise ConfigurationError(
            f"run_deployment knows no job variable {', '.join(map(repr, unknown))}. It knows"
            f" {', '.join(sorted(_JOB_VARIABLES))}; anything else of a pod goes into `template`."
        )
    container: dict[str, Any] = {}
    for variable, key in (("image", "image"), ("image_pull_policy", "imagePullPolicy"), ("resources", "resources")):
        if variable in variables:
            container[key] = variables[variable]
    if "env" in variables:
        container["env"] = [{"name": key, "value": str(value)} for key, value in variables["env"].items()]
    template = template_of(variables.get("template"), container)
    if "service_account_name" in variables:
        template.setdefault("spec", {})["serviceAccountName"] = variables["service_account_name"]
    if "labels" in variables:
        template.setdefault("metadata", {}).setdefault("labels", {}).update(variables["labels"])
    return template
