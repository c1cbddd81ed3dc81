"""Laws of queues in the simulated cluster: whatever happens to operator, pods and nodes, no queue is overfull."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.builders import make_metadata
from tests.operator.reconcile.deciding import searching
from tests.operator.reconcile.test_laws import MOVES, PROGRAMS, live_through
from tests.operator.simulated_api import NAMESPACE, LawBrokenError
from tests.operator.simulation import World

from towpath import names
from towpath.states import TERMINAL
from towpath_operator.reconcile.claims import is_at_work

RUNS = ("first", "second", "third", "fourth")
#: A new leader lists what there is before it writes, so it does not come behind what the old one did.
STEPS = st.lists(
    st.tuples(st.sampled_from([move for move in MOVES if move != "fail over"]), st.integers(0, 7)),
    min_size=20,
    max_size=70,
)


class Narrow(World):
    """A cluster with one queue, in which each Job that is made is counted."""

    def __init__(self, programs: Mapping[str, list[str]], limit: int) -> None:
        self.limit = limit
        queue = {"metadata": make_metadata("Queue", "lane", namespace=NAMESPACE), "spec": {"limit": limit}}
        spec = {"queue": "lane", "infraRetries": 1, "timeoutSeconds": 300}
        super().__init__(programs, dict.fromkeys(RUNS, spec), lanes={"queues": [queue]})

    def _create_job(self, manifest: Mapping[str, Any]) -> None:
        super()._create_job(manifest)
        at_work = [run["metadata"]["name"] for run in self.api.all("flowruns") if self._works(run)]
        if len(at_work) > self.limit:
            raise LawBrokenError(f"{at_work} are at work, and the limit is {self.limit}")

    def _works(self, run: Mapping[str, Any]) -> bool:
        status, name = run.get("status") or {}, run["metadata"]["name"]
        if status.get("state", {}).get("type") in TERMINAL:
            return False
        job = names.job_name(name, run["metadata"]["uid"], max(status.get("attempt", 0), 1))
        return is_at_work(run, has_job=self.api.get("jobs", job) is not None)


@searching(40)
@given(
    programs=st.lists(st.lists(st.sampled_from(PROGRAMS), min_size=1, max_size=2), min_size=4, max_size=4),
    limit=st.integers(1, 2),
    steps=STEPS,
)
def test_a_queue_is_never_overfull_and_everybody_has_his_turn(
    programs: list[list[str]], limit: int, steps: list[tuple[str, int]]
) -> None:
    """With kills at every step, restarts, lost nodes and meddling people; and in the end every run has ended."""
    live_through(Narrow(dict(zip(RUNS, programs, strict=True)), limit), steps)
