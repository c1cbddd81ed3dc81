"""The runs of a namespace: the verbs' port over the Kubernetes API."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from towpath import names
from towpath.cli.bodies import run_of
from towpath.cli.family import Family, below
from towpath.cli.podlogs import PodLogs
from towpath.cli.port import LogQuery, Query
from towpath.cli.seen import Line, Run, TaskRun
from towpath.cluster.console import Console
from towpath.cluster.follow import Change, Follower
from towpath.cluster.port import Cluster, Selector
from towpath.errors import ClusterError, Conflict, NotFound
from towpath.states import StateType


class ClusterRuns:
    """FlowRuns, Jobs' pods and their logs.

    Args:
        cluster: what runs themselves use.
        console: the rest.
        flags: what to type for this cluster and namespace.
    """

    def __init__(self, cluster: Cluster, console: Console, flags: str) -> None:
        self._cluster, self._console, self._logs = cluster, console, PodLogs(console)
        self.flags = flags

    @property
    def place(self) -> str:
        """The namespace."""
        return f"in namespace {self._cluster.namespace!r}"

    def list(self, query: Query) -> Sequence[Run]:
        """Give the namespace's runs, the newest first."""
        runs = [run_of(body) for body in self._cluster.list_runs(Selector()).items]
        fitting = sorted((run for run in runs if _fits(run, query)), key=_age, reverse=True)
        return fitting[: query.limit]

    def get(self, which: str, *, whole: bool = False) -> Run:
        """Give a run by its name, or by the beginning of its name or UID."""
        try:
            return run_of(self._cluster.get_run(which))
        except NotFound as error:
            missing = error
        runs = [run_of(body) for body in self._cluster.list_runs(Selector()).items]
        if whole:
            fitting = [run for run in runs if run.id == which]
        else:
            fitting = [run for run in runs if run.name.startswith(which) or run.id.startswith(which)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise NotFound(f"{which!r} fits {len(fitting)} runs {self.place}: {_some(fitting)}. Type more of it.")
        latest = _some(sorted((run for run in runs if run.parent_id is None), key=_age, reverse=True))
        have = f"The latest there are {latest}." if latest else "There are none."
        raise NotFound(f"There is no run {which!r} {self.place}. {have}") from missing

    def tree(self, run: Run) -> Sequence[Run]:
        """Give a run and all below it, with one list: all of a tree have the label of its root."""
        root = Selector(labels={names.LABEL_ROOT_RUN: run.root or run.name})
        return below(run, [run_of(body) for body in self._cluster.list_runs(root).items])

    def tasks(self, run: Run) -> Sequence[TaskRun]:  # noqa: ARG002 the port's
        """Give none: a FlowRun counts its task runs, but does not list them."""
        return ()

    def follow(self, run: Run | None, beat_seconds: float) -> Iterator[Run | None]:
        """Give runs as they change, by watch."""
        if run is None:
            yield from self._follow_all(beat_seconds)
            return
        family = Family(run)
        selectors = [Selector(name=run.name), Selector(labels={names.LABEL_ROOT_RUN: run.root or run.name})]
        with self._watched(selectors) as changes:
            while True:
                change = _next(changes, beat_seconds)
                if change is None:
                    yield None
                elif change.body is None:
                    if change.uid == run.id:
                        raise NotFound(f"Run {run.name!r} was deleted while it was watched.")
                else:
                    yield from family.add(changed := run_of(change.body))
                    if changed.id == run.id and changed.has_ended:
                        break
        yield from self.tree(changed)  # what its end did to those below it may be news

    def logs(self, run: Run, query: LogQuery) -> Iterator[Line]:
        """Give what the run's pods have written."""
        return self._logs.follow(self._changes(run), query) if query.follow else self._logs.read(run, query)

    def cancel(self, run: Run, *, now: bool = False) -> None:
        """Set the run's wish to be cancelled; the operator does the rest."""
        if run.has_ended:
            raise Conflict(f"Run {run.name!r} cannot be cancelled: it has ended, {run.state.name}.")
        self._console.cancel_run(run.name, now=now)

    def retry(self, run: Run) -> None:
        """Ask for one more attempt of a run that ended otherwise than well; the operator does the rest.

        Raises:
            Conflict: it goes on, it completed, or the run that called it has ended.
            Refused: it was cancelled, or it may not be changed by whoever asks.
        """
        if run.pauses:
            raise Conflict(
                f"Run {run.name!r} is {run.state.name}. To have it go on: towpath runs resume {run.name} {self.flags}"
            )
        if not run.has_ended:
            raise Conflict(f"Run {run.name!r} cannot be tried again: it goes on ({run.state.name}).")
        if run.state.type is StateType.COMPLETED:
            raise Conflict(f"Run {run.name!r} has completed, so there is nothing to try again. Run it anew.")
        if run.parent is not None and self.get(run.parent, whole=True).has_ended:
            raise Conflict(
                f"Run {run.name!r} was called by {run.parent!r}, which has ended: try that again, towpath runs retry"
                f" {run.parent} {self.flags}."
            )
        self._console.retry_run(run.name, run.attempt or 0)

    def delete(self, run: Run, *, force: bool) -> None:
        """Delete the FlowRun; the cluster deletes what it owns."""
        if not (force or run.has_ended):
            raise Conflict(
                f"Run {run.name!r} goes on ({run.state.name}). Cancel it first, so that it ends in order:"
                f" towpath runs cancel {run.name} {self.flags}; or delete it with --force."
            )
        self._console.delete_run(run.name)

    def close(self) -> None:
        """Let the connections go."""
        self._cluster.close()

    def _follow_all(self, beat_seconds: float) -> Iterator[Run | None]:
        known: set[str] = set()
        with self._watched([Selector()]) as changes:
            while True:
                change = _next(changes, beat_seconds)
                if change is None:
                    yield None
                elif change.body is not None:
                    run = run_of(change.body)
                    if run.id in known or not run.has_ended:
                        known.add(run.id)
                        yield run

    def _changes(self, run: Run) -> Iterator[Run]:
        follower = Follower(self._cluster, Selector(name=run.name))
        try:
            for change in follower.changes():
                if change.body is None:
                    raise NotFound(f"Run {run.name!r} was deleted, and its log with it.")
                yield run_of(change.body)
        finally:
            follower.stop()

    @contextmanager
    def _watched(self, selectors: Sequence[Selector]) -> Iterator[queue.Queue[Change | ClusterError]]:
        """Watch in the background, a thread for each selector."""
        changes: queue.Queue[Change | ClusterError] = queue.Queue()
        followers = [Follower(self._cluster, selector) for selector in selectors]
        for follower in followers:
            threading.Thread(target=_pump, args=(follower, changes), daemon=True).start()
        try:
            yield changes
        finally:
            for follower in followers:
                follower.stop()


def _pump(follower: Follower, changes: queue.Queue[Change | ClusterError]) -> None:
    try:
        for change in follower.changes():
            changes.put(change)
    except ClusterError as error:
        changes.put(error)


def _next(changes: queue.Queue[Change | ClusterError], seconds: float) -> Change | None:
    try:
        change = changes.get(timeout=seconds)
    except queue.Empty:
        return None
    if isinstance(change, ClusterError):
        raise change
    return change


def _fits(run: Run, query: Query) -> bool:
    return (
        (query.children or run.parent_id is None)
        and (query.flow is None or run.flow == query.flow)
        and (not query.states or run.state.type in query.states)
        and (query.since is None or (run.created is not None and run.created >= query.since))
    )


def _age(run: Run) -> tuple[float, str]:
    return (run.created.timestamp() if run.created else 0.0, run.name)


def _some(runs: Sequence[Run], most: int = 5) -> str:
    return ", ".join(repr(run.name) for run in runs[:most]) + (" …" if len(runs) > most else "")
