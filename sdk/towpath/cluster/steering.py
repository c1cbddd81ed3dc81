"""Steering runs of a cluster: having them wait, and answering them, by what their specs wish for.

Nobody answers twice: each change is on condition that the FlowRun is still what it was when it was looked at. That
input fits is checked before it is written, and by the operator and the run after that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.cluster.console import Console
from towpath.cluster.follow import Follower
from towpath.cluster.pause_bodies import ASKED_FOR, answer_in, answers_with, pause_in, waits
from towpath.cluster.port import Body, Cluster, Selector
from towpath.errors import (
    ClusterError,
    Conflict,
    NoSuchRun,
    NotFound,
    NotPausedError,
    ParameterError,
    PauseError,
    Refused,
)
from towpath.futures import Future
from towpath.pausing.port import Begun, Next, Pause, Standing
from towpath.states import SUSPENDED, State, StateType

if TYPE_CHECKING:
    from towpath.cluster.http import HttpCluster

_NEW: Final = {"type": StateType.SCHEDULED, "name": "Scheduled"}


class ClusterSteering:
    """The runs of a namespace, for whoever has them wait and go on.

    Args:
        cluster: what runs themselves use.
        console: the rest.
    """

    def __init__(self, cluster: Cluster, console: Console) -> None:
        self._cluster, self._console = cluster, console

    def find(self, which: str) -> Standing:
        """Give a run by its UID or name."""
        run = self._run(which)
        metadata, state = run["metadata"], _state(run)
        family = self._below(run)
        found = [(one, pause) for one in family if (pause := pause_in(one)) is not None and (one is run or waits(one))]
        return Standing(
            id=metadata["uid"],
            name=metadata["name"],
            state=StateType(state["type"]),
            state_name=state["name"],
            has_process=state["name"] != SUSPENDED,
            pauses=tuple(pause for _, pause in found),
            names={one["metadata"]["uid"]: one["metadata"]["name"] for one in family},
        )

    def ask(self, run_id: str, *, is_suspension: bool) -> None:
        """Wish that a run may wait at its next call of a task or flow, or not begin."""
        run = self._run(run_id)
        name = run["metadata"]["name"]
        if (run["spec"].get("flow") or {}).get("command") and (run.get("status") or {}).get("job"):
            raise PauseError(
                f"Run {name!r} is a plain container at work, in which nothing listens. It can be cancelled."
            )
        self._change(f"have FlowRun {name!r} wait", name, {"suspend" if is_suspension else "pause": True})

    def answer(self, pause: Pause, answer: Mapping[str, Any] | None) -> Begun:
        """Answer a pause: one who tries does, the others are too late."""
        name = pause.identity
        while True:
            run = self._run(name)
            now = pause_in(run)
            if run["metadata"]["uid"] != pause.run_id or now is None or now.key != pause.key:
                raise NotPausedError(
                    f"Run {name!r} is {_state(run)['name']} by now, and does not wait for that any more."
                )
            change: dict[str, Any] = {"pause": None, "suspend": None}  # whoever resumes it wants it to go on
            if pause.key != ASKED_FOR:
                _check_not_answered(run, pause, answer)
                change["answers"] = answers_with(run, pause.key, answer)
            try:
                self._change(f"resume FlowRun {name!r}", name, change, run["metadata"]["resourceVersion"])
            except Conflict:
                continue  # it has changed; perhaps somebody else was faster
            return Begun(
                then=Next.IS_STARTED if now.is_suspension else Next.GOES_ON,
                run_id=pause.run_id,
                name=name,
                verdict=None if pause.key == ASKED_FOR else self._verdict(pause, names.input_digest(answer)),
            )

    def begin_anew(self, run_id: str) -> Begun:
        """Have a run begin anew that has ended otherwise than well; one that was resumed does so anyway."""
        run = self._run(run_id)
        name, state = run["metadata"]["name"], _state(run)
        type_ = StateType(state["type"])
        if type_ is StateType.COMPLETED:
            raise PauseError(f"Run {name!r} has completed, so there is nothing to try again. Run it anew.")
        if not type_.is_terminal:
            what = "is about to begin anew already" if type_ is StateType.PAUSED else f"goes on ({state['name']})"
            raise PauseError(f"Run {name!r} {what}.")
        attempt = (run.get("status") or {}).get("attempt") or 0
        self._change(f"retry FlowRun {name!r}", name, {"retryAfterAttempt": attempt})
        return Begun(then=Next.IS_STARTED, run_id=run["metadata"]["uid"], name=name)

    def _run(self, which: str) -> Body:
        try:
            return self._cluster.get_run(which)
        except NotFound as error:
            for run in self._cluster.list_runs(Selector()).items:
                if run["metadata"]["uid"] == which:
                    return run
            raise NoSuchRun(
                f"There is no FlowRun {which!r} in namespace {self._cluster.namespace!r}, by name or UID."
            ) from error

    def _below(self, run: Body) -> Sequence[Body]:
        """Give a run and those below it."""
        root = (run["metadata"].get("labels") or {}).get(names.LABEL_ROOT_RUN) or run["metadata"]["name"]
        others = self._cluster.list_runs(Selector(labels={names.LABEL_ROOT_RUN: root})).items
        family, known = [run], {run["metadata"]["uid"]}
        is_new = True
        while is_new:
            more = [
                one
                for one in others
                if one["metadata"]["uid"] not in known and (one["spec"].get("parent") or {}).get("uid") in known
            ]
            is_new = bool(more)
            family += more
            known |= {one["metadata"]["uid"] for one in more}
        return family

    def _change(self, aim: str, name: str, spec: Mapping[str, Any], resource_version: str | None = None) -> None:
        try:
            self._console.wish(aim, name, spec, resource_version)
        except Refused as error:
            if os.environ.get(names.ENV_RUN):
                raise PauseError(
                    f"A run's pod may not {aim}: it writes its own run's status only, so that no code can steer the"
                    " runs of others. Do so from outside (towpath runs pause, towpath runs resume), or from a service"
                    f" of your own that may patch FlowRuns. {error}"
                ) from error
            raise

    def _verdict(self, pause: Pause, digest: str) -> Future[str]:
        """Give a future that ends with "" when a run has taken an answer, with why if it was refused."""
        verdict: Future[str] = Future()
        follower = Follower(self._cluster, Selector(name=pause.identity))
        verdict.add_done_callback(lambda _: follower.stop())

        def follow() -> None:
            try:
                for change in follower.changes():
                    told = "" if change.body is None else _told(change.body, pause, digest)
                    if told is not None:
                        verdict.complete(State(StateType.COMPLETED, data=told))
                        return
            except ClusterError:
                verdict.complete(State(StateType.COMPLETED, data=""))  # it is answered; what becomes of it, others tell

        threading.Thread(target=follow, name="towpath-verdict", daemon=True).start()
        return verdict


@contextmanager
def steering_over(cluster: HttpCluster) -> Iterator[ClusterSteering]:
    """Steer the runs of a namespace over a connection of one's own, which is closed after that."""
    try:
        yield ClusterSteering(cluster, Console(cluster, cluster.namespace))
    finally:
        cluster.close()


def _told(run: Body, pause: Pause, digest: str) -> str | None:
    """Tell what a run says to an answer: "" if it has taken it, why if not; None: nothing yet."""
    now = pause_in(run)
    if now is None or now.key != pause.key:
        return ""
    said = run["status"]["pause"]
    return (said.get("refused") or "It was refused.") if said.get("refusedInput") == digest else None


def _check_not_answered(run: Body, pause: Pause, answer: Mapping[str, Any] | None) -> None:
    refused = run["status"]["pause"].get("refusedInput")
    if refused == names.input_digest(answer):
        raise ParameterError(str(run["status"]["pause"].get("refused") or "The run has refused this input before."))
    before = answer_in(run, pause.key)
    if before is not None and names.input_digest(before.get("input")) != refused:
        raise NotPausedError(f"Run {run['metadata']['name']!r} has been resumed already, by somebody else.")


def _state(run: Body) -> Mapping[str, Any]:
    return (run.get("status") or {}).get("state") or _NEW
