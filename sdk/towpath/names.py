"""Names that SDK, operator, chart and dashboards agree on: the API group, labels, environment, and how names are made.

Everything here is pure and standard library only, so that `import towpath` stays cheap and both sides share one source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

GROUP: Final = "towpath.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

LABEL_RUN: Final = f"{GROUP}/run"
LABEL_RUN_UID: Final = f"{GROUP}/run-uid"
LABEL_ROOT_RUN: Final = f"{GROUP}/root-run"
LABEL_PARENT: Final = f"{GROUP}/parent"
LABEL_FLOW: Final = f"{GROUP}/flow"
LABEL_DEPLOYMENT: Final = f"{GROUP}/deployment"
#: The schedule, among those of its deployment, that made a run.
LABEL_SCHEDULE: Final = f"{GROUP}/schedule"
#: The automation that made a run.
LABEL_AUTOMATION: Final = f"{GROUP}/automation"
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
#: Annotation by which a test of an automation is asked for; each new value is a test.
ANNOTATION_TEST: Final = f"{GROUP}/test"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "towpath"

#: The container of a run's pod that executes the flow; a template's container of this name is merged into it.
CONTAINER: Final = "flow"
#: Where a run's pod finds its projected API token, the cluster's CA (`ca.crt`) and its namespace (`namespace`).
CREDENTIALS_DIR: Final = "/var/run/secrets/towpath"

ENV_RUN: Final = "TOWPATH_RUN"
ENV_RUN_UID: Final = "TOWPATH_RUN_UID"
ENV_NAMESPACE: Final = "TOWPATH_NAMESPACE"
ENV_ROOT_RUN: Final = "TOWPATH_ROOT_RUN"
ENV_PARENT: Final = "TOWPATH_PARENT"
ENV_DEPTH: Final = "TOWPATH_DEPTH"
ENV_ATTEMPT: Final = "TOWPATH_ATTEMPT"
ENV_FLOW: Final = "TOWPATH_FLOW"
ENV_DEPLOYMENT: Final = "TOWPATH_DEPLOYMENT"
ENV_ENTRYPOINT: Final = "TOWPATH_ENTRYPOINT"
ENV_IMAGE: Final = "TOWPATH_IMAGE"
#: The run's parameters, defaults of the deployment included, as one JSON object.
ENV_PARAMETERS: Final = "TOWPATH_PARAMETERS"
ENV_TAGS: Final = "TOWPATH_TAGS"
ENV_RETRIES: Final = "TOWPATH_RETRIES"
ENV_TIMEOUT_SECONDS: Final = "TOWPATH_TIMEOUT_SECONDS"
ENV_RESULT_STORAGE: Final = "TOWPATH_RESULT_STORAGE"
#: The pod template that the run's children inherit, as JSON (docs/decisions/0004).
ENV_TEMPLATE: Final = "TOWPATH_TEMPLATE"

#: A variable (`towpath.variables`) is `TOWPATH_VARIABLE_` and its name; each key of the ConfigMap becomes one in a pod.
VARIABLE_PREFIX: Final = "TOWPATH_VARIABLE_"
#: The ConfigMap that has a namespace's variables; there need not be one.
VARIABLES_CONFIG_MAP: Final = "towpath-variables"
#: A secret (`towpath.blocks.system`) may be `TOWPATH_SECRET_` and its name.
SECRET_PREFIX: Final = "TOWPATH_SECRET_"  # noqa: S105 a name
#: Else it is a file of its name below this folder, where a pod template mounts Kubernetes Secrets.
SECRETS_DIR: Final = "/etc/towpath/secrets"

#: How long the process may take to end in order after SIGTERM; a little less than the pod's own grace period.
ENV_GRACE_SECONDS: Final = "TOWPATH_GRACE_SECONDS"

#: Nesting of runs deeper than this is refused (a recursion guard).
MAX_DEPTH: Final = 20
#: Serialised parameters of one run, in bytes: they live in the resource and in the pod's environment.
MAX_PARAMETERS_BYTES: Final = 10 * 1024
#: A result as it travels in the resource's status, in bytes of JSON or of a pickle's base64; a larger one needs
#: `result_storage`.
MAX_INLINE_RESULT_BYTES: Final = 12 * 1024

_LABEL_MAX: Final = 63
_SCHEDULED_PREFIX: Final = 36
_JOB_RUN_PREFIX: Final = 40


def slug(text: str, limit: int = _LABEL_MAX) -> str:
    """Make a DNS-1123 label out of any text: `"Load CSV_file"` → `"load-csv-file"`; never empty."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return cleaned[:limit].rstrip("-") or "x"


def canonical_json(value: Any) -> str:
    """Serialise a JSON value so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(*parts: str, length: int = 8) -> str:
    """Hash texts to a short hexadecimal word; each part is framed, so ("ab", "c") differs from ("a", "bc")."""
    import hashlib  # takes as long to load as the rest of this module, and a run on this machine needs no digest

    hasher = hashlib.sha256()
    for part in parts:
        data = part.encode()
        hasher.update(len(data).to_bytes(8, "big"))
        hasher.update(data)
    return hasher.hexdigest()[:length]


def job_name(run_name: str, run_uid: str, attempt: int) -> str:
    """Name the Job of a run's attempt; the same for the same arguments, so that the API refuses to create it twice.

    The chart's admission policy recomputes the part before the attempt from the FlowRun and compares it with the name
    of the pod that writes: change both together.
    """
    return f"{run_name[:_JOB_RUN_PREFIX].rstrip('-')}-{run_uid[:8]}-{attempt}"


def call_key(flow_name: str, parameters: Mapping[str, Any], occurrence: int) -> str:
    """Identify a parent's call of a child: the flow, what it was given, and how often the same came before (from 0).

    The order of *different* calls does not matter, so children started side by side keep their identity when the parent
    is retried.
    """
    return digest(flow_name, canonical_json(parameters), str(occurrence), length=10)


def input_digest(given: Any) -> str:
    """Tell one input of a pause from another; nothing at all is the same as an empty object."""
    return digest(canonical_json(given or {}), length=16)


def child_run_name(parent_name: str, parent_uid: str, flow_name: str, call: str) -> str:
    """Name a child run after its parent, its flow and its call; a retried parent finds the same child again."""
    return f"{slug(parent_name, 30)}-{slug(flow_name, 18)}-{digest(parent_uid, call, length=10)}"


def scheduled_run_name(deployment: str, schedule: str, due: datetime) -> str:
    """Name the run of a deployment's schedule for a time, so that the API refuses to create it twice.

    `nightly-20260131t020000z-1a2b3c4d`: the time is in UTC; what it leaves out, the hash at the end has.
    """
    moment = due.astimezone(UTC)
    key = digest(deployment, schedule, moment.isoformat())
    return f"{slug(deployment, _SCHEDULED_PREFIX)}-{moment:%Y%m%dt%H%M%Sz}-{key}"


def automation_run_name(deployment: str, event: str, action: int) -> str:
    """Name the run of a deployment that an automation's action makes for an event, so that it is made once."""
    return f"{slug(deployment, _SCHEDULED_PREFIX)}-auto-{digest(event, str(action), length=12)}"


def is_automation_run(name: str) -> bool:
    """Tell whether a run's name is one that automations give."""
    return re.fullmatch(r"[a-z0-9-]+-auto-[0-9a-f]{12}", name) is not None
