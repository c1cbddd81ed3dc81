"""`python -m towpath.serving.child`: one run of a served deployment, in a process of its own.

Reads two lines from its standard input. The first says where the flow is, and it gets everything ready; the second says
which run it is, and it takes that run, which one process can, once, and runs it. Without a second line it ends.

A run that this process has taken, and that does not say how it ended, has CRASHED, as whoever looks finds out: the
process holds a lock while it is there.
"""

from __future__ import annotations

import json
import os
import select
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from towpath.cluster.stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from towpath.errors import EntrypointError
    from towpath.flows import Flow
    from towpath.runs import FlowRun
    from towpath.serving.orders import TakenOrder

#: How long threads that user code left behind may keep the process after the end has been told.
_LINGER_SECONDS: Final = 10.0
_UNABLE: Final = 1


def main() -> int:
    """Run what standard input says; gives the exit code."""
    told = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 unbuffered: whether more has come can be seen
    preparation = told.readline()
    if not preparation:
        return 0
    order: Mapping[str, Any] = json.loads(preparation)
    stopping = Stopping(float(order["grace_seconds"]))
    os.environ["TOWPATH_HISTORY"] = order["history"]  # as the server has it, whatever the working directory is
    from towpath.loggers import configure, get_logger
    from towpath.serving import inside

    configure()
    inside.IS_CHILD = True
    try:
        with Readiness(order) as ready:
            orders = select.poll()
            orders.register(told, select.POLLIN)
            if not orders.poll(0):
                ready.rehearse()
            run_id = told.readline().decode().strip()
            _leave_standard_input()
            work = ready.take(run_id) if run_id else None
            if work is None:
                return 0
            stopping.watch_over(work)
            try:
                work.run()
            finally:
                stopping.exit_within(min(_LINGER_SECONDS, stopping.grace_seconds))
        return 0
    except BaseException:
        get_logger("towpath.serving").exception("The process of a run failed; its run counts as crashed.")
        return _UNABLE


class Readiness(ExitStack):
    """What can be got ready before it is known which run it is: the flow, the book, the engine.

    Args:
        order: as `children.PythonProcesses` writes it.
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        super().__init__()
        from towpath.engine.interrupts import Interrupt
        from towpath.entrypoints import load_flow
        from towpath.errors import EntrypointError
        from towpath.serving.book import Book

        sys.path[:0] = [entry for entry in order["path"] if entry not in sys.path]
        self.interrupt = Interrupt()
        self.book = self.enter_context(Book(Path(order["history"])))
        self.token = self.book.alive.announce()
        self.flow: Flow[Any, Any] | EntrypointError
        try:
            self.flow = load_flow(order["entrypoint"])
        except EntrypointError as error:
            self.flow = error

        self._example: Mapping[str, Any] = order["example"]

    def rehearse(self) -> None:
        """Load what runs a flow and what validates its parameters, while there is time for that."""
        from towpath.engine import drive
        from towpath.errors import EntrypointError
        from towpath.serving import telling

        del drive, telling
        if not isinstance(self.flow, EntrypointError):
            with suppress(Exception):  # the run itself will say what is wrong
                self.flow.validate_parameters(self._example)

    def take(self, run_id: str) -> Work | None:
        """Take a run; None if it is another's, or nobody wants it any more."""
        taken = self.book.take(run_id, self.token, os.getpid())
        return None if taken is None else Work(self, taken)


class Work:
    """A run that this process has taken.

    Args:
        ready: what was got ready for it.
        taken: the run's order.
    """

    def __init__(self, ready: Readiness, taken: TakenOrder) -> None:
        self._ready, self._taken = ready, taken
        self._has_ended = False

    def run(self) -> None:
        """Run it to its end, and tell that."""
        from towpath.context import tags
        from towpath.engine.clock import SYSTEM
        from towpath.engine.drive import run_flow
        from towpath.errors import EntrypointError
        from towpath.loggers import get_logger
        from towpath.serving.telling import Teller
        from towpath.states import Failed

        flow, taken = self._ready.flow, self._taken
        if isinstance(flow, EntrypointError):
            get_logger("towpath.serving").error("%s", flow, exc_info=flow.__cause__)
            teller = Teller(self._ready.book, taken.run_id, None)
            teller.tell(Failed(message=str(flow), data=flow), began=False)
        else:
            teller = Teller(self._ready.book, taken.run_id, flow)
            with tags(*taken.tags):
                run_flow(
                    flow,
                    taken.parameters,
                    run=self._facts(flow),
                    reporter=teller,
                    interrupt=self._ready.interrupt,
                    recorder=SYSTEM.recorder,
                )
        self._has_ended = True

    def stop(self) -> None:
        """End the run in order: CANCELLED if somebody wants that, else CRASHED."""
        from towpath.errors import HistoryError

        wanted = False
        with suppress(HistoryError):
            wanted = self._ready.book.is_wanted_cancelled(self._taken.run_id)
        if wanted:
            self._ready.interrupt.cancel()
        else:
            self._ready.interrupt.end(
                "The process was told to stop (SIGTERM), and nobody had asked for the run to end."
            )

    def exit_code(self) -> int:
        """Give the code to exit with now."""
        return 0 if self._has_ended else _UNABLE

    def _facts(self, flow: Flow[Any, Any]) -> FlowRun:
        from towpath.runs import FlowRun

        taken = self._taken
        return FlowRun(
            flow.name,
            name="" if flow.flow_run_name and not taken.given_name else taken.name,
            id=taken.run_id,
            flow_version=flow.version,
            tags=taken.tags,
            depth=taken.depth,
            parent_id=taken.parent_id,
            parent_name=taken.parent_name,
            root_id=taken.root_id,
            attempt=taken.attempt,
            deployment=taken.deployment_name,
            scheduled_time=taken.due,
        )


def _leave_standard_input() -> None:
    """Give user code an empty standard input, as a run that nobody sits in front of has."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main())
