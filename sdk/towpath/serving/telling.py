"""Tells the book how a run ended: its state, and its value or exception, for whoever waits for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from towpath import travel
from towpath.api.v1alpha1 import transitions
from towpath.errors import TowpathError
from towpath.history.recorder import RECORDER
from towpath.loggers import get_logger
from towpath.states import Reason, StateType

if TYPE_CHECKING:
    from towpath.flows import Flow
    from towpath.runs import FlowRun
    from towpath.serving.book import Book
    from towpath.states import State

#: What a run may return into the history file itself, in bytes; more goes to the flow's `result_storage`.
_ROOM: Final = 16 * 2**20


class Teller:
    """Tells how one run ended; the engine's `Reporter`.

    Args:
        book: where to.
        run_id: of the run.
        flow: which; None if it could not be loaded.
    """

    def __init__(self, book: Book, run_id: str, flow: Flow[Any, Any] | None) -> None:
        self._book, self._run_id, self._flow = book, run_id, flow

    def report(self, run: FlowRun, state: State[Any]) -> None:
        """Tell an end; what comes before is in the history."""
        if state.is_final():
            self.tell(state, began=run.run_count > 0)
        elif state.type is StateType.PAUSED:  # suspended: this process ends, and the next attempt has another
            RECORDER.flush()
            self._book.suspend(self._run_id, datetime.now(UTC))

    def tell(self, state: State[Any], *, began: bool) -> None:
        """Tell an end, once the history has it: whoever sees it sees the whole run.

        Args:
            state: terminal.
            began: whether any user code has run.
        """
        RECORDER.flush()
        self._book.tell(self._run_id, self._outcome(state, began))

    def _outcome(self, state: State[Any], began: bool) -> dict[str, Any]:
        outcome: dict[str, Any] = {
            "state": transitions.state(state.type, datetime.now(UTC), name=state.name, message=state.message)
        }
        if state.type is StateType.COMPLETED:
            return outcome | self._result(state)
        if state.type is StateType.CANCELLED:
            outcome["state"]["reason"] = Reason.CANCELLED_BY_REQUEST
            return outcome
        error = state.error()
        reason = travel.reason_of(state, error, began=began)
        return outcome | {"error": travel.pack_error(error, reason)}

    def _result(self, state: State[Any]) -> dict[str, Any]:
        """Keep what the flow returned; where that cannot be done, tell why: the run has completed all the same."""
        assert self._flow is not None
        if self._flow.persist_result is False:
            return {}
        try:
            storage = self._flow.result_storage
            return {"result": travel.pack_result(state.data, storage=storage, key=self._run_id, room=_ROOM)}
        except TowpathError as error:
            get_logger("towpath.serving").warning("What run %s returned is not kept: %s", self._run_id, error)
            return {"untold": str(error)}
