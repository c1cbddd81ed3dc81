"""The API server away while runs go on, and the webhook away while runs are started: nothing is lost, or done twice.

Ten seconds show what a minute does. A pod goes on trying to report its end for a minute, and leaves it in its termination
message as well; an operator tries for ever. `make chaos` keeps the API server away for more than a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.chaos.havoc import Planned, What
from tests.chaos.history import Promise
from tests.chaos.judge import judge
from tests.chaos.stage import Round
from tests.chaos.workload import Body, Piece, Workload, workload
from tests.cluster.api import Cluster
from tests.kube import Kube

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PLAN = [
    Planned(What.KILL, pause=6.0, lasts=10.0, component="apiserver"),
    Planned(What.WEBHOOK_AWAY, pause=1.0, lasts=2.0),
]
#: They run when the API server goes, and end before it is back: their pods have to say so later.
PIECES: Mapping[str, Body] = {
    "nap": {"flow": {"entrypoint": "flows.py:nap"}, "parameters": {"seconds": 9}},
    "dormitory": {"flow": {"entrypoint": "flows.py:dormitory"}, "parameters": {"sleepers": 2, "seconds": 6}},
    "container": {"flow": {"command": ["sleep", "9"]}},
    "failing": {"flow": {"command": ["sh", "-c", "sleep 9; exit 3"]}},
}
ENDS = {"nap": "COMPLETED", "dormitory": "COMPLETED", "container": "COMPLETED", "failing": "FAILED"}


def test_what_goes_on_survives_that_nobody_answers(
    breakable: Cluster, breakable_kube: Kube, flows: str, tmp_path: Path
) -> None:
    """Each run ends as its code says, in its first attempt; what the webhook would have refused ends without a pod."""
    told: list[str] = []
    played = Round(breakable, breakable_kube, f"away-{tmp_path.parent.name}".lower(), tmp_path, told.append)
    history = played.play(in_flight(flows), PLAN, seed=1)
    verdicts = judge(history)
    assert [(verdict.law, what) for verdict in verdicts for what in verdict.breaches] == [], "\n".join(told)
    ends = {run["metadata"]["name"]: run["status"] for run in history.left["flowruns"]}
    assert {name: (ends[name]["state"]["type"], ends[name]["attempt"]) for name in PIECES} == {
        name: (end, 1) for name, end in ENDS.items()
    }
    assert ends["misfit-1"]["state"]["reason"] == "InvalidParameters"
    assert "x='many' must be a whole number" in ends["misfit-1"]["state"]["message"]
    played.leave()


def in_flight(image: str) -> Workload:
    """Make runs that are at work when the API server goes, and the Flows of those that are started without a webhook."""
    pieces = (
        Piece(name, {**spec, "flow": {"image": image, **spec["flow"]}}, Promise(frozenset({ENDS[name]})), at=0.0)
        for name, spec in PIECES.items()
    )
    flows = workload(1, image, spread=0.0, light=True).flows
    return Workload(flows=flows, deployments=(), lanes=(), pieces=tuple(pieces))
