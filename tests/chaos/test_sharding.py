"""Two operators that work at the same time, each in its namespaces: the commands of docs/scaling-out.md, typed in."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from tests.chaos import judge
from tests.chaos.history import History, Promise, Write, read
from tests.chaos.lives import name_of, state_of
from tests.cluster import project_images
from tests.cluster.api import Cluster
from tests.kube import TOWPATH, Body, Kube

from towpath import names
from towpath.states import TERMINAL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scaling-out.md"
TEAMS = ("team-1", "team-2", "team-3")
A, B = (f"system:serviceaccount:{name}:{name}-operator" for name in ("towpath-a", "towpath-b"))
PATIENCE_SECONDS = 180.0
COMPLETED = Promise(frozenset({"COMPLETED"}))


class Typist:
    """Types the commands of the page, with the images of this checkout in them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        self.tag = cluster.images(("operator",))

    def type(self, command: str) -> str:
        """Type one line; it must succeed."""
        command = command.replace("registry.example/towpath/operator", project_images.repository("operator"))
        command = command.replace("image.tag=0.1.0", f"image.tag={self.tag}")
        done = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=self.cluster.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout


class Team:
    """A namespace in which a schedule ticks, and runs run."""

    def __init__(self, kube: Kube, name: str, image: str) -> None:
        self.kube, self.name, self.image = kube, name, image
        self.promises: dict[str, Promise] = {}

    def path(self, plural: str, name: str = "", group: str = TOWPATH) -> str:
        """Give the path of an object, or of a collection."""
        return f"{group}/namespaces/{self.name}/{plural}" + (f"/{name}" if name else "")

    def begin(self) -> None:
        """Apply a schedule of every two seconds, whose runs end without a pod: the Flow that they wait for never comes."""
        schedules = [{"name": "ticks", "intervalSeconds": 2}]
        spec = {"flowRef": "nowhere", "schedules": schedules, "missedRunPolicy": "All", "pendingTimeoutSeconds": 5}
        body = {"apiVersion": names.API_VERSION, "kind": "Deployment", "metadata": {"name": "ticks"}, "spec": spec}
        self.kube.create(self.path("deployments"), body)

    def start(self, name: str, **flow: object) -> None:
        """Start a run that completes."""
        parameters = {"seconds": 20} if "entrypoint" in flow else {}
        spec = {"flow": {"image": self.image, **flow}, "parameters": parameters}
        body = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "metadata": {"name": name}, "spec": spec}
        self.kube.create(self.path("flowruns"), body)
        self.promises[name] = COMPLETED

    def runs(self) -> list[Body]:
        """Give all runs."""
        return self.kube.items(self.path("flowruns"))

    def ticks(self) -> int:
        """Count the runs of the schedule."""
        return sum(names.LABEL_SCHEDULE in run["metadata"].get("labels", {}) for run in self.runs())

    def end(self) -> None:
        """Suspend the schedule, and wait until every run has ended."""
        self.kube.merge(self.path("deployments", "ticks"), {"spec": {"suspend": True}})
        wait(lambda: all(state_of(run) in TERMINAL for run in self.runs()), f"the end of every run of {self.name}")

    def history(self, log: Path) -> History:
        """Give all that happened."""
        left = {plural: self.kube.items(self.path(plural)) for plural in ("flowruns", "deployments")}
        return History(read(log, self.name), left, (), self.promises)


@pytest.fixture
def teams(breakable: Cluster, breakable_kube: Kube, flows: str) -> Iterator[dict[str, Team]]:
    """The namespaces of the page; they, and both installations, are removed afterwards."""
    yield {name: Team(breakable_kube, name, flows) for name in TEAMS}
    for release in ("towpath-a", "towpath-b"):
        breakable.helm("uninstall", release, "--namespace", release, check=False)
    breakable.kubectl("delete", "namespace", "--wait=false", "towpath-a", "towpath-b", *TEAMS, check=False)


def test_operators_side_by_side_and_a_namespace_that_moves(breakable: Cluster, teams: dict[str, Team]) -> None:
    """Each writes in its own namespaces only; the one that moves loses and doubles nothing: no tick, no run at work."""
    typist = Typist(breakable)
    side_by_side, who, moving = typist.blocks
    for command in side_by_side.splitlines():
        typist.type(command)
    assert typist.type(who).splitlines() == ["towpath-a-operator: team-1,team-2", "towpath-b-operator: team-3"]
    moved = teams["team-2"]
    for team in teams.values():
        team.begin()
        wait(lambda team=team: team.ticks() >= 2, f"ticks in {team.name}")  # type: ignore[misc]
    moved.start("at-work-plain", command=["sleep", "20"])
    moved.start("at-work", entrypoint="flows.py:nap")
    begun = {"RUNNING", "COMPLETED"}
    wait(lambda: begun >= {state_of(run) for run in moved.runs() if "work" in name_of(run)}, "runs at work")

    keep, take, give, unkeep = moving.splitlines()
    typist.type(keep)
    typist.type(take)
    moved.start("in-between", command=["true"])
    typist.type(give)
    typist.type(unkeep)
    before = moved.ticks()
    wait(lambda: moved.ticks() >= before + 2, "ticks after the move")
    for team in teams.values():
        team.end()

    for name, writers in {"team-1": [A], "team-2": [A, B], "team-3": [B]}.items():
        history = teams[name].history(breakable.audit_log)
        verdicts = judge.judge(history)
        assert [what for verdict in verdicts for what in verdict.breaches] == []
        assert operators_of(history.writes) == writers, name


def operators_of(writes: Iterable[Write]) -> list[str]:
    """Give the operators that wrote with success, in order; one that writes again after another stands there again."""
    found: list[str] = []
    for write in writes:
        if write.user in {A, B} and write.succeeded and write.plural != "events" and found[-1:] != [write.user]:
            found.append(write.user)
    return found


def wait(until: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE_SECONDS:.0f} s"
        time.sleep(0.5)
