"""What was settled for a run when its first Job was made, kept for its later attempts (docs/decisions/0011).

A Flow may be changed or deleted between two attempts of a run; that must not change the run. So the parts of Flow,
Deployment and Queue that a Job is made of are kept as a ControllerRevision, Kubernetes' own kind for snapshots that
never change. It is named by its content: runs that begin while nothing changes share one, and one that somebody has
made up is found out by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from towpath import names

#: On the Job: the revision that it was made of, for an operator that finds it before the run's status says so.
ANNOTATION: Final = f"{names.GROUP}/revision"
#: Since when no run has named a revision; whoever is about to use it takes this away first.
UNUSED_SINCE: Final = f"{names.GROUP}/unused-since"

#: Nothing of a Job: what parameters are checked by before the first, when runs are made, and how many at once.
_OF_NO_JOB: Final[Mapping[str, frozenset[str]]] = {
    "flow": frozenset({"parameters", "description"}),
    "deployment": frozenset(
        {
            "schedules",
            "suspend",
            "missedRunPolicy",
            "startingDeadlineSeconds",
            "concurrency",
            "limits",
            "queue",
            "priority",
            "history",
        }
    ),
    "queue": frozenset({"limit", "priority", "suspend"}),
}
_PREFIX: Final = 40


@dataclass(frozen=True, slots=True)
class Revision:
    """Parts of Flow, Deployment and Queue, as they were at one moment."""

    flow_name: str
    flow: Mapping[str, Any]
    deployment: Mapping[str, Any]
    queue: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        flow_name: str,
        *,
        flow: Mapping[str, Any],
        deployment: Mapping[str, Any],
        queue: Mapping[str, Any],
    ) -> Revision | None:
        """Take from specs what a Job is made of; None if there is nothing that could change.

        Args:
            flow_name: name of the flow, as its runs are labelled.
            flow: the Flow's spec; empty if the run brings its own.
            deployment: the Deployment's spec, or nothing.
            queue: the Queue's spec, or nothing.
        """
        given = {"flow": flow, "deployment": deployment, "queue": queue}
        kept = {
            kind: {key: value for key, value in spec.items() if key not in _OF_NO_JOB[kind]}
            for kind, spec in given.items()
        }
        return cls(flow_name, **kept) if any(kept.values()) else None

    @property
    def name(self) -> str:
        """Name of the ControllerRevision."""
        return f"{names.slug(self.flow_name, _PREFIX)}-{names.digest(names.canonical_json(self._data()), length=16)}"

    def manifest(self, namespace: str) -> dict[str, Any]:
        """Build the ControllerRevision."""
        return {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": self.name,
                "namespace": namespace,
                "labels": {
                    names.LABEL_MANAGED_BY: names.MANAGED_BY,
                    names.LABEL_FLOW: self.flow_name,
                },
            },
            "revision": 1,
            "data": self._data(),
        }

    def _data(self) -> dict[str, Any]:
        return {
            "name": self.flow_name,
            "flow": dict(self.flow),
            "deployment": dict(self.deployment),
            "queue": dict(self.queue),
        }


def revision_in(body: Mapping[str, Any] | None) -> Revision | None:
    """Read a ControllerRevision; None if there is none, or it is of another shape.

    Its name is compared with its content when a run is about to name it, and not at each reading: it never changes.
    """
    try:
        data = body["data"]  # type: ignore[index]
        parts = [dict(data[kind]) for kind in ("flow", "deployment", "queue")]
        return Revision(str(data["name"]), *parts)
    except (KeyError, TypeError, ValueError):
        return None
