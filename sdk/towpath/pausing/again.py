"""Beginning a run anew in this process: one that was suspended, or is to be tried again. Same run, next attempt.

`python -m towpath.pausing.again RUN_ID` does it for whoever resumes a run from Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towpath.errors import ConfigurationError, PauseError
from towpath.history.place import ENV_HISTORY

if TYPE_CHECKING:
    from towpath.engine.interrupts import Interrupt
    from towpath.flows import Flow
    from towpath.pausing.port import Beginning
    from towpath.runs import FlowRun
    from towpath.states import State


def load_origin(origin: Mapping[str, Any], history: Path) -> Flow[Any, Any]:
    """Load a flow from where its run came from; the working folder becomes that of then, the history stays what it is.

    Raises:
        EntrypointError: it is not there any more, or cannot be loaded.
        PauseError: the folder is gone.
    """
    from towpath.entrypoints import load_flow

    os.environ[ENV_HISTORY] = str(history)
    try:
        os.chdir(origin["folder"])
    except OSError as error:
        raise PauseError(
            f"The run began in the folder {origin['folder']!r}, which cannot be entered: {error.strerror}."
        ) from error
    sys.path[:0] = [entry for entry in origin["path"] if entry not in sys.path]
    return load_flow(origin["entrypoint"])


def run_again(
    book: Beginning, run_id: str, flow: Flow[Any, Any], interrupt: Interrupt
) -> tuple[FlowRun, State[Any]] | None:
    """Take a run that is to begin anew, and run it to its end; None if another process was faster.

    Args:
        book: where it is taken.
        run_id: of the run.
        flow: loaded from its origin.
        interrupt: ends it from outside.
    """
    from towpath.context import tags
    from towpath.engine.clock import SYSTEM
    from towpath.engine.drive import run_flow
    from towpath.origins import origin_of
    from towpath.runs import FlowRun

    taken = book.take(run_id)
    if taken is None:
        return None
    run = FlowRun(
        flow.name,
        name=taken.name,
        id=run_id,
        flow_version=flow.version,
        tags=taken.tags,
        attempt=taken.attempt,
        origin=origin_of(flow),
    )
    with tags(*taken.tags):
        return run, run_flow(
            flow, taken.parameters, run=run, interrupt=interrupt, recorder=SYSTEM.recorder, screen=SYSTEM.screen
        )


def main(run_id: str) -> int:
    """Begin a run anew; gives the exit code."""
    from towpath.cluster.stopping import Stopping
    from towpath.engine.interrupts import Interrupt
    from towpath.history.place import history_file
    from towpath.loggers import configure, get_logger
    from towpath.pausing.locally import LocalPauses

    configure()
    file = history_file()
    if file is None:
        return 1
    interrupt = Interrupt()
    stopping = Stopping()
    stopping.watch_over(_Stoppable(interrupt))
    with LocalPauses(file) as book:
        standing = book.find(run_id)
        try:
            if standing.origin is None:
                raise PauseError(f"Run {standing.name!r} cannot begin anew: {standing.why_not_again}")
            flow = load_origin(standing.origin, file)
        except (ConfigurationError, PauseError) as error:
            get_logger("towpath.pausing").error("%s", error)
            if book.take(run_id) is not None:
                book.give_up(run_id, str(error))
            return 1
        ended = run_again(book, run_id, flow, interrupt)
    return 0 if ended is None or ended[1].is_completed() else 1


class _Stoppable:
    """Ends a run in order when the process gets SIGTERM."""

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt

    def stop(self) -> None:
        """End it."""
        with suppress(RuntimeError):
            self._interrupt.end("The process was told to stop (SIGTERM).")

    def exit_code(self) -> int:
        """Give the code to exit with now."""
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
