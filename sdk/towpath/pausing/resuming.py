"""The other side: somebody resumes a run that waits, or has one begin anew that ended otherwise than well."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any, Final

from towpath.errors import NotPausedError, ParameterError, PauseError
from towpath.futures import Future
from towpath.pausing.here import steering
from towpath.pausing.port import Begun, Pause, Standing, Steering, StillUnwinding
from towpath.pausing.waiting import Wait, Waits, deadline
from towpath.pausing.wanted import check_schema
from towpath.states import RESUMING, State, StateType

#: How long whoever resumes a run waits for it to take the input; it looks fifty times a second.
_VERDICT_SECONDS: Final = 10.0
#: How long a run that is being suspended may take to unwind, before whoever resumes it is told to come back later.
_UNWINDING_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05


def resume(which: str, run_input: Any, book: Steering | None = None) -> Waits[Begun]:
    """Resume a run; gives what becomes of it.

    Args:
        which: its id or name.
        run_input: what it is given.
        book: where it is steered; None: wherever it is found.

    Raises:
        NoSuchRun: there is none.
        NotPausedError: it does not wait for anybody.
        PauseError: several runs below it wait.
        ParameterError: the input is wrong; the run waits on.
    """
    if book is None:
        with steering(which) as found:
            return (yield from resume(which, run_input, found))
    standing = book.find(which)
    pause = the_pause(standing)
    told = check(standing, pause, run_input)
    return book.begin_anew(standing.id) if pause is None else (yield from _answer(book, pause, told))


def the_pause(standing: Standing) -> Pause | None:
    """Give what a run waits for: itself, or the one run below it that waits; None if it is suspended for nothing.

    Raises:
        NotPausedError: nobody waits.
        PauseError: several do.
    """
    own = [pause for pause in standing.pauses if pause.run_id == standing.id]
    found = own or list(standing.pauses)
    if len(found) > 1:
        waiting = ", ".join(sorted(repr(standing.names[pause.run_id]) for pause in found))
        raise PauseError(f"Several runs below {standing.name!r} wait: {waiting}. Say which is to be resumed.")
    if found:
        return found[0]
    if standing.state is StateType.PAUSED and standing.has_process:
        raise NotPausedError(f"Run {standing.name!r} has been resumed already, by somebody else.")
    if standing.state is StateType.PAUSED:
        return None
    hint = f" To try it again: towpath runs retry {standing.name}" if _may_be_tried_again(standing) else ""
    raise NotPausedError(f"Run {standing.name!r} does not wait to be resumed; it is {standing.state_name}.{hint}")


def retry(which: str, book: Steering | None = None) -> Begun:
    """Have a run begin anew that ended otherwise than well; gives what becomes of it.

    Args:
        which: its id or name.
        book: where it is steered; None: wherever it is found.

    Raises:
        NoSuchRun: there is none.
        PauseError: it cannot, as it stands.
    """
    if book is None:
        with steering(which) as found:
            return retry(which, found)
    standing = book.find(which)
    if standing.state is StateType.PAUSED:
        raise PauseError(
            f"Run {standing.name!r} is {standing.state_name}. To have it go on: towpath runs resume {standing.name}"
        )
    return book.begin_anew(standing.id)


def check(standing: Standing, pause: Pause | None, run_input: Any) -> dict[str, Any] | None:
    """Check input against what is wanted; gives it as it travels.

    Raises:
        ParameterError: each wrong field, its value and why.
    """
    wanted, run_id = (None, standing.id) if pause is None else (pause.wanted, pause.run_id)
    return check_schema(wanted, run_input, f"run {standing.names[run_id]!r}")


def _answer(book: Steering, pause: Pause, told: dict[str, Any] | None) -> Waits[Begun]:
    """Answer a pause, and see that the run takes it."""
    patience = time.monotonic() + _UNWINDING_SECONDS
    while True:
        try:
            begun = book.answer(pause, told)
            break
        except StillUnwinding as error:
            if time.monotonic() >= patience:
                raise PauseError(str(error)) from None
            yield Wait(Future(), deadline(_LOOK_SECONDS))
    if begun.verdict is not None:
        yield Wait(begun.verdict, deadline(_VERDICT_SECONDS))
        begun.verdict.complete(State(StateType.COMPLETED, data=""))  # if it has none yet, nobody waits for it any more
        if refused := begun.verdict.result():
            raise ParameterError(refused)
    return begun


def start_elsewhere(run_id: str) -> None:
    """Begin a run anew in a new process, which goes on when this one ends."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "towpath.pausing.again", run_id],  # -P: the working directory is not on the path
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    threading.Thread(target=process.wait, name="towpath-again", daemon=True).start()  # if this one outlives it


def _may_be_tried_again(standing: Standing) -> bool:
    """Tell whether a run ended otherwise than well, or whoever resumed it has not come to start it."""
    ended_badly = standing.state.is_terminal and standing.state is not StateType.COMPLETED
    return ended_badly or (standing.state_name == RESUMING and standing.origin is not None)
