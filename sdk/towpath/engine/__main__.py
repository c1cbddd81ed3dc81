"""`python -m towpath.engine`: one attempt of one run, in its pod.

Takes all that it needs from the environment, loads the flow, reports RUNNING, runs, reports the end, and exits: 0 if it
is known how the run ended; anything else if nobody has said so, and the operator has to find out.

TOWPATH_GRACE_SECONDS      how long an orderly end may take after SIGTERM; below the pod's own grace period      25
TOWPATH_TERMINATION_LOG    file of the termination message                                      /dev/termination-log
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.cluster.stopping import GRACE_SECONDS, TOLD_TO_STOP, Stopping

if TYPE_CHECKING:
    from pathlib import Path

    from towpath.cluster.own import OwnRun
    from towpath.errors import ConfigurationError
    from towpath.flows import Flow

#: How long threads that user code left behind may keep the process after the end has been reported.
_LINGER_SECONDS: Final = 10.0
_NO_REPORT: Final = 1


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Run the attempt that the environment describes; gives the exit code."""
    stopping = Stopping(float(environment.get(names.ENV_GRACE_SECONDS) or GRACE_SECONDS))
    _prepare_output()

    from towpath.cluster.own import own_run
    from towpath.engine.wakeups import heard
    from towpath.errors import ClusterError, ConfigurationError
    from towpath.loggers import get_logger

    log = get_logger("towpath.engine")
    try:
        own = own_run(environment)
        if own is None or not own.entrypoint:
            raise ConfigurationError(
                "python -m towpath.engine runs in a run's pod, which the operator starts with TOWPATH_RUN and"
                " TOWPATH_ENTRYPOINT set. To run a flow here, call it: python path/to/file.py."
            )
        attempt = Attempt(own, environment)
        stopping.watch_over(attempt)
        try:
            with heard(stopping.heard):
                attempt.run()
        finally:
            stopping.exit_within(min(_LINGER_SECONDS, stopping.grace_seconds))
            attempt.close()
        return attempt.exit_code()
    except ClusterError as error:
        log.error("The run cannot be reported, so it is left to the operator. %s", error)  # noqa: TRY400 it says it all
    except ConfigurationError as error:
        log.error("%s", error)  # noqa: TRY400
        _leave_word(environment, error)
    except BaseException:
        log.exception("The engine failed; how the run ended is left to the operator.")
    return _NO_REPORT


class Attempt:
    """One attempt of a run, with what it is plugged into."""

    def __init__(self, own: OwnRun, environment: Mapping[str, str]) -> None:
        from towpath import settings
        from towpath.cluster.connect import connect
        from towpath.cluster.launcher import ClusterLauncher, set_launcher_of_process
        from towpath.cluster.listening import Listening, set_listening_of_process
        from towpath.cluster.own_watch import own_watch
        from towpath.cluster.reports import RunReporter
        from towpath.engine.interrupts import Interrupt
        from towpath.runs import FlowRun

        self._own = own
        self._run = FlowRun(
            flow_name=own.flow,
            name=own.name,
            id=own.uid,
            parameters=own.parameters,
            tags=own.tags,
            attempt=own.attempt,
            depth=own.depth,
            parent_name=own.parent,
            deployment=own.deployment,
        )
        self._cluster = connect(environment=environment)
        self._launcher = ClusterLauncher(self._cluster, own, self._run, max_depth=settings.max_depth())
        set_launcher_of_process(self._launcher)
        self._reporter = RunReporter(
            self._cluster,
            own,
            termination_log=_termination_log(environment),
            children=self._launcher.counts,
            latest=own_watch().latest,
        )
        self._interrupt = Interrupt()
        self._listening = Listening(self._cluster, own, self._reporter)
        self._reporter.begun = self._listening.begin
        set_listening_of_process(self._listening)
        self._reported = False

    def run(self) -> None:
        """Load the flow and run it; returns when the end is reported, or there is nothing to report.

        Raises:
            ClusterError: nothing could be reported.
        """
        from towpath.cluster.reports import RunOver, is_suspended
        from towpath.engine.drive import run_flow
        from towpath.engine.effects import Ended
        from towpath.errors import EntrypointError
        from towpath.loggers import get_logger
        from towpath.states import Cancelled, Crashed, Failed

        try:
            try:
                with self._interrupt:
                    flow = self._load()
            except EntrypointError as error:
                get_logger("towpath.engine").error("%s", error, exc_info=error.__cause__)
                self._reporter.report(self._run, Failed(message=str(error), data=error))
            except Ended as ended:
                state = Cancelled if ended.cancelled else Crashed
                self._reporter.report(self._run, state(message=str(ended), data=ended))
            else:
                final = run_flow(
                    flow,
                    self._own.parameters,
                    run=self._run,
                    reporter=self._reporter,
                    launcher=self._launcher,
                    retries=self._own.retries,
                    timeout_seconds=self._timeout_seconds(flow),
                    interrupt=self._interrupt,
                    result_storage=self._own.result_storage,
                    keeps_result=False,
                )
                if not (final.is_final() or is_suspended(final)):
                    message = f"The flow ended {final.name}, which is no end: {final.message or 'it says no more'}"
                    self._reporter.report(self._run, Failed(message=message))
        except RunOver:
            pass
        self._reported = True

    def stop(self) -> None:
        """End the run in order: CANCELLED if somebody wants that, else CRASHED."""
        if self._reporter.ending:
            return
        if self._reporter.wanted_cancelled():
            self._interrupt.end("The run was cancelled.", cancelled=True)
        else:
            self._interrupt.end("The process was told to stop (SIGTERM), and nobody had asked for the run to end.")
        self._launcher.close()

    def exit_code(self) -> int:
        """Give the code to exit with now: 0 if the end is known."""
        if self._reporter.left:
            return TOLD_TO_STOP
        return 0 if self._reported or self._reporter.told else TOLD_TO_STOP

    def close(self) -> None:
        """Let go of the cluster."""
        from towpath.cluster.own_slots import close_slots
        from towpath.cluster.own_watch import close_own_watch

        close_slots()
        self._listening.close()
        close_own_watch()
        self._launcher.close()
        self._cluster.close()

    def _load(self) -> Flow[Any, Any]:
        from towpath.entrypoints import load_flow

        flow = load_flow(self._own.entrypoint)
        self._run.flow_name = self._own.flow or flow.name
        self._reporter.result_storage = self._own.result_storage or flow.result_storage
        self._reporter.keep_result = flow.persist_result is not False
        return flow

    def _timeout_seconds(self, flow: Flow[Any, Any]) -> float | None:
        """Give the timeout that the resource says, but for a decorator's own that was rounded up to get there."""
        import math

        told = self._own.timeout_seconds
        if flow.timeout_seconds is not None and told == math.ceil(flow.timeout_seconds):
            return None
        return told


def _termination_log(environment: Mapping[str, str]) -> Path | None:
    """Give the file of the termination message, if this process is in a pod."""
    from pathlib import Path

    from towpath.cluster import termination

    if named := environment.get(termination.ENV_PATH):
        return Path(named)
    return termination.PATH if termination.PATH.exists() else None


def _leave_word(environment: Mapping[str, str], error: ConfigurationError) -> None:
    """Tell the operator that the run cannot start in its image: no other attempt would."""
    from datetime import UTC, datetime

    from towpath import names, travel
    from towpath.api.v1alpha1 import transitions
    from towpath.cluster import termination
    from towpath.states import Reason, StateType

    attempt, log = environment.get(names.ENV_ATTEMPT, ""), _termination_log(environment)
    if log is not None and attempt.isdecimal():
        reason = Reason.ENTRYPOINT_NOT_FOUND
        state = transitions.state(StateType.FAILED, datetime.now(UTC), reason=reason, message=str(error))
        told, _ = termination.message(int(attempt), state, {"error": travel.pack_error(error, reason)})
        termination.write(log, told)


def _prepare_output() -> None:
    """Make the process's output fit for a pod: JSON lines, at once, and a trace if native code crashes."""
    import faulthandler
    import logging

    from towpath.loggers import configure

    os.environ.setdefault("TOWPATH_LOG_FORMAT", "json")
    configure()
    if logging.getLogger("httpx").level == logging.NOTSET:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


if __name__ == "__main__":
    sys.exit(main())
