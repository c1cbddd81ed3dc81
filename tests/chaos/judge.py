"""The laws that hold for every run whatever happens to the cluster; each finds its breaches in a history.

A law reads the whole history, not only its end: a run that was in two places at once and ended well is a breach.
Where the order of two requests decides, the law takes the reading that is kinder to the operator: an end counts from
when the API server heard of it, a beginning from when it answered.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise, zip_longest
from typing import Any

from tests.chaos.history import Blow, Body, History, version_of
from tests.chaos.lives import ENDED_PHASES, ancestors, attempt_of, name_of, pod_lives, state_of, touched_runs

from towpath import names
from towpath.states import TERMINAL, StateType

FAIL_OVER = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a law says of a history."""

    law: str
    looked_at: int
    """How many things it spoke about; a law that spoke about nothing has shown nothing."""
    breaches: tuple[str, ...]


Found = Iterator[str | None]
"""Per thing that was looked at: what is wrong with it, or None."""


def judge(history: History) -> list[Verdict]:
    """Hold a history against every law."""
    verdicts = []
    for law in LAWS:
        found = list(law(history))
        said = (law.__doc__ or "").splitlines()[0].rstrip(".")
        verdicts.append(Verdict(said, len(found), tuple(what for what in found if what)))
    return verdicts


def one_job_per_attempt(history: History) -> Found:
    """One Job per attempt."""
    made: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for versions in history.of("jobs"):
        labels = versions[0]["metadata"]["labels"]
        if names.LABEL_RUN_UID in labels:
            made[labels[names.LABEL_RUN_UID], labels[names.LABEL_ATTEMPT]][versions[0]["metadata"]["name"]] += 1
    for (_, attempt), jobs in made.items():
        yield f"attempt {attempt} had {dict(jobs)}" if jobs.total() > 1 else None


def ends_are_final(history: History) -> Found:
    """No terminal state changes within its attempt, no attempt follows a success, and none is counted back."""
    for versions in history.of("flowruns"):
        wrong = (
            f"{name_of(two)} was {state_of(one)} in attempt {attempt_of(one)}, then {state_of(two)} in {attempt_of(two)}"
            for one, two in pairwise(versions)
            if not _may_become(one, two)
        )
        yield next(wrong, None)


def never_two_pods(history: History) -> Found:
    """A run never has two live pods."""
    lives: dict[str, list[tuple[datetime, datetime | None, str]]] = defaultdict(list)
    for run, began, ended, pod in pod_lives(history):
        lives[run].append((began, ended, pod))
    for run, spans in lives.items():
        spans.sort()
        yield next(
            (
                f"{run}: {second[2]} began at {second[0]:%X}, while {first[2]} lived"
                for first, second in pairwise(spans)
                if first[1] is None or second[0] < first[1]
            ),
            None,
        )


def limits_hold(history: History) -> Found:
    """Never more pods at once than a Queue, a ConcurrencyLimit or a Deployment lets runs have."""
    lanes = {
        run["metadata"]["uid"]: list(_lanes(run, history))
        for versions in history.of("flowruns")
        for run in versions[-1:]
    }
    moments: dict[tuple[str, int], list[tuple[datetime, int]]] = defaultdict(list)
    for uid, began, ended, _ in pod_lives(history):
        for lane in lanes.get(uid, ()):
            moments[lane].append((began, 1))
            if ended:
                moments[lane].append((ended, -1))
    for (name, limit), steps in moments.items():
        most = _most(steps)
        yield f"{name} had {most} pods at once, {limit} are allowed" if most > limit else None


def granted_slots_are_there(history: History) -> Found:
    """Never more slots granted to the code of runs than a ConcurrencyLimit has."""
    moments: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for versions in history.of("flowruns"):
        for name, since, until, slots in _grants(versions, history):
            moments[name].append((since, slots))
            moments[name].append((until, -slots))
    for limit in history.left.get("concurrencylimits", ()):
        if steps := moments[name_of(limit)]:
            most, allowed = _most(steps), limit["spec"]["limit"]
            said = f"{most} slots of limit {name_of(limit)} were granted at once, it has {allowed}"
            yield said if most > allowed else None


def every_run_ends(history: History) -> Found:
    """Every run ends."""
    for run in history.left.get("flowruns", ()):
        done = state_of(run) in TERMINAL
        yield None if done else f"{name_of(run)} is {state_of(run)} for ever: {run.get('status', {}).get('waitingFor')}"


def no_run_is_lost(history: History) -> Found:
    """Every run that was started is there."""
    there = {name_of(run) for run in history.left.get("flowruns", ())}
    for name in history.promises:
        yield None if name in there else f"{name} was started, and is not there"


def a_missing_webhook_stops_nobody(history: History) -> Found:
    """No write is refused because the webhook does not answer."""
    for write in history.writes:
        if write.plural in {"flowruns", "flows", "deployments", "queues"}:
            said = "" if write.succeeded else str((write.body or {}).get("message", ""))
            yield f"{write.verb} {write.plural}/{write.name}: {said}" if "failed calling webhook" in said else None


def the_webhook_comes_back(history: History) -> Found:
    """The webhook refuses what does not fit, once all is well."""
    if history.refuses_again is not None:
        yield None if history.refuses_again else "a run with wrong parameters is taken"


def nothing_is_left_running(history: History) -> Found:
    """When all runs have ended, no pod and no Job goes on."""
    for pod in history.left.get("pods", ()):
        phase = pod.get("status", {}).get("phase")
        yield None if phase in ENDED_PHASES else f"pod {name_of(pod)} is {phase} after the end"
    for job in history.left.get("jobs", ()):
        conditions = {one["type"] for one in job.get("status", {}).get("conditions", ()) if one["status"] == "True"}
        over = bool(conditions & {"Complete", "Failed"})
        yield None if over else f"Job {name_of(job)} goes on after the end"


def promises_are_kept(history: History) -> Found:
    """A run whose own process nobody touched ends as its code says, in the attempt that its code needs."""
    touched = set(touched_runs(history))
    for run in history.left.get("flowruns", ()):
        promise = history.promises.get(name_of(run))
        if promise is None or run["metadata"]["uid"] in touched:
            continue
        end, attempt = state_of(run), attempt_of(run)
        wrong = end not in promise.ends or promise.attempts not in {None, attempt}
        said = (
            f"{name_of(run)} ended {end} in attempt {attempt}, and not {'/'.join(promise.ends)} in {promise.attempts}"
        )
        yield f"{said}: {run['status'].get('error')}" if wrong else None


def cancelled_trees_end(history: History) -> Found:
    """Whatever runs below a cancelled run is cancelled, unless it had ended before."""
    runs = {run["metadata"]["uid"]: run for run in history.left.get("flowruns", ())}
    cancelled = {uid for uid, run in runs.items() if run["spec"].get("cancel")}
    for run in runs.values():
        above = list(ancestors(run, runs))
        if not any(uid in cancelled for uid in above):
            continue
        early = state_of(run) in {StateType.FAILED, StateType.CRASHED}  # its process may have been killed before
        right = state_of(run) is StateType.CANCELLED or early or _ended_before_cancel(run, above, history)
        yield None if right else f"{name_of(run)} below a cancelled run ended {state_of(run)}"


def every_tick_once(history: History) -> Found:
    """Each time of a schedule has exactly one run, without a gap, up to the last one that was seen to."""
    made: dict[tuple[str, str], dict[datetime, set[str]]] = defaultdict(lambda: defaultdict(set))
    for versions in history.of("flowruns"):
        labels, spec = versions[0]["metadata"].get("labels", {}), versions[0]["spec"]
        if schedule := labels.get(names.LABEL_SCHEDULE):
            due = datetime.fromisoformat(spec["scheduledTime"])
            made[labels[names.LABEL_DEPLOYMENT], schedule][due].add(versions[0]["metadata"]["uid"])
    for deployment in history.left.get("deployments", ()):
        for entry in deployment["spec"].get("schedules", ()):
            ticks = made[name_of(deployment), entry["name"]]
            every = timedelta(seconds=entry["intervalSeconds"])
            created = datetime.fromisoformat(deployment["metadata"]["creationTimestamp"])
            yield _wrong_ticks(f"{name_of(deployment)}/{entry['name']}", ticks, every, created)


def only_the_holder_writes(history: History) -> Found:
    """Who does not hold the Lease sends nothing: no write was sent by one operator after another had taken over."""
    taken: list[tuple[datetime, str]] = []
    for write in history.writes:
        holder = ((write.body or {}).get("spec") or {}).get("holderIdentity")
        if write.plural == "leases" and write.succeeded and holder and (not taken or taken[-1][1] != holder):
            taken.append((write.done, holder))
    for write in history.writes:
        if write.operator and write.plural not in {"leases", "events"}:
            holder = next((who for since, who in reversed(taken) if since <= write.sent), write.operator)
            said = f"{write.operator} sent {write.verb} {write.plural}/{write.name} while {holder} held the Lease"
            yield said if holder != write.operator and write.succeeded else None


def another_takes_over(history: History) -> Found:
    """When the operator that works is killed or frozen for long, another holds the Lease within 15 s."""
    for blow, took in fail_overs(history):
        late = took is None or took > FAIL_OVER
        said = "never" if took is None else f"after {took.total_seconds():.1f} s"
        yield f"{blow.what} at {blow.began:%X}: another took over {said}" if late else None


LAWS: tuple[Callable[[History], Found], ...] = (
    one_job_per_attempt,
    ends_are_final,
    never_two_pods,
    limits_hold,
    granted_slots_are_there,
    every_run_ends,
    no_run_is_lost,
    nothing_is_left_running,
    promises_are_kept,
    cancelled_trees_end,
    every_tick_once,
    only_the_holder_writes,
    another_takes_over,
    a_missing_webhook_stops_nobody,
    the_webhook_comes_back,
)


def fail_overs(history: History) -> Iterator[tuple[Blow, timedelta | None]]:
    """Give for each fail-over that was called for how long it took until another held the Lease; None: for ever."""
    specs = (
        (write.done, (write.body or {}).get("spec") or {})
        for write in history.writes
        if write.plural == "leases" and write.succeeded
    )
    held = [(at, spec["holderIdentity"]) for at, spec in specs if spec.get("holderIdentity")]
    for blow in history.blows:
        if blow.what.startswith("fail-over"):
            before = next((who for at, who in reversed(held) if at <= blow.began), None)
            after = next((at for at, who in held if at > blow.began and who != before), None)
            yield blow, None if after is None else after - blow.began


def _may_become(one: Body, two: Body) -> bool:
    """Tell whether a run as it was may have become what it was next."""
    if attempt_of(two) != attempt_of(one):
        final = state_of(one) in {StateType.COMPLETED, StateType.CANCELLED}
        return attempt_of(two) > attempt_of(one) and not final
    return state_of(one) not in TERMINAL or state_of(two) is state_of(one)


def _lanes(run: Body, history: History) -> Iterator[tuple[str, int]]:
    for queue in history.left.get("queues", ()):
        if run["spec"].get("queue") == name_of(queue) and queue["spec"].get("limit") is not None:
            yield f"queue {name_of(queue)}", queue["spec"]["limit"]
    for one in history.left.get("concurrencylimits", ()):
        if name_of(one) in run["spec"].get("limits", ()):
            yield f"limit {name_of(one)}", one["spec"]["limit"]
    for deployment in history.left.get("deployments", ()):
        limit = (deployment["spec"].get("concurrency") or {}).get("limit")
        if run["spec"].get("deploymentRef") == name_of(deployment) and limit is not None:
            yield f"deployment {name_of(deployment)}", limit


def _grants(versions: Sequence[Body], history: History) -> Iterator[tuple[str, int, int, int]]:
    """Give what a run's code was granted: the limit, from and to which version of all objects, and how many slots.

    Of what an API server had carried out when it was killed nothing is written: a grant that may have been given back
    then was given back at once.
    """
    for one, two in zip_longest(versions, versions[1:]):
        for grant in () if state_of(one) in TERMINAL else (one.get("status") or {}).get("slotsGranted", ()):
            since = until = version_of(one)
            if two is not None and not history.may_lack(since, version_of(two)):
                until = version_of(two)
            yield grant["limit"], since, until, grant["slots"]


def _most(steps: Sequence[tuple[Any, int]]) -> int:
    """Give the highest level that steps up and down lead to; at the same moment those down come first."""
    level = most = 0
    for _, step in sorted(steps):
        level += step
        most = max(most, level)
    return most


def _wrong_ticks(which: str, ticks: Mapping[datetime, set[str]], every: timedelta, created: datetime) -> str | None:
    doubled = [f"{due:%X}" for due, runs in ticks.items() if len(runs) > 1]
    if doubled:
        return f"{which} has two runs for {', '.join(doubled)}"
    if not ticks:
        return f"{which} has no run at all"
    times = sorted(ticks)
    if times[0] - created > every:
        return f"{which} began {times[0] - created} after the Deployment, not within {every}"
    gaps = [f"{one:%X} to {two:%X}" for one, two in pairwise(times) if two - one != every]
    return f"{which} has no run between {', '.join(gaps)}" if gaps else None


def _ended_before_cancel(run: Body, above: Sequence[str], history: History) -> bool:
    """Tell whether it had ended before any run above was seen to be cancelled."""
    wished = min(
        version_of(version)
        for uid in above
        for version in history.versions.get(("flowruns", uid), ())
        if version["spec"].get("cancel")
    )
    ended = [version_of(v) for v in history.versions["flowruns", run["metadata"]["uid"]] if state_of(v) in TERMINAL]
    return bool(ended) and ended[0] < wished
