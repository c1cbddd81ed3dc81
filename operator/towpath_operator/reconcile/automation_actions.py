"""What is done for an Automation, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from towpath_operator.reconcile.messages import Message


class Delivery(NamedTuple):
    """One action about one event."""

    event: str
    """Id of the event."""
    action: int
    """Which of spec.actions, counted from 0."""


@dataclass(frozen=True, slots=True)
class SendWebhook:
    """Begin to send a message, in the background; how it went is observed later as an `Outcome`."""

    namespace: str
    automation: str
    uid: str
    """The Automation's."""
    delivery: Delivery
    webhook: Mapping[str, Any]
    """What the spec says: where to, further headers, the secret to sign with."""
    message: Message
    at: float
    """When the event happened, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class MakeRun:
    """Create the FlowRun that an event asks for; its name is deterministic, so one that exists is success."""

    namespace: str
    manifest: Mapping[str, Any]
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Wish:
    """Set fields of an object's spec; an object that is gone, or another one by its name, needs it no more."""

    plural: str
    namespace: str
    name: str
    uid: str
    """Which object; empty: any of that name."""
    fields: Mapping[str, Any]
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Settle:
    """Let go of what the status says by now: events that were taken in, and outcomes that were written."""

    namespace: str
    automation: str
    events: frozenset[str]
    outcomes: frozenset[Delivery]


@dataclass(frozen=True, slots=True)
class Tell:
    """Count for the metrics what the status says by now."""

    namespace: str
    automation: str
    triggered: int = 0
    delivered: int = 0
    given_up: int = 0


AutomationAction: TypeAlias = SendWebhook | MakeRun | Wish | Settle | Tell


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt to do something went."""

    error: str = ""
    """Why it did not work, without anything secret; empty: it did."""
    is_hopeless: bool = False
    """Whether the answer says that trying again will not help."""
    after_seconds: float = 0.0
    """How long the receiver wants to be left alone."""
    jitter: float = 1.0
    """Between 0 and 1, so that many that failed together do not come back together."""
