"""Pauses of a run in its pod: what it waits for goes into its own status, and answers are heard by following its spec.

The pod writes PAUSED with what it wants (`status.pause`), and follows its own FlowRun until `spec.answers` has the
answer, or `spec.pause` is not set any more. What somebody outside wishes is heard by the same watch, which a run begins
once it has lasted a while, or at its first pause: short runs pay nothing.
"""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from towpath import names
from towpath.cluster.console import Console, Sender
from towpath.cluster.listening import hear
from towpath.cluster.pause_bodies import answer_in, key_of, written
from towpath.cluster.steering import ClusterSteering
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


@dataclass(slots=True)
class _Stand:
    """A place in the code at which the run waits in its process."""

    key: str
    pause: Pause
    message: str | None = None
    """How to resume it."""


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

    def heed(self, run_id: str) -> bool:  # noqa: ARG002 the port's: a wish is for all flows of this process
        """Tell whether the run is still to wait: the wish is taken back by whoever resumes it."""
        return ANY in WISHES

    def enter(self, pause: Pause) -> Pause:
        """Have the run wait; gives the pause as it is, which may have been answered before."""
        if pause.is_asked_for:
            self._reporter.waits_for = None
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
                self._stands.setdefault(key, _Stand(key, pause)).message = state.message
            else:
                self._stands.pop(key, None)
            self._show(state.message)

    def answered(self, pause: Pause) -> Future[Pause]:
        """Give a future that ends with the pause as it is when it has been answered."""
        key = self._key(pause)
        answered: Future[Pause] = Future()

        def look(run: Body | None) -> None:
            hear(run)  # before anybody goes on: the wish may be taken back
            if run is not None and (now := self._with_answer(run, pause, key)).is_answered:
                answered.complete(State(StateType.COMPLETED, data=now))

        stop = self._watch.subscribe(look)
        answered.add_done_callback(lambda _: stop())
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
                stand.message = f"The last input was refused: {why}"
                self._show(None)
            else:
                self._stands[key] = _Stand(key, refused)

    def recall(self, run: FlowRun) -> None:
        """Leave a run as it is: runs that this one calls in its process have no names of their own in a cluster."""

    def _key(self, pause: Pause) -> str:
        return pause.key if pause.is_asked_for else key_of(pause, self._own.uid)

    def _with_answer(self, run: Body, pause: Pause, key: str) -> Pause:
        if pause.is_asked_for:
            return dataclasses.replace(pause, is_answered=not run["spec"].get("pause"))
        answer = answer_in(run, key)
        if answer is None or names.input_digest(answer.get("input")) == self._refused.get(key):
            return dataclasses.replace(pause, is_answered=False, answer=None)
        return dataclasses.replace(pause, is_answered=True, answer=answer.get("input"))

    def _show(self, why: str | None) -> None:
        """Write the state in which the run stands, all its flows taken together.

        Args:
            why: it goes on, if it does.
        """
        first = next(iter(self._stands.values()), None)
        if first is None:
            self._reporter.stand(State(StateType.RUNNING, message=why), {})
            return
        reason = Reason.PAUSED_BY_REQUEST if first.pause.is_asked_for else Reason.AWAITING_INPUT
        body = None if first.pause.is_asked_for else written(first.pause, first.key, self._refused.get(first.key))
        self._reporter.stand(State(StateType.PAUSED, message=first.message), {"pause": body}, reason)
