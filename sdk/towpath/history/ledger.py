"""From notes to rows, in memory: several notes of a run become one row, and what was not written yet is not lost.

Pure: no clock, no I/O. The writer fills it, writes what `pending` gives, and says `written` when that is committed.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from towpath.history.notes import FlowFacts, FlowNote, LeftNote, LineNote, RowNote, TaskNote
from towpath.states import NOT_READY, ROLLED_BACK, TERMINAL, StateType

Row = tuple[Any, ...]

#: Of each text but a log line, in characters.
TEXT: Final = 4_000
#: Of a log line.
LINE: Final = 32_000
#: States that are kept of a task run: the first and the latest so many.
STATES: Final = 100


class Pending(NamedTuple):
    """Rows to be written, in the order of the tables' columns; without the process, which the writer knows."""

    runs: list[Row]
    states: list[Row]
    tasks: list[Row]
    lines: list[Row]
    later: list[Row]
    """States of task runs that had ended: (type, what to add to its states, run, task run)."""
    others: list[RowNote]
    new_tree: bool
    """Whether a run is among them that nobody has called."""


class Ledger:
    """Runs that go on, and what of them is to be written."""

    def __init__(self) -> None:
        self._tasks: dict[str, _Task] = {}
        self._runs: dict[str, _Run] = {}
        self._changed_tasks: dict[int, _Task] = {}
        self._changed_runs: dict[str, _Run] = {}
        self._states: list[Row] = []
        self._lines: deque[Row] = deque()
        self._later: list[Row] = []
        self._others: deque[RowNote] = deque()
        self._numbers = itertools.count(1)
        self._new_tree = False

    def __bool__(self) -> bool:
        return bool(self._changed_tasks or self._changed_runs or self._lines or self._later or self._others)

    @property
    def going_on(self) -> Collection[str]:
        """Ids of the flow runs that go on."""
        return self._runs.keys()

    def task(self, note: TaskNote) -> None:
        """Take up a task run's state."""
        task = self._tasks.get(note.id)
        if task is None:
            if note.state == ROLLED_BACK:  # the only state that a run enters when it has ended
                line = state_line(note.type, note.state, note.message, note.since)
                self._later.append((note.type.value, line, note.run_id, note.id))
                return
            task = self._tasks[note.id] = _Task(next(self._numbers))
        if task.take(note):
            del self._tasks[note.id]
        self._changed_tasks[task.number] = task

    def flow(self, note: FlowNote) -> None:
        """Take up a flow run's state."""
        run = self._runs.get(note.id)
        if run is None:
            if note.facts is None:
                return  # it had ended, and has been forgotten here
            run = self._runs[note.id] = _Run(note.facts, note.since)
            self._new_tree = self._new_tree or note.facts.parent_id is None
        if run.take(note):
            del self._runs[note.id]
        self._states.append((note.id, note.type.value, text(note.state), _short(note.message), note.since))
        self._changed_runs[note.id] = run

    def left(self, note: LeftNote) -> None:
        """Take up that this process is done with a flow run."""
        if (run := self._runs.pop(note.id, None)) is not None:
            run.is_left = True
            self._changed_runs[note.id] = run

    def line(self, note: LineNote) -> None:
        """Take up a line of a log."""
        task_run = None if note.task_run is None else text(note.task_run)
        self._lines.append((note.run_id, task_run, note.level, text(note.message, LINE), note.time))

    def other(self, note: RowNote) -> None:
        """Take up what is told beside states and lines."""
        self._others.append(note)

    def pending(self) -> Pending:
        """Give all that is to be written."""
        return Pending(
            [run.row() for run in self._changed_runs.values()],
            self._states,
            [task.row() for task in self._changed_tasks.values()],
            list(self._lines),
            self._later,
            list(self._others),
            self._new_tree,
        )

    def written(self) -> None:
        """Take up that all that was pending has been committed."""
        self._changed_runs, self._changed_tasks, self._states, self._later = {}, {}, [], []
        self._lines.clear()
        self._others.clear()
        self._new_tree = False

    def begin_anew(self) -> None:
        """Have runs that go on written once more, into a new file."""
        self._changed_runs = {**self._runs, **self._changed_runs}
        self._changed_tasks = {task.number: task for task in self._tasks.values()} | self._changed_tasks

    def shed(self, limit: int) -> None:
        """Forget the oldest lines and ended task runs beyond a number of each, so that memory stays bounded.

        Of other things, which may be large, a hundredth of that is kept.
        """
        while len(self._lines) > limit:
            self._lines.popleft()
        while len(self._others) > limit // 100:
            self._others.popleft()
        if (excess := len(self._changed_tasks) - limit) > 0:
            ended = (number for number, task in self._changed_tasks.items() if task.ended is not None)
            for number in list(itertools.islice(ended, excess)):
                del self._changed_tasks[number]


class _Task:
    """A task run, as its notes tell."""

    __slots__ = ("_began", "_last", "_states", "ended", "number", "seconds", "started")

    def __init__(self, number: int) -> None:
        self.number = number
        self.started: float | None = None
        self.ended: float | None = None
        self.seconds: float | None = None
        self._began: float | None = None
        self._states: list[str] = []
        self._last: TaskNote

    def take(self, note: TaskNote) -> bool:
        """Enter a state; tell whether it is the last."""
        self._last = note
        self._states.append(state_line(note.type, note.state, note.message, note.since))
        if len(self._states) > STATES:
            del self._states[1]
        if note.type is StateType.RUNNING:
            if self._began is None:
                self._began, self.started = note.moment, note.since
            return False
        if note.type is StateType.SCHEDULED:  # it waits for its next try, or for a slot
            return False
        self.ended = note.since
        if self._began is not None:
            self.seconds = note.moment - self._began
        return True

    def row(self) -> Row:
        note = self._last
        return (
            note.run_id,
            self.number,
            note.id,
            text(note.task),
            text(note.name),
            tag_list(note.tags) if note.tags else None,
            note.run_count,
            note.type.value,
            "".join(self._states),
            self.started,
            self.ended,
            self.seconds,
        )


class _Run:
    """A flow run, as its notes tell."""

    __slots__ = ("_began", "_facts", "_last", "created", "ended", "is_left", "seconds", "started")

    def __init__(self, facts: FlowFacts, created: float) -> None:
        self.created = created
        self.started: float | None = None
        self.ended: float | None = None
        self.seconds: float | None = None
        self.is_left = False
        self._facts = facts
        self._began: float | None = None
        self._last: FlowNote

    def take(self, note: FlowNote) -> bool:
        """Enter a state; tell whether it is the last."""
        self._last = note
        if note.type is StateType.RUNNING and self._began is None:
            self._began, self.started = note.moment, note.since
        elif note.type in TERMINAL or note.state == NOT_READY:
            self.ended = note.since
            self.seconds = None if self._began is None else note.moment - self._began
        return self.ended is not None

    def row(self) -> Row:
        note, facts = self._last, self._facts
        return (
            note.id,
            text(note.name),
            text(facts.flow),
            _short(facts.flow_version),
            facts.parent_id,
            facts.root_id,
            facts.depth,
            _short(facts.deployment),
            facts.parameters,
            facts.parameters_whole,
            tag_list(facts.tags),
            note.attempt,
            note.run_count,
            note.type.value,
            text(note.state),
            _short(note.message),
            note.since,
            self.created,
            self.started,
            self.ended,
            self.seconds,
            note.tasks_total,
            note.tasks_completed,
            note.tasks_failed,
            facts.origin,
            self.is_left or self.ended is not None,
        )


_starts: Final[dict[tuple[StateType, str], str]] = {}


def state_line(type_: StateType, name: str, message: str | None, since: float) -> str:
    """Write a task run's state as a line of JSON: type, name, message, seconds since the epoch."""
    start = _starts.get((type_, name))
    if start is None:
        start = f"[{json.dumps(type_.value)},{json.dumps(text(name))},"
        if len(_starts) < 1000:
            _starts[type_, name] = start
    told = "null" if message is None else json.dumps(text(message))
    return f"{start}{told},{since!r}]\n"


def text(value: str, limit: int = TEXT) -> str:
    """Give a text that fits, and that a file in UTF-8 can hold."""
    if len(value) > limit:
        value = value[:limit] + "…"
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _short(value: str | None) -> str | None:
    return None if value is None else text(value)


def tag_list(tags: Iterable[str]) -> str:
    """Write tags as a JSON array."""
    return json.dumps(sorted(map(text, tags)), ensure_ascii=False)
