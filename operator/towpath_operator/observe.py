"""Reads what is known of one object out of the store and freezes it for `decide`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Body: TypeAlias = Mapping[str, Any]
"""An object as the API gave it, without managedFields."""


class View(Protocol):
    """What observing needs of the store: look-ups of bodies, all in memory; None or empty where there is nothing."""

    def get(self, plural: str, namespace: str, name: str) -> Body | None:
        """Give the object; plural is one of flows, deployments, flowruns, jobs, pods."""
        ...

    def pods_of_job(self, namespace: str, job_name: str) -> Sequence[Body]:
        """Give the pods of a Job (by their label batch.kubernetes.io/job-name), in no order."""
        ...

    def children_of_run(self, uid: str) -> Sequence[Body]:
        """Give the FlowRuns whose spec.parent.uid this is, in no order."""
        ...
