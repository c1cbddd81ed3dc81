"""Builders of notes and of processes that take them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from towpath.history.notes import FlowFacts, FlowNote, TaskNote
from towpath.states import StateType

RUN = "11111111-0000-4000-8000-000000000000"


def flow_note(
    type_: StateType = StateType.RUNNING, at: float = 100.0, *, first: bool = True, **changes: Any
) -> FlowNote:
    """Build a note of a flow run's state; the clock that never jumps shows the same as the other."""
    facts = {"flow": "etl", "parent_id": None, "root_id": RUN, "depth": 0, "tags": frozenset(), "parameters": "{}"}
    facts |= {"flow_version": None, "deployment": None, "parameters_whole": True}
    facts |= {name: changes.pop(name) for name in list(changes) if name in facts}
    note = FlowNote(
        id=RUN,
        name="witty-otter",
        facts=FlowFacts(**facts) if first else None,
        attempt=1,
        run_count=1,
        type=type_,
        state=type_.value.capitalize(),
        message=None,
        since=at,
        moment=at,
        tasks_total=0,
        tasks_completed=0,
        tasks_failed=0,
    )
    return note._replace(**changes)


def task_note(type_: StateType = StateType.RUNNING, at: float = 100.0, **changes: Any) -> TaskNote:
    """Build a note of a task run's state."""
    note = TaskNote(
        id="task-1",
        run_id=RUN,
        task="load",
        name="load-0",
        tags=frozenset(),
        run_count=1,
        type=type_,
        state=type_.value.capitalize(),
        message=None,
        since=at,
        moment=at,
    )
    return note._replace(**changes)


def start(script: str, history: Path | str, **options: Any) -> subprocess.Popen[str]:
    """Start a Python process whose runs are recorded in a file."""
    environment = {**os.environ, "TOWPATH_HISTORY": str(history), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for a process that must end well; gives what it wrote to stdout and stderr."""
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    return out, err
