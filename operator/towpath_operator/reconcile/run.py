"""A FlowRun as decisions see it, and the ways in which its status is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from towpath import names
from towpath.api.v1alpha1 import transitions
from towpath.states import StateType
from towpath_operator.reconcile.decision import EmitEvent, PatchStatus
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import integer, mapping, mappings, moment, text

PLURAL: Final = "flowruns"
#: What an attempt counts, beside what `transition` itself takes away with it.
COUNTS: Final = ("tasks", "children", "waitingFor")


@dataclass(frozen=True, slots=True)
class Run:
    """What a FlowRun's body says, read once."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    """The status, without parts of a shape that a transition could not build on."""
    state: StateType | None
    reason: str
    since: datetime | None
    """When it entered its state."""
    attempt: int
    """The attempt it is in; 0 if none has begun."""

    @classmethod
    def of(cls, body: Body) -> Run:
        """Read a FlowRun."""
        status = _buildable(mapping(body, "status"))
        type_ = text(status, "state", "type")
        return cls(
            name=text(body, "metadata", "name"),
            namespace=text(body, "metadata", "namespace"),
            uid=text(body, "metadata", "uid"),
            resource_version=text(body, "metadata", "resourceVersion"),
            spec=mapping(body, "spec"),
            status=status,
            state=StateType(type_) if type_ in StateType.__members__ else None,
            reason=text(status, "state", "reason"),
            since=moment(status, "state", "since"),
            attempt=max(integer(status, "attempt") or 0, 0),
        )

    @property
    def job_name(self) -> str:
        """Name of the Job of the current attempt, or of the first if none has begun."""
        return names.job_name(self.name, self.uid, max(self.attempt, 1))

    @property
    def previous_job_name(self) -> str:
        """Name of the Job of the attempt before."""
        return names.job_name(self.name, self.uid, self.attempt - 1)

    @property
    def has_job(self) -> bool:
        """True if the status says that the attempt's Job was made."""
        return bool(text(self.status, "job"))

    def patch(self, operations: list[transitions.Op]) -> PatchStatus:
        """Build the action that changes the status, if the run is still as it was observed."""
        return PatchStatus(PLURAL, self.namespace, self.name, self.resource_version, tuple(operations))

    def becomes(
        self,
        type_: StateType,
        now: datetime,
        *,
        reason: str | None = None,
        message: str,
        name: str | None = None,
        attempt: int | None = None,
        fields: Mapping[str, Any] | None = None,
        because: str | None = None,
    ) -> PatchStatus:
        """Build the action that brings the run into a state.

        Args:
            type_: the new state's type.
            now: when it begins.
            reason: one word, if there is more to say than the state does.
            message: a sentence.
            name: the state's name, if not the type's own.
            attempt: the attempt it belongs to, if not the current one.
            fields: further fields of the status to set; None removes one.
            because: the reason that stays in the history, if not this one.
        """
        state = transitions.state(type_, now, name=name, reason=reason, message=message)
        belongs_to = self.attempt if attempt is None else attempt
        return self.patch(
            transitions.transition(self.status, state, attempt=belongs_to, fields=fields, because=because)
        )

    def event(self, reason: str, message: str) -> EmitEvent:
        """Build a warning that `kubectl describe` shows."""
        regarding = {
            "apiVersion": names.API_VERSION,
            "kind": "FlowRun",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }
        return EmitEvent(regarding, reason, message, warning=True)


def _buildable(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Drop from a status what was not written by us and would trip the next transition; that replaces it whole."""
    kept = dict(status)
    if "history" in kept:
        kept["history"] = list(mappings(status, "history"))
    if "conditions" in kept:
        needed = ("type", "status", "lastTransitionTime")
        kept["conditions"] = [c for c in mappings(status, "conditions") if all(text(c, key) for key in needed)]
    return kept
