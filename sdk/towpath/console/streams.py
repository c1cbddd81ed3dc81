"""Keeps what a program prints from being drawn over: it is held back for a moment, and put above the drawing.

Each stream's own `write` is covered, not `sys.stderr` replaced: handlers of logging and others that have got hold of
the stream long ago write to it too, and it stays what it is: a terminal, with a file number.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TextIO

#: Pieces of text that may wait; whoever writes more has them shown at once.
_WAITING: Final = 2000
#: What moves the cursor: a bar that draws over itself, or another program that has the terminal to itself.
_DRAWS: Final = re.compile(r"\r(?!\n)|\x08|\x1b\[[0-9;?]*[A-HJKSTdfhlsu]|\x1b[78M]")


class HeldBack:
    """Text of some streams, in the order in which it was written.

    Args:
        streams: terminals, whose `write` is covered until `let_go`.
        show: shows what waits; called by whoever has written too much.
    """

    def __init__(self, streams: Sequence[TextIO], show: Callable[[], None]) -> None:
        self._streams, self._show = streams, show
        self._texts: deque[str] = deque()
        for stream in streams:
            stream.flush()
            stream.write = self._write  # type: ignore[method-assign]

    @property
    def waits(self) -> bool:
        """Whether there is text."""
        return bool(self._texts)

    def take(self) -> str:
        """Give the whole lines that wait; of one that has not come to its end, nothing yet."""
        text = "".join(self._texts.popleft() for _ in range(len(self._texts)))
        lines, newline, rest = text.rpartition("\n")
        if rest and not draws(rest):
            self._texts.appendleft(rest)
            return lines + newline
        return text

    def let_go(self) -> str:
        """Have the streams write for themselves again; gives what waits."""
        streams, self._streams = self._streams, ()
        for stream in streams:
            del stream.write  # the class's own is there again
        return "".join(self._texts.popleft() for _ in range(len(self._texts)))

    def _write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._texts.append(text)
        if len(self._texts) > _WAITING:
            self._show()
        return len(text)


def draws(text: str) -> bool:
    """Tell whether a text moves the cursor, so that it cannot stand above a drawing."""
    return _DRAWS.search(text) is not None


def own_terminal(stream: TextIO | None, original: TextIO | None) -> TextIO | None:
    """Give a standard stream if it is a terminal; one that a notebook or a test has replaced is not ours to draw on."""
    return stream if stream is not None and stream is original and stream.isatty() else None


def terminals() -> list[TextIO]:
    """Give the standard streams whose text would get in the way."""
    streams = (own_terminal(sys.stdout, sys.__stdout__), own_terminal(sys.stderr, sys.__stderr__))
    return [stream for stream in streams if stream is not None]
