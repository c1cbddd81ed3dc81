"""Which ConcurrencyLimits there are in a run's namespace, and which of them a name in code means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from towpath.concurrency.arithmetic import Limit
from towpath.names import slug

_PREFIX: Final = "tag:"
_NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Roster:
    """The limits of a namespace, as they were at one moment."""

    limits: Mapping[str, Limit] = field(default_factory=dict)
    """By the name of their resource."""
    tagged: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Names of resources by the tag of tasks that they hold for, as code names it: `tag:heavy`."""
    holders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the runs that hold slots, by the name of the resource; the first of them, a moment ago."""

    def meant(self, names: Iterable[str]) -> frozenset[str]:
        """Give the names of the resources that names in code mean; a name that means none stays what it is."""
        return frozenset[str]().union(*map(self._meant, names))

    def why(self, name: str, own: int) -> str:
        """Say why a slot of a limit has to be waited for.

        Args:
            name: of the limit.
            own: how many of its slots the run that waits has itself.
        """
        limit = self.limits[name]
        if limit.decay:
            return f"The slots of {name!r} come free at {limit.decay:g} a second."
        if limit.slots == 0:
            return f"The limit {name!r} has 0 slots, so nobody gets in until it is set to more."
        have = f"{name!r} has {limit.slots} slot{'' if limit.slots == 1 else 's'}"
        if own:
            return f"{have}, of which this run has taken {own} elsewhere in its code."
        if not (holders := self.holders.get(name)):
            return f"{have}, and this run waits for its turn."
        more = f" and {len(holders) - _NAMES_SHOWN} more" if len(holders) > _NAMES_SHOWN else ""
        return f"{have}, held by {', '.join(f'run {run!r}' for run in holders[:_NAMES_SHOWN])}{more}."

    def _meant(self, name: str) -> frozenset[str]:
        if name in self.limits:
            return frozenset({name})
        if name.startswith(_PREFIX):
            return self.tagged.get(name, frozenset({name}))
        return frozenset({made if (made := slug(name)) in self.limits else name})


def roster_of(bodies: Iterable[Mapping[str, Any]]) -> Roster:
    """Read ConcurrencyLimits as the API gives them."""
    limits: dict[str, Limit] = {}
    tagged: dict[str, frozenset[str]] = {}
    holders: dict[str, Sequence[str]] = {}
    for body in bodies:
        name, spec, status = body["metadata"]["name"], body["spec"], body.get("status") or {}
        decay = float(spec.get("slotDecayPerSecond") or 0)
        limits[name] = Limit(name, spec["limit"], decay, is_active=not spec.get("suspend"))
        if spec.get("tag") and spec.get("appliesTo", "Tasks") == "Tasks":
            tag = _PREFIX + spec["tag"]
            tagged[tag] = tagged.get(tag, frozenset()) | {name}
        holders[name] = [holder["run"] for holder in status.get("holders") or ()]
    return Roster(limits, tagged, holders)
