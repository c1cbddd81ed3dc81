"""Logs of runs in a cluster: which pod has them, and reading on where a stream broke off."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from towpath import names
from towpath.cli.loglines import parse
from towpath.cli.port import LogQuery
from towpath.cli.seen import Line, Run
from towpath.cluster.backoff import Backoff
from towpath.cluster.console import Console
from towpath.cluster.port import Body
from towpath.errors import NotFound, Refused, Unreachable
from towpath.states import StateType

_BACKOFF: Final = Backoff(first_seconds=0.2, most_seconds=5.0)
#: How often a kubelet is asked anew that has not noticed yet that a container began: about ten seconds.
_KUBELET_TRIES: Final = 6
_STARTED: Final = ("running", "terminated")
_HAVE_LOGS: Final = frozenset({StateType.RUNNING, StateType.CANCELLING})


class PodLogs:
    """The logs of pods.

    Args:
        console: gives them.
        sleep: waits before a log that broke off is asked for again.
    """

    def __init__(self, console: Console, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._console, self._sleep = console, sleep

    def read(self, run: Run, query: LogQuery) -> Iterator[Line]:
        """Give the lines that there are.

        Raises:
            NotFound: there is no pod, or it has not begun.
        """
        return self._lines(self._pod(run, query.attempt), query, begun=run.started is not None)

    def follow(self, changes: Iterable[Run], query: LogQuery) -> Iterator[Line]:
        """Give the lines of a run's attempts as they are written, until the run has ended.

        Args:
            changes: the run as it is, and as it becomes.
            query: what is asked for.

        Raises:
            NotFound: the run has ended, and its pod is gone.
        """
        told = 0
        for run in changes:
            attempt = query.attempt or run.attempt or 0
            if attempt > told and (run.has_ended or run.state.type in _HAVE_LOGS):
                try:
                    yield from self._lines(self._pod(run, attempt), query, begun=run.started is not None)
                    told = attempt
                except NotFound:
                    if run.has_ended and not told:
                        raise
            if run.has_ended or (query.attempt and told):
                return

    def _pod(self, run: Run, attempt: int | None) -> Body:
        """Find the pod of an attempt, whose log can be read."""
        pods = [pod for pod in self._console.pods(run.name) if _labels(pod).get(names.LABEL_RUN_UID) == run.id]
        by_attempt = {int(_labels(pod).get(names.LABEL_ATTEMPT, 0)): pod for pod in pods}
        wanted = attempt or max(by_attempt, default=0)
        pod = by_attempt.get(wanted)
        is_over = run.has_ended or wanted < (run.attempt or 0)
        # A run tells that it runs before the kubelet tells that its container does.
        if pod is not None and (is_over or run.state.type in _HAVE_LOGS or _has_started(pod)):
            return pod
        which = f"Attempt {attempt} of run" if attempt else "Run"
        if is_over:
            raise NotFound(
                f"{which} {run.name!r} has no pod any more, and its log went with it: the operator deletes Jobs some"
                " time after their end (TOWPATH_OPERATOR_JOB_TTL_SECONDS). To keep logs, collect those of pods."
            )
        why = f" ({run.state.why})" if run.state.why else ""
        raise NotFound(f"{which} {run.name!r} has no log yet: it is {run.state.name}{why}. Wait for it with --follow.")

    def _lines(self, pod: Body, query: LogQuery, *, begun: bool) -> Iterator[Line]:
        """Read a log; if it is followed and breaks off, go on where it did.

        Args:
            pod: whose.
            query: what is asked for.
            begun: whether the run itself has told that the attempt began.
        """
        name: str = pod["metadata"]["name"]
        last: datetime | None = None
        failures = 0
        while True:
            since = None if last is None else last.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            tail = query.tail if last is None else None
            try:
                with self._console.log(name, follow=query.follow, tail=tail, since=since) as lines:
                    for text in lines:
                        failures = 0
                        at, written = _stamped(text)
                        if at is None or last is None or at > last:  # asking anew is by the second
                            last = at or last
                            yield parse(written, at)
                return
            except Unreachable:
                if not query.follow:
                    raise
            except Refused as error:
                if "waiting to start" not in str(error):
                    raise
                if not begun or failures >= _KUBELET_TRIES:
                    raise NotFound(f"The container of pod {name!r} has not begun, so there is no log.") from error
            self._sleep(_BACKOFF.delay(failures, random.random()))  # noqa: S311 it spreads requests
            failures += 1


def _stamped(text: str) -> tuple[datetime | None, str]:
    """Take the time off a line; what the kubelet itself says, such as that a log is gone, has none."""
    stamp, _, written = text.partition(" ")
    try:
        return datetime.fromisoformat(stamp), written
    except ValueError:
        return None, text


def _labels(body: Body) -> Body:
    labels: Body = body["metadata"].get("labels") or {}
    return labels


def _has_started(pod: Body) -> bool:
    """Tell whether the flow's container has begun, and so has a log."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] == names.CONTAINER:
            return any((status.get("state") or {}).get(state) for state in _STARTED)
    return False
