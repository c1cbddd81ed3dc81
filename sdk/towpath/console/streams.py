"""Keeps what a program prints from being drawn over: it is held back for a moment, and put above the drawing.

Each stream's own `write` is covered, not `sys.stderr` replaced: handlers of logging and others that have got hold of
the stream long ago write to it too, and it stays what it is: a terminal, with a file number.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TextIO

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
        self._seen = 0  # how many of them are a line that has not come to its end
        for stream in streams:
            stream.flush()
            stream.write = self._write  # type: ignore[method-assign]

    @property
    def waits(self) -> bool:
        """Whether there is text that has not been seen yet."""
        return len(self._texts) > self._seen

    def take(self) -> str:
        """Give the whole lines that wait; of one that has not come to its end, nothing yet."""
        text = "".join(self._texts.popleft() for _ in range(len(self._texts)))
        lines, newline, rest = text.rpartition("\n")
        if rest and not draws(rest):
            self._texts.appendleft(rest)
            self._seen = 1
            return lines + newline
        self._seen = 0
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


def tell_of_children(tell: Callable[[], None]) -> Callable[[], None]:
    """Have somebody told before a child process begins that will write to the terminal itself, past all covers.

    Returns:
        What undoes this.
    """
    import subprocess

    begin, begin_shell = subprocess.Popen.__init__, os.system

    @functools.wraps(begin)
    def told(  # noqa: PLR0917 its own order
        child: Any,
        args: Any,
        bufsize: int = -1,
        executable: Any = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        *more: Any,
        **named: Any,
    ) -> None:
        if stdout is None or stderr is None:
            tell()
        begin(child, args, bufsize, executable, stdin, stdout, stderr, *more, **named)

    @functools.wraps(begin_shell)
    def told_shell(command: Any) -> int:
        tell()
        return begin_shell(command)

    def undo() -> None:
        if subprocess.Popen.__init__ is told:
            subprocess.Popen.__init__ = begin  # type: ignore[method-assign]
        if os.system is told_shell:
            os.system = begin_shell

    subprocess.Popen.__init__ = told  # type: ignore[method-assign, assignment]
    os.system = told_shell
    return undo


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
