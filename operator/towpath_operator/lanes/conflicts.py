"""What happens when a Deployment has as many runs at work as it may, and its `onConflict` is not to let others wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from towpath_operator.lanes.lane import Lane
from towpath_operator.lanes.runs import NO_LANES, Stand, StandingRun
from towpath_operator.observe import Key
from towpath_operator.reconcile.claims import Order
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import text

DEPLOYMENTS: Final = "deployments"


class Conflicts:
    """Runs that are cancelled because their Deployment has too many.

    Args:
        get: gives an object as last seen, by plural, namespace and name.
        runs: all runs that have not ended.
        lanes: all lanes.
    """

    def __init__(
        self,
        get: Callable[[str, str, str], Body | None],
        runs: Mapping[Key, StandingRun],
        lanes: Mapping[Key, Lane[Key]],
    ) -> None:
        self._get = get
        self._runs = runs
        self._lanes = lanes

    def refusal(self, run: StandingRun, lanes: Iterable[Key]) -> str:
        """Say why a new run is not to wait, if it is not.

        Args:
            run: a run that would have to wait.
            lanes: the lanes in which it would.
        """
        at = next((each for each in lanes if each.plural == DEPLOYMENTS), None)
        if at is None or self._on_conflict(at) != "CancelNew":
            return ""
        return (
            f"{self._lanes[at].limit} of the runs of Deployment {run.deployment!r} are at work or come before this one,"
            " as many as its concurrency allows; with onConflict CancelNew none more is begun."
        )

    def victims(self, new: StandingRun) -> list[Key]:
        """Give the runs that have to make room now that a run waits."""
        return [
            key
            for at in new.counted
            if at.plural == DEPLOYMENTS and self._on_conflict(at) == "CancelRunning"
            for key in (*self._lanes[at].holders, *self._lanes[at].line())
            if key != new.key and self.successor(self._runs[key])
        ]

    def successor(self, run: StandingRun) -> str:
        """Say, if a run has to make room for later ones of its Deployment, for which.

        Of those at work and those that could begin if this one were not there, the newest stay: as many as may.
        """
        at = next((each for each in run.counted if each.plural == DEPLOYMENTS), None)
        if at is None or run.stand is Stand.APART or self._on_conflict(at) != "CancelRunning":
            return ""
        lane = self._lanes[at]
        if lane.limit is None:
            return ""
        later = [key for key in lane.holders if self._is_later(key, run)]
        claiming = [key for key in lane.line() if self._is_later(key, run) and self._could_go_without(key, run, at)]
        if not claiming or len(later) + len(claiming) < lane.limit:
            return ""
        newest = max((self._runs[key].order for key in claiming), key=age)
        return (
            f"Run {newest.name!r} takes its place: Deployment {run.deployment!r} lets {lane.limit} work at once, and"
            " onConflict is CancelRunning."
        )

    def _on_conflict(self, at: Key) -> str:
        return text(self._get(*at), "spec", "concurrency", "onConflict")

    def _is_later(self, key: Key, run: StandingRun) -> bool:
        return age(self._runs[key].order) > age(run.order)

    def _could_go_without(self, key: Key, run: StandingRun, at: Key) -> bool:
        """Tell whether a run that waits could go if it were not for another that holds slots."""
        frees = run.counted if run.stand is Stand.HOLDS else NO_LANES
        waiting = self._runs[key]
        lanes = ((each, self._lanes[each]) for each in waiting.counted if each != at)
        return all(
            lane.is_open and lane.ahead(waiting.order, key) < lane.free + (each in frees) for each, lane in lanes
        )


def age(order: Order) -> tuple[float, str]:
    """Give what orders runs by age alone, the oldest first."""
    return order.since, order.name
