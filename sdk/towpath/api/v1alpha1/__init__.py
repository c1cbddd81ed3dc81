"""The resources Flow, Deployment and FlowRun: the one source of truth for CRDs, operator, SDK and documentation."""

from towpath.api.v1alpha1.common import Column, Condition, Crd, Resource, Rule
from towpath.api.v1alpha1.deployment import Deployment, DeploymentSpec
from towpath.api.v1alpha1.flow import Flow, FlowSpec
from towpath.api.v1alpha1.flowrun import FlowRun, FlowRunSpec, ParentRef
from towpath.api.v1alpha1.flowrun_status import FlowRunStatus, RunState

KINDS: tuple[type[Resource], ...] = (Flow, Deployment, FlowRun)

__all__ = [
    "KINDS",
    "Column",
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
    "Resource",
    "Rule",
    "RunState",
]
