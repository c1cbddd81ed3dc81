"""Processes by identity, not by number.

A pid alone may name a stranger by the time it is used, so one that is remembered is remembered with its start time, and
a signal goes through a pidfd that was opened before the check.
"""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process that can be told from a later one with the same number."""

    pid: int
    start_ticks: int  # since boot, field 22 of /proc/PID/stat

    @property
    def alive(self) -> bool:
        """Tell whether it still runs (a zombie does not)."""
        return start_ticks(self.pid) == self.start_ticks

    def send(self, number: signal.Signals) -> bool:
        """Send a signal that does not end it, such as SIGSTOP; return whether it is there to get it."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive:
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def end(self, number: signal.Signals = signal.SIGKILL, *, wait_seconds: float = 10.0) -> bool:
        """Send a signal and wait; return whether it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive:
                return True
            signal.pidfd_send_signal(handle, number)
            select.select([handle], [], [], wait_seconds)
        except ProcessLookupError:
            return True
        finally:
            os.close(handle)
        return not self.alive


def find(pid: int) -> Process | None:
    """Return the process that has this number now."""
    ticks = start_ticks(pid)
    return None if ticks is None else Process(pid, ticks)


def start_ticks(pid: int) -> int | None:
    """Return when a process started; None when there is none, or only a zombie."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def parent_of(pid: int) -> int | None:
    """Return the pid of a process's parent; None when the process is gone."""
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def command_line(pid: int) -> list[str]:
    """Return the arguments of a process; empty when it is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def sharing_pid_namespace(member: int) -> list[int]:
    """Return the pids of all processes in the very pid namespace of ``member``; not those in namespaces below it."""
    try:
        wanted = (PROC / str(member) / "ns" / "pid").readlink()
    except OSError:
        return []
    found = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                if (folder / "ns" / "pid").readlink() == wanted:
                    found.append(int(folder.name))
            except OSError:  # it ended meanwhile
                continue
    return found


def child_of(pid: int) -> int | None:
    """Return the one child of a process."""
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid:
                return int(folder.name)
    return None
