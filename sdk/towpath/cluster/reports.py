"""Tells the cluster how this process's run goes: RUNNING before any user code, its tries, and its end.

Every report is conditional on what the run looked like when it was composed; if it has changed meanwhile, it is read
again and the report composed anew, or dropped if there is nothing left to say.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from towpath import travel
from towpath.api.v1alpha1 import transitions
from towpath.cluster import termination
from towpath.cluster.backoff import Backoff
from towpath.cluster.own import OwnRun
from towpath.cluster.port import Body, Cluster
from towpath.cluster.standing import Standing, cancel_reason, report, standing, wants_cancel
from towpath.errors import (
    ClusterError,
    Conflict,
    FlowRunCancelled,
    FlowSuspended,
    NotFound,
    Refused,
    ResultTooLarge,
    TowpathError,
    Unreachable,
)
from towpath.states import Reason, State, StateType

if TYPE_CHECKING:
    from towpath.runs import FlowRun
    from towpath.stores import StorageLike

#: How long a pod waits for the API, and for the operator, before it gives up and leaves the run to the next attempt.
START_SECONDS: Final = 300.0
#: How long the end is reported if all of it is also in the termination message, and if it is not.
END_SECONDS_TOLD: Final = 60.0
END_SECONDS: Final = 300.0
_NOTE_SECONDS: Final = 5.0
_BACKOFF: Final = Backoff(first_seconds=0.02, most_seconds=1.0)
log = logging.getLogger("towpath.cluster")


class RunOver(Exception):
    """This process's attempt has nothing left to do or to say: the run ended, was cancelled, or went on without it."""


class RunReporter:
    """Reports one attempt of one run; the engine's `Reporter`."""

    def __init__(
        self,
        cluster: Cluster,
        own: OwnRun,
        *,
        termination_log: Path | None = None,
        children: Callable[[], Mapping[str, int]] = dict,
        latest: Callable[[], Body | None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._cluster, self._own = cluster, own
        self._termination_log, self._children, self._latest = termination_log, children, latest
        self._now, self._sleep, self._monotonic, self._chance = now, sleep, monotonic, chance
        self._seen: Body | None = None  # the run as last written; None: RUNNING is not reported yet
        self._why_cancelled = Reason.CANCELLED_BY_REQUEST
        self.result_storage: StorageLike | None = own.result_storage
        """Where a result goes that is too large for the status."""
        self.keep_result = True
        """Whether what the flow returns is kept at all."""
        self.told = False
        """Whether the end is at least in the termination message."""
        self.left = False
        """Whether what becomes of the run is left to the operator: the process was stopped, and nobody wanted that."""
        self.ending = False
        """Whether user code has ended, so that nothing is left to interrupt."""
        self.begun: Callable[[Body], None] = lambda _: None
        """Told of the run as it is when RUNNING has been reported."""
        self.waits_for: Mapping[str, Any] | None = None
        """What a run waits for that is being suspended, as `status.pause` has it; None: to be let go on."""
        self._guard = threading.RLock()  # flows that are called in this process may stand still in any thread

    def report(self, run: FlowRun, state: State[Any]) -> None:
        """Report a state of the run.

        Raises:
            RunOver: there is nothing left to say; before the end it means that no more user code should run.
            ClusterError: RUNNING, or the end, could neither be reported nor left as the termination message.
        """
        if state.is_final():
            self.ending = True
            self._end(run, self._as_wanted(state))
        elif is_suspended(state):
            self.ending = True
            self._suspend(run, state)
        elif self._seen is None:
            self._begin(state)
        else:
            self._note(state)

    def stand(self, state: State[Any], fields: Mapping[str, Any], reason: Reason | None = None) -> None:
        """Tell that the run stands still in the midst of its code, or goes on from there.

        Args:
            state: PAUSED, or RUNNING after that.
            fields: of the status, that go with it.
            reason: why, in one word.

        Raises:
            ClusterError: it could not be written, for minutes.
        """
        new_state = transitions.state(state.type, self._now(), name=state.name, reason=reason, message=state.message)
        with contextlib.suppress(_CancelWanted, RunOver):  # the signal to stop is on its way
            self._write(new_state, fields, START_SECONDS, over_a_cancel=False)

    def wanted_cancelled(self) -> bool:
        """Ask, when the process is told to stop, whether somebody wants the run cancelled; deleted counts as that."""
        try:
            run = self._cluster.with_patience(_NOTE_SECONDS).get_run(self._own.name)
        except NotFound:
            return True
        except ClusterError as error:
            log.warning("Why the process is told to stop cannot be asked; it counts as not cancelled. %s", error)
            return False
        self._why_cancelled = cancel_reason(run)
        return wants_cancel(run)

    def _as_wanted(self, state: State[Any]) -> State[Any]:
        """Give the end that was wanted to a run that failed by a child's cancel.

        Who cancels a tree is heard in any order: a child may be gone before this process is told to stop.
        """
        failed_by_cancel = state.type is StateType.FAILED and isinstance(state.error(), FlowRunCancelled)
        if failed_by_cancel and self.wanted_cancelled():
            return State(StateType.CANCELLED, message="The run was cancelled.")
        return state

    def _begin(self, state: State[Any]) -> None:
        try:
            self._write(self._shown(state), {}, START_SECONDS, over_a_cancel=False)
            assert self._seen is not None
            self.begun(self._seen)
        except _CancelWanted as wanted:
            self._cancelled(wanted, "The run was cancelled before any of its code ran.")
            raise RunOver from None

    def _suspend(self, run: FlowRun, state: State[Any]) -> None:
        """Tell that the process goes until somebody resumes the run; untold, another attempt follows."""
        reason = Reason.PAUSED_BY_REQUEST if self.waits_for is None else Reason.AWAITING_INPUT
        suspended = transitions.state(state.type, self._now(), name=state.name, reason=reason, message=state.message)
        try:
            self._write(suspended, {**self._tallies(run), "pause": self.waits_for}, END_SECONDS, over_a_cancel=False)
        except _CancelWanted as wanted:
            self._cancelled(wanted, "The run was cancelled while it was being suspended.")

    def _cancelled(self, wanted: _CancelWanted, message: str) -> None:
        cancelled = transitions.state(StateType.CANCELLED, self._now(), reason=wanted.reason, message=message)
        self._write(cancelled, {}, START_SECONDS)

    def _note(self, state: State[Any]) -> None:
        """Show people that the run is tried again; for the operator it goes on RUNNING. An API away does no harm."""
        with contextlib.suppress(_CancelWanted):  # the signal to stop is on its way
            try:
                self._write(self._shown(state), {}, _NOTE_SECONDS, over_a_cancel=False)
            except ClusterError as error:
                log.warning("The state %r could not be reported. %s", state.name, error)

    def _end(self, run: FlowRun, state: State[Any]) -> None:
        new_state, fields = self._outcome(run, state)
        text, whole = termination.message(self._own.attempt, new_state, fields)
        self.told = self._termination_log is not None and termination.write(self._termination_log, text)
        if self.told and new_state.get("reason") == Reason.TERMINATED:
            self.left = True  # an end written by ourselves would look final, although another attempt may follow
            return
        try:
            self._seen = self._latest() or self._seen  # others in this process write into the status, too
            self._write(new_state, fields, END_SECONDS_TOLD if self.told and whole else END_SECONDS)
        except RunOver:
            log.info("The run ended, or went on with another attempt, without this one: its end is not reported.")
        except ClusterError as error:
            if not self.told:
                raise
            log.warning("The end could not be reported to the API; the termination message says it. %s", error)

    def _outcome(self, run: FlowRun, state: State[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Say how the run ended: its state as the API has it, and the fields that go with it."""
        type_, name, message, reason = state.type, state.name, state.message, Reason.SUCCEEDED
        fields = self._tallies(run)
        error: BaseException | None = None
        if type_ is StateType.COMPLETED and self.keep_result:
            key = f"{self._own.namespace}/{self._own.name}-{self._own.uid[:8]}-{self._own.attempt}"
            try:
                fields["result"] = travel.pack_result(state.data, storage=self.result_storage, key=key)
            except TowpathError as untold:
                type_, name, message, error = StateType.FAILED, "Failed", str(untold), untold
                reason = Reason.RESULT_TOO_LARGE if isinstance(untold, ResultTooLarge) else Reason.FLOW_FAILED
        elif type_ is StateType.CANCELLED:
            reason = self._why_cancelled
        elif type_ is not StateType.COMPLETED:
            error = state.error()
            reason = travel.reason_of(state, error, began=run.run_count > 0)
        if error is not None:
            kind: Literal["User", "Infrastructure"] = "Infrastructure" if reason is Reason.TERMINATED else "User"
            fields["error"] = travel.pack_error(error, reason, kind)
        return transitions.state(type_, self._now(), name=name, reason=reason, message=message), fields

    def _tallies(self, run: FlowRun) -> dict[str, Any]:
        tasks = {"total": run.tasks.total, "completed": run.tasks.completed}
        tasks |= {"failed": run.tasks.failed, "running": run.tasks.running, "cached": run.tasks.cached}
        return {"tasks": _counts(tasks), "children": _counts(self._children())}

    def _shown(self, state: State[Any]) -> dict[str, Any]:
        """Give a state before the end as the API has it: RUNNING, whatever its name."""
        return transitions.state(StateType.RUNNING, self._now(), name=state.name, message=state.message)

    def _write(
        self, new_state: Mapping[str, Any], fields: Mapping[str, Any], seconds: float, *, over_a_cancel: bool = True
    ) -> None:
        with self._guard:
            self._write_now(new_state, fields, seconds, over_a_cancel=over_a_cancel)

    def _write_now(
        self, new_state: Mapping[str, Any], fields: Mapping[str, Any], seconds: float, *, over_a_cancel: bool
    ) -> None:
        cluster = self._cluster.with_patience(seconds)
        until = self._monotonic() + seconds
        run = self._seen or self._get(cluster)
        for tries in count():
            stands = standing(run, self._own.uid, self._own.attempt)
            if stands is not Standing.EARLY and run["status"].get("state") == new_state:
                self._seen = run  # written, but the answer was lost
                return
            if stands is Standing.OVER:
                raise RunOver
            if stands is Standing.CANCELLED and not over_a_cancel:
                raise _CancelWanted(cancel_reason(run))
            problem: ClusterError = _operator_away(self._own)
            if stands is not Standing.EARLY:
                try:
                    self._seen = cluster.patch_status(self._own.name, report(run, self._own.attempt, new_state, fields))
                    return
                except NotFound as error:
                    raise RunOver from error
                except (Conflict, Refused) as error:
                    problem = error
            if self._monotonic() > until or (isinstance(problem, Refused) and tries):
                raise problem
            self._sleep(_BACKOFF.delay(tries, self._chance()))
            run = self._get(cluster)

    def _get(self, cluster: Cluster) -> Body:
        try:
            return cluster.get_run(self._own.name)
        except NotFound as error:
            raise RunOver from error


def is_suspended(state: State[Any]) -> bool:
    """Tell whether a flow's end is none: its process goes, and the run begins anew when somebody resumes it."""
    return state.type is StateType.PAUSED and isinstance(state.data, FlowSuspended)


class _CancelWanted(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__()
        self.reason = reason


def _counts(counts: Mapping[str, int]) -> dict[str, int] | None:
    return dict(counts) if counts.get("total") else None


def _operator_away(own: OwnRun) -> Unreachable:
    return Unreachable(
        f"The operator did not write attempt {own.attempt} of run {own.name!r} within {START_SECONDS:g} s. Is it up?"
    )
