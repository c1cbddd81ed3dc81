"""What is shown of each run, in which order, and what is left out where there is no room. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from towpath.console.looks import MARKS, WAITING
from towpath.states import StateType

#: Names of failed tasks that are shown of a run.
FAILURES_SHOWN: Final = 3


class Related(Protocol):
    """A run that knows which one has called it."""

    @property
    def id(self) -> str:
        """Its own id."""

    @property
    def parent_id(self) -> str | None:
        """Id of the run that has called it."""


R = TypeVar("R", bound=Related)


@dataclass(frozen=True, slots=True)
class Tally:
    """How the tasks of a run go."""

    total: int
    completed: int
    failed: int
    cached: int = 0
    """Those of the completed that took a kept result."""
    failures: tuple[str, ...] = ()
    """Names of some that failed."""

    def __str__(self) -> str:
        """Say it in a line: `37/100 done, 8 running, 5 cached, 2 failed: load-3, load-7`."""
        if not self.total:
            return ""
        ended = self.completed + self.failed
        parts = [f"{ended}/{self.total} done"]
        parts += [f"{self.total - ended} running"] if ended < self.total else []
        parts += [f"{self.cached} cached"] if self.cached else []
        if self.failed:
            names = self.failures[:FAILURES_SHOWN]
            more = ", …" if names and self.failed > len(names) else ""
            parts.append(f"{self.failed} failed" + (f": {', '.join(names)}{more}" if names else ""))
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A run as it is shown."""

    id: str
    parent_id: str | None
    name: str
    flow: str
    type: StateType
    state: str
    seconds: float | None = None
    """How long it has run, or ran."""
    tasks: Tally | None = None
    why: str = ""
    """Why it is where it is, if its state does not say it all."""
    branch: str = ""
    """What is drawn before its name, so that rows look like a tree."""

    @property
    def mark(self) -> str:
        """A sign of its state that can be told apart without colours."""
        return MARKS.get(self.type, WAITING)

    @property
    def news(self) -> str:
        """What there is to say beside its state."""
        return "; ".join(part for part in (str(self.tasks or ""), self.why) if part)


def families(ordered: Iterable[R]) -> Mapping[str | None, Sequence[R]]:
    """Sort runs by the run that called them; None for those whose caller is not among them."""
    runs = list(ordered)
    known = {run.id for run in runs}
    below: defaultdict[str | None, list[R]] = defaultdict(list)
    for run in runs:
        below[run.parent_id if run.parent_id in known else None].append(run)
    return below


def branches(ordered: Iterable[R]) -> Iterator[tuple[str, R]]:
    """Give runs as a tree is drawn, each with what is drawn before it."""
    below = families(ordered)

    def walk(parent: str | None, indent: str) -> Iterator[tuple[str, R]]:
        children = below.get(parent, ())
        for index, run in enumerate(children):
            last = index == len(children) - 1
            branch, deeper = ("", "") if parent is None else ("└─ ", "   ") if last else ("├─ ", "│  ")
            yield indent + branch, run
            yield from walk(run.id, indent + deeper)

    return walk(None, "")


def fitted(
    rows: Sequence[Row], most: int, dropped: Mapping[StateType, int] = MappingProxyType({})
) -> tuple[list[Row], str]:
    """Choose the rows that there is room for: live ones first, then what went wrong, then the latest.

    Args:
        rows: all, in the order of their beginning.
        most: how many there is room for, the words about the others included.
        dropped: how many more there are that are not among the rows, by how they ended.

    Returns:
        The rows as a tree, and what is to be said of the others; empty if there are none.
    """
    chosen, hidden = list(rows), ""
    if len(rows) > most or any(dropped.values()):
        callers = {row.id: row.parent_id for row in rows}
        keep: set[str] = set()
        for row in sorted(enumerate(rows), key=lambda item: (_rank(item[1]), -item[0])):
            line = _line_of(row[1].id, callers) - keep
            if len(keep) + len(line) < most:
                keep |= line
        chosen = [row for row in rows if row.id in keep]
        others = Counter(row.type for row in rows if row.id not in keep) + Counter(dropped)
        told = ", ".join(f"{count} {type_.lower()}" for type_, count in others.most_common())
        hidden = f"… {others.total()} more: {told}"
    return [replace(row, branch=branch) for branch, row in branches(chosen)], hidden


def _rank(row: Row) -> int:
    if row.parent_id is None:
        return 0
    if not row.type.is_terminal:
        return 1
    return 3 if row.type is StateType.COMPLETED else 2


def _line_of(run: str, callers: Mapping[str, str | None]) -> set[str]:
    """Give a run and all above it: no row hangs in the air."""
    line: set[str] = set()
    at: str | None = run
    while at is not None and at in callers and at not in line:
        line.add(at)
        at = callers[at]
    return line
