"""The processes that runs are in: started with the flow loaded, and told later which run it is.

A process may so be started before its run is due, and have Python, Towpath and the flow's modules ready on the second.
It is told over its standard input; if that ends first, because the server has gone, the process ends too and has done
nothing. Processes are started as new ones and never forked off the server, which has threads.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from towpath.serving.deployment import ServedDeployment

_MODULE: Final = "towpath.serving.child"
#: Longer parameters are not rehearsed: what is told at the start has to fit into a pipe that nobody reads yet.
_EXAMPLE_LENGTH: Final = 8_000


class Child(Protocol):
    """A process that runs one run."""

    pid: int

    def begin(self, run_id: str) -> bool:
        """Have it run this run; tell whether it is there to do so."""
        ...

    def dismiss(self) -> None:
        """Have it end without having run anything."""
        ...

    def stop(self) -> None:
        """Ask it to end in order."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    @property
    def exit_code(self) -> int | None:
        """How it ended, as subprocess has it; None while it is there."""
        ...


class Processes(Protocol):
    """Starts children."""

    def start(self, deployment: ServedDeployment) -> Child:
        """Start a process that loads a deployment's flow and waits to be told which run it is.

        Raises:
            OSError: the system has no process to give.
        """
        ...


class PythonProcesses:
    """Starts Python processes.

    Args:
        history: path of the history file.
        grace_seconds: how long an orderly end may take.
        on_exit: called, in some thread, when a process has ended.
    """

    def __init__(self, history: Path, grace_seconds: float, on_exit: Callable[[], None]) -> None:
        self._history, self._grace_seconds, self._on_exit = history, grace_seconds, on_exit

    def start(self, deployment: ServedDeployment) -> PythonProcess:
        """Start one."""
        parameters = [one.parameters for one in deployment.schedules if one.active][:1]
        example = {**deployment.parameters, **(parameters[0] if parameters else {})}
        order = {
            "entrypoint": deployment.place.entrypoint,
            "path": deployment.place.path,
            "example": example if len(json.dumps(example)) <= _EXAMPLE_LENGTH else {},
            "history": str(self._history),
            "grace_seconds": self._grace_seconds,
        }
        return PythonProcess(deployment.place.entrypoint, json.dumps(order), self._on_exit)


class PythonProcess:
    """A Python process that runs one run.

    Args:
        entrypoint: of the flow; for people who look at the list of processes.
        preparation: JSON, on one line.
        on_exit: called when it has ended.
    """

    def __init__(self, entrypoint: str, preparation: str, on_exit: Callable[[], None]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, entrypoint],  # -P: the working directory does not belong on the path
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the server's business, which then ends its children in order
        )
        self.pid = self._process.pid
        self._write(preparation)
        self._on_exit = on_exit
        threading.Thread(target=self._wait, name="towpath-child", daemon=True).start()

    def begin(self, run_id: str) -> bool:
        """Have it run this run."""
        told = self._write(run_id)
        self.dismiss()
        return told and self.exit_code is None

    def dismiss(self) -> None:
        """Say no more: it ends, unless it has been told what to run."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def stop(self) -> None:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, to all that it has started and that is still of its session too."""
        with suppress(ProcessLookupError, PermissionError):
            if self.exit_code is None:
                os.killpg(self.pid, signal.SIGKILL)

    @property
    def exit_code(self) -> int | None:
        """How it ended."""
        return self._process.returncode

    def _write(self, line: str) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except (OSError, ValueError):  # it has gone, or was dismissed
            return False
        return True

    def _wait(self) -> None:
        self._process.wait()
        self._on_exit()
