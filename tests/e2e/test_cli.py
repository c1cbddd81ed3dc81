"""The command line against a real cluster: the same verbs as on a laptop, and what only a cluster has."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.api import Cluster
from tests.e2e.runs import Runs, state
from tests.kube import ApiError

from towpath.cli.__main__ import main
from towpath.cli.exits import Exit
from towpath.states import StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

FLOWS = Path(__file__).parent / "flows"


class Terminal:
    """Types commands in the runs' namespace."""

    def __init__(self, runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
        self._runs, self._capsys = runs, capsys

    def type(self, *arguments: str, code: Exit = Exit.OK) -> str:
        """Type a command that must end with this code; gives its standard output."""
        self._capsys.readouterr()
        ended = main([*arguments, "-n", self._runs.namespace])
        out, self.err = self._capsys.readouterr()
        assert ended == code, f"{arguments}: {ended}\n{out}\n{self.err}"
        return out

    def json(self, *arguments: str, code: Exit = Exit.OK) -> Any:
        """Type a command with --json; gives what it says."""
        return json.loads(self.type(*arguments, "--json", code=code))


@pytest.fixture
def terminal(
    runs: Runs, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """A terminal in which the clone's cluster is the current one."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    for name in ("TOWPATH_TARGET", "TOWPATH_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(FLOWS)
    return Terminal(runs, capsys)


def test_a_run_with_children_is_seen_from_all_sides(runs: Runs, terminal: Terminal) -> None:
    """ls, inspect, tree, watch and logs agree with what the cluster has."""
    name = runs.start("sum_of_doubles", {"n": 2})
    assert terminal.type("runs", "watch", name, "--timeout", "120").splitlines()[-1].endswith(f"{name}  ✔ Completed")
    children = {child["metadata"]["name"] for child in runs.children(name)}

    listed = terminal.json("runs", "ls", "--since", "10m", "--limit", "0")
    assert name in {run["name"] for run in listed}
    assert not children & {run["name"] for run in listed}
    assert children <= {run["name"] for run in terminal.json("runs", "ls", "--all", "--limit", "0")}

    seen = terminal.json("runs", "inspect", name)
    assert (seen["result"]["value"], seen["children"]["completed"], seen["state"]["type"]) == (2, 2, "COMPLETED")
    page = terminal.type("runs", "inspect", name)
    assert "Children    2 completed" in page
    assert f"towpath runs logs {name} -n {runs.namespace}" in page

    assert {child["name"] for child in terminal.json("runs", "tree", name)["children"]} == children
    drawn = terminal.type("runs", "tree", name).splitlines()
    assert drawn[1].startswith(f"{name} ")
    assert {line.split()[1] for line in drawn[2:]} == children
    (child, *_) = children
    assert terminal.json("runs", "inspect", child)["parent"] == name
    assert [run["name"] for run in [terminal.json("runs", "tree", child)]] == [child]

    lines = terminal.type("runs", "logs", name).splitlines()
    assert lines[0].endswith(f"| INFO     | Beginning flow run '{name}' for flow 'sum-of-doubles'")
    assert terminal.type("runs", "logs", name, "--tail", "1").splitlines() == lines[-1:]
    assert terminal.type("runs", "logs", name, "--level", "ERROR") == ""


def test_a_log_is_followed_from_before_the_pod_to_the_end(runs: Runs, terminal: Terminal) -> None:
    """Whoever asks at once waits for the pod, sees each line, and is done when the run is."""
    name = runs.start("nap", {"seconds": 3})
    terminal.type("runs", "logs", name, "--attempt", "7", code=Exit.NOT_FOUND)
    messages = [
        json.loads(line)["message"] for line in terminal.type("runs", "logs", name, "-f", "--json").splitlines()
    ]
    assert messages[0].startswith("Beginning flow run")
    assert "asleep for 3.0 s" in messages
    assert messages[-1].startswith("Finished in state Completed")


def test_a_failed_run_is_tried_again(runs: Runs, terminal: Terminal) -> None:
    """The same run, its next attempt; one that has completed is not."""
    name = runs.start("out_of_stock_until", {"attempt": 2})
    runs.ended(name)
    assert terminal.type("runs", "retry", name) == f"{name} is tried again, attempt 2.\n"
    assert terminal.type("runs", "watch", name, "--timeout", "120").splitlines()[-1].endswith(f"{name}  ✔ Completed")
    terminal.type("runs", "retry", name, code=Exit.CONFLICT)


def test_a_log_goes_on_with_the_next_attempt(runs: Runs, terminal: Terminal) -> None:
    """A process that vanished has a log, and so has the one after it; each can be had by itself."""
    name = runs.start("vanish_once")
    told = terminal.type("runs", "logs", name, "-f")
    assert told.count("Beginning flow run") == 2
    assert terminal.type("runs", "logs", name, "--attempt", "1").count("Beginning flow run") == 1


def test_the_log_of_a_pod_that_is_gone_says_so(runs: Runs, terminal: Terminal) -> None:
    """The run is still there; its log went with the Job."""
    name = runs.start("add", {"x": 1})
    job = runs.ended(name)["status"]["job"]
    runs.kube.delete(runs.path("jobs", job, group="/apis/batch/v1"), propagationPolicy="Foreground")
    runs.gone(runs.path("jobs", job, group="/apis/batch/v1"))
    for follow in ([], ["--follow"]):
        terminal.type("runs", "logs", name, *follow, code=Exit.NOT_FOUND)
        assert "has no pod any more, and its log went with it" in terminal.err


def test_the_exit_code_says_how_a_run_ended(runs: Runs, terminal: Terminal) -> None:
    """A failure is told with its reason; a timeout ends the waiting, not the run."""
    failing, napping = runs.start("sell", {"item": "tea"}), runs.start("nap", {"seconds": 60})
    assert "FlowFailed" in terminal.type("runs", "watch", failing, code=Exit.NOT_COMPLETED)
    assert "no tea left" in terminal.type("runs", "inspect", failing)
    terminal.type("runs", "watch", napping, "--timeout", "0.5", code=Exit.TIMED_OUT)
    assert not runs.get(napping).get("status", {}).get("completionTime")
    failed = terminal.json("runs", "ls", "--state", "FAILED", "--since", "10m")
    assert failing in {run["name"] for run in failed}
    terminal.type("runs", "inspect", "no-such-run", code=Exit.NOT_FOUND)
    assert "There is no run 'no-such-run' in namespace" in terminal.err


def test_a_run_is_cancelled_and_deleted(runs: Runs, terminal: Terminal) -> None:
    """Cancel asks, watch waits for the end; what goes on is deleted only by force."""
    name = runs.start("nap", {"seconds": 120})
    runs.reached(name, StateType.RUNNING)
    terminal.type("runs", "delete", name, code=Exit.CONFLICT)
    terminal.type("runs", "cancel", name[:-1], code=Exit.NOT_FOUND)
    terminal.type("runs", "cancel", name)
    terminal.type("runs", "watch", name, code=Exit.NOT_COMPLETED)
    assert state(runs.get(name))["type"] == "CANCELLED"
    terminal.type("runs", "cancel", name, code=Exit.CONFLICT)
    assert "it has ended, Cancelled" in terminal.err
    terminal.type("runs", "delete", name)
    runs.gone(runs.path("flowruns", name))
    again = runs.start("nap", {"seconds": 120})
    terminal.type("runs", "delete", again, "--force")
    runs.gone(runs.path("flowruns", again))


@pytest.fixture
def deployed(runs: Runs, terminal: Terminal) -> Iterator[Callable[..., str]]:
    """Give what deploys `add` under the test's own name; taken away afterwards."""

    def deploy(*arguments: str, code: Exit = Exit.OK) -> str:
        return terminal.type(
            "deploy", "flows.py:add", "--image", runs.image, "--name", runs.prefix, *arguments, code=code
        )

    yield deploy
    runs.kube.delete(runs.path("deployments", runs.prefix))
    runs.kube.delete(runs.path("flows", "add"))


def test_a_flow_is_deployed_and_run(runs: Runs, terminal: Terminal, deployed: Callable[..., str]) -> None:
    """From the code to the result, and wrong parameters are refused before there is a run."""
    deployed("-p", "x=1", "-p", "y=10", "--tag", "mine", "--apply")
    assert f"Deployment '{runs.prefix}' is applied" in deployed("-p", "x=1", "-p", "y=10", "--tag", "mine", "--apply")
    deployment = next(one for one in terminal.json("deployments", "ls") if one["name"] == runs.prefix)
    assert (deployment["ready"], deployment["parameters"], deployment["tags"]) == (True, {"x": 1, "y": 10}, ["mine"])
    assert runs.prefix in terminal.type("deployments", "ls")
    flow = next(one for one in terminal.json("flows", "ls") if one["name"] == "add")
    assert (flow["ready"], list(flow["parameters"])) == (True, ["x", "y"])
    assert "flows.py:add" in terminal.type("flows", "ls")

    before = len(terminal.json("runs", "ls", "--limit", "0"))
    terminal.type("deployments", "run", runs.prefix, "-p", "z=1", code=Exit.USAGE)
    assert "z=1 is not a parameter of the flow. The flow takes x, y." in terminal.err
    terminal.type("deployments", "run", runs.prefix, "-p", "x=many", code=Exit.USAGE)
    assert "Wrong parameters for flow 'add': x='many' must be a whole number" in terminal.err
    terminal.type("deployments", "run", "no-such-deployment", code=Exit.NOT_FOUND)
    assert len(terminal.json("runs", "ls", "--limit", "0")) == before

    name = terminal.type("deployments", "run", runs.prefix, "-p", "x=5", "--name", runs.prefix).strip()
    runs.started.append(name)
    assert terminal.type("runs", "watch", name)
    assert terminal.json("runs", "inspect", name)["result"]["value"] == 15
    told = terminal.type("deployments", "run", runs.prefix, "--watch").splitlines()
    runs.started.append(terminal.err.split()[1])
    assert told[-1].endswith("✔ Completed")
    later = terminal.json("deployments", "run", runs.prefix, "--at", "2099-01-01")
    runs.started.append(later["name"])
    assert (later["state"]["type"], later["deployment"]) == ("SCHEDULED", runs.prefix)
    with pytest.raises(ApiError, match="Wrong parameters for flow 'add': x='many' must be a whole number"):
        runs.create({"deploymentRef": runs.prefix, "parameters": {"x": "many"}})


def test_fields_of_others_are_taken_over_by_force_only(
    runs: Runs, terminal: Terminal, deployed: Callable[..., str], cluster: Cluster
) -> None:
    """What somebody else applied with another value is a conflict that names them."""
    manifests = list(yaml.safe_load_all(deployed()))
    for manifest in manifests:
        manifest["metadata"]["namespace"] = runs.namespace
    manifests[0]["spec"]["description"] = "Somebody else's words."
    cluster.apply(*manifests)
    deployed("--apply", code=Exit.CONFLICT)
    assert "kubectl" in terminal.err
    deployed("--apply", "--force")
    assert runs.kube.get(runs.path("flows", "add"))["spec"]["description"] == "Add two numbers."


def test_a_deployment_that_cannot_be_run_is_told(
    runs: Runs, terminal: Terminal, deployed: Callable[..., str], cluster: Cluster
) -> None:
    """Before anything is applied; of what somebody else applied, the operator's word is shown."""
    wrong = "Wrong parameters for flow 'add': y='many' must be a whole number"
    deployed("-p", "y=many", "--apply", code=Exit.USAGE)
    assert wrong in terminal.err
    manifests = list(yaml.safe_load_all(deployed()))
    for manifest in manifests:
        manifest["metadata"]["namespace"] = runs.namespace
    manifests[1]["spec"]["parameters"] = {"y": "many"}
    for manifest in reversed(manifests):  # before there is a Flow, nobody can say that it does not fit
        cluster.apply(manifest)
    runs.kube.wait(
        runs.path("deployments", runs.prefix),
        lambda body: bool(body and wrong in str(body.get("status"))),
        60,
        "the operator's word",
    )
    assert wrong in terminal.type("deployments", "inspect", runs.prefix)


def test_the_doctor_finds_all_well_where_it_is(runs: Runs, terminal: Terminal) -> None:
    """And says what is missing in a namespace that nobody has made ready."""
    assert False not in {one["passed"] for one in terminal.json("doctor")}
    assert main(["doctor", "-n", "default"]) == Exit.NOT_COMPLETED


@pytest.fixture
def as_nobody(runs: Runs, cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of somebody who may do little: a service account without a role."""
    accounts = f"/api/v1/namespaces/{runs.namespace}/serviceaccounts"
    account = f"nobody-{runs.prefix}"
    runs.kube.create(accounts, {"metadata": {"name": account}})
    token = runs.kube.create(
        f"{accounts}/{account}/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    )
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token["status"]["token"]}
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    yield file
    runs.kube.delete(f"{accounts}/{account}")


def test_who_may_do_little_is_told_what_is_lacking(
    terminal: Terminal, as_nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal is a sentence with a code of its own, and the doctor names each right."""
    monkeypatch.setenv("KUBECONFIG", str(as_nobody))
    terminal.type("runs", "ls", code=Exit.NO_CLUSTER)
    assert "403" in terminal.err
    found = {one["check"]: one for one in terminal.json("doctor", code=Exit.NOT_COMPLETED)}
    assert found["Kubernetes"]["passed"] is True
    assert found["Resources"]["passed"] is True
    assert found["Operator"]["passed"] is None
    assert found["You may start runs"]["said"] == "not allowed: create flowruns, get deployments"
    assert "Ask for a Role" in found["You may read logs"]["cure"]


def test_the_program_is_installed(cluster: Cluster, runs: Runs) -> None:
    """`python -m towpath.cli` is the same as `towpath`, in a process of its own."""
    command = [sys.executable, "-m", "towpath.cli", "doctor", "-n", runs.namespace]
    done = subprocess.run(
        command,
        env={"KUBECONFIG": str(cluster.kubeconfig), "HOME": "/tmp"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (Exit.OK, "")
