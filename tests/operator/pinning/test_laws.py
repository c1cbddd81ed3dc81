"""Laws of runs whose Flow and Deployment change: whatever happens, in whatever order, a run is what it was at first."""

from __future__ import annotations

from hypothesis import example, given, note
from hypothesis import strategies as st
from tests.operator.pinning.world import REVISIONS, ChangingWorld
from tests.operator.reconcile.deciding import searching
from tests.operator.simulated_api import KINDS

MOVES = [
    *["edit flow", "edit deployment"] * 2,
    "delete flow",
    "delete deployment",
    *["reconcile"] * 6,
    *["look at revisions"] * 2,
    *["watch"] * 6,
    *["cluster"] * 4,
    "killed",
    "restart",
    "delete job",
    "delete run",
    "retry",
    "tick",
    "half an hour",
    "two hours",
]
STEPS = st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 7)), max_size=60)
#: The attempt has begun; Flow and Deployment change and go; the Job, and with it the pod, is deleted; the next begins.
BETWEEN = [
    ("reconcile", 0),
    ("cluster", 0),
    ("watch", 0),
    ("delete flow", 0),
    ("delete deployment", 0),
    ("watch", 0),
    ("delete job", 0),
]
#: The operator is killed between Job and status, and finds the Job when the Flow has changed.
FOUND_AGAIN = [
    ("killed", 1),
    ("edit flow", 0),
    ("watch", 0),
    ("reconcile", 1),
    ("cluster", 0),
    ("watch", 0),
    ("delete job", 1),
]
#: A Job is made of a revision that no run names yet, and somebody looks whether it is still needed.
JUST_MADE = [("killed", 1), ("look at revisions", 0), ("look at revisions", 0), ("reconcile", 1)]
#: The same with a revision that no run has named for almost an hour.
LATE = [
    ("reconcile", 0),
    ("delete run", 0),
    ("watch", 0),
    ("look at revisions", 0),
    ("half an hour", 0),
    ("half an hour", 0),
    *JUST_MADE,
]


def step(world: ChangingWorld, move: str, which: int) -> None:
    """Let one thing happen; nothing, if there is nothing it could happen to."""
    runs = list(world.programs)
    name = runs[which % len(runs)]
    match move:
        case "edit flow":
            world.edit_flow()
        case "edit deployment":
            world.edit_deployment()
        case "delete flow":
            world.delete_flow()
        case "delete deployment":
            world.delete_deployment()
        case "reconcile":
            world.reconcile(name)
        case "killed":
            world.reconcile(name, kill_before=which % 3)
        case "restart":
            world.restart()
        case "look at revisions":
            for body in world.api.all(REVISIONS):
                world.look_at_revision(body["metadata"]["name"])
        case "watch":
            for plural in KINDS if not which else [KINDS[which % len(KINDS)]]:
                while world.seen.behind(plural):
                    world.watch(plural)
        case "cluster":
            world.cluster_step()
        case "delete job":
            world.delete_job(name)
        case "delete run":
            world.delete_run(name)
        case "retry":
            world.retry(name)
        case "tick":
            world.pass_time(5.0 * (which + 1))
        case "half an hour":
            world.pass_time(1801)
        case "two hours":
            world.pass_time(7200)


@searching(80)
@given(
    programs=st.lists(st.sampled_from(["succeed", "vanish", "oom", "fail", "silent"]), min_size=1, max_size=3),
    by=st.sampled_from(["flowRef", "deploymentRef"]),
    steps=STEPS,
)
@example(programs=["vanish", "oom", "succeed"], by="deploymentRef", steps=BETWEEN)
@example(programs=["vanish", "succeed"], by="flowRef", steps=BETWEEN)
@example(programs=["vanish", "succeed"], by="flowRef", steps=FOUND_AGAIN)
@example(programs=["succeed"], by="flowRef", steps=JUST_MADE)
@example(programs=["succeed"], by="flowRef", steps=LATE)
def test_nothing_that_changes_changes_a_run_that_has_begun(
    programs: list[str], by: str, steps: list[tuple[str, int]]
) -> None:
    """Every attempt is made of what the first was, also once Flow and Deployment are gone, and nothing is left."""
    world = ChangingWorld({"one": programs, "two": programs}, by)
    for move, which in steps:
        note(f"{move} {which}")
        step(world, move, which)
    world.settle()
    used = {run["status"].get("revision") for run in world.api.all("flowruns")} - {None}
    assert used <= {body["metadata"]["name"] for body in world.api.all(REVISIONS)}
    for name in list(world.programs):
        world.delete_run(name)
    for _ in range(3):
        while world.operator_step() | world.cluster_step():
            pass
        world.pass_time(3601)
    assert world.api.all(REVISIONS) == []


def test_runs_that_begin_while_nothing_changes_share_one_revision() -> None:
    """A hundred runs of a Flow cost one ControllerRevision, and each run the four writes that it costs anyway."""
    world = ChangingWorld({f"run-{number}": ["succeed"] for number in range(100)})
    world.settle()
    assert len(world.api.all(REVISIONS)) == 1
    assert {len(writes) for writes in world.writes.values()} == {4}
