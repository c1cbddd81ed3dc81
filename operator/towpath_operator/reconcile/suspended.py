"""Decides about runs that are suspended: no process works on them, and no attempt begins until somebody wants it.

A run suspends itself, in its code or because somebody asked: its pod writes PAUSED, named Suspended, and goes. What it
waits for is in its status (`status.pause`) and its spec (`answers`, `suspend`), so whoever decides next can go on. It
begins anew as its next attempt, under the same name and UID: what its tasks have kept is found again.

A run that has not begun is held by `spec.suspend` alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from towpath import limits, names
from towpath.limits import cut
from towpath.states import SUSPENDED, Reason, StateType
from towpath_operator.reconcile.closing import end_run, stop_job
from towpath_operator.reconcile.decision import Action, Decision
from towpath_operator.reconcile.ends import End
from towpath_operator.reconcile.observed import ObservedFlowRun
from towpath_operator.reconcile.parameters import wrong_input
from towpath_operator.reconcile.pods import is_finished, owned_job
from towpath_operator.reconcile.reading import mapping, mappings, moment, text, value
from towpath_operator.reconcile.run import COUNTS, Run
from towpath_operator.reconcile.wish import Wish

_RESUMING: Final = "Resuming"


def is_suspended(run: Run) -> bool:
    """Tell whether a run's process has ended until somebody resumes the run."""
    return run.state is StateType.PAUSED and text(run.status, "state", "name") == SUSPENDED


def decide(observed: ObservedFlowRun, run: Run, wish: Wish | None, now: datetime) -> Decision:
    """Decide about a run whose process has ended until somebody resumes it.

    Its Job stays for as long as any other, so that its log may be read.
    """
    if wish is not None:
        return cancelled(observed, run, wish, now)
    pause = mapping(run.status, "pause")
    until = moment(pause, "until")
    if until is not None and until <= now:
        return Decision(end_run(run, _too_late(text(pause, "until")), now))
    if not pause:
        action = None if value(run.spec, "suspend") is True else _resumed(run, "spec.suspend is not set any more.", now)
    else:
        action = _of_pause(run, pause, now)
    if action is not None:
        return Decision((action,))
    dues = [None if until is None else (until - now).total_seconds(), _stop_in(observed, run, now)]
    if dues[1] is not None and dues[1] <= 0:  # the process has said that it goes, and does not
        return Decision(stop_job(run, observed.job), dues[0])
    return Decision(requeue_after=min((due for due in dues if due is not None), default=None))


def cancelled(observed: ObservedFlowRun, run: Run, wish: Wish, now: datetime) -> Decision:
    """End a run at once on which no process works."""
    ended = run.becomes(
        StateType.CANCELLED,
        now,
        reason=wish.reason,
        message=wish.message,
        fields={"waitingFor": None, "retryAt": None},
    )
    return Decision((*wish.confirm, ended, *stop_job(run, observed.job), *stop_job(run, observed.previous_job)))


def held(run: Run, now: datetime) -> Decision | None:
    """Decide about a run that would begin now: hold it while spec.suspend is set; None: nothing holds it."""
    if value(run.spec, "suspend") is not True:
        return None
    if run.reason == Reason.SUSPENDED_BY_REQUEST:
        return Decision()
    waiting = run.becomes(
        StateType.SCHEDULED,
        now,
        name=SUSPENDED,
        reason=Reason.SUSPENDED_BY_REQUEST,
        message="The run begins when spec.suspend is not set any more.",
        fields={"waitingFor": "spec.suspend", "retryAt": None},
    )
    return Decision((waiting,))


def _of_pause(run: Run, pause: Mapping[str, Any], now: datetime) -> Action | None:
    """Resume a run whose pause is answered, or say what is wrong with the answer; None: there is nothing new."""
    answers = mappings(run.spec, "answers")
    answer = next((one for one in answers if one.get("pause") == pause.get("key")), None)
    if answer is None:
        return None
    given = mapping(answer, "input")
    digest = names.input_digest(given)
    if digest == pause.get("refusedInput"):
        return None
    why = _too_many(answers) or wrong_input(f"run {run.name!r}", _wanted(pause), given)
    if why is None:
        return _resumed(run, "Somebody has resumed it.", now)
    refused = {**pause, "refused": cut(why, limits.PAUSE_REFUSED), "refusedInput": digest}
    return run.patch([{"op": "add", "path": "/status/pause", "value": refused}])


def _resumed(run: Run, why: str, now: datetime) -> Action:
    attempt = max(run.attempt, 1) + 1
    return run.becomes(
        StateType.SCHEDULED,
        now,
        name=_RESUMING,
        reason=Reason.RESUMED,
        message=f"{why} Attempt {attempt} follows.",
        attempt=attempt,
        fields=dict.fromkeys((*COUNTS, "retryAt")),
    )


def _wanted(pause: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Read what input is wanted; a schema that cannot be read is left to the run itself."""
    written = text(pause, "wanted")
    try:
        return mapping(json.loads(written)) if written else None
    except (ValueError, RecursionError):
        return {}


def _too_many(answers: Sequence[Mapping[str, Any]]) -> str | None:
    size = len(names.canonical_json(answers).encode(errors="replace"))
    if size <= limits.ANSWERS_BYTES:
        return None
    return (
        f"The run's answers take {size} bytes as JSON; {limits.ANSWERS_BYTES} fit. Give a reference, such as a path or"
        " URL, instead of the data."
    )


def _too_late(until: str) -> End:
    said = (
        f"The run was suspended, and nobody resumed it until {until}. Give it more time: suspend_flow_run(timeout=…)."
    )
    return End(StateType.FAILED, Reason.TIMED_OUT, said, kind="User")


def _stop_in(observed: ObservedFlowRun, run: Run, now: datetime) -> float | None:
    """Give the seconds until a process that goes on regardless is stopped; None if there is none."""
    job = owned_job(run, observed.job)
    if job is None or is_finished(job) or run.since is None:
        return None
    return (run.since - now).total_seconds() + observed.policy.grace_seconds
