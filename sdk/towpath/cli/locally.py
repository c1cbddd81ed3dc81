"""The runs of this machine: the verbs' port over the history."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from towpath.cli.port import LogQuery, Query
from towpath.cli.seen import Counts, Failure, Line, Pause, Run, SeenState, TaskRun
from towpath.errors import Conflict, NoSuchRun
from towpath.history.port import History, RecordedLine, RecordedRun, RecordedState, RecordedTally, RecordedTask
from towpath.states import TERMINAL, StateType

#: How often the history is looked at by who follows a run: it has no watch.
_LOOK_SECONDS: Final = 0.2
_LIVE: Final = frozenset(StateType) - TERMINAL
_ENDED_BADLY: Final = frozenset({StateType.FAILED, StateType.CRASHED})


class LocalRuns:
    """What the history of this machine knows.

    Args:
        history: the open history.
        cancel: has a run ended, by its id; tells whether that can be.
        pauses: tells what a run waits for, by its id.
        slots: tells which slots of limits a run holds, and which it waits for, in words, by its id.
        sleep: waits between two looks.
        now: the time.
    """

    def __init__(
        self,
        history: History,
        *,
        cancel: Callable[[str], bool],
        pauses: Callable[[str], Sequence[Pause]] = lambda _: (),
        slots: Callable[[str], tuple[str, str]] = lambda _: ("", ""),
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._history, self._cancel, self._pauses, self._slots = history, cancel, pauses, slots
        self._sleep, self._now = sleep, now

    @property
    def place(self) -> str:
        """This machine."""
        return "on this machine"

    @property
    def flags(self) -> str:
        """Nothing has to be typed."""
        return ""

    def list(self, query: Query) -> Sequence[Run]:
        """Give runs, the newest first."""
        found = self._history.runs(
            flow=query.flow,
            states=query.states or None,
            since=query.since,
            top_level=not query.children,
            limit=query.limit,
        )
        return [_run(record) for record in found]

    def get(self, which: str, *, whole: bool = False) -> Run:
        """Give a run by its id, its name, or the beginning of either."""
        record = self._history.run(which)
        if whole and which not in {record.id, record.name}:
            raise NoSuchRun(f"There is no run {which!r} on this machine. Is {record.name!r} meant? Type all of it.")
        parent = self._history.run(record.parent_id).name if record.parent_id else None
        (run,) = self._counted([record])
        states = tuple(map(_state, self._history.states(record.id)))
        pauses = tuple(self._pauses(record.id)) if record.is_live else ()
        holds, waits = self._slots(record.id) if record.is_live else ("", "")
        return replace(
            run, history=states, parent=parent, pauses=pauses, holds=holds or None, waiting_for=waits or None
        )

    def tree(self, run: Run) -> Sequence[Run]:
        """Give a run and all below it."""
        return self._counted(self._history.tree(run.id))

    def tasks(self, run: Run) -> Sequence[TaskRun]:
        """Give the run's task runs, in the order of their calls."""
        return [_task(record) for record in self._history.tasks(run.id)]

    def follow(self, run: Run | None, beat_seconds: float) -> Iterator[Run | None]:
        """Give runs as they change, by looking again and again."""
        told: dict[str, Run] = {}
        since, quiet = self._now(), 0.0
        while True:
            changed = [now for now in self._look(run, since, told) if told.get(now.id) != now]
            told |= {now.id: now for now in changed}
            yield from changed
            quiet = 0.0 if changed else quiet + _LOOK_SECONDS
            if run is not None and told[run.id].has_ended:
                return
            if quiet >= beat_seconds:
                quiet = 0.0
                yield None
            self._sleep(_LOOK_SECONDS)

    def logs(self, run: Run, query: LogQuery) -> Iterator[Line]:
        """Give what the run and its tasks have logged."""
        last = 0
        tail = query.tail
        while True:
            ended = not query.follow or self._history.run(run.id).state.type.is_terminal
            lines = self._history.logs([run.id], after=last)
            last = lines[-1].number if lines else last
            yield from (_line(line, run) for line in (lines if tail is None else lines[max(0, len(lines) - tail) :]))
            if ended:
                return
            tail = None
            self._sleep(_LOOK_SECONDS)

    def cancel(self, run: Run, *, now: bool = False) -> None:
        """Have the process of a run end it; one that another has called in that process is ended with that."""
        if now:
            raise Conflict(
                f"Run {run.name!r} is of this machine, where --now is not possible: leave it out, and the run is"
                " interrupted at once. If it does not end, end its process, which towpath runs inspect names."
            )
        if run.has_ended:
            raise Conflict(f"Run {run.name!r} cannot be cancelled: it has ended, {run.state.name}.")
        if self._cancel(run.id):
            return
        if run.parent_id is not None:
            top = self._history.run(run.root or run.parent_id).name
            raise Conflict(
                f"Run {run.name!r} cannot be cancelled alone: it goes on in the process of the run that has called it."
                f" To cancel all: towpath runs cancel {top}"
            )
        raise Conflict(f"Run {run.name!r} cannot be cancelled: it has ended meanwhile.")

    def delete(self, run: Run, *, force: bool) -> None:
        """Delete the record of a run and of those below it; one that goes on is refused whatever is asked."""
        del force  # its process would go on
        self._history.delete(run.id)

    def close(self) -> None:
        """Let go of the file."""
        self._history.close()

    def _counted(self, records: Sequence[RecordedRun]) -> Sequence[Run]:
        """Give runs with their tasks counted: the record of one that goes on does not say how many there are."""
        runs = [_run(record) for record in records]
        tallies = self._history.tallies([run.id for run in runs])
        return [replace(run, tasks=_counts(tallies[run.id])) if run.id in tallies else run for run in runs]

    def _look(self, run: Run | None, since: datetime, told: dict[str, Run]) -> Sequence[Run]:
        if run is not None:
            return self._counted(self._history.tree(run.id))
        going_on = self._history.runs(states=_LIVE, limit=None)
        begun = {record.id: record for record in self._history.runs(since=since, limit=None)}
        found = begun | {record.id: record for record in going_on}
        ended = [one.id for one in told.values() if not one.has_ended and one.id not in found]
        return [_run(record) for record in (*map(self._history.run, ended), *reversed(found.values()))]


def _run(record: RecordedRun) -> Run:
    state = _state(record.state)
    process = record.process
    return Run(
        id=record.id,
        name=record.name,
        flow=record.flow,
        state=state,
        created=record.created,
        started=record.started,
        ended=record.ended,
        took_seconds=record.seconds,
        parent_id=record.parent_id,
        root=record.root_id,
        deployment=record.deployment,
        attempt=record.attempt if record.attempt > 1 else None,
        parameters=record.parameters,
        tags=tuple(sorted(record.tags)),
        tasks=Counts(record.tasks_total, record.tasks_completed, record.tasks_failed) if record.tasks_total else None,
        error=Failure(state.message) if state.type in _ENDED_BADLY and state.message else None,
        process=f"process {process.pid} on {process.host}" if process else None,
    )


def _counts(tally: RecordedTally) -> Counts:
    return Counts(tally.total, tally.completed, tally.failed, tally.cached, tally.failures)


def _state(state: RecordedState) -> SeenState:
    return SeenState(state.type, state.name, None, state.message, state.since)


def _task(record: RecordedTask) -> TaskRun:
    return TaskRun(
        name=record.name,
        task=record.task,
        state=_state(record.state),
        seconds=record.seconds,
        run_count=record.run_count,
    )


def _line(line: RecordedLine, run: Run) -> Line:
    return Line(line.message, line.time, logging.getLevelName(line.level), line.task_run, run.name)
