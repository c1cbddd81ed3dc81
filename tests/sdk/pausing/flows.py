"""Flows that wait; imported by tests, and run as scripts: `python flows.py FLOW`."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import field_validator

from towpath import flow, pause_flow_run, serve, suspend_flow_run, task
from towpath.input import RunInput


class Approval(RunInput):
    """What somebody decides."""

    granted: bool
    by: str = "nobody"

    @field_validator("by")
    @classmethod
    def is_known(cls, by: str) -> str:
        """Refuse what no JSON Schema could."""
        if by == "eve":
            raise ValueError("nobody of that name decides")
        return by


@task
def count(folder: str) -> int:
    """Count the calls."""
    calls = Path(folder) / "calls"
    times = len(calls.read_text(encoding="utf-8")) + 1 if calls.exists() else 1
    calls.write_text("x" * times, encoding="utf-8")
    return times


@flow(persist_result=True)
def pauses(folder: str, timeout: float | None = None) -> list[object]:
    """Count, wait in the process, and tell."""
    times = count(folder)
    approval = pause_flow_run(wait_for_input=Approval, timeout=timeout)
    return [times, approval.granted, approval.by]


@flow(persist_result=True)
def suspends(folder: str) -> list[object]:
    """Count, wait without a process, and tell."""
    times = count(folder)
    approval = suspend_flow_run(wait_for_input=Approval, timeout=None)
    return [times, approval.granted, approval.by]


@flow
def calls_one(folder: str) -> list[object]:
    """Call a flow that waits without a process."""
    return suspends(folder)


@flow(persist_result=True)
def fails_once(folder: str) -> int:
    """Fail unless somebody has mended it."""
    times = count(folder)
    if not (Path(folder) / "mended").exists():
        raise LookupError("nothing there")
    return times


@flow(persist_result=True)
def goes_on(folder: str) -> str:
    """Count until somebody says that it is enough."""
    while not (Path(folder) / "enough").exists():
        count.with_options(persist_result=False)(folder)
    return "enough"


ALL = (pauses, suspends, calls_one, fails_once, goes_on)

if __name__ == "__main__":
    which, folder = sys.argv[1:]
    if which == "serve":
        serve(*(one.to_deployment(parameters={"folder": folder}) for one in ALL), grace_seconds=5)
    else:
        print(globals()[which](folder))
