"""Shows runs while they go: a tree that keeps itself up to date on a terminal, elsewhere a line for each new state."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from towpath.cli.exits import Exit
from towpath.cli.output import Style, note, say, say_json_line, style_of
from towpath.cli.port import Runs
from towpath.cli.seen import Counts, Run
from towpath.cli.tree import explained, in_order
from towpath.console.looks import is_capable
from towpath.console.rows import Row, Tally
from towpath.states import StateType

if TYPE_CHECKING:
    from towpath.console.live import Picture

#: How often the tree is drawn anew, so that the times in it move on.
_BEAT_SECONDS: Final = 0.5


def watch(
    runs: Runs,
    run: Run | None,
    *,
    timeout_seconds: float | None = None,
    as_json: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
) -> Exit:
    """Show a run and those below it until it has ended; of None: all runs, until Ctrl-C.

    Args:
        runs: where they are.
        run: which.
        timeout_seconds: how long at most; None: as long as it takes.
        as_json: print each change as a line of JSON.
        monotonic: a clock that never jumps.
    """
    until = None if timeout_seconds is None else monotonic() + timeout_seconds
    show = _shower(as_json=as_json, whole_tree=run is not None)
    latest = run
    for changed in runs.follow(run, _BEAT_SECONDS):
        show.tell(changed)
        if changed is not None and run is not None and changed.id == run.id:
            latest = changed
        if until is not None and monotonic() > until and not (latest is not None and latest.has_ended):
            show.close()
            note(f"Not ended within {timeout_seconds:g} s; it goes on.")
            return Exit.TIMED_OUT
    show.close()
    assert latest is not None, "only the watch of a run comes to an end"
    return Exit.OK if latest.state.type is StateType.COMPLETED else Exit.NOT_COMPLETED


class Shower(Protocol):
    """How changes are shown."""

    def tell(self, changed: Run | None) -> None:
        """Take a change, or None: nothing has changed for a while."""

    def close(self) -> None:
        """Show what is left to show."""


class Lines:
    """A line for each new state of each run."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._told: dict[str, tuple[Any, ...]] = {}

    def tell(self, changed: Run | None) -> None:
        """Print a state that has not been printed before."""
        if changed is None:
            return
        state = changed.state
        key = (state.type, state.name, state.reason, changed.attempt)
        if self._told.get(changed.id) == key:
            return
        self._told[changed.id] = key
        since = (state.since or datetime.now(UTC)).astimezone().strftime("%H:%M:%S")
        why = f"  {state.why}" if state.why and state.type is not StateType.COMPLETED else ""
        say(f"{self._style.faint(since)}  {changed.name}  {self._style.state(state)}{why}")
        sys.stdout.flush()

    def close(self) -> None:
        """All has been printed."""


class JsonLines:
    """The whole run as a line of JSON, each time that it changes."""

    def __init__(self) -> None:
        self._told: dict[str, Run] = {}

    def tell(self, changed: Run | None) -> None:
        """Print a run that is not as it was when it was printed last."""
        if changed is not None and self._told.get(changed.id) != changed:
            self._told[changed.id] = changed
            say_json_line(changed)

    def close(self) -> None:
        """All has been printed."""


class LiveTree:
    """The tree, drawn over itself.

    Args:
        picture: draws.
        now: the time.
        monotonic: a clock that never jumps.
    """

    def __init__(
        self,
        picture: Picture,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._picture, self._now, self._monotonic = picture, now, monotonic
        self._runs: dict[str, Run] = {}
        self._drawn = 0.0

    def tell(self, changed: Run | None) -> None:
        """Take a change in, and draw: at once when nothing else comes, else a few times a second."""
        if changed is not None:
            self._runs[changed.id] = changed
        if changed is None or self._monotonic() - self._drawn >= _BEAT_SECONDS / 2:
            self._drawn = self._monotonic()
            self._picture.draw(self._rows())

    def close(self) -> None:
        """Draw the last state, which stays, and say in full why what went wrong did."""
        self._picture.close(self._rows())
        say(*explained(self._runs.values()))

    def _rows(self) -> list[Row]:
        now = self._now()
        return [row_of(run, now) for run in in_order(self._runs.values())]


def _shower(*, as_json: bool, whole_tree: bool) -> Shower:
    if as_json:
        return JsonLines()
    if whole_tree and is_capable(sys.stdout):
        try:
            from towpath.console.live import Picture
        except ImportError:
            note("A line for each new state; pip install 'towpath[rich]' for a tree that keeps itself up to date.")
        else:
            return LiveTree(Picture(sys.stdout))
    return Lines(style_of(sys.stdout))


def row_of(run: Run, now: datetime) -> Row:
    """Give a run as it is drawn."""
    why = "" if run.state.type in {StateType.COMPLETED, StateType.RUNNING} else run.state.why
    attempt = f"attempt {run.attempt}" if run.attempt is not None and run.attempt > 1 else ""
    return Row(
        id=run.id,
        parent_id=run.parent_id,
        name=run.name,
        flow=run.flow or "",
        type=run.state.type,
        state=run.state.name,
        seconds=run.seconds(now),
        tasks=_tally(run.tasks),
        why=", ".join(part for part in (attempt, (why.splitlines() or [""])[0]) if part),
    )


def _tally(counts: Counts | None) -> Tally | None:
    if counts is None:
        return None
    return Tally(counts.total, counts.completed, counts.failed, counts.cached, tuple(counts.failures))
