"""The kinds that the operator deals with, as its runtime has to know them."""

from __future__ import annotations

from typing import Final

from towpath import names
from towpath_operator.runtime.resources import Resource

FLOWS: Final = Resource(names.GROUP, names.VERSION, "flows", "Flow")
DEPLOYMENTS: Final = Resource(names.GROUP, names.VERSION, "deployments", "Deployment")
FLOWRUNS: Final = Resource(names.GROUP, names.VERSION, "flowruns", "FlowRun")
QUEUES: Final = Resource(names.GROUP, names.VERSION, "queues", "Queue")
CONCURRENCY_LIMITS: Final = Resource(names.GROUP, names.VERSION, "concurrencylimits", "ConcurrencyLimit")
AUTOMATIONS: Final = Resource(names.GROUP, names.VERSION, "automations", "Automation")
_OURS: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
JOBS: Final = Resource("batch", "v1", "jobs", "Job", _OURS)
PODS: Final = Resource("", "v1", "pods", "Pod", _OURS)
REVISIONS: Final = Resource("apps", "v1", "controllerrevisions", "ControllerRevision", _OURS)
EVENTS: Final = Resource("", "v1", "events", "Event")
#: Never listed or watched: read one by one, where an automation names it and the operator may.
SECRETS: Final = Resource("", "v1", "secrets", "Secret")

#: Kinds that kopf watches: our own, of which there are few changes.
BY_KOPF: Final = (FLOWS, DEPLOYMENTS, FLOWRUNS, QUEUES, CONCURRENCY_LIMITS, AUTOMATIONS)
#: Kinds that reflectors watch, and only those objects that have our label.
BY_REFLECTOR: Final = (JOBS, PODS, REVISIONS)
BY_PLURAL: Final = {resource.plural: resource for resource in (*BY_KOPF, *BY_REFLECTOR)}
