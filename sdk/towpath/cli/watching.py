"""Shows runs while they go: a tree that keeps itself up to date on a terminal, elsewhere a line for each new state."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TextIO

from towpath.cli.exits import Exit
from towpath.cli.output import Style, note, say, say_json_line, style_of
from towpath.cli.port import Runs
from towpath.cli.seen import Run
from towpath.cli.tree import draw, explained
from towpath.states import StateType

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
        out: a terminal.
        style: its colours.
        size: gives its columns and lines.
        now: the time.
    """

    def __init__(
        self,
        out: TextIO,
        style: Style,
        *,
        size: Callable[[], tuple[int, int]] = shutil.get_terminal_size,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out, self._style, self._size, self._now, self._monotonic = out, style, size, now, monotonic
        self._runs: dict[str, Run] = {}
        self._height = 0  # lines that the last drawing took
        self._drawn = 0.0

    def tell(self, changed: Run | None) -> None:
        """Take a change in, and draw: at once when nothing else comes, else a few times a second."""
        if changed is not None:
            self._runs[changed.id] = changed
        if changed is None or self._monotonic() - self._drawn >= _BEAT_SECONDS / 2:
            self._draw(whole=False)

    def close(self) -> None:
        """Draw the last state, all of it, and why what went wrong did."""
        self._draw(whole=True)
        self._out.write("".join(f"{line}\n" for line in explained(self._runs.values())))

    def _draw(self, *, whole: bool) -> None:
        if not self._runs:
            return
        _, rows = self._size()
        lines = draw(list(self._runs.values()), self._now(), self._style).splitlines()
        if not whole and len(lines) >= rows:  # what has left the screen cannot be drawn over
            hidden = len(lines) - rows + 2
            lines = [lines[0], f"… {hidden} more", *lines[hidden + 1 :]]
        back = f"\x1b[{self._height}F" if self._height else ""
        # A line that is too long would wrap, and count as two: the terminal cuts it off instead.
        self._out.write(f"{back}\x1b[J\x1b[?7l" + "".join(f"{line}\n" for line in lines) + "\x1b[?7h")
        self._out.flush()
        self._height, self._drawn = len(lines), self._monotonic()


def _shower(*, as_json: bool, whole_tree: bool) -> Shower:
    if as_json:
        return JsonLines()
    style = style_of(sys.stdout)
    if whole_tree and sys.stdout.isatty() and style.coloured:
        return LiveTree(sys.stdout, style)
    return Lines(style)
