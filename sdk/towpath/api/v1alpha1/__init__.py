"""Towpath's resources, such as FlowRun: the one source of truth for CRDs, operator, SDK and documentation.

The models are loaded when they are first used: a run's own pod needs `transitions` only, and starts without them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from towpath.api.v1alpha1.automation import Automation, AutomationSpec
    from towpath.api.v1alpha1.common import Column, Condition, Crd, Resource, Rule
    from towpath.api.v1alpha1.concurrency_limit import ConcurrencyLimit, ConcurrencyLimitSpec
    from towpath.api.v1alpha1.deployment import Deployment, DeploymentSpec
    from towpath.api.v1alpha1.flow import Flow, FlowSpec
    from towpath.api.v1alpha1.flowrun import FlowRun, FlowRunSpec, ParentRef
    from towpath.api.v1alpha1.flowrun_status import FlowRunStatus, RunState
    from towpath.api.v1alpha1.queue import Queue, QueueSpec

    KINDS: tuple[type[Resource], ...]

__all__ = [
    "KINDS",
    "Automation",
    "AutomationSpec",
    "Column",
    "ConcurrencyLimit",
    "ConcurrencyLimitSpec",
    "Condition",
    "Crd",
    "Deployment",
    "DeploymentSpec",
    "Flow",
    "FlowRun",
    "FlowRunSpec",
    "FlowRunStatus",
    "FlowSpec",
    "ParentRef",
    "Queue",
    "QueueSpec",
    "Resource",
    "Rule",
    "RunState",
]

_MODULES: Final = {
    "automation": ("Automation", "AutomationSpec"),
    "common": ("Column", "Condition", "Crd", "Resource", "Rule"),
    "concurrency_limit": ("ConcurrencyLimit", "ConcurrencyLimitSpec"),
    "deployment": ("Deployment", "DeploymentSpec"),
    "flow": ("Flow", "FlowSpec"),
    "flowrun": ("FlowRun", "FlowRunSpec", "ParentRef"),
    "flowrun_status": ("FlowRunStatus", "RunState"),
    "queue": ("Queue", "QueueSpec"),
}
_KINDS: Final = ("Flow", "Deployment", "FlowRun", "Queue", "ConcurrencyLimit", "Automation")


def __getattr__(name: str) -> Any:
    if name == "KINDS":
        value: Any = tuple(__getattr__(kind) for kind in _KINDS)
    else:
        module = next((module for module, held in _MODULES.items() if name in held), None)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
