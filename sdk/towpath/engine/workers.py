"""A worker process, as the process of its flow run sees it."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
from typing import Any, Final

from towpath.engine.jobs import Counterpart, Job
from towpath.engine.threads import THREADS
from towpath.engine.wire import Wire

#: How long an idle process may take to end when its main process hangs up.
_CLOSE_SECONDS: Final = 1.0


class Process(Counterpart):
    """One worker process."""

    def __init__(self, facts: bytes) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            command = [sys.executable, "-m", "towpath.engine.worker", str(fd)]
            # in a group of its own, where Ctrl-C does not reach it: this process ends its workers in order
            self._process = subprocess.Popen(command, pass_fds=(fd,), stdin=subprocess.DEVNULL, process_group=0)
        self._way = Wire(ours.detach())
        super().__init__(self._way)
        self.is_lost = False
        levels = {name: logging.getLogger(name).level for name in ("", "towpath")}
        self.wire.send("begin", sys.path, levels, facts)
        THREADS.start(self._watch)

    def run(self, job: Job, data: bytes) -> tuple[str, Any]:
        """Run a task and wait for it; if the wait is ended, so is the task."""
        self.job = job
        if self.is_lost:  # first the job, then this look; whoever watches does it the other way round
            self._lose(job)
        return super().run(job, data)

    def hang_up(self) -> None:
        """Let the process end; it does when it finds itself alone."""
        self._way.hang_up()

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Wait for the process to end, not for long."""
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def _watch(self) -> None:
        try:
            self._way.serve(self)
        finally:  # also if a message made no sense: then the task crashes, and nobody waits for ever
            self.is_lost = True
            if self.job is not None:
                self._lose(self.job)

    def _lose(self, job: Job) -> None:
        if job.reply is None:
            try:
                code = self._process.wait(_CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                code = None
            job.answer("lost", _obituary(code))


def _obituary(code: int | None) -> str:
    if code is None:
        return "hung up."
    if code < 0:
        hint = " Perhaps the machine had no memory left." if -code == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-code).name}.{hint}"
    return f"ended with exit code {code}."
