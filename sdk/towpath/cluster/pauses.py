"""Pauses of a run in its pod: what it waits for goes into its own status, and answers are heard by following its spec.

The pod writes PAUSED with what it wants (`status.pause`), and follows its own FlowRun until `spec.answers` has the
answer, or `spec.pause` is not set any more. What somebody outside wishes is heard by the same watch, which a run begins
once it has lasted a while, or at its first pause: short runs pay nothing.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.cluster.console import Console, Sender
from towpath.cluster.pause_bodies import answer_in, key_of, written
from towpath.cluster.steering import ClusterSteering
from towpath.errors import PauseError
from towpath.futures import Future
from towpath.history.wishes import ANY, WISHES
from towpath.states import Reason, State, StateType

if TYPE_CHECKING:
    from towpath.cluster.own import OwnRun
    from towpath.cluster.own_watch import OwnRunWatch
    from towpath.cluster.port import Body, Cluster
    from towpath.cluster.reports import RunReporter
    from towpath.pausing.port import Pause
    from towpath.runs import FlowRun

#: How old a run is when it begins to listen to what is wished of it.
LISTEN_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Stand:
    """A place in the code at which the run waits in its process."""

    key: str
    pause: Pause
    refused_input: str | None = None
    is_told: bool = False


class PodPauses(ClusterSteering):
    """What the run of this pod, and those that it calls in its process, wait for; may be used by several threads.

    Args:
        cluster: where the run is.
        sender: sends what is asked of other runs; the same adapter, mostly.
        own: the run.
        reporter: writes its status.
        watch: follows it.
    """

    def __init__(
        self, cluster: Cluster, sender: Sender, own: OwnRun, reporter: RunReporter, watch: OwnRunWatch
    ) -> None:
        super().__init__(cluster, Console(sender, cluster.namespace))
        self._own, self._reporter, self._watch = own, reporter, watch
        self._guard = threading.RLock()
        self._stands: dict[str, _Stand] = {}
        self._refused: dict[str, str] = {}
        self._timer: threading.Timer | None = None

    # what somebody outside wishes

    def begin(self, run: Body) -> None:
        """Take note of what is wished of the run as it begins, and listen in a while, if it lasts as long."""
        self.hear(run)
        self._timer = threading.Timer(LISTEN_SECONDS, self._listen)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
        WISHES.pop(ANY, None)

    def hear(self, run: Body | None) -> None:
        """Take note of what is wished of the run."""
        if run is None:
            return
        spec = run["spec"]
        if spec.get("suspend"):
            WISHES[ANY] = True
        elif spec.get("pause"):
            WISHES[ANY] = False
        else:
            WISHES.pop(ANY, None)

    def heed(self, run_id: str) -> bool:  # noqa: ARG002 the port's: a wish is for all flows of this process
        """Tell whether the run is still to wait: the wish is taken back by whoever resumes it."""
        return ANY in WISHES

    # the run's side

    def enter(self, pause: Pause) -> Pause:
        """Have the run wait; gives the pause as it is, which may have been answered before."""
        if pause.is_asked_for:
            return dataclasses.replace(pause, is_answered=ANY not in WISHES and not pause.is_suspension)
        key = key_of(pause, self._own.uid)
        body = written(pause, key)
        now = self._with_answer(self._cluster.get_run(self._own.name), pause, key)
        if pause.is_suspension and not now.is_answered:
            self._reporter.waits_for = body
        return now

    def tell(self, pause: Pause, state: State[Any]) -> None:
        """Write that the run waits, and for what, or goes on; of several that wait, the first is shown."""
        key = self._key(pause)
        with self._guard:
            if state.type is StateType.PAUSED:
                self._stands.setdefault(key, _Stand(key, pause))
            else:
                self._stands.pop(key, None)
            self._show(state)

    def answered(self, pause: Pause) -> Future[Pause]:
        """Give a future that ends with the pause as it is when it has been answered."""
        key = self._key(pause)
        answered: Future[Pause] = Future()

        def look(run: Body | None) -> None:
            self.hear(run)
            if run is not None and (now := self._with_answer(run, pause, key)).is_answered:
                answered.complete(State(StateType.COMPLETED, data=now))

        answered.add_done_callback(lambda _: stop())
        stop = self._watch.subscribe(look)
        if answered.done():
            stop()
        return answered

    def refuse(self, pause: Pause, why: str) -> None:
        """Have the run wait on: its own check found the answer wrong."""
        key = self._key(pause)
        digest = names.input_digest(pause.answer)
        refused = dataclasses.replace(pause, answer=None, is_answered=False, refused=why)
        with self._guard:
            self._refused[key] = digest
            if pause.is_suspension:
                self._reporter.waits_for = written(refused, key, digest)
            elif (stand := self._stands.get(key)) is not None:
                stand.pause = refused
                self._show(State(StateType.PAUSED, message=f"The input was refused: {why}"))
            else:
                self._stands[key] = _Stand(key, refused)

    def recall(self, run: FlowRun) -> None:
        """Leave a run as it is: runs that this one calls in its process have no names of their own in a cluster."""

    def _listen(self) -> None:
        self._watch.subscribe(self.hear)

    def _key(self, pause: Pause) -> str:
        return pause.key if pause.is_asked_for else key_of(pause, self._own.uid)

    def _with_answer(self, run: Body, pause: Pause, key: str) -> Pause:
        if pause.is_asked_for:
            return dataclasses.replace(pause, is_answered=not run["spec"].get("pause"))
        answer = answer_in(run, key)
        if answer is None or names.input_digest(answer.get("input")) == self._refused.get(key):
            return dataclasses.replace(pause, is_answered=False, answer=None)
        return dataclasses.replace(pause, is_answered=True, answer=answer.get("input"))

    def _show(self, state: State[Any]) -> None:
        """Write the state in which the run stands, all its flows taken together."""
        first = next(iter(self._stands.values()), None)
        if first is None:
            self._reporter.stand(State(StateType.RUNNING, message=state.message), {})
            return
        reason = Reason.PAUSED_BY_REQUEST if first.pause.is_asked_for else Reason.AWAITING_INPUT
        body = None if first.pause.is_asked_for else written(first.pause, first.key, self._refused.get(first.key))
        self._reporter.stand(State(StateType.PAUSED, message=state.message), {"pause": body}, reason)


_of_process: PodPauses | None = None


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
    return _of_process


def steering_of_process() -> ClusterSteering:
    """Give what steers the runs of this pod's namespace.

    Raises:
        ConfigurationError: how to reach the cluster cannot be told.
    """
    if _of_process is not None:
        return _of_process
    from towpath.cluster.connect import connect

    cluster = connect()
    return ClusterSteering(cluster, Console(cluster, cluster.namespace))


def set_pauses_of_process(pauses: PodPauses | None) -> None:
    """Say which run's flow this process runs."""
    global _of_process
    _of_process = pauses
