"""A terminal for tests: a real pseudo-terminal with a program in it, and in memory what a person would see."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

#: Gives a program its own terminal, as a shell does.
_LAUNCH = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
_PATIENCE_SECONDS = 50.0


class Terminal:
    """A terminal in which a Python program runs.

    Args:
        *arguments: of Python.
        environment: beside the least that a program needs.
        columns: how wide it is.
        lines: how high it is.
        stdout: where standard output goes instead.
    """

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str],
        columns: int = 100,
        lines: int = 40,
        stdout: Path | None = None,
    ) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen = pyte.HistoryScreen(columns, lines, history=10_000)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""
        with Path(stdout or os.devnull).open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, sys.executable, *arguments],
                stdin=slave,
                stdout=file if stdout else slave,
                stderr=slave,
                start_new_session=True,
                env={"TERM": "xterm-256color", "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
            )
        os.close(slave)

    @property
    def text(self) -> str:
        """What stands there, with what has left the screen at the top."""
        gone = ["".join(line[x].data for x in range(self._screen.columns)) for line in self._screen.history.top]
        return "\n".join(line.rstrip() for line in [*gone, *self._screen.display]).rstrip()

    @property
    def cursor_is_hidden(self) -> bool:
        """Whether the cursor cannot be seen."""
        return bool(self._screen.cursor.hidden)

    @property
    def colours(self) -> set[str]:
        """The colours that can be seen."""
        return {cell.fg for line in self._screen.buffer.values() for cell in line.values()} - {"default"}

    def until(self, pattern: str) -> str:
        """Wait until a regular expression is found; gives what stands there then."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, f"It never came; there is:\n{self.text}"
            assert self._read(), f"The program has ended; there is:\n{self.text}"
        return self.text

    def press(self, text: str) -> None:
        """Type."""
        os.write(self._master, text.encode())

    def end(self) -> str:
        """Wait for the end of the program; gives all that stands there."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"It does not end; there is:\n{self.text}"
        self.process.wait(_PATIENCE_SECONDS)
        return self.text

    def _read(self) -> bool:
        poll = select.poll()  # which, unlike `select`, takes a descriptor of any number
        poll.register(self._master, select.POLLIN)
        if not poll.poll(100):
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # nobody has the other end any more
            return False
        self.written += data
        self._stream.feed(data)
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
