"""A machine of every kind of trouble that makes histories by the thousand, and holds each against the laws.

The laws of `test_laws` hold in it as well: they are checked inside of the simulated cluster, at every step. What comes
here in addition are two operators, requests that arrive late, lost answers and lost events. `TOWPATH_CASES` says how
many histories are tried; how many that are in a minute is printed.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.operator.beaten import Beaten
from tests.operator.reconcile.deciding import searching
from tests.operator.reconcile.test_laws import PLAIN, PROGRAMS, WAITING, check_end, step
from tests.operator.simulated_api import PLURALS, Body
from tests.operator.simulated_cluster import finished

from towpath.states import StateType

FEW = 200
STEPS = 50
NAMES = ("top", "middle", "bottom")
#: What a run's process does in its attempts; it is a plain container in all of them, or in none.
ATTEMPTS = st.one_of(
    st.lists(st.sampled_from(PROGRAMS + WAITING), min_size=1, max_size=2),
    st.sampled_from(PLAIN).map(lambda program: [program]),
)
WHICH = st.integers(0, 7)
#: How much of it is done by the cluster, how much by people, how much is bad luck.
CLUSTER = ["kubelet"] * 4 + ["process"] * 4 + ["jobs"] * 2 + ["collect", "tick", "tick"]
PEOPLE = ["cancel", "cancel now", "retry", "retry in any case", "pause", "suspend", "answer", "delete run"]
LUCK = ["delete job", "delete pod", "force delete pod", "evict", "lose node", "taint", "node back", "node removed"]


class Histories(RuleBasedStateMachine):
    """A run with a child and a grandchild, in a cluster in which everything may happen at any moment."""

    lived = 0

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[tuple[str, int], Body] = {}
        self.attempts: dict[str, int] = {}

    @initialize(
        programs=st.tuples(ATTEMPTS, ATTEMPTS, ATTEMPTS),
        orphan=st.booleans(),
    )
    def begin(self, programs: tuple[list[str], ...], orphan: bool) -> None:
        """Create the runs."""
        common: Body = {"timeoutSeconds": 300, "infraRetries": 1}
        specs = dict.fromkeys(NAMES, common) | {"bottom": common | {"onParentEnd": "Orphan" if orphan else "Cancel"}}
        self.world = Beaten(dict(zip(NAMES, programs, strict=True)), specs, {"middle": "top", "bottom": "middle"})

    @rule(which=WHICH)
    def operate(self, which: int) -> None:
        """Look at a run and do what there is to do."""
        step(self.world, "reconcile", which)

    @rule(plural=st.sampled_from(PLURALS), which=WHICH)
    def see(self, plural: str, which: int) -> None:
        """See some of what has changed."""
        step(self.world, f"watch {plural}", which)

    @rule(which=WHICH)
    def go_on(self, which: int) -> None:
        """Let everybody do all there is to do, for a while."""
        step(self.world, "go on", which % 3)

    @rule(move=st.sampled_from(CLUSTER), which=WHICH)
    def live(self, move: str, which: int) -> None:
        """Let the cluster do one of the things that it does."""
        step(self.world, move, which)

    @rule(move=st.sampled_from(PEOPLE), which=WHICH)
    def wish(self, move: str, which: int) -> None:
        """Let somebody ask for something."""
        step(self.world, move, which)

    @rule(move=st.sampled_from(LUCK), which=WHICH)
    def suffer(self, move: str, which: int) -> None:
        """Let something go wrong."""
        step(self.world, move, which)

    @rule(move=st.sampled_from(["killed", "restart", "fail over"]), which=WHICH)
    def start_anew(self, move: str, which: int) -> None:
        """Kill the operator, before any of its actions; what it lists may be a moment old."""
        step(self.world, move, which)

    @rule()
    def take_over(self) -> None:
        """Let the other operator work, which may not have seen much."""
        self.world.fail_over()

    @rule(name=st.sampled_from(NAMES))
    def take_over_from_one_who_has_sent_something(self, name: str) -> None:
        """Let the other operator work, and a request of the first be on its way."""
        self.world.fail_over_with_a_request_on_its_way(name)

    @precondition(lambda self: self.world.on_its_way)
    @rule()
    def arrive(self) -> None:
        """Let a late request be carried out."""
        self.world.arrive()

    @rule(name=st.sampled_from(NAMES))
    def lose_answers(self, name: str) -> None:
        """Do something, and not hear that it is done."""
        self.world.lose_answers(name)

    @rule(plural=st.sampled_from(PLURALS))
    def list_again(self, plural: str) -> None:
        """Miss what happened, and see what it has come to."""
        self.world.list_again(plural)

    @invariant()
    def ends_are_final(self) -> None:
        """No terminal state changes within its attempt, none follows a success, and none is counted back."""
        for run in self.world.api.all("flowruns") if hasattr(self, "world") else ():
            status = run.get("status") or {}
            attempt, uid = status.get("attempt", 0), run["metadata"]["uid"]
            last = self.attempts.get(uid, 0)
            assert attempt >= last
            if attempt > last:
                assert (self.ends.get((uid, last)) or {}).get("type") not in {"COMPLETED", "CANCELLED"}
            self.attempts[uid] = attempt
            if StateType(status.get("state", {}).get("type", "SCHEDULED")).is_terminal:
                assert self.ends.setdefault((uid, attempt), status["state"]) == status["state"]
            else:
                assert (uid, attempt) not in self.ends

    def teardown(self) -> None:
        """Let all come to rest: every run ends, in order, and nothing goes on after it."""
        if not hasattr(self, "world"):
            return
        Histories.lived += 1
        self.world.arrive()
        for name in self.world.programs:
            self.world.let_go(name)
        calm_since = self.world.now
        self.world.settle()
        for run in self.world.api.all("flowruns"):
            check_end(self.world, run, calm_since)
        assert all(finished(job) for job in self.world.api.all("jobs"))


@pytest.mark.timeout(3600)  # as many as somebody asks for, on a machine however busy
def test_every_history_keeps_the_laws(capsys: pytest.CaptureFixture[str]) -> None:
    """One Job an attempt, never two live pods, final ends, an end for every run; killed, cut off, late and lost."""
    Histories.lived, began = 0, time.process_time()  # whatever else the machine does meanwhile
    run_state_machine_as_test(
        Histories, settings=settings(searching(FEW), stateful_step_count=STEPS, report_multiple_bugs=False)
    )
    took = time.process_time() - began
    assert Histories.lived >= FEW
    with capsys.disabled():
        print(f"\n  {Histories.lived} histories in {took:.1f} s of CPU: {60 * Histories.lived / took:,.0f} a minute")
