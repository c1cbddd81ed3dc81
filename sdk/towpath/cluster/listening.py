"""When a pod begins to listen to what is wished of its run: once the run has lasted a while, or waits for somebody.

A short run pays for none of it: neither a watch, nor the loading of what makes runs wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.cluster.standing import is_killed
from towpath.cluster.stopping import TOLD_TO_STOP
from towpath.errors import PauseError
from towpath.history.wishes import ANY, WISHES

if TYPE_CHECKING:
    from towpath.cluster.http import HttpCluster
    from towpath.cluster.own import OwnRun
    from towpath.cluster.pauses import PodPauses
    from towpath.cluster.port import Body
    from towpath.cluster.reports import RunReporter
    from towpath.cluster.steering import ClusterSteering

#: How old a run is when it begins to listen.
LISTEN_SECONDS: Final = 2.0


class Listening:
    """What the run of this process hears of wishes, and by what it waits.

    Args:
        cluster: where the run is.
        own: the run.
        reporter: writes its status.
    """

    def __init__(self, cluster: HttpCluster, own: OwnRun, reporter: RunReporter) -> None:
        self._cluster, self._own, self._reporter = cluster, own, reporter
        self._guard = threading.Lock()
        self._pauses: PodPauses | None = None
        self._timer: threading.Timer | None = None

    def begin(self, run: Body) -> None:
        """Take note of what is wished of the run as it begins, and listen in a while, if it lasts as long."""
        hear(run)
        self._timer = threading.Timer(LISTEN_SECONDS, self._listen)
        self._timer.daemon = True
        self._timer.start()

    def pauses(self) -> PodPauses:
        """Give what the run waits by."""
        with self._guard:
            if self._pauses is None:
                from towpath.cluster.own_watch import own_watch
                from towpath.cluster.pauses import PodPauses

                self._pauses = PodPauses(self._cluster, self._cluster, self._own, self._reporter, own_watch())
            return self._pauses

    def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
        WISHES.pop(ANY, None)

    def _listen(self) -> None:
        from towpath.cluster.own_watch import own_watch

        own_watch().subscribe(hear)


def hear(run: Body | None) -> None:
    """Take note of what is wished of the run of this process; end it if that is to be killed."""
    spec: dict[str, Any] = {} if run is None else run["spec"]
    if run is not None and is_killed(run):
        os._exit(TOLD_TO_STOP)  # a kubelet that waits for a grace period already does not end it any sooner
    if spec.get("suspend"):
        WISHES[ANY] = True
    elif spec.get("pause"):
        WISHES[ANY] = False
    else:
        WISHES.pop(ANY, None)


_of_process: Listening | None = None


def set_listening_of_process(listening: Listening | None) -> None:
    """Say which run's flow this process runs."""
    global _of_process
    _of_process = listening


def pauses_of_process() -> PodPauses:
    """Give the pauses of the run whose flow this process runs.

    Raises:
        PauseError: it runs none: it is a worker's, or a plain container's.
    """
    if _of_process is None:
        raise PauseError(
            f"This process belongs to run {os.environ.get(names.ENV_RUN)!r}, but does not run its flow: nothing in it"
            " can wait. Call this in the flow itself."
        )
    return _of_process.pauses()


@contextmanager
def steering_of_process() -> Iterator[ClusterSteering]:
    """Open what steers the runs of this pod's namespace.

    Raises:
        ConfigurationError: how to reach the cluster cannot be told.
    """
    if _of_process is not None:
        yield _of_process.pauses()
        return
    from towpath.cluster.connect import connect
    from towpath.cluster.steering import steering_over

    with steering_over(connect()) as steering:
        yield steering
