"""What is to be run, with everything settled: the flow's, the deployment's and the run's own word put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from towpath_operator.specs.revisions import Revision


@dataclass(frozen=True, slots=True)
class ResolvedRun:
    """A run as its Job is built from; equal ones give equal Jobs."""

    name: str
    namespace: str
    uid: str
    flow: str
    """Name of the flow, fit for a label."""
    image: str
    entrypoint: str = ""
    """Where the flow is in the image; empty for a plain container."""
    command: tuple[str, ...] = ()
    """What a plain container runs; empty for a flow with an entrypoint."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    templates: tuple[Mapping[str, Any], ...] = ()
    """Pod templates, each merged over those before."""
    deployment: str = ""
    parent: str = ""
    """Name of the run that called this one; empty if none did."""
    root_run: str = ""
    """Name of the run at the top of the tree; the run's own if it is the top."""
    depth: int = 0
    """How many runs are above this one."""
    timeout_seconds: int | None = None
    pending_timeout_seconds: int = 600
    retries: int | None = None
    """What overrides the decorator's retries; None leaves them."""
    infra_retries: int = 3
    result_storage: str = ""
    revision: Revision | None = None
    """What of it later attempts must find as it is; None: the run itself says it all."""

    @property
    def reports_itself(self) -> bool:
        """True if the process in the pod knows Towpath and says itself how the run goes."""
        return bool(self.entrypoint)
