"""Draws rows of runs on a terminal, over the last drawing, with rich; what the program has printed goes above."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import IO, Any, Final, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from towpath.console.looks import BLUE, COLOURS, GREEN, RED, YELLOW, duration
from towpath.console.rows import Row, fitted
from towpath.states import StateType

#: Rows of a run that has ended: the last drawing stays, and may be scrolled.
_ROWS_AT_END: Final = 100
_STYLES: Final = {RED: "red", GREEN: "green", YELLOW: "yellow", BLUE: "blue"}
_NONE: Final[Mapping[StateType, int]] = MappingProxyType({})
#: Have a terminal show what comes between these at once; one that does not know them takes no notice.
_AT_ONCE: Final = ("\x1b[?2026h", "\x1b[?2026l")


class Picture:
    """The drawing.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = _Console(file=cast("IO[str]", _Direct(stream)), markup=False, highlight=False, emoji=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._began = False

    def draw(self, rows: Sequence[Row], above: str = "", *, dropped: Mapping[StateType, int] = _NONE) -> None:
        """Draw anew.

        Args:
            rows: runs, in the order of their beginning.
            dropped: how many more have ended that nobody has kept, by how they ended.
            above: whole lines to be put above.
        """
        with self._console:  # all at once
            if not self._began:
                self._began = True
                self._write(" " * (self._console.width - 1) + "\r")  # so a line that has begun ends here, if one has
                self._live.start()
            self._live.update(Group(_table(rows, max(2, self._console.height - 2), dropped), ""))
            if above:
                self._write(above)
            else:
                self._live.refresh()

    def close(self, rows: Sequence[Row], above: str = "", *, dropped: Mapping[StateType, int] = _NONE) -> None:
        """Draw for the last time: this stays."""
        with self._console:
            self.erase(above)
            self._console.print(_table(rows, _ROWS_AT_END, dropped))

    def erase(self, above: str = "") -> None:
        """Take the drawing away, and write what is given as it is."""
        with self._console:
            if self._began:
                self._live.transient = True
                self._live.update(Text())
                self._live.stop()
            if above:
                self._write(above)

    def _write(self, text: str) -> None:
        self._console.print(Segments([Segment(text)]), end="", soft_wrap=True)


def _table(rows: Sequence[Row], most: int, dropped: Mapping[StateType, int]) -> Any:
    shown, hidden = fitted(rows, most, dropped)
    table = Table.grid(padding=(0, 2, 0, 0))
    for gives_room in (False, True, False, False, True):
        table.add_column(no_wrap=not gives_room, overflow="ellipsis")
    for row in shown:
        style = _STYLES.get(COLOURS.get(row.type, ""), "")
        table.add_row(
            Text.assemble((row.branch, "dim"), row.name),
            _cut(row.flow, "dim"),
            Text(f"{row.mark} {row.state}", style=style),
            Text(duration(row.seconds), style="dim"),
            _cut(row.news, "red" if row.tasks and row.tasks.failed else ""),
        )
    return Group(table, Text(hidden, style="dim")) if hidden else table


def _cut(text: str, style: str) -> Text:
    """Give a text that is cut off where there is no room for it."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


class _Console(Console):
    """Leaves the cursor where it can be seen: a process that is killed could not bring it back."""

    def show_cursor(self, show: bool = True) -> bool:
        """Do nothing."""
        del show
        return False


class _Direct:
    """The terminal of a stream, past what covers the stream's `write`; each drawing is one write.

    Args:
        stream: whose terminal it is.
    """

    def __init__(self, stream: TextIO) -> None:
        self._fileno = stream.fileno()
        self.encoding = stream.encoding or "utf-8"
        self.errors = "backslashreplace"

    def write(self, text: str) -> int:
        """Write all of a text."""
        data = memoryview(f"{_AT_ONCE[0]}{text}{_AT_ONCE[1]}".encode(self.encoding, self.errors))
        while data:
            try:
                data = data[os.write(self._fileno, data) :]
            except BlockingIOError:  # somebody has made the terminal so
                room = select.poll()
                room.register(self._fileno, select.POLLOUT)
                room.poll()
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""

    def isatty(self) -> bool:
        """It is one, or nothing would be drawn."""
        return True

    def fileno(self) -> int:
        """Give its file number."""
        return self._fileno
