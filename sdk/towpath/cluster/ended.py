"""What became of a run, as a state that authors hold: its value, or the exception to raise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from towpath import travel
from towpath.cluster.ends import End, has_ended
from towpath.cluster.port import Body
from towpath.engine.threads import THREADS
from towpath.errors import ClusterError, FlowRunCrashed, TowpathError
from towpath.futures import Future
from towpath.states import State, StateType


class Valueless(State[Any]):
    """The state of a run that completed, and whose value cannot be had: only who asks for it has a problem."""

    __slots__ = ()

    def result(self, raise_on_failure: bool = True) -> Any:
        """Raise, or give, the reason why there is no value."""
        assert isinstance(self.data, BaseException)
        if raise_on_failure:
            raise self.data
        return self.data


def state_of(run: Body) -> State[Any]:
    """Give the state of a run as last seen; a completed one brings its value, another end its exception."""
    written = (run.get("status") or {}).get("state")
    if not written:
        return State(StateType.SCHEDULED, message="The operator has not seen the run yet.")
    type_, name, message = StateType(written["type"]), written.get("name"), written.get("message")
    state: State[Any] = State(type_, name, message)
    if type_ is StateType.COMPLETED:
        try:
            state.data = travel.unpack_result(run["status"].get("result"), run["metadata"]["name"])
        except TowpathError as missing:
            state = Valueless(type_, name, message, missing)
    elif has_ended(run):
        state.data = travel.unpack_end(run)
    if written.get("since"):
        state.stamp(datetime.fromisoformat(written["since"]).timestamp())
    return state


def state_of_end(end: End, name: str) -> State[Any]:
    """Give the state that waiting for a run ended with.

    Args:
        end: what `Ends` told.
        name: of the run.
    """
    if end is None:
        gone = FlowRunCrashed(f"Flow run {name!r} was deleted before it ended.")
        return State(StateType.CRASHED, "Deleted", str(gone), gone)
    if isinstance(end, ClusterError):
        return State(StateType.CRASHED, None, str(end), end)
    return state_of(end)


def completing(future: Future[Any], name: str) -> Callable[[End], None]:
    """Give what completes a future when its run has ended.

    Args:
        future: of the run.
        name: of the run.
    """

    def complete(end: End) -> None:
        future.complete(state_of_end(end, name))

    def on_end(end: End) -> None:
        if isinstance(end, Mapping) and ((end.get("status") or {}).get("result") or {}).get("ref"):
            THREADS.start(lambda: complete(end))  # fetching it may take a while, and the watch must go on
        else:
            complete(end)

    return on_end
