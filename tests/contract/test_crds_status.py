"""The API server guards a run's state machine, whoever writes: what is final, what never falls, what fits."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from tests.builders import NOW, make_flowrun, make_state
from tests.contract.own_group import OwnGroup, refusal_of
from tests.kube import Body
from tests.largest import bytes_of, largest_child_run, largest_status

from towpath import limits
from towpath.api.v1alpha1.transitions import state, transition
from towpath.states import TERMINAL, StateType

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ENDS = sorted(TERMINAL)
LIVE = sorted(set(StateType) - TERMINAL)
RESULT: Body = {"inline": "[1]", "serializer": "json", "size": 3}
ERROR: Body = {"code": "FlowFailed", "kind": "User", "message": "it broke"}
FINAL = "the run has ended: its {} is final within its attempt"


def run_in(state: str, attempt: int | None = 2, **status: Any) -> Body:
    """Build a run of a Flow in a state, by default in its second attempt."""
    return make_flowrun(state=state, attempt=attempt, status=status)


def changed(run: Body, **fields: Any) -> Body:
    """Give a run with other fields in its status; None removes one."""
    status = {key: value for key, value in {**run["status"], **fields}.items() if value is not None}
    return {**run, "status": status}


def refused(kinds: OwnGroup, run: Body, **fields: Any) -> str:
    """Give the words with which a change of the status is refused."""
    return refusal_of(kinds.replace, changed(run, **fields), "status").message


def taken(kinds: OwnGroup, run: Body, **fields: Any) -> Body:
    """Give the run after a change of its status that must be taken as it is."""
    wanted = changed(run, **fields)
    got = kinds.replace(wanted, "status")
    assert got["status"] == wanted["status"]
    return got


def test_a_status_is_kept_as_it_is(kinds: OwnGroup) -> None:
    """A status with everything in it comes back as it was written, and nothing is added."""
    counts = {"total": 5, "completed": 1, "failed": 1, "running": 2, "cached": 1}
    run = kinds.create(
        run_in(
            "SCHEDULED",
            history=[{"type": "PENDING", "name": "Pending", "reason": "JobCreated", "at": NOW, "attempt": 1}],
            conditions=[{"type": "Succeeded", "status": "Unknown", "reason": "Pending", "lastTransitionTime": NOW}],
            job="run-1-00000000-2",
            pod="run-1-00000000-2-x7k2p",
            flow="main",
            startTime=NOW,
            tasks=counts,
            children=counts,
            error={**ERROR, "type": "builtins.ValueError", "traceback": "…", "exception": "gASV"},
            waitingFor="its time",
            retryAt=NOW,
            infraFailures=1,
        )
    )

    assert taken(kinds, run)["metadata"]["generation"] == 1


@pytest.mark.parametrize("new", StateType, ids=str)
@pytest.mark.parametrize("end", ENDS, ids=str)
def test_an_end_is_final_within_its_attempt(kinds: OwnGroup, end: StateType, new: StateType) -> None:
    """After each end every other state is refused, and the same end with another reason too."""
    run = kinds.create(run_in(end))

    assert f"status.state: Forbidden: {FINAL.format('state')}" in refused(
        kinds, run, state=make_state(new, reason="Late")
    )


@pytest.mark.parametrize("attempt", [1, None], ids=["first attempt", "no attempt"])
def test_an_end_is_final_for_a_writer_who_forgets_the_attempt(kinds: OwnGroup, attempt: int | None) -> None:
    """Neither an older attempt nor none opens what has ended."""
    run = kinds.create(run_in("COMPLETED"))
    message = refused(kinds, run, attempt=attempt, state=make_state("RUNNING"))

    assert "status.attempt: Forbidden: attempt never falls" in message
    assert f"status.state: Forbidden: {FINAL.format('state')}" in message


@pytest.mark.parametrize("end", ENDS, ids=str)
def test_a_new_attempt_may_follow_an_end(kinds: OwnGroup, end: StateType) -> None:
    """A run is tried again under the next number, and then may end otherwise."""
    run = kinds.create(run_in(end, error=ERROR))
    run = taken(kinds, run, attempt=3, state=make_state("SCHEDULED", name="AwaitingRetry"), error=None)

    taken(kinds, run, state=make_state("COMPLETED"), result=RESULT)


def test_the_first_attempt_may_follow_an_end_without_any(kinds: OwnGroup) -> None:
    """A run that failed before its first pod counts as attempt 0: final, until there is a first attempt."""
    run = kinds.create(run_in("FAILED", attempt=None))

    assert FINAL.format("state") in refused(kinds, run, state=make_state("PENDING"))
    taken(kinds, run, attempt=1, state=make_state("PENDING"))


@pytest.mark.parametrize("new", StateType, ids=str)
@pytest.mark.parametrize("live", LIVE, ids=str)
def test_a_live_state_may_change(kinds: OwnGroup, live: StateType, new: StateType) -> None:
    """The API server guards the ends only; which live state follows which is between operator and SDK."""
    taken(kinds, kinds.create(run_in(live)), state=make_state(new))


@pytest.mark.parametrize(
    ("field", "was", "wanted"),
    [
        ("result", RESULT, {**RESULT, "inline": "[2]"}),
        ("result", RESULT, {**RESULT, "size": None}),
        ("result", RESULT, None),
        ("result", None, RESULT),
        ("error", ERROR, {**ERROR, "message": "it did not"}),
        ("error", ERROR, {**ERROR, "type": "builtins.ValueError"}),
        ("error", ERROR, None),
        ("error", None, ERROR),
    ],
    ids=[
        "result changed",
        "result cut",
        "result removed",
        "result added",
        "error changed",
        "error grown",
        "error removed",
        "error added",
    ],
)
def test_what_an_ended_run_gave_is_final(kinds: OwnGroup, field: str, was: Body | None, wanted: Body | None) -> None:
    """Nobody gives an ended run another result or error; a reader may keep what it read."""
    run = kinds.create(changed(run_in("COMPLETED"), **{field: was}))
    wanted = wanted and {key: value for key, value in wanted.items() if value is not None}

    assert f"status.{field}: Forbidden: {FINAL.format(field)}" in refused(kinds, run, **{field: wanted})


def test_the_rest_of_an_ended_run_may_still_come(kinds: OwnGroup) -> None:
    """Counts, the pod's name and the like may be known later than the end."""
    run = kinds.create(run_in("COMPLETED", result=RESULT))

    taken(kinds, run, tasks={"total": 1, "completed": 1}, pod="p", completionTime=NOW)


@pytest.mark.parametrize("state", ["RUNNING", "FAILED"])
@pytest.mark.parametrize("attempt", [1, None], ids=["lower", "removed"])
def test_the_attempt_never_falls(kinds: OwnGroup, state: str, attempt: int | None) -> None:
    """In no state can an attempt be taken back."""
    run = kinds.create(run_in(state))

    assert "status.attempt: Forbidden: attempt never falls" in refused(kinds, run, attempt=attempt)


def test_an_attempt_follows_the_one_before(kinds: OwnGroup) -> None:
    """A live run may be given its next attempt."""
    taken(kinds, kinds.create(run_in("RUNNING")), attempt=3, state=make_state("SCHEDULED"))


@pytest.mark.parametrize("state", ["PENDING", "COMPLETED"])
def test_a_state_cannot_be_removed(kinds: OwnGroup, state: str) -> None:
    """A run that has been somewhere is always somewhere."""
    run = kinds.create(run_in(state))

    assert "status.state: Forbidden: a run that has a state keeps one" in refused(kinds, run, state=None)


@pytest.mark.parametrize("state", ["PENDING", "COMPLETED"])
def test_a_status_cannot_be_removed(kinds: OwnGroup, state: str) -> None:
    """Removing the whole would be a way around every rule about its parts."""
    run = kinds.create(run_in(state))
    del run["status"]

    assert "Forbidden: status cannot be removed" in refusal_of(kinds.replace, run, "status").message


def test_a_status_survives_a_replacement_of_the_run(kinds: OwnGroup) -> None:
    """`kubectl replace` of a manifest, which has no status, changes nothing of it."""
    run = kinds.create(run_in("COMPLETED", result=RESULT))

    assert kinds.replace({key: value for key, value in run.items() if key != "status"})["status"] == run["status"]


def test_a_run_has_a_result_or_an_error(kinds: OwnGroup) -> None:
    """Both at once are refused, in any state."""
    run = kinds.create(run_in("RUNNING"))

    assert "status: Invalid value" in (message := refused(kinds, run, result=RESULT, error=ERROR))
    assert "a run has a result or an error, not both" in message


def test_a_result_is_in_one_place(kinds: OwnGroup) -> None:
    """A value and a reference to it cannot contradict each other."""
    message = refused(kinds, kinds.create(run_in("RUNNING")), result={**RESULT, "ref": "s3://bucket/key"})

    assert "a result is in place (inline) or elsewhere (ref), not both" in message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": {**make_state("RUNNING"), "type": "DONE"}}, 'status.state.type: Unsupported value: "DONE"'),
        ({"state": {"type": "RUNNING", "name": "Running"}}, "status.state.since: Required value"),
        (
            {"state": make_state("RUNNING", message="m" * 321)},
            "status.state.message: Too long: may not be more than 320",
        ),
        ({"state": make_state("RUNNING", since="noon")}, 'status.state.since: Invalid value: "noon"'),
        ({"attempt": 0}, "status.attempt: Invalid value: 0: attempt in body should be greater than or equal to 1"),
        ({"result": {"inline": "x" * 12_289}}, "status.result.inline: Too long: may not be more than 12288"),
        ({"result": {"inline": "x", "serializer": "yaml"}}, 'status.result.serializer: Unsupported value: "yaml"'),
        ({"error": {**ERROR, "kind": "Fate"}}, 'status.error.kind: Unsupported value: "Fate"'),
        ({"error": {**ERROR, "traceback": "t" * 4097}}, "status.error.traceback: Too long: may not be more than 4096"),
        (
            {"history": [{"type": "RUNNING", "name": "Running", "at": NOW}] * 21},
            "status.history: Too many: 21: must have at most 20",
        ),
        ({"tasks": {"total": -1}}, "tasks.total in body should be greater than or equal to 0"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_status_that_fits_nowhere_is_refused(kinds: OwnGroup, fields: Body, words: str) -> None:
    """Bounds hold for the status as they do for the spec."""
    assert words in refused(kinds, kinds.create(run_in("RUNNING", attempt=None)), **fields)


@pytest.mark.parametrize("ending", ["inline", "ref", "error"])
def test_the_largest_run_is_taken_and_stays_within_its_budget(
    kinds: OwnGroup, ending: Literal["inline", "ref", "error"]
) -> None:
    """Every bound reached at once is still a valid run, of 32 KiB at most, and one that can be cancelled."""
    status = largest_status(ending)
    run = kinds.create({**largest_child_run(), "status": status})
    kept = {**run["metadata"], "managedFields": []}

    assert run["status"] == status
    assert bytes_of({**run, "metadata": kept}) <= limits.FLOWRUN_BYTES
    run["spec"]["cancel"] = True
    kinds.replace(run)


def test_a_stale_attempts_patch_is_refused(kinds: OwnGroup) -> None:
    """A JSON Patch that tests the attempt is refused whole, with 422, once the attempt is another."""
    run = kinds.create(run_in("RUNNING", attempt=2))
    patch: list[Body] = [
        {"op": "test", "path": "/status/attempt", "value": 1},
        {"op": "add", "path": "/status/job", "value": "late"},
    ]
    path = kinds.path("FlowRun", run["metadata"]["name"])
    kube = kinds.apiserver.kube

    refusal_of(kube.json_patch, f"{path}/status", patch)
    assert kube.get(path)["status"] == run["status"]
    patch[0]["value"] = 2
    assert kube.json_patch(f"{path}/status", patch)["status"]["job"] == "late"


WAY: list[tuple[StateType, int, Body]] = [
    (StateType.SCHEDULED, 0, {"waitingFor": "its time", "flow": "main"}),
    (StateType.PENDING, 1, {"job": "run-1-00000000-1", "waitingFor": None}),
    (StateType.RUNNING, 1, {"pod": "run-1-00000000-1-x7k2p"}),
    (StateType.CRASHED, 1, {"error": {"code": "NodeLost", "kind": "Infrastructure", "message": "the node is gone"}}),
    (StateType.SCHEDULED, 2, {"retryAt": NOW, "infraFailures": 1}),
    (StateType.PENDING, 2, {"job": "run-1-00000000-2", "retryAt": None}),
    (StateType.RUNNING, 2, {"tasks": {"total": 3, "running": 3}}),
    (StateType.COMPLETED, 2, {"result": RESULT, "tasks": {"total": 3, "completed": 3}}),
]


def test_a_runs_whole_way_is_taken(kinds: OwnGroup) -> None:
    """The patches that operator and pod write pass the rules, from nothing through a lost node to the result."""
    run = kinds.create(make_flowrun())
    path = kinds.path("FlowRun", run["metadata"]["name"])
    expected: Body = {}
    for type_, attempt, fields in WAY:
        patch = transition(
            run.get("status", {}), state(type_, datetime.now(UTC)), attempt=attempt, fields=copy.deepcopy(fields)
        )
        run = kinds.apiserver.kube.json_patch(f"{path}/status", patch)
        expected |= fields

    status = run["status"]
    assert [(entry["type"], entry.get("attempt")) for entry in status["history"]] == [
        (type_, attempt) for type_, attempt, _ in WAY
    ]
    assert {key: status.get(key) for key in ("result", "tasks", "infraFailures", "flow")} == {
        key: expected[key] for key in ("result", "tasks", "infraFailures", "flow")
    }
    assert not {"error", "pod", "retryAt", "waitingFor"} & status.keys()
