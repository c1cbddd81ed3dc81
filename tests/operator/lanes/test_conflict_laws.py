"""Laws of a Deployment's concurrency, over random histories: whatever becomes of a run too many, and of the Deployment.

Runs work, wait, are suspended, end, are tried again and deleted; the Deployment is edited, and deleted and applied anew.
"""

from __future__ import annotations

from hypothesis import given, note
from hypothesis import strategies as st
from tests.operator.lanes.yard import Yard
from tests.operator.reconcile.deciding import searching

from towpath.states import TERMINAL, StateType

MOVES = [
    *["run"] * 5,
    *["end"] * 3,
    *["retry"] * 2,
    "report",
    "suspend",
    "resume",
    "limit",
    "restart",
    "delete",
    "drop",
]
STEPS = st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 30), st.integers(1, 3)), min_size=5, max_size=40)
ENDS = (StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED)


class Busy(Yard):
    """A yard in which all runs are of one Deployment."""

    def __init__(self, on_conflict: str, limit: int) -> None:
        super().__init__()
        self.on_conflict, self.made = on_conflict, 0
        self.put("flows", "main", {"image": "image:1", "entrypoint": "flows:main"})
        self.limit_to(limit)

    def limit_to(self, limit: int) -> None:
        """Apply the Deployment; if it was deleted, it is another one."""
        self.limit = limit
        concurrency = {"limit": limit, "onConflict": self.on_conflict}
        self.put("deployments", "d", {"flowRef": "main", "concurrency": concurrency}, uid=f"uid-{self.version}")

    def in_states(self, *types: StateType) -> list[str]:
        """Give the runs in some states, by name."""
        found = ((run["metadata"]["name"], self.status(run["metadata"]["name"])) for run in self.store.all("flowruns"))
        return sorted(name for name, status in found if status["state"]["type"] in types)

    def live(self) -> list[str]:
        """Give the runs that have not ended."""
        return self.in_states(*(set(StateType) - TERMINAL))

    def working(self) -> list[str]:
        """Give the runs that have a process."""
        return [run for run in self.at_work() if self.status(run)["state"]["name"] != "Suspended"]

    def age(self, run: str) -> tuple[str, str]:
        """Give what orders runs by age, the oldest first."""
        return self.body("flowruns", run)["metadata"]["creationTimestamp"], run

    def end(self, run: str, as_type: StateType) -> None:
        """Let a run's process end; one that was told to end is cancelled by that."""
        was_told = self.status(run)["state"]["type"] == StateType.CANCELLING
        self.report(run, StateType.CANCELLED if was_told else as_type)


def step(yard: Busy, move: str, which: int, what: int) -> None:
    """Let one thing happen, if there is something that it could happen to."""
    live, working = yard.live(), yard.working()
    match move:
        case "run":
            yard.run(f"run-{yard.made:02}", age=which, deploymentRef="d")
            yard.made += 1
        case "end" if working:
            yard.end(working[which % len(working)], ENDS[what - 1])
        case "retry" if ended := yard.in_states(StateType.FAILED, StateType.CANCELLED):
            run = ended[which % len(ended)]
            yard.change(run, retryAfterAttempt=yard.status(run).get("attempt", 0))
        case "report" if begun := [run for run in working if run in yard.in_states(StateType.PENDING)]:
            yard.report(begun[which % len(begun)], StateType.RUNNING)
        case "suspend" if at_work := [run for run in working if run in yard.in_states(StateType.RUNNING)]:
            yard.change(at_work[which % len(at_work)], suspend=True)
            yard.report(at_work[which % len(at_work)], StateType.PAUSED, "Suspended")
        case "resume" if live:
            yard.change(live[which % len(live)], suspend=False)
        case "limit":
            yard.limit_to(what)
        case "restart":
            yard.restart()
        case "delete" if live:
            yard.drop("flowruns", live[which % len(live)])
        case "drop":
            yard.drop("deployments", "d")
            yard.settle()
            yard.limit_to(what)


def check(yard: Busy, before: set[str]) -> None:
    """Hold what there is, at rest, against the laws."""
    working = yard.working()
    if set(working) - before:
        assert len(working) <= yard.limit, "somebody has begun without room"
    waiting = [run for run in yard.live() if yard.state(run) == "AwaitingConcurrencySlot"]
    if len(working) < yard.limit:
        assert not waiting, "a slot is free that somebody waits for"
    if yard.on_conflict == "CancelNew":
        assert all(yard.status(run).get("attempt") for run in waiting), "a new run waits"
    if yard.on_conflict == "CancelRunning":
        cancelling = yard.in_states(StateType.CANCELLING)
        staying = sorted({*working, *waiting} - {*cancelling}, key=yard.age)
        for place, later in enumerate(staying[1:], 1):
            assert later not in waiting or place < yard.limit, "a later run waits for an older one"


@searching(80)
@given(on_conflict=st.sampled_from(["Enqueue", "CancelNew", "CancelRunning"]), limit=st.integers(1, 3), steps=STEPS)
def test_concurrency_keeps_the_laws(on_conflict: str, limit: int, steps: list[tuple[str, int, int]]) -> None:
    """Never over the limit, no slot idle that somebody waits for, each conflict as was asked, and every run ends."""
    yard = Busy(on_conflict, limit)
    for move, which, what in steps:
        note(f"{move} {which} {what}")
        before = set(yard.working())
        step(yard, move, which, what)
        yard.settle()
        check(yard, before)
    for run in yard.live():
        yard.change(run, suspend=False)
    yard.settle()
    while live := yard.live():
        working = yard.working()
        assert working, {run: yard.status(run) for run in live}
        yard.end(working[0], StateType.COMPLETED)
        yard.settle()
