"""Which runs that have ended are removed, and when: by count, by time, and never while they are needed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import make_condition, make_deployment, make_flowrun, make_job, make_state
from tests.operator.reconcile.deciding import Body, at, now, searching

from towpath import names
from towpath_operator import observe
from towpath_operator.reconcile import history
from towpath_operator.reconcile.decision import Decision, DeleteRun
from towpath_operator.reconcile.observed import EndedRun, ObservedHistory
from towpath_operator.reconcile.policy import Policy
from towpath_operator.runtime.store import Store
from towpath_operator.view import INDEXES, StoreView, lean

NAMESPACE = "team-a"


def ended(name: str, ago: float, state: str = "COMPLETED", **more: Any) -> Body:
    """Build a run of the Deployment `nightly` that ended so many seconds ago."""
    more.setdefault("deployment_ref", "nightly")
    status = {"completionTime": at(-ago), "attempt": 1} | more.pop("status", {})
    return make_flowrun(name, state=make_state(state, since=at(-ago)), status=status, **more)


def deployment(**history_: int) -> Body:
    """Build the Deployment `nightly`, which has heard of every success."""
    return make_deployment("nightly", spec={"history": history_}, status={"lastSucceeded": at(0)})


class Cluster:
    """A store with the operator's indexes, and histories decided on what it holds."""

    def __init__(self, *bodies: Body, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.store = Store(INDEXES, lean=lean, listener=self._changed)
        self.view = StoreView(self.store)
        self.rung: list[observe.Key] = []
        self.version = 1
        for body in bodies:
            self.put(body)

    def _changed(self, plural: str, old: Any, new: Any) -> None:
        if plural == "flowruns" and (key := self.view.run_changed(old, new)):
            self.rung.append(key)

    def put(self, body: Body) -> None:
        """Let the store see an object as it is now."""
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.store.put({"FlowRun": "flowruns", "Deployment": "deployments", "Job": "jobs"}[body["kind"]], body)

    def decide(self, after: float = 0.0, group: str = "nightly") -> Decision:
        """Decide so many seconds from now."""
        observed = observe.history(self.view, NAMESPACE, group, self.policy)
        decision = history.decide(observed, now + timedelta(seconds=after))
        if decision.bug is not None:
            raise decision.bug
        return decision

    def carry_out(self, decision: Decision) -> None:
        """Delete what was decided on, as the API server and the garbage collector do."""
        for action in decision.actions:
            assert isinstance(action, DeleteRun)
            known = self.store.get("flowruns", action.namespace, action.name)
            assert known is not None
            assert known["metadata"]["resourceVersion"] == action.resource_version
            self.store.drop("flowruns", action.namespace, action.name, action.uid)

    @property
    def left(self) -> set[str]:
        """Names of the runs that there are."""
        return {body["metadata"]["name"] for body in self.store.all("flowruns")}


def removed(decision: Decision) -> list[str]:
    """Give the names of the runs that are removed, in order."""
    return [action.name for action in decision.actions if isinstance(action, DeleteRun)]


FIVE = [ended(f"ok-{n}", 100 - n) for n in range(3)] + [ended("bad-0", 50, "FAILED"), ended("bad-1", 40, "CRASHED")]
TABLE: dict[str, tuple[dict[str, int], int, list[str], float | None]] = {
    # history, the operator's setting, what goes now, when to look again
    "nothing is said": ({}, 0, [], None),
    "all are few enough": ({"succeeded": 3, "failed": 2}, 0, [], None),
    "too many succeeded, the oldest go": ({"succeeded": 1}, 0, ["ok-0", "ok-1"], None),
    "none is kept that failed": ({"failed": 0}, 0, ["bad-0", "bad-1"], None),
    "cancelled and crashed count as failed": ({"failed": 1}, 0, ["bad-0"], None),
    "by time, whatever they ended as": ({"ttlSeconds": 50}, 0, ["ok-0", "ok-1", "ok-2", "bad-0"], 10),
    "not yet": ({"ttlSeconds": 120}, 0, [], 20),
    "by count before the time": ({"succeeded": 2, "ttlSeconds": 120}, 0, ["ok-0"], 21),
    "by the operator's setting": ({}, 99, ["ok-0", "ok-1"], 1),
    "the Deployment's word goes over the operator's": ({"ttlSeconds": 1000}, 50, [], 900),
}


@pytest.mark.parametrize(("spec", "setting", "goes", "again"), TABLE.values(), ids=TABLE)
def test_what_goes_and_when(spec: dict[str, int], setting: int, goes: list[str], again: float | None) -> None:
    """Counts and times of a Deployment decide, each for itself; the operator's setting where nothing else is said."""
    cluster = Cluster(deployment(**spec), *FIVE, policy=Policy(run_ttl_seconds=setting))
    decision = cluster.decide()
    assert (removed(decision), decision.requeue_after) == (goes, again)
    cluster.carry_out(decision)
    assert removed(cluster.decide()) == []


def test_its_own_word_goes_over_all_others() -> None:
    """A run with a ttl of its own goes by that alone, sooner or later than the others, and does not count."""
    own = {"ttlSecondsAfterFinished": 60}
    cluster = Cluster(
        deployment(succeeded=1, ttlSeconds=1000),
        ended("old", 500, spec=own),
        ended("older-and-kept", 900, spec={"ttlSecondsAfterFinished": 31_536_000}),
        ended("young", 59, spec=own),
        ended("last", 10),
    )
    decision = cluster.decide()
    assert (removed(decision), decision.requeue_after) == (["old"], 1)
    cluster.put(ended("older-and-kept", 900, spec={"ttlSecondsAfterFinished": 0}))
    assert removed(cluster.decide()) == ["older-and-kept", "old"]


def test_runs_without_a_deployment_go_by_themselves() -> None:
    """They have their own ttl or the operator's, and no count."""
    lone = [ended(f"lone-{n}", 100 * n + 10, deployment_ref=None) for n in range(3)]
    quick = ended("quick", 5, deployment_ref=None, spec={"ttlSecondsAfterFinished": 0})
    cluster = Cluster(*lone, quick, policy=Policy(run_ttl_seconds=150))
    decision = cluster.decide(group="")
    assert (removed(decision), decision.requeue_after) == (["lone-2", "quick"], 40)


CHILD = make_flowrun("child", parent=make_flowrun("needed"))
NEEDED: dict[str, tuple[list[Body], Body]] = {
    "a live child": ([CHILD], ended("needed", 500)),
    "a live grandchild": (
        [
            make_flowrun("child", parent=make_flowrun("needed"), state="COMPLETED"),
            make_flowrun("grandchild", parent=make_flowrun("child")),
        ],
        ended("needed", 500),
    ),
    "its process": ([make_job(make_flowrun("needed"))], ended("needed", 500)),
    "another attempt that is asked for": ([], ended("needed", 500, "FAILED", spec={"retryAfterAttempt": 1})),
    "the run that called it": (
        [make_flowrun("caller")],
        ended(
            "needed",
            500,
            spec={
                "onParentEnd": "Orphan",
                "parent": {"name": "caller", "uid": make_flowrun("caller")["metadata"]["uid"]},
            },
        ),
    ),
    "its Deployment, which has not heard of its success": (
        [make_deployment("nightly", spec={"history": {"ttlSeconds": 1}}, status={"lastSucceeded": at(-501)})],
        ended("needed", 500),
    ),
    "its schedule, whose mark is not past it": (
        [
            make_deployment(
                "nightly",
                spec={"history": {"ttlSeconds": 1}},
                status={"lastSucceeded": at(0), "schedules": [{"name": "s", "seenUntil": at(-700)}]},
            )
        ],
        ended("needed", 500, labels={names.LABEL_SCHEDULE: "s"}, spec={"scheduledTime": at(-600)}),
    ),
}


@pytest.mark.parametrize(("others", "run"), NEEDED.values(), ids=NEEDED)
def test_a_run_that_is_needed_stays_and_holds_nobody_up(others: list[Body], run: Body) -> None:
    """However old it is; what comes after it goes, and it is looked at again soon."""
    cluster = Cluster(deployment(ttlSeconds=1), *others, ended("next", 400, "FAILED"), run)
    decision = cluster.decide()
    assert (removed(decision), decision.requeue_after) == (["next"], history.NEEDED_SECONDS)


def test_a_run_stays_until_automations_have_written_down_what_became_of_it() -> None:
    """Its history is the only record of that until then; what comes after it goes, and it is looked at again soon."""
    cluster = Cluster(deployment(ttlSeconds=1), ended("told", 400, "FAILED"), ended("needed", 500, "FAILED"))

    def is_awaited(run: dict[str, Any]) -> bool:
        return bool(run["metadata"]["name"] == "needed")

    observed = observe.history(cluster.view, NAMESPACE, "nightly", cluster.policy, is_awaited)
    decision = history.decide(observed, now)
    assert (removed(decision), decision.requeue_after) == (["told"], history.NEEDED_SECONDS)


@pytest.mark.parametrize(
    "spared",
    [
        make_flowrun("live", deployment_ref="nightly", state="RUNNING"),
        ended("child", 500, parent=make_flowrun("parent")),
        ended("going", 500, deleted=at(-1)),
    ],
    ids=["live", "goes with its parent", "on its way out, held by a finalizer"],
)
def test_others_neither_go_nor_count(spared: Body) -> None:
    """A live run, one that goes with its parent and one that is being deleted are none of these."""
    cluster = Cluster(deployment(succeeded=1, failed=1, ttlSeconds=100), spared, ended("kept", 90))
    decision = cluster.decide()
    assert (removed(decision), decision.requeue_after) == ([], 10)


def test_batches_are_bounded() -> None:
    """Of very many a batch goes at a time, the oldest first, a second apart."""
    cluster = Cluster(deployment(succeeded=5), *(ended(f"r-{n:03d}", 1000 - n) for n in range(50)))
    sizes = []
    while actions := removed(decision := cluster.decide()):
        sizes.append(len(actions))
        assert decision.requeue_after == (history.BATCH_SECONDS if len(actions) == history.BATCH else None)
        cluster.carry_out(decision)
    assert sizes == [20, 20, 5]
    assert cluster.left == {f"r-{n:03d}" for n in range(45, 50)}


def test_ten_thousand_kept_runs_are_not_looked_at() -> None:
    """A decision looks at those that go, and at the first that stays of each kind."""
    looked: list[int] = []

    class Counting(list[EndedRun]):
        def __iter__(self) -> Any:
            for position, item in enumerate(super().__iter__()):
                looked.append(position)
                yield item

    runs = Counting(EndedRun(ended(f"r-{n}", 20_000 - n)) for n in range(10_000))
    decision = history.decide(ObservedHistory(deployment(succeeded=9_990, ttlSeconds=86_400), succeeded=runs), now)
    assert len(removed(decision)) == 10
    assert max(looked) == 10


def test_a_run_that_ends_rings_for_its_history_only() -> None:
    """A change of a run that has not ended costs nothing; an end rings for its Deployment, or for those of none."""
    cluster = Cluster(make_flowrun("r", deployment_ref="nightly", state="RUNNING"), make_flowrun("lone"))
    assert cluster.rung == []
    cluster.put(ended("r", 1))
    cluster.put(ended("lone", 1, deployment_ref=None))
    assert cluster.rung == [("history", NAMESPACE, "nightly"), ("history", NAMESPACE, "")]


def test_a_run_that_is_tried_again_is_taken_out_and_comes_back() -> None:
    """The order is that of the last end, and a run at work is not in it."""
    cluster = Cluster(deployment(failed=1), ended("first", 100, "FAILED"), ended("second", 50, "FAILED"))
    assert removed(cluster.decide()) == ["first"]
    cluster.put(make_flowrun("first", deployment_ref="nightly", state="RUNNING"))
    assert removed(cluster.decide()) == []
    cluster.put(ended("first", 10, "FAILED"))
    assert removed(cluster.decide()) == ["second"]


def test_odd_bodies_do_no_harm() -> None:
    """Ends at the end of time, and states without one."""
    far = {"completionTime": "9999-12-31T23:59:59Z"}
    cluster = Cluster(
        deployment(ttlSeconds=31_536_000),
        ended("far", 0, status=far),
        ended("own", 0, status=far, spec={"ttlSecondsAfterFinished": 31_536_000}),
        make_flowrun("never", deployment_ref="nightly", state={"type": "FAILED", "name": "Failed"}),
    )
    assert removed(cluster.decide()) == []


RUNS = st.lists(
    st.tuples(
        st.sampled_from(["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "RUNNING", "PENDING"]),
        st.integers(0, 300),
        st.sampled_from([None, None, None, 0, 60, 1000]),
        st.sampled_from([None, None, 0, 1, 2]),  # whose child it is
    ),
    max_size=60,
)
LIMITS = st.fixed_dictionaries(
    {}, optional={"succeeded": st.integers(0, 30), "failed": st.integers(0, 30), "ttlSeconds": st.integers(1, 400)}
)


@searching(150)
@given(runs=RUNS, spec=LIMITS, setting=st.sampled_from([0, 100]), orphans=st.booleans())
def test_histories_keep_the_laws(runs: Any, spec: dict[str, int], setting: int, orphans: bool) -> None:
    """It comes to rest; no live run goes, nor one with a live run below it; what is kept is the latest, as many as said."""
    bodies: list[Body] = []
    for number, (state, ago, own, above) in enumerate(runs):
        more: Any = {"spec": {} if own is None else {"ttlSecondsAfterFinished": own}}
        if above is not None and above < number:
            parent = bodies[above]["metadata"]
            more["spec"] |= {"parent": {"name": parent["name"], "uid": parent["uid"]}}
            if not orphans:
                more["owner"] = bodies[above]
        if state in {"RUNNING", "PENDING"}:
            bodies.append(make_flowrun(f"r-{number:02d}", deployment_ref="nightly", state=state, **more))
        else:
            bodies.append(ended(f"r-{number:02d}", ago, state, **more))
    cluster = Cluster(deployment(**spec), *bodies, policy=Policy(run_ttl_seconds=setting))
    by_uid = {body["metadata"]["uid"]: body for body in bodies}
    for _ in range(20):
        decision = cluster.decide()
        assert len(decision.actions) <= history.BATCH
        if not decision.actions:
            break
        for name in removed(decision):
            assert "completionTime" in cluster.store.get("flowruns", NAMESPACE, name)["status"]  # type: ignore[index]
        cluster.carry_out(decision)
    else:
        pytest.fail("it does not come to rest")
    gone = {name for name in (body["metadata"]["name"] for body in bodies) if name not in cluster.left}
    for body in bodies:
        above = body
        while parent_uid := (above["spec"].get("parent") or {}).get("uid"):
            above = by_uid[parent_uid]
            if above["metadata"]["name"] in gone:
                assert "completionTime" in body["status"], "a live run was below one that is gone"
    lone = [body for body in bodies if "parent" not in body["spec"] and "ttlSecondsAfterFinished" not in body["spec"]]
    parents = {(body["spec"].get("parent") or {}).get("name") for body in bodies}
    for key, states in (("succeeded", {"COMPLETED"}), ("failed", {"FAILED", "CRASHED", "CANCELLED"})):
        kind = [body for body in lone if body["status"]["state"]["type"] in states]
        here = [body for body in kind if body["metadata"]["name"] in cluster.left]
        if key in spec and not orphans:
            assert len([body for body in here if body["metadata"]["name"] not in parents]) <= spec[key]
        if kind and here and not orphans and len(here) < len(kind):
            dropped = [body for body in kind if body not in here]
            free = [body for body in here if body["metadata"]["name"] not in parents]
            assert not free or max(end_of(body) for body in dropped) <= min(end_of(body) for body in free)


def end_of(body: Body) -> tuple[str, str]:
    """Give what orders runs that have ended."""
    return body["status"]["completionTime"], body["metadata"]["name"]


def test_a_finished_job_holds_nobody() -> None:
    """It goes with its run."""
    done = make_job(make_flowrun("r"), status={"conditions": [make_condition("Complete")]})
    cluster = Cluster(deployment(ttlSeconds=1), done, ended("r", 500))
    assert removed(cluster.decide()) == ["r"]
