"""Runs that wait for somebody, and runs that are killed, on a real cluster."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.cluster.api import Cluster
from tests.e2e.operators import scale_installed
from tests.e2e.runs import Runs, result, state
from tests.kube import Body, Kube

from towpath.cli.__main__ import main
from towpath.cli.exits import Exit
from towpath.states import StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

Type = Callable[..., str]


@pytest.fixture
def type_(runs: Runs, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command in the runs' namespace that must end with a code; gives what it says, on both streams."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    for name in ("TOWPATH_TARGET", "TOWPATH_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)

    def type_in(*arguments: str, code: Exit = Exit.OK) -> str:
        capsys.readouterr()
        ended = main([*arguments, "-n", runs.namespace])
        said = "".join(capsys.readouterr())
        assert ended == code, f"{arguments}: {ended}\n{said}"
        return said

    return type_in


def states(run: Body) -> list[tuple[str, int]]:
    """Give the names of the states that a run went through, with their attempts."""
    return [(entry["name"], entry["attempt"]) for entry in run["status"]["history"]]


def test_a_paused_run_takes_an_answer_that_fits(runs: Runs, type_: Type) -> None:
    """It shows what it waits for; wrong input changes nothing; one answer is taken, the next comes too late."""
    name = runs.start("asks")
    waits = runs.reached(name, StateType.PAUSED, 120)
    assert json.loads(waits["status"]["pause"]["wanted"])["required"] == ["granted"]
    page = type_("runs", "inspect", name)
    assert "Größe < 5 & so" in page, "a description may say anything"
    assert f"towpath runs resume {name} -n {runs.namespace} -p granted=…" in page

    said = type_("runs", "resume", name, "-p", "granted=perhaps", code=Exit.USAGE)
    assert "granted='perhaps' must be true or false" in said
    assert "answers" not in runs.get(name)["spec"]
    assert "goes on" in type_("runs", "resume", name, "-p", "granted=true", "-p", "by=ada")
    ended = runs.ended(name)
    assert result(ended) == "True by ada"
    assert states(ended) == [("Pending", 1), ("Running", 1), ("Paused", 1), ("Running", 1), ("Completed", 1)]
    type_("runs", "resume", name, code=Exit.CONFLICT)


def test_a_suspended_run_begins_anew_when_it_is_answered(runs: Runs, type_: Type, kube: Kube) -> None:
    """No pod lives meanwhile; an operator that was away finds the answer; the operator checks what others write."""
    name = runs.start("leaves")
    runs.reached(name, StateType.PAUSED, 120)
    runs.no_pod_lives(name)
    key = runs.get(name)["status"]["pause"]["key"]
    wrong = [{"pause": key, "input": {"granted": "perhaps"}}]
    kube.merge(runs.path("flowruns", name), {"spec": {"answers": wrong}})
    refused = kube.wait(
        runs.path("flowruns", name),
        lambda run: run is not None and run["status"].get("pause", {}).get("refused") is not None,
        60,
        "a refusal",
    )
    assert refused is not None
    assert "granted='perhaps' must be true or false" in refused["status"]["pause"]["refused"]

    scale_installed(kube, 0)
    try:
        runs.kube.merge(
            runs.path("flowruns", name), {"spec": {"answers": [{"pause": key, "input": {"granted": True}}]}}
        )
        assert len(runs.jobs(name)) == 1
    finally:
        scale_installed(kube, 1)
    ended = runs.ended(name)
    assert result(ended) == "True by nobody"
    assert states(ended)[2:] == [("Suspended", 1), ("Resuming", 2), ("Pending", 2), ("Running", 2), ("Completed", 2)]
    assert len(runs.jobs(name)) == 2, "the first attempt has kept its log"
    type_("runs", "logs", name)


def test_a_run_is_suspended_and_cancelled_from_outside(runs: Runs, type_: Type) -> None:
    """It goes at its next call, and is CANCELLED at once; one that has not begun does not begin."""
    at_work, held = runs.start("works"), runs.start("works", suspend=True)
    runs.reached(at_work, StateType.RUNNING, 120)
    assert "will be suspended" in type_("runs", "pause", at_work, "--suspend")
    assert state(runs.reached(at_work, StateType.PAUSED))["name"] == "Suspended"
    assert state(runs.get(held))["reason"] == "SuspendedByRequest"
    assert runs.jobs(held) == []
    for name in (at_work, held):
        type_("runs", "cancel", name)
        assert state(runs.ended(name))["type"] == "CANCELLED"
    runs.no_pod_lives(at_work)


def test_a_run_that_is_cancelled_now_is_killed_with_all_below_it(runs: Runs, type_: Type) -> None:
    """Whatever their code does about SIGTERM, after they were asked to end in order and were promised ten minutes."""
    name = runs.start("deaf", {"depth": 1}, template={"spec": {"terminationGracePeriodSeconds": 600}})
    (child,) = (run["metadata"]["name"] for run in runs.wait_children(name, 1, StateType.RUNNING, 120))
    type_("runs", "cancel", name)
    for run in (name, child):
        runs.reached(run, StateType.CANCELLING)
    type_("runs", "cancel", name, "--now")
    for run in (name, child):
        ended = state(runs.ended(run, 60))
        assert (ended["type"], ended["reason"]) == ("CANCELLED", "CancelledNow")
        runs.no_pod_lives(run)
