"""A run and those below it, out of many. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from towpath.cli.seen import Run


class Family:
    """Tells which runs belong below a run, in whatever order they become known."""

    def __init__(self, top: Run) -> None:
        self._members = {top.id}
        self._waiting: defaultdict[str, dict[str, Run]] = defaultdict(dict)  # by parent's id

    def add(self, run: Run) -> Sequence[Run]:
        """Take note of a run; gives it if it belongs, after which also those that waited for it to become known."""
        if run.id not in self._members and run.parent_id not in self._members:
            if run.parent_id is not None:
                self._waiting[run.parent_id][run.id] = run
            return ()
        self._members.add(run.id)
        found = [run]
        for child in self._waiting.pop(run.id, {}).values():
            found += self.add(child)
        return found


def below(top: Run, runs: Iterable[Run]) -> Sequence[Run]:
    """Give a run, followed by all of some runs that are below it."""
    family = Family(top)
    found = {top.id: top}
    for run in runs:
        found.update({each.id: each for each in family.add(run)})
    return list(found.values())
