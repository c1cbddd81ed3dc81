"""What is left to do about an event, and when it is tried again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from towpath.api.v1alpha1.transitions import rfc3339
from towpath.limits import cut
from towpath_operator.reconcile.automation_actions import Outcome
from towpath_operator.reconcile.occurrences import TEST, Occurrence
from towpath_operator.reconcile.occurrences import read as read_event
from towpath_operator.reconcile.reading import integer, mappings, moment, text

#: Delays between attempts, in seconds: the first, which then doubles, and the longest.
BASE: Final = 5.0
CAP: Final = 3600.0
#: How long an action is tried.
GIVE_UP: Final = timedelta(hours=24)
#: How often an action is tried when the answer is that it will not be taken, or when it is a test.
HOPELESS: Final = 4

_ERROR: Final = 256


@dataclass(slots=True)
class Left:
    """One action that is left."""

    attempts: int = 0
    next_at: datetime | None = None
    last_error: str = ""


@dataclass(slots=True)
class Pending:
    """An event and what is left to do about it; for one decision only, and not shared."""

    event: Occurrence
    taken: datetime
    left: dict[int, Left]

    @classmethod
    def begin(cls, event: Occurrence, actions: Iterable[int], now: datetime) -> Pending:
        """Take an event in, with everything left to do."""
        return cls(event, now, {index: Left() for index in actions})

    @classmethod
    def read(cls, entry: Mapping[str, Any], actions: int) -> Pending:
        """Read what `wire` has written; of so many actions as there are by now."""
        event = read_event(entry)
        left = {
            index: Left(integer(one, "attempts") or 0, moment(one, "nextAt"), text(one, "lastError"))
            for one in mappings(entry, "left")
            if (index := integer(one, "action")) is not None and index < actions
        }
        return cls(event, moment(entry, "taken") or event.at, left)

    def wire(self) -> dict[str, Any]:
        """Give it as the status says it."""
        left = [
            {"action": index, "attempts": one.attempts}
            | ({"nextAt": rfc3339(one.next_at)} if one.next_at else {})
            | ({"lastError": cut(one.last_error, _ERROR)} if one.last_error else {})
            for index, one in sorted(self.left.items())
        ]
        return self.event.wire() | {"taken": rfc3339(self.taken), "left": left}

    @property
    def has_failed(self) -> bool:
        """Whether something that is left was tried and did not work."""
        return any(one.last_error for one in self.left.values())

    def is_due(self, action: int, now: datetime) -> bool:
        """Tell whether an action is to be tried now."""
        return self.wait(action, now) <= 0

    def wait(self, action: int, now: datetime) -> float:
        """Give the seconds until an action is to be tried; the clock may have been set, so no more than the longest."""
        next_at = self.left[action].next_at
        wait = (next_at - now).total_seconds() if next_at else 0.0
        return wait if wait <= CAP else 0.0

    def failed(self, action: int, outcome: Outcome, now: datetime) -> bool:
        """Note that an action was tried and did not work; tell whether it is given up."""
        left = self.left[action]
        left.attempts += 1
        left.last_error = outcome.error
        is_hopeless = outcome.is_hopeless or self.event.event == TEST
        if (is_hopeless and left.attempts >= HOPELESS) or now - self.taken >= GIVE_UP:
            del self.left[action]
            return True
        delay = min(CAP, BASE * 2.0 ** min(left.attempts - 1, 32)) * (0.5 + 0.5 * outcome.jitter)
        left.next_at = now + timedelta(seconds=min(CAP, max(delay, outcome.after_seconds)))
        return False
