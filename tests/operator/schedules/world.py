"""An API server with one Deployment, and operators that make the runs of its schedules: killed, late, two at a time.

Each operator sees the Deployment as of its last look at the watch, and goes by a clock that may be wrong. The API server
refuses a second run of the same name and a patch of another version. Runs that have ended are deleted after a while, but
not before the Deployment says that they were made: that takes milliseconds, and nobody deletes runs while no operator
works.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.builders import make_flow
from tests.json_patch import apply_patch

from towpath_operator.reconcile import deployment
from towpath_operator.reconcile.decision import Action, ConfirmUnchanged, CreateRun, PatchStatus, TellMissed
from towpath_operator.reconcile.observed import ObservedDeployment

Body = dict[str, Any]
#: How long a run is there at the least: it has to run, to end, and to be cleaned away.
SHORTEST_STAY = timedelta(seconds=60)


class _StaleError(Exception):
    """What was decided rests on what is no longer so."""


@dataclass
class World:
    """One Deployment and its runs."""

    body: Body
    now: datetime
    """The true time."""
    seen: list[Body] = field(default_factory=list)
    """The Deployment, as each operator last saw it."""
    clock: timedelta = timedelta()
    """How far the operators' clock is ahead of the true time."""
    runs: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """Runs that exist: when they were made, and for which time."""
    made: Counter[datetime] = field(default_factory=Counter)
    """How often a run was made for a time."""
    missed: int = 0
    latest: datetime = datetime.min
    """The latest time that any operator has read off its clock."""

    def __post_init__(self) -> None:
        self.seen = [self.body, self.body]
        self.latest = self.now

    def watch(self, operator: int) -> None:
        """Let an operator hear of the Deployment as it is."""
        self.seen[operator] = self.body

    def look(self, operator: int, *, kill_before: int | None = None) -> bool:
        """Let an operator look at the Deployment; tell whether it had anything to do.

        Args:
            operator: which.
            kill_before: number of the action before which it is killed; when it comes again it lists everything.
        """
        clock = self.now + self.clock
        self.latest = max(self.latest, clock)
        decision = deployment.decide(ObservedDeployment(self.seen[operator], make_flow()), clock)
        if decision.bug:
            raise decision.bug
        for number, action in enumerate(decision.actions):
            if number == kill_before:
                self.watch(operator)
                return True
            try:
                self._do(operator, action)
            except _StaleError:
                self.watch(operator)
                return True
        return bool(decision.actions)

    def settle(self) -> None:
        """Let both operators see and do all that there is."""
        for operator in (0, 1):
            self.watch(operator)
            for _ in range(100):
                if not self.look(operator):
                    break
            else:
                raise AssertionError("an operator finds something to do for ever")

    def clean(self) -> None:
        """Delete runs that have been there for a while."""
        marks = [one["seenUntil"] for one in (self.body.get("status") or {}).get("schedules", ())]
        told = min(map(datetime.fromisoformat, marks), default=datetime.min.replace(tzinfo=UTC))
        self.runs = {
            name: (made, due)
            for name, (made, due) in self.runs.items()
            if self.now - made < SHORTEST_STAY or due > told
        }

    def wait_for_the_clock(self) -> None:
        """Let time pass until the operators' clock shows the latest time that it has ever shown."""
        self.now = max(self.now, self.latest - self.clock)

    def edit(self, **spec: Any) -> None:
        """Apply the Deployment with other fields in its spec."""
        self._put({**self.body, "spec": self.body["spec"] | spec}, generations=1)

    def _do(self, operator: int, action: Action) -> None:
        match action:
            case CreateRun(manifest=manifest, due=due):
                name = manifest["metadata"]["name"]
                if name not in self.runs:
                    self.runs[name] = (self.now, due)
                    self.made[due] += 1
            case PatchStatus(resource_version=version, patch=patch):
                self._expect(version)
                self._put(apply_patch(self.body, patch))
                self.watch(operator)
            case ConfirmUnchanged(resource_version=version):
                self._expect(version)
            case TellMissed(count=count):
                self.missed += count
            case _:
                pass

    def _expect(self, version: str) -> None:
        if self.body["metadata"]["resourceVersion"] != version:
            raise _StaleError

    def _put(self, body: Body, *, generations: int = 0) -> None:
        metadata = body["metadata"]
        changed = {
            "resourceVersion": str(int(metadata["resourceVersion"]) + 1),
            "generation": metadata["generation"] + generations,
        }
        self.body = {**body, "metadata": metadata | changed}
