"""Events: that something happened, told to whoever watches.

    from towpath.events import emit_event

    emit_event("order.shipped", resource={"towpath.resource.id": "order-456"}, payload={"tracking": "ABC123"})

    $ towpath events ls --event 'order.*' --since 1h

On this machine they are kept in the history, in a pod they go to its log. States of runs are events too
(`towpath.flow-run.Completed`, …), without anybody having to emit them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from towpath.engine.clock import SYSTEM
from towpath.errors import UnfitValue
from towpath.telling import checks
from towpath.telling.outlets import origin, outlet

__all__ = ["Event", "RelatedResource", "Resource", "emit_event"]

RESOURCE_ID: Final = "towpath.resource.id"
RESOURCE_NAME: Final = "towpath.resource.name"
RESOURCE_ROLE: Final = "towpath.resource.role"
_PREFECT: Final = "prefect."
#: An event that came longer before or after is not said to be followed.
_FOLLOWS: Final = timedelta(minutes=5)
_LABELS: Final = 500
_RELATED: Final = 100


class Resource(dict[str, str]):
    """What an event is about: labels, `towpath.resource.id` among them; `prefect.resource.id` does as well."""

    @property
    def id(self) -> str:
        """What it is told apart by."""
        return _label(self, RESOURCE_ID) or ""

    @property
    def name(self) -> str | None:
        """What people call it."""
        return _label(self, RESOURCE_NAME)


class RelatedResource(Resource):
    """What else has to do with an event, and how: `towpath.resource.role`."""

    @property
    def role(self) -> str:
        """How."""
        return _label(self, RESOURCE_ROLE) or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """That something happened."""

    event: str
    """What: `order.shipped`."""
    resource: Resource
    """To what."""
    related: list[RelatedResource] = field(default_factory=list)
    payload: dict[str, Any] = field(default_factory=dict)
    """What else there is to say, as JSON values."""
    id: UUID = field(default_factory=uuid4)
    follows: UUID | None = None
    """Id of an event that came before."""
    occurred: datetime = field(default_factory=lambda: datetime.now(UTC))

    def as_json(self) -> dict[str, Any]:
        """Give its JSON form."""
        return {
            "id": str(self.id),
            "occurred": self.occurred.isoformat(),
            "event": self.event,
            "resource": self.resource,
            "related": self.related,
            "payload": self.payload,
            "follows": None if self.follows is None else str(self.follows),
        }


def emit_event(  # noqa: PLR0917 as authors know it
    event: str,
    resource: Mapping[str, str],
    occurred: datetime | None = None,
    related: Iterable[Mapping[str, str]] | None = None,
    payload: Mapping[str, Any] | None = None,
    id: UUID | None = None,
    follows: Event | None = None,
) -> Event:
    """Tell that something happened; takes microseconds, and works within runs and outside of any.

    Args:
        event: what, such as `order.shipped`.
        resource: to what: labels, `towpath.resource.id` among them.
        occurred: when; now by default. One without a zone is local.
        related: what else has to do with it: labels, `towpath.resource.id` and `towpath.resource.role` among them.
        payload: what else there is to say, as JSON values; the whole event has at most 64 KiB.
        id: what it is told apart by; the same event told twice counts once.
        follows: an event that came before, by at most five minutes.

    Returns:
        The event.

    Raises:
        UnfitValue: something has not the form that it needs, or is too large.
    """
    if occurred is not None and not isinstance(occurred, datetime):
        raise UnfitValue(f"An event occurred at a datetime; got {occurred!r}.")
    at = datetime.fromtimestamp(SYSTEM.clock.now(), UTC) if occurred is None else occurred.astimezone(UTC)
    if not isinstance(event, str) or not 0 < len(event) <= checks.NAME:
        raise UnfitValue(f"An event's name is a text of 1 to {checks.NAME} characters; got {event!r}.")
    if follows is not None and not isinstance(follows, Event):
        raise UnfitValue(f"An event follows another Event, as emit_event gives it; got {follows!r}.")
    told = Event(
        event=event,
        resource=Resource(_labels("An event's resource", resource, RESOURCE_ID)),
        related=_all_related(related),
        payload=_payload(payload),
        id=uuid4() if id is None else checks.as_id("An event's id is a UUID", id),
        follows=None if follows is None or abs(at - follows.occurred) >= _FOLLOWS else follows.id,
        occurred=at,
    )
    checks.fits(
        f"The event {event!r}",
        checks.as_json(f"The payload of the event {event!r}", told.as_json()),
        checks.EVENT_BYTES,
        "Keep what is large as a result or an artifact, and name it in the payload.",
    )
    outlet().event(told, origin())
    return told


def _payload(payload: Any) -> dict[str, Any]:
    if payload is not None and not isinstance(payload, Mapping):
        raise UnfitValue(f"A payload is a dictionary; got {payload!r}.")
    return dict(payload or {})


def _all_related(related: Iterable[Mapping[str, str]] | None) -> list[RelatedResource]:
    found = [RelatedResource(_labels("A related resource", each, RESOURCE_ID, RESOURCE_ROLE)) for each in related or ()]
    if len(found) > _RELATED:
        raise UnfitValue(f"An event has at most {_RELATED} related resources; got {len(found)}.")
    return found


def _labels(what: str, labels: Any, *needed: str) -> Mapping[str, str]:
    if not isinstance(labels, Mapping) or any(not isinstance(one, str) for pair in labels.items() for one in pair):
        raise UnfitValue(f"{what} is a dictionary of texts, such as {{{RESOURCE_ID!r}: 'order-456'}}; got {labels!r}.")
    if len(labels) > _LABELS:
        raise UnfitValue(f"{what} has at most {_LABELS} labels; got {len(labels)}.")
    for name in needed:
        if not _label(labels, name):
            raise UnfitValue(f"{what} needs the label {name!r}; got {dict(labels)!r}.")
    return labels


def _label(labels: Mapping[str, str], name: str) -> str | None:
    """Give a label by its name, or by the name that Prefect's users know."""
    return labels.get(name) or labels.get(_PREFECT + name.partition(".")[2])
