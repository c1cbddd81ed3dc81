"""Laws of the lanes, over random histories of runs that wait, work, call others, suspend and end, in several lanes."""

from __future__ import annotations

from hypothesis import given, note
from hypothesis import strategies as st
from tests.operator.lanes.yard import Body, Yard
from tests.operator.reconcile.deciding import searching

from towpath.states import TERMINAL, StateType
from towpath_operator.reconcile.decision import CreateJob, Decision

#: Lanes, and what puts a run under one. Where a child is under other lanes than its parent, they come later: two trees
#: that each hold what the other wants are a lock that no order of admission opens.
LANES: dict[str, Body] = {
    "queues/a": {"queue": "a"},
    "concurrencylimits/b": {"limits": ["b"]},
    "concurrencylimits/c": {"limits": ["c"]},
    "concurrencylimits/t": {"tags": ["heavy"]},
    "deployments/d": {"deploymentRef": "d"},
}
MOVES = [
    *["run"] * 6,
    *["child"] * 3,
    *["decide"] * 4,
    *["apply"] * 4,
    *["settle"] * 2,
    *["end"] * 4,
    "cancel",
    "priority",
    "suspend",
    "resume",
    "limit",
    "close",
    "restart",
    "delete",
]
STEPS = st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 30), st.integers(0, 31)), min_size=15, max_size=60)


class Lived(Yard):
    """A yard with one lane of each kind, in which every admission is checked."""

    def __init__(self, limits: list[int]) -> None:
        super().__init__()
        self.limits: dict[str, int] = {}
        self.under: dict[str, frozenset[str]] = {}
        self.parents: dict[str, str] = {}
        self.in_flight: list[tuple[str, Decision]] = []
        self.stays: dict[str, bool] = {}  # whether the last decision about a run, written or not, is that it waits
        self.put("flows", "main", {"image": "image:1", "entrypoint": "flows:main"})
        for lane, limit in zip(LANES, limits, strict=True):
            self.limit(lane, limit)
        self.settle()

    def limit(self, lane: str, limit: int, *, suspend: bool = False) -> None:
        """Change a lane; a queue may be suspended, which is like a limit of 0."""
        plural, name = lane.split("/")
        if plural == "deployments":
            limit = max(limit, 1)
            spec: Body = {"flowRef": "main", "concurrency": {"limit": limit}}
        elif plural == "queues":
            spec = {"limit": limit, "suspend": suspend}
        else:
            spec = {"limit": limit} | ({"tag": "heavy", "appliesTo": "Runs"} if name == "t" else {})
        self.limits[lane] = 0 if suspend and plural == "queues" else limit
        self.put(plural, name, spec)

    def make(self, which: int, parent: str | None, age: float) -> None:
        """Make a run under those lanes whose bits are set."""
        chosen = {lane for bit, lane in enumerate(LANES) if which & (1 << bit)}
        if parent is not None:
            last = max((list(LANES).index(lane) for lane in self.all_above(parent)), default=-1)
            chosen = {lane for lane in chosen if list(LANES).index(lane) >= last or lane in self.under[parent]}
        spec: Body = {}
        for lane in sorted(chosen):
            for key, value in LANES[lane].items():
                spec[key] = [*spec.get(key, []), *value] if isinstance(value, list) else value
        name = f"run-{len(self.under):02}"
        self.under[name] = frozenset(chosen)
        if parent is not None:
            self.parents[name] = parent
        self.run(name, parent, age, **spec)

    def all_above(self, run: str) -> frozenset[str]:
        """Give the lanes that a run, or one above it, is under."""
        return self.under[run] | (self.all_above(self.parents[run]) if run in self.parents else frozenset())

    def is_over(self, run: str) -> bool:
        """Tell whether a run has ended, or is gone."""
        body = self.body("flowruns", run)
        return body is None or self.status(run).get("state", {}).get("type") in TERMINAL

    def live(self) -> list[str]:
        """Give the runs that have not ended."""
        return [run for run in self.under if not self.is_over(run)]

    def working(self) -> set[str]:
        """Give the runs that have a process, or are about to."""
        begun = {name for name, decision in self.in_flight if begins(decision) and not self.is_over(name)}
        suspended = {run for run in self.live() if self.status(run).get("state", {}).get("name") == "Suspended"}
        return (set(self.at_work()) - suspended) | begun

    def above(self, run: str) -> list[str]:
        """Give the runs above one that have not ended, up to the first that has."""
        found = []
        while (run := self.parents.get(run, "")) and not self.is_over(run):
            found.append(run)
        return found

    def counted(self, lane: str) -> set[str]:
        """Give the runs that have a slot of a lane of their own: nobody above them has one."""
        working = {run for run in self.working() if lane in self.under[run]}
        return {run for run in working if working.isdisjoint(self.above(run))}

    def waiting(self) -> list[str]:
        """Give the runs that say that they wait, the first first."""
        waiting = [run for run in self.live() if self.status(run).get("state", {}).get("name") == _AWAITING]
        return sorted(waiting, key=self.order)

    def order(self, run: str) -> tuple[int, str, str]:
        """Give a run's place: priority, age, name."""
        body = self.body("flowruns", run)
        return -(body["spec"].get("priority") or 0), body["metadata"]["creationTimestamp"], run

    def take(self, name: str) -> None:
        """Decide about a run; if it begins, there must be room for it, and for all who come before it."""
        for index, (in_flight, _) in enumerate(self.in_flight):
            if in_flight == name:  # a run is looked at by one worker at a time
                self.deliver(index)
                break
        held_before = name in self.working()
        decision = self.decide(name)
        self.in_flight.append((name, decision))
        self.stays[name] = decision.waits
        if held_before or not begins(decision):
            return
        ahead = [run for run in self.waiting() if self.stays.get(run, True) and self.order(run) < self.order(name)]
        for lane in self.under[name]:
            counted = self.counted(lane)
            if name not in counted:
                continue
            assert len(counted) <= self.limits[lane], (lane, counted)
            if not self.above(name):
                kept = [run for run in ahead if lane in self.under[run] and not self.is_lent(run, lane)]
                assert len(counted | set(kept)) <= self.limits[lane], (lane, counted, kept)

    def is_lent(self, run: str, lane: str) -> bool:
        """Tell whether a run above another has a slot of the lane."""
        return any(above in self.working() and lane in self.under[above] for above in self.above(run))

    def deliver(self, index: int) -> None:
        """Let one of the decisions that are in flight come to the API."""
        name, decision = self.in_flight.pop(index % len(self.in_flight))
        if self.body("flowruns", name) is not None and not self.apply(decision):
            self.dirty.update(dict.fromkeys([self.key(name)]))

    def look(self, name: str) -> Decision:
        """Decide about a run with all checks, and do what follows."""
        self.take(name)
        decision = self.in_flight[-1][1]
        self.deliver(-1)
        return decision


_AWAITING = "AwaitingConcurrencySlot"
_WORKING = frozenset({StateType.PENDING, StateType.RUNNING})


def begins(decision: Decision) -> bool:
    """Tell whether a decision makes a Job."""
    return any(isinstance(action, CreateJob) for action in decision.actions)


def step(yard: Lived, move: str, which: int, what: int) -> None:
    """Let one thing happen; nothing, if there is nothing it could happen to."""
    live = yard.live()
    at_work = [run for run in yard.at_work() if yard.status(run).get("state", {}).get("type") in _WORKING]
    lane = list(LANES)[which % len(LANES)]
    match move:
        case "run":
            yard.make(what, None, which)
        case "child" if at_work:
            yard.make(what, at_work[which % len(at_work)], 0)
        case "decide" if live:
            yard.take(live[which % len(live)])
        case "apply" if yard.in_flight:
            yard.deliver(which)
        case "settle":
            yard.settle()
        case "end" if at_work:
            yard.report(at_work[which % len(at_work)], StateType.COMPLETED)
        case "cancel" if live:
            yard.change(live[which % len(live)], cancel=True)
        case "priority" if live:
            yard.change(live[which % len(live)], priority=what % 3)
        case "suspend" if at_work:
            run = at_work[which % len(at_work)]
            yard.change(run, suspend=True)
            if yard.status(run)["state"]["type"] == "PENDING":
                yard.report(run, StateType.RUNNING)
            yard.report(run, StateType.PAUSED, "Suspended")
        case "resume" if live:
            yard.change(live[which % len(live)], suspend=False)
        case "limit":
            yard.limit(lane, what % 4)
        case "close":
            yard.limit("queues/a", what % 4, suspend=True)
        case "restart":
            yard.in_flight.clear()
            yard.stays.clear()
            yard.restart()
        case "delete" if live:
            run = live[which % len(live)]
            if not any(run in yard.above(other) for other in live):
                yard.drop("flowruns", run)


def finish(yard: Lived) -> None:
    """Let everything that can go on do so: nobody may be left behind, and no slot free that the first could have."""
    while yard.in_flight:
        yard.deliver(0)
    for lane in LANES:
        yard.limit(lane, max(yard.limits[lane], 1))
    for run in yard.live():
        yard.change(run, suspend=False)
    yard.settle()
    while live := yard.live():
        waiting = yard.waiting()
        if waiting and not yard.above(waiting[0]):
            first = waiting[0]
            full = [lane for lane in yard.under[first] if len(yard.counted(lane)) >= yard.limits[lane]]
            assert full, f"{first} could go"
        leaves = [run for run in live if not any(run in yard.above(other) for other in live)]
        working = [run for run in leaves if run in yard.working()]
        assert working, {run: yard.status(run) for run in live}
        run = working[0]
        over = StateType.CANCELLED if yard.status(run)["state"]["type"] == "CANCELLING" else StateType.COMPLETED
        yard.report(run, over)
        yard.settle()


@searching(150)
@given(limits=st.lists(st.integers(0, 3), min_size=len(LANES), max_size=len(LANES)), steps=STEPS)
def test_lanes_keep_the_laws(limits: list[int], steps: list[tuple[str, int, int]]) -> None:
    """Never over a limit, nobody overtaken, everybody has his turn, and no slot idle that the first could have."""
    yard = Lived(limits)
    for move, which, what in steps:
        note(f"{move} {which} {what}")
        step(yard, move, which, what)
    finish(yard)
