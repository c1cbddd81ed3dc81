"""The resources Flow, Deployment and FlowRun: the one source of truth for CRDs, operator, SDK and documentation."""

from towpath.api.v1alpha1.common import Condition, Crd, Resource, Rule
from towpath.api.v1alpha1.deployment import Deployment, DeploymentSpec
from towpath.api.v1alpha1.flow import Flow, FlowSpec
from towpath.api.v1alpha1.flowrun import FlowRun, FlowRunSpec, FlowRunStatus, ParentRef, RunState

KINDS: tuple[type[Resource], ...] = (Flow, Deployment, FlowRun)

__all__ = [
    "KINDS",
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
