"""Flows that the tests serve in real processes; run as a script: `python flows.py DEPLOYMENT [OPTION=VALUE …]`."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from towpath import flow, get_run_logger, run_deployment, runtime, task


def note(folder: str, text: str) -> None:
    """Leave a word where the test looks."""
    with (Path(folder) / "notes").open("a", encoding="utf-8") as notes:
        notes.write(f"{text}\n")


@task
def double(value: int) -> int:
    """Double."""
    return 2 * value


@flow
def plain(folder: str, value: int = 1) -> dict[str, Any]:
    """Leave word of when it was due and when it began, and tell where it is."""
    due = runtime.flow_run.scheduled_start_time
    assert due is not None
    note(folder, f"{due.timestamp()} {time.time()}")
    return {
        "value": double(value),
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "stdin": sys.stdin.read(),
        "deployment": runtime.deployment.name,
        "threads": sys.modules["threading"].active_count(),
    }


@flow
def fails(folder: str) -> None:
    """Raise."""
    note(folder, "failing")
    raise LookupError("nothing there")


@flow
def naps(folder: str, seconds: float = 60.0) -> str:
    """Sleep, and leave word of how that ended."""
    note(folder, f"began {os.getpid()}")
    try:
        time.sleep(seconds)
    except BaseException as error:
        note(folder, f"ended by {type(error).__name__}")
        raise
    note(folder, "slept")
    return "slept"


@naps.on_cancellation
def said(flow: Any, run: Any, state: Any) -> None:
    """Leave word."""
    note(run.parameters["folder"], "cancelled")


@flow
def stubborn(folder: str) -> None:
    """Hear nothing, and hold the interpreter."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(folder, f"began {os.getpid()}")
    ctypes.PyDLL(None).sleep(60)


@flow
def vanishes(folder: str) -> None:
    """Go without a word."""
    note(folder, "going")
    os.kill(os.getpid(), signal.SIGKILL)


@flow
def parent(folder: str, child: str = "plain/plain") -> Any:
    """Run another deployment, and give what that gives."""
    get_run_logger().info("calling %s", child)
    return run_deployment(child, parameters={"folder": folder}, raise_on_failure=True).result()


if __name__ == "__main__":
    from towpath import serve

    options = dict(word.split("=", 1) for word in sys.argv[3:])
    values = {name: json.loads(value) for name, value in options.items()}
    interval = values.pop("interval", None)
    shared = {"parameters": {"folder": sys.argv[2]}}
    names = {"plain": plain, "fails": fails, "naps": naps, "stubborn": stubborn, "vanishes": vanishes, "parent": parent}
    made = [
        names[name].to_deployment(name, interval=interval if name == sys.argv[1] else None, **shared) for name in names
    ]
    serve(*made, **values)
