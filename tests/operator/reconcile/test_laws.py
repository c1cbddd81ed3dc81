"""Laws that hold for runs whatever happens, in whatever order: random histories in a simulated cluster."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st
from tests.operator.reconcile.deciding import searching
from tests.operator.simulated_api import PLURALS, Body, parsed, run_of
from tests.operator.simulated_cluster import GRACE, RIGHT, WRONG, finished
from tests.operator.simulation import World

from towpath_operator.reconcile.closing import KILL_SECONDS

PROGRAMS = ["succeed", "fail", "vanish", "silent", "oom", "mute", "hang", "stubborn", "linger", "no-image", "no-node"]
WAITING = ["ask", "leave"]
PLAIN = ["exit0", "exit3"]

#: What may happen next; what happens often stands there often.
MOVES = [
    *(f"watch {plural}" for plural in PLURALS for _ in range(3)),
    *["reconcile"] * 6,
    *["kubelet"] * 5,
    *["process"] * 6,
    *["jobs"] * 3,
    *["go on"] * 3,
    "collect",
    "killed",
    "restart",
    "fail over",
    *["tick"] * 2,
    "cancel",
    "cancel now",
    "pause",
    "suspend",
    "answer",
    "retry",
    "retry",
    "retry in any case",
    "delete job",
    "delete pod",
    "force delete pod",
    "evict",
    "lose node",
    "taint",
    "node back",
    "node removed",
    "delete run",
]
TICKS = (0.3, 1.0, 2.0, 4.0, 8.0, 35.0, 120.0, 700.0)
STEPS = st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 7)), max_size=70)
LAWS = searching(200)


def step(world: World, move: str, which: int) -> None:
    """Let one thing happen; nothing, if there is nothing it could happen to."""
    runs = list(world.programs)
    pods = world.api.all("pods")
    pod = pods[which % len(pods)] if pods else None
    name = runs[which % len(runs)]
    match move:
        case "watch flowruns" | "watch jobs" | "watch pods":
            for _ in range(which + 1):
                world.watch(move.split()[1])
        case "go on":
            for _ in range(which % 4 + 1):
                world.operator_step()
                world.cluster_step()
        case "reconcile":
            world.reconcile(name)
        case "killed":
            world.reconcile(name, kill_before=which // len(runs))
        case "restart":
            world.restart()
        case "fail over":
            world.restart(behind=which)
        case "process":
            processes = list(world.processes.values())
            if processes:
                world.run_process(processes[which % len(processes)])
        case "jobs":
            for job in world.api.all("jobs"):
                world.job_controller(job)
        case "collect":
            world.garbage_collector()
            for job in world.api.all("jobs"):
                world.ttl_controller(job)
        case "tick":
            world.pass_time(TICKS[which])
        case "cancel":
            world.cancel(name)
        case "cancel now":
            world.cancel_now(name)
        case "pause" | "suspend":
            world.toggle(name, move)
        case "answer":
            world.answer(name, WRONG if which % 2 else RIGHT)
        case "retry":
            world.retry(name)
        case "retry in any case":
            world.retry_in_any_case(name)
        case "delete job":
            world.delete_job(name)
        case "delete run":
            world.delete_run(name)
    if pod is not None:
        match move:
            case "kubelet":
                world.kubelet(pod)
            case "delete pod":
                world.delete_pod(pod)
            case "force delete pod":
                world.force_delete_pod(pod)
            case "evict":
                world.evict(pod)
            case "lose node":
                world.lose_node(pod)
            case "taint":
                world.taint_manager(pod)
            case "node back":
                world.node_comes_back(pod)
            case "node removed":
                world.node_is_removed(pod)


def live_through(world: World, steps: list[tuple[str, int]]) -> None:
    """Let a history happen, let all come to rest after it, and make sure that what is left is in order."""
    for move, which in steps:
        note(f"{move} {which}")
        step(world, move, which)
    calm_since = world.now
    for name in world.programs:
        world.let_go(name)
    world.settle()
    for run in world.api.all("flowruns"):
        check_end(world, run, calm_since)
    assert all(finished(job) for job in world.api.all("jobs"))
    there = set(world.runs())
    left = [body["metadata"]["name"] for kind in ("jobs", "pods") for body in world.api.all(kind)]
    assert all(run_of(body) in there for kind in ("jobs", "pods") for body in world.api.all(kind)), left


def check_end(world: World, run: Body, calm_since: datetime) -> None:
    """Make sure that a run's end is whole, that it came in time, and that nothing is left that should not be."""
    status, state = run["status"], run["status"]["state"]
    assert status["completionTime"]
    (condition,) = [one for one in status["conditions"] if one["type"] == "Succeeded"]
    assert condition["status"] == ("True" if state["type"] == "COMPLETED" else "False")
    assert ("error" in status) == (state["type"] in {"FAILED", "CRASHED"})
    assert "waitingFor" not in status
    assert "retryAt" not in status
    assert status.get("infraFailures", 0) <= run["spec"].get("infraRetries", 3)
    assert status.get("infraFailures", 0) < max(status.get("attempt", 0), 1)
    assert "pause" not in status
    if state["reason"] in {"CancelledByRequest", "ParentEnded", "CancelledNow"}:
        assert world.api.get("jobs", status.get("job", "")) is None
    ended = parsed(status["completionTime"])
    history = {entry["type"]: parsed(entry["at"]) for entry in status["history"]}
    if state["reason"] == "CancelledNow" and "CANCELLING" in history:
        assert ended <= max(history["CANCELLING"], calm_since) + timedelta(seconds=KILL_SECONDS + 2)
    elif "CANCELLING" in history:
        assert ended <= max(history["CANCELLING"], calm_since) + timedelta(seconds=GRACE + 2)
    if "startTime" in status and "timeoutSeconds" in run["spec"]:
        limit = timedelta(seconds=run["spec"]["timeoutSeconds"] + 2 * GRACE)
        assert ended <= max(parsed(status["startTime"]), calm_since) + limit
    parent = world.status(run["spec"].get("parent", {}).get("name", ""))
    if parent and run["spec"]["onParentEnd"] == "Cancel":
        assert ended <= max(parsed(parent["completionTime"]), calm_since) + timedelta(seconds=GRACE + 2)
    for process in world.processes.values():
        if process.run == run["metadata"]["name"] and process.pod not in world.nodes_ever_lost:
            assert process.finished
            if state["reason"] == "CancelledNow":
                assert process.finished <= max(ended, calm_since) + timedelta(seconds=KILL_SECONDS + 2)
            assert process.finished <= max(ended, calm_since) + timedelta(seconds=2 * GRACE + 2)


def expected_end(programs: list[str], infra_retries: int) -> tuple[str, int]:
    """Give the state and attempt in which a run ends that nobody meddles with."""
    for attempt in range(1, infra_retries + 2):
        match programs[min(attempt, len(programs)) - 1]:
            case "succeed" | "mute" | "linger" | "exit0":
                return "COMPLETED", attempt
            case "fail" | "hang" | "stubborn" | "exit3":
                return "FAILED", attempt
            case "no-image" | "no-node":
                return "CRASHED", attempt
    return "CRASHED", infra_retries + 1


def check_expected(world: World, programs: list[str], infra_retries: int, calm_after: float) -> None:
    """Make sure that a run that nobody meddled with, and that time did not overtake, ended as its code says."""
    if world.meddled or calm_after > 10:
        return
    assert (world.state("run"), world.status("run")["attempt"]) == expected_end(programs, infra_retries)


def elapsed(steps: list[tuple[str, int]]) -> float:
    """Give the seconds that pass in a history."""
    return sum(TICKS[which] for move, which in steps if move == "tick")


#: The API knows of a Job and a live pod that the operator has not seen when it thinks the Job deleted.
UNSEEN_POD = [
    ("reconcile", 0),
    ("jobs", 0),
    ("kubelet", 0),
    ("process", 0),
    ("delete job", 0),
    ("watch jobs", 7),
    ("watch flowruns", 7),
    ("tick", 3),
    ("reconcile", 0),
    ("tick", 4),
    ("reconcile", 0),
    ("jobs", 0),
    ("kubelet", 1),
]
#: A new leader knows from the run of a Job that its list of Jobs does not have yet.
UNSEEN_JOB = [("reconcile", 0), ("fail over", 7), ("tick", 3), ("reconcile", 0)]


@LAWS
@given(
    programs=st.lists(st.sampled_from(PROGRAMS + WAITING), min_size=1, max_size=3),
    infra_retries=st.integers(0, 2),
    timeout=st.sampled_from([5, 600]),
    steps=STEPS,
)
@example(programs=["hang"], infra_retries=1, timeout=600, steps=UNSEEN_POD)
@example(programs=["succeed"], infra_retries=1, timeout=600, steps=UNSEEN_JOB)
def test_a_run_keeps_the_laws(
    programs: list[str], infra_retries: int, timeout: int, steps: list[tuple[str, int]]
) -> None:
    """One Job an attempt, never two live pods, ends are final and come, nothing runs again after it succeeded."""
    world = World({"run": programs}, {"run": {"infraRetries": infra_retries, "timeoutSeconds": timeout}})
    live_through(world, steps)
    if timeout == 600:
        check_expected(world, programs, infra_retries, elapsed(steps))


@LAWS
@given(
    program=st.sampled_from(PLAIN),
    infra_retries=st.integers(0, 2),
    steps=STEPS,
)
def test_a_plain_container_keeps_the_laws(program: str, infra_retries: int, steps: list[tuple[str, int]]) -> None:
    """The same holds where only the operator says how a run goes."""
    world = World({"run": [program]}, {"run": {"infraRetries": infra_retries}})
    live_through(world, steps)
    check_expected(world, [program], infra_retries, elapsed(steps))


@LAWS
@given(
    programs=st.tuples(*[st.lists(st.sampled_from(PROGRAMS + WAITING), min_size=1, max_size=2)] * 3),
    orphan=st.booleans(),
    steps=STEPS,
)
def test_a_tree_keeps_the_laws(programs: tuple[list[str], ...], orphan: bool, steps: list[tuple[str, int]]) -> None:
    """The same holds for a run, its child and its grandchild, which go with it unless they are orphans."""
    names = ("top", "middle", "bottom")
    common: Body = {"timeoutSeconds": 300, "infraRetries": 1}
    specs = dict.fromkeys(names, common) | {"bottom": common | {"onParentEnd": "Orphan" if orphan else "Cancel"}}
    world = World(dict(zip(names, programs, strict=True)), specs, {"middle": "top", "bottom": "middle"})
    live_through(world, steps)


@pytest.mark.parametrize("program", ["succeed", "exit0"])
def test_a_healthy_run_costs_four_writes(program: str) -> None:
    """Its Job, PENDING, RUNNING and its end, by operator and pod together; whoever of the two writes them."""
    world = World({"run": [program]})
    world.settle()

    assert world.writes["run"] == ["create job", "PENDING", "RUNNING", "COMPLETED"]
