"""What happened to a run, as an Automation counts it: which runs it looks at, and what of them is an event.

An event has an id that is made of the Automation, the run, its attempt, the state and the time. So whoever finds it
(another operator, the same one after it was killed, both) finds the same, and a receiver can drop doubles. The id
begins with the time, so that ids are in the order of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from towpath import names
from towpath.api.v1alpha1.transitions import cut, rfc3339
from towpath.states import TERMINAL, StateType
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.reading import integer, mapping, mappings, moment, text, texts, value

LATE: Final = "late"
LONG_RUNNING: Final = "longrunning"
NO_SUCCESS: Final = "nosuccess"
TEST: Final = "test"

_MESSAGE: Final = 256
_STAMP: Final = "%Y%m%dT%H%M%S%fZ"
_UNSTARTED: Final = frozenset({"", StateType.SCHEDULED, StateType.PENDING})


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something happened that an Automation counts."""

    id: str
    event: str
    """The type of a state in small letters, or late, longrunning, nosuccess, test."""
    at: datetime
    run: str = ""
    uid: str = ""
    flow: str = ""
    deployment: str = ""
    attempt: int = 0
    type: str = ""
    name: str = ""
    reason: str = ""
    message: str = ""
    count: int = 1
    """How many it stands for, this one included."""
    is_witnessed: bool = False
    """Whether it was seen to happen, so that it is new however old its time says that it is."""

    def wire(self) -> dict[str, Any]:
        """Give what a status keeps of it."""
        said = {
            "id": self.id,
            "event": self.event,
            "at": rfc3339(self.at),
            "run": self.run,
            "uid": self.uid,
            "flow": self.flow,
            "deployment": self.deployment,
            "attempt": self.attempt,
            "type": self.type,
            "name": self.name,
            "reason": self.reason,
            "message": cut(self.message, _MESSAGE),
            "count": self.count,
        }
        return {key: found for key, found in said.items() if found}


def read(entry: Mapping[str, Any]) -> Occurrence:
    """Read what `Occurrence.wire` has written."""
    return Occurrence(
        text(entry, "id"),
        text(entry, "event"),
        moment(entry, "at") or datetime.fromtimestamp(0, UTC),
        run=text(entry, "run"),
        uid=text(entry, "uid"),
        flow=text(entry, "flow"),
        deployment=text(entry, "deployment"),
        attempt=integer(entry, "attempt") or 0,
        type=text(entry, "type"),
        name=text(entry, "name"),
        reason=text(entry, "reason"),
        message=text(entry, "message"),
        count=integer(entry, "count") or 1,
    )


def identity(automation: Body, subject: str, attempt: int, event: str, at: datetime) -> str:
    """Make the id of an event.

    Args:
        automation: the Automation that counts it.
        subject: UID of the run; another word for what is of no run.
        attempt: the run's.
        event: what happened.
        at: when.
    """
    key = names.digest(text(automation, "metadata", "uid"), subject, str(attempt), event, at.isoformat(), length=12)
    return f"{at.astimezone(UTC).strftime(_STAMP)}-{key}"


def time_of(id_: str) -> datetime | None:
    """Give the time that an id begins with."""
    try:
        return datetime.strptime(id_.partition("-")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def definition_of(automation: Body) -> str:
    """Give a hash of what an Automation counts; with another one it begins anew."""
    spec = mapping(automation, "spec")
    return names.digest(names.canonical_json([spec.get("trigger"), spec.get("match")]))


def counts(automation: Body, run: Body, deployment: Body | None) -> bool:
    """Tell whether an Automation looks at a run.

    Args:
        automation: the Automation.
        run: a FlowRun of the same namespace.
        deployment: the Deployment that the run names, if there is one.
    """
    match = mapping(automation, "spec", "match")
    labels = mapping(run, "metadata", "labels")
    of = text(run, "spec", "deploymentRef")
    wanted = texts(match, "deployments")
    if wanted and of not in wanted:
        return False
    if mapping(run, "spec", "parent") and not (of and of in wanted) and value(match, "subflows") is not True:
        return False
    if _makes_runs(automation) and names.is_automation_run(text(labels, names.LABEL_ROOT_RUN)):
        return False  # or a clean-up run that fails, or one below it, would call for another one, for ever
    flows = texts(match, "flows")
    if flows and flow_of(run, deployment) not in flows:
        return False
    tags = {*texts(run, "spec", "tags"), *texts(deployment, "spec", "tags")}
    return tags.issuperset(texts(match, "tags")) and mapping(match, "labels").items() <= labels.items()


def flow_of(run: Body, deployment: Body | None) -> str:
    """Give the name of a run's flow; empty as long as nobody knows it."""
    return (
        text(run, "status", "flow")
        or text(run, "spec", "flowRef")
        or text(deployment, "spec", "flowRef")
        or text(run, "metadata", "labels", names.LABEL_FLOW)
    )


def entries_after(old: Body | None, new: Body) -> Sequence[Mapping[str, Any]]:
    """Give the entries of a run's history that it did not have before."""
    now = mappings(new, "status", "history")
    before = mappings(old, "status", "history")
    if before and now and now[-1] == before[-1]:
        return ()  # as with most changes: nothing but counts or a condition is new
    known = {_key(entry) for entry in before}
    return [entry for entry in now if _key(entry) not in known]


def transitions(
    automation: Body, run: Body, deployment: Body | None, entries: Iterable[Mapping[str, Any]], *, is_witnessed: bool
) -> Iterator[Occurrence]:
    """Give the events among entries of a run's history, for an Automation that counts states."""
    states = mapping(automation, "spec", "trigger", "states")
    types, state_names, reasons = (texts(states, key) for key in ("types", "names", "reasons"))
    for entry in entries:
        type_, at = text(entry, "type"), moment(entry, "at")
        if type_ not in types or at is None:
            continue
        seen = _whole(run, entry)
        if state_names and text(seen, "name") not in state_names:
            continue
        if reasons and text(seen, "reason") not in reasons:
            continue
        attempt = integer(entry, "attempt") or 0
        yield _occurrence(
            automation, run, deployment, type_.lower(), at, seen, attempt=attempt, is_witnessed=is_witnessed
        )


def deadline_of(automation: Body, run: Body) -> datetime | None:
    """Tell when a run will have taken too long, as things are; None: it will not."""
    trigger = mapping(automation, "spec", "trigger")
    state = text(run, "status", "state", "type")
    if (after := integer(trigger, "late", "afterSeconds")) is not None:
        began = text(run, "status", "startTime") or any(
            entry.get("type") == StateType.RUNNING for entry in mappings(run, "status", "history")
        )
        if began or state not in _UNSTARTED or value(run, "spec", "suspend") is True:
            return None
        due = moment(run, "spec", "scheduledTime") or moment(run, "metadata", "creationTimestamp")
    elif (after := integer(trigger, "longRunning", "afterSeconds")) is not None:
        due = moment(run, "status", "startTime") if state == StateType.RUNNING else None
    else:
        return None
    return due + timedelta(seconds=after) if due else None


def overdue(automation: Body, run: Body, deployment: Body | None, at: datetime) -> Occurrence:
    """Give the event that a run has taken too long, since the time that `deadline_of` gave."""
    event = LATE if mapping(automation, "spec", "trigger", "late") else LONG_RUNNING
    attempt, state = integer(run, "status", "attempt") or 0, mapping(run, "status", "state")
    return _occurrence(automation, run, deployment, event, at, state, attempt=attempt, is_witnessed=True)


def silence(automation: Body, since: datetime) -> Occurrence:
    """Give the event that no run has COMPLETED since a time; with only one deployment or flow, it is theirs."""
    seconds = integer(automation, "spec", "trigger", "noSuccess", "forSeconds") or 0
    at = since + timedelta(seconds=seconds)
    match = mapping(automation, "spec", "match")
    deployments, flows = texts(match, "deployments"), texts(match, "flows")
    return Occurrence(
        identity(automation, NO_SUCCESS, 0, NO_SUCCESS, at),
        NO_SUCCESS,
        at,
        flow=flows[0] if len(flows) == 1 else "",
        deployment=deployments[0] if len(deployments) == 1 else "",
        message=f"No run has completed for {seconds} s, since {since:%Y-%m-%d %H:%M:%S} UTC.",
    )


def sample(automation: Body, now: datetime) -> Occurrence:
    """Give the event that is sent for a test."""
    return Occurrence(
        identity(automation, TEST, 0, TEST, now),
        TEST,
        now,
        message="This is a test of the automation: nothing has happened.",
    )


def success_of(run: Body) -> datetime | None:
    """Tell when a run COMPLETED, if it did."""
    if text(run, "status", "state", "type") != StateType.COMPLETED:
        return None
    return moment(run, "status", "completionTime") or moment(run, "status", "state", "since")


def has_ended(run: Body) -> bool:
    """Tell whether a run is in a state that is final."""
    return text(run, "status", "state", "type") in TERMINAL


def _makes_runs(automation: Body) -> bool:
    return any(mapping(action, "runDeployment") for action in mappings(automation, "spec", "actions"))


def _key(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return entry.get("at"), entry.get("type"), entry.get("attempt"), entry.get("name")


def _whole(run: Body, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the state that an entry of the history speaks of; if the run is still in it, with all that is known."""
    state = mapping(run, "status", "state")
    return state if (state.get("type"), state.get("since")) == (entry.get("type"), entry.get("at")) else entry


def _occurrence(  # noqa: PLR0917 - what every caller has at hand
    automation: Body,
    run: Body,
    deployment: Body | None,
    event: str,
    at: datetime,
    state: Mapping[str, Any],
    *,
    attempt: int,
    is_witnessed: bool,
) -> Occurrence:
    uid = text(run, "metadata", "uid")
    return Occurrence(
        identity(automation, uid, attempt, event, at),
        event,
        at,
        run=text(run, "metadata", "name"),
        uid=uid,
        flow=flow_of(run, deployment),
        deployment=text(run, "spec", "deploymentRef"),
        attempt=attempt,
        type=text(state, "type"),
        name=text(state, "name"),
        reason=text(state, "reason"),
        message=text(state, "message"),
        is_witnessed=is_witnessed,
    )
