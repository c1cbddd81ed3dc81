"""Builds the Job of a run's attempt.

The same run, attempt and policy always give the same Job under the same name: so creating it is safe to repeat, and a
restarted operator finds by name what it made before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from towpath import names
from towpath_operator.reconcile.policy import Policy
from towpath_operator.specs.resolved import ResolvedRun
from towpath_operator.specs.revisions import ANNOTATION as REVISION
from towpath_operator.specs.templates import CREDENTIALS_VOLUME, Json, handed_down, merged
from towpath_operator.specs.terms import ANNOTATION, Terms

ENGINE: Final = ("python", "-m", "towpath.engine")
#: Just above the hour under which the kubelet's smallest rotation would start to matter; odd, so that it is recognised.
TOKEN_SECONDS: Final = 3607


def build_job(run: ResolvedRun, attempt: int, policy: Policy) -> Json:
    """Build the manifest of the Job for a run's attempt.

    Raises:
        InvalidTemplate: one of the run's templates cannot be used.
    """
    template = merged(_pod_template(run, attempt, policy), run.templates)
    labels = template["metadata"].get("labels", {}) | _labels(run, attempt)
    terms = {ANNOTATION: _terms(run, template, policy).written()}
    annotations = template["metadata"].get("annotations", {}) | terms
    template["metadata"] = {"labels": labels, "annotations": annotations}
    _tell_merged(template, policy)
    _restrict(template)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.job_name(run.name, run.uid, attempt),
            "namespace": run.namespace,
            "labels": dict(labels),
            "annotations": terms | ({REVISION: run.revision.name} if run.revision else {}),
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": "FlowRun",
                    "name": run.name,
                    "uid": run.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            **_deadline(run, policy),
            "ttlSecondsAfterFinished": job_ttl_seconds(policy, reports_itself=run.reports_itself),
            "template": template,
        },
    }


def job_ttl_seconds(policy: Policy, *, reports_itself: bool) -> int:
    """Tell how long a finished Job stays if nobody deletes it."""
    return policy.job_ttl_seconds if reports_itself else max(policy.job_ttl_seconds, policy.command_job_ttl_seconds)


def _deadline(run: ResolvedRun, policy: Policy) -> Json:
    """Give the Job a deadline for the case that the operator is away; else the operator ends what is over its time.

    The Job's clock starts before its pod does, so the time that the pod may be pending is added, and the time that the
    process has to end by itself.
    """
    if run.timeout_seconds is None:
        return {}
    slack = policy.timeout_slack_seconds + policy.grace_seconds
    return {"activeDeadlineSeconds": run.timeout_seconds + run.pending_timeout_seconds + slack}


def _terms(run: ResolvedRun, template: Json, policy: Policy) -> Terms:
    return Terms(
        reports_itself=run.reports_itself,
        timeout_seconds=run.timeout_seconds,
        pending_timeout_seconds=run.pending_timeout_seconds,
        infra_retries=run.infra_retries,
        grace_seconds=_grace_seconds(template, policy),
    )


def _pod_template(run: ResolvedRun, attempt: int, policy: Policy) -> Json:
    container: Json = {
        "name": names.CONTAINER,
        "image": run.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(ENGINE if run.reports_itself else run.command),
        "env": [{"name": name, "value": value} for name, value in _environment(run, attempt).items()],
        "resources": {"requests": {"cpu": policy.cpu_request, "memory": policy.memory_request}},
    }
    spec: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": policy.grace_seconds,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    if run.reports_itself:
        spec["serviceAccountName"] = policy.service_account
        spec["volumes"] = [_credentials()]
        container["volumeMounts"] = [{"name": CREDENTIALS_VOLUME, "mountPath": names.CREDENTIALS_DIR, "readOnly": True}]
    return {"metadata": {}, "spec": spec}


def _environment(run: ResolvedRun, attempt: int) -> Mapping[str, str]:
    """Tell the process all it needs, so that it reads nothing before it starts; what does not apply is left out."""
    inherited = handed_down(run.templates)
    told = {
        names.ENV_RUN: run.name,
        names.ENV_RUN_UID: run.uid,
        names.ENV_NAMESPACE: run.namespace,
        names.ENV_ROOT_RUN: run.root_run or run.name,
        names.ENV_PARENT: run.parent,
        names.ENV_DEPTH: str(run.depth),
        names.ENV_ATTEMPT: str(attempt),
        names.ENV_FLOW: run.flow,
        names.ENV_DEPLOYMENT: run.deployment,
        names.ENV_ENTRYPOINT: run.entrypoint,
        names.ENV_PARAMETERS: names.canonical_json(run.parameters),
        names.ENV_TAGS: names.canonical_json(run.tags) if run.tags else "",
        names.ENV_RETRIES: "" if run.retries is None else str(run.retries),
        names.ENV_TIMEOUT_SECONDS: "" if run.timeout_seconds is None else str(run.timeout_seconds),
        names.ENV_RESULT_STORAGE: run.result_storage,
        names.ENV_TEMPLATE: names.canonical_json(inherited) if inherited and run.reports_itself else "",
    }
    return {name: value.replace("$", "$$") for name, value in told.items() if value}


def _grace_seconds(template: Json, policy: Policy) -> int:
    grace = template["spec"].get("terminationGracePeriodSeconds")
    return grace if isinstance(grace, int) else policy.grace_seconds


def _tell_merged(template: Json, policy: Policy) -> None:
    """Tell the process what only the merged template says: the image that it really runs in, and how fast it must end.

    The process gets a sixth less than the pod, five seconds at most, so that it can still say how it ended.
    """
    grace = _grace_seconds(template, policy)
    ending = max(1, grace - min(5, max(1, grace // 6)))
    for container in template["spec"]["containers"]:
        told = {names.ENV_IMAGE: container["image"], names.ENV_GRACE_SECONDS: str(ending)}
        container["env"] = [*container["env"], *({"name": name, "value": value} for name, value in told.items())]
        # A template's envFrom would replace this one, so it joins afterwards; of several, the last has its way.
        given = container.get("envFrom") or ()
        container["envFrom"] = [_variables(), *given] if isinstance(given, list | tuple) else given


def _variables() -> Json:
    """Refer to the namespace's variables, which the kubelet reads: neither operator nor pod has to be allowed to."""
    variables = {"name": names.VARIABLES_CONFIG_MAP, "optional": True}
    return {"prefix": names.VARIABLE_PREFIX, "configMapRef": variables}


def _restrict(template: Json) -> None:
    """Take from every container, whoever brought it, the privileges that no run needs; let it say why it failed."""
    for container in (*template["spec"]["containers"], *template["spec"].get("initContainers", ())):
        container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
        security = container.get("securityContext") or {}
        container["securityContext"] = security | {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _labels(run: ResolvedRun, attempt: int) -> Mapping[str, str]:
    labels = {
        names.LABEL_RUN: run.name,
        names.LABEL_RUN_UID: run.uid,
        names.LABEL_ROOT_RUN: run.root_run or run.name,
        names.LABEL_PARENT: run.parent,
        names.LABEL_FLOW: run.flow,
        names.LABEL_DEPLOYMENT: run.deployment,
        names.LABEL_ATTEMPT: str(attempt),
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }
    return {name: value for name, value in labels.items() if value}


def _credentials() -> Json:
    """Project what the pod needs to report, and no more: a token of its own, the cluster's CA, its namespace."""
    return {
        "name": CREDENTIALS_VOLUME,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "namespace",
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                            }
                        ]
                    }
                },
            ]
        },
    }
