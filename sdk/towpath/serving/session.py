"""`serve`: serves deployments until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, Unpack, cast

from towpath.errors import ConfigurationError, HistoryError
from towpath.history.place import history_file
from towpath.loggers import configure
from towpath.serving import inside
from towpath.serving.bell import Bell, remove_left_over
from towpath.serving.book import Book
from towpath.serving.children import PythonProcesses
from towpath.serving.deployment import DeploymentOptions, ServedDeployment, to_deployment
from towpath.serving.server import Server
from towpath.serving.turns import checked_limit

if TYPE_CHECKING:
    from towpath.flows import Flow

T = TypeVar("T")

#: How many runs go on at once unless somebody says otherwise.
LIMIT: Final = 5
GRACE_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.5
log = logging.getLogger("towpath.serving")


class ServeOptions(TypedDict, total=False):
    """How to serve."""

    limit: int | None
    """How many runs go on at once, 5 by default; None for no limit. One that waits for others lends them its place."""
    pause_on_shutdown: bool
    """Whether times that are due after an orderly stop are left out, and not made up for when the deployments are
    served again; true by default."""
    print_starting_message: bool
    """Whether the log says what is served; true by default."""
    grace_seconds: float
    """How long a run may take to end when it was cancelled, or the server told to stop; 30 by default."""


class FlowServeOptions(ServeOptions, DeploymentOptions, total=False):
    """How to serve a flow: what may be said of its deployment, and of serving."""


def serve_flow(flow: Flow[Any, Any], name: str | None, options: FlowServeOptions) -> None:
    """Serve one deployment of a flow; `flow.serve`."""
    serving = {key: value for key, value in options.items() if key in ServeOptions.__annotations__}
    of_deployment = {key: value for key, value in options.items() if key not in serving}
    serve(to_deployment(flow, name, **cast("DeploymentOptions", of_deployment)), **cast("ServeOptions", serving))


def serve(*deployments: ServedDeployment, **options: Unpack[ServeOptions]) -> None:
    """Serve deployments: run what their schedules say and what `run_deployment` asks for, until told to stop.

    Each run gets a process of its own. Ctrl-C or SIGTERM stops the server in order: runs are asked to end, and ended
    when their grace period is over; a second Ctrl-C ends them at once. A server that was killed leaves its runs going;
    when it is started again it sees to them, and to what was due meanwhile.

    Use:
        serve(etl.to_deployment("nightly", cron="0 2 * * *"), report.to_deployment("hourly", interval=3600), limit=2)

    Args:
        *deployments: made by `flow.to_deployment(...)`.
        **options: see `ServeOptions`.

    Raises:
        ConfigurationError: there is nothing to serve, two deployments have one name, or the history is switched off.
        HistoryError: the history cannot be written.
    """
    serving = Serving(deployments, options)
    with serving.told_by_signals():
        serving.run()


async def aserve(*deployments: ServedDeployment, **options: Unpack[ServeOptions]) -> None:
    """Serve as `serve` does, beside what else goes on in an event loop; cancel the task to stop in order.

    Args:
        *deployments: as in `serve`.
        **options: as in `serve`.
    """
    import asyncio

    serving = Serving(deployments, options)
    running = asyncio.ensure_future(asyncio.to_thread(serving.run))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        serving.stop()
        await running
        raise


class Serving:
    """A server with its loop.

    Args:
        deployments: what to serve.
        options: how.
    """

    def __init__(self, deployments: Sequence[ServedDeployment], options: ServeOptions) -> None:
        if unknown := sorted(set(options) - set(ServeOptions.__annotations__)):
            known = ", ".join(ServeOptions.__annotations__)
            raise ConfigurationError(f"serve has no option {unknown[0]!r}. Its options are: {known}.")
        self._deployments = _checked(deployments)
        self._options = options
        self._limit = checked_limit("limit", options.get("limit", LIMIT))
        self._history = _history()
        self._stop = 0
        self._complaint = ""
        self._bell: Bell | None = None

    def stop(self) -> None:
        """Stop in order; asked again, at once. From any thread or signal handler."""
        self._stop += 1
        if self._bell is not None:
            self._bell.ring()

    def run(self) -> None:
        """Serve until told to stop, and until all that was started has ended."""
        configure()
        grace_seconds = self._options.get("grace_seconds", GRACE_SECONDS)
        with Book(self._history) as book:
            token = book.alive.announce()
            remove_left_over(self._history, book.alive)
            bell = self._bell = Bell(self._history, token)
            try:
                processes = PythonProcesses(self._history, grace_seconds, bell.ring)
                server = Server(
                    self._deployments, book, processes, token, limit=self._limit, grace_seconds=grace_seconds
                )
                self._serve(server, bell)
            finally:
                self._bell = None
                bell.take_down()

    def _serve(self, server: Server, bell: Bell) -> None:
        server.open(_now())
        if self._options.get("print_starting_message", True):
            self._tell(server)
        try:
            while not self._stop:
                bell.wait(self._trying(lambda: server.turn(_now())) or 0.0)
        finally:
            server.close()
            pauses = self._options.get("pause_on_shutdown", True)
            self._trying(lambda: server.sign_off(_now(), pauses=pauses))
            while True:
                self._trying(lambda: server.turn_down(_now(), at_once=self._stop > 1))
                if not server.has_children:
                    break
                bell.wait(_LOOK_SECONDS)
            log.info("Stopped serving.")

    def _trying(self, do: Callable[[], T]) -> T | None:
        """Do something with the book; if that cannot be used at present, wait a little and go on: nothing is lost."""
        try:
            return do()
        except HistoryError as error:
            if str(error) != self._complaint:
                log.error("%s It is tried again.", error)  # noqa: TRY400 it says it all
            self._complaint = str(error)
            time.sleep(_LOOK_SECONDS)
            return None

    def _tell(self, server: Server) -> None:
        due = server.next_times()
        for deployment in self._deployments:
            at = due.get(deployment.key)
            when = f"next run at {at.astimezone():%Y-%m-%d %H:%M:%S %Z}" if at else "runs on demand"
            log.info("Serving %s, %s", deployment.key, "paused" if deployment.paused else when)
            for schedule in deployment.schedules:
                log.info("  %s%s", schedule, "" if schedule.active else ", switched off")
        log.info("To run one now: run_deployment(%r). Press Ctrl-C to stop.", self._deployments[0].key)

    @contextmanager
    def told_by_signals(self) -> Iterator[None]:
        """Stop on Ctrl-C and SIGTERM; only the main thread can be told by signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def told(number: int, frame: FrameType | None) -> None:
            del number, frame
            self.stop()

        before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _checked(deployments: Sequence[ServedDeployment]) -> Sequence[ServedDeployment]:
    if inside.IS_CHILD:
        raise ConfigurationError(
            "serve was called while a run of what it serves was loading its flow. Put the call under"
            " `if __name__ == '__main__':`."
        )
    if not deployments:
        raise ConfigurationError("There is nothing to serve. Give deployments: serve(flow.to_deployment('nightly')).")
    for deployment in deployments:
        if not isinstance(deployment, ServedDeployment):
            raise ConfigurationError(f"serve takes deployments, made by flow.to_deployment(...); got {deployment!r}.")
        _check_turns(deployment)
    for key, times in Counter(deployment.key for deployment in deployments).items():
        if times > 1:
            raise ConfigurationError(f"{times} deployments are called {key!r}. Give each a name of its own.")
    return deployments


def _check_turns(deployment: ServedDeployment) -> None:
    options = {"limits": "limits", "queue": "work_queue_name", "priority": "priority", "history": "history"}
    said = [option for field, option in options.items() if field in deployment.turns]
    if deployment.turns.get("concurrency", {}).get("onConflict", "Enqueue") != "Enqueue":
        said.append("a collision_strategy other than ENQUEUE")
    if said:
        raise ConfigurationError(
            f"Deployment {deployment.name!r} cannot be served on this machine with {', '.join(said)}: that is for"
            " flow.deploy(...), in a cluster. Leave it out; here, runs wait for concurrency_limit, and limit=… bounds"
            " all that is served together."
        )


def _history() -> Path:
    file = history_file()
    if file is None:
        raise ConfigurationError(
            "Deployments on this machine are kept in the history, which is switched off: TOWPATH_HISTORY is 'off'."
            " Unset it, or name a file in it."
        )
    return file


def _now() -> datetime:
    return datetime.now(UTC)
