"""What is known of an Automation at one moment, beside the Automation itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from towpath_operator.reconcile.automation_actions import Delivery, Outcome
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.occurrences import Occurrence


@dataclass(frozen=True, slots=True)
class ObservedAutomation:
    """An Automation, what happened, and how it went with what was begun."""

    automation: Body
    found: Sequence[Occurrence] = ()
    """Events that nobody has said to be settled: new ones, and maybe some that the status knows already."""
    next_deadline: datetime | None = None
    """When the next run will have taken too long, as things are."""
    last_success: datetime | None = None
    """When a run that counts COMPLETED last, as far as it was seen."""
    outcomes: Mapping[Delivery, Outcome] = field(default_factory=dict)
    """How attempts to send went that the status does not know of."""
    in_flight: frozenset[Delivery] = frozenset()
    """What is being sent."""
    refused: Mapping[Delivery, str] = field(default_factory=dict)
    """What the API server has just said against actions."""
    ended: frozenset[str] = frozenset()
    """UIDs of runs of events that have ended."""
    deployments: Mapping[str, Body] = field(default_factory=dict)
    """The Deployments that the Automation names and that exist, by name."""
    secret_problem: str = ""
    """Why a Secret that it names cannot be read."""
