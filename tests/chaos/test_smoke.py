"""One short round of chaos on a real cluster, always the same: that the suite works, and that the laws hold in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.chaos.havoc import Planned, What
from tests.chaos.judge import judge
from tests.chaos.proxy import Fault
from tests.chaos.stage import Round
from tests.chaos.workload import workload
from tests.cluster.api import Cluster
from tests.kube import Kube

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PLAN = [
    *[Planned(What.KILL_AT_WRITE, pause=0.0, lasts=2.0)] * 6,
    Planned(What.WATCHES, pause=1.0, lasts=3.0, faults=(Fault.DROPPED_WATCH, Fault.GONE_EVENT), share=0.5),
    Planned(What.ANSWERS, pause=1.0, lasts=3.0, faults=(Fault.ERROR, Fault.CONFLICT, Fault.LOST_ANSWER), share=0.5),
    Planned(What.KILL, pause=1.0, lasts=2.0, component="etcd"),
    Planned(What.KILL, pause=1.0, lasts=2.0, component="apiserver"),
    Planned(What.KILL_BOTH, pause=1.0, lasts=0.0),
]


def test_a_short_round(breakable: Cluster, breakable_kube: Kube, flows: str, tmp_path: Path) -> None:
    """Killed at its writes, told lies, with etcd and API server killed under it: every law holds of what comes of it."""
    told: list[str] = []
    played = Round(breakable, breakable_kube, f"smoke-{tmp_path.parent.name}".lower(), tmp_path, told.append)
    history = played.play(workload(1, flows, spread=10, light=True), PLAN, seed=1)
    verdicts = judge(history)
    assert [(verdict.law, what) for verdict in verdicts for what in verdict.breaches] == [], "\n".join(told)
    assert sum(verdict.looked_at > 0 for verdict in verdicts) >= 8
    played.leave()
