"""Tasks for worker processes, which import them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from towpath import task
from towpath.concurrency import delete_limit, list_limits, set_limit
from towpath.concurrency.sync import concurrency


@task(tags=["heavy"])
def inner(place: str) -> int:
    """Tell how many are at work."""
    return len(list(Path(place).glob("at-work-*")))


@task(tags=["heavy"])
def outer(place: str) -> int:
    """Work; give how many do, as a task that is called meanwhile sees it."""
    mark = Path(place, f"at-work-{os.getpid()}")
    mark.touch()
    try:
        return max(inner(place), inner.submit(place).result(timeout=60))
    finally:
        mark.unlink()


@task
def holds(place: str, name: str) -> int:
    """Work with a slot of `db`; give how many do."""
    with concurrency("db", timeout_seconds=60):
        mark = Path(place, f"at-work-{name}")
        mark.touch()
        try:
            return len(list(Path(place).glob("at-work-*")))
        finally:
            mark.unlink()


@task
def dies() -> None:
    """Die with a slot of `db` in hand, and another wish on the way."""
    with concurrency("db", timeout_seconds=60):
        os.kill(os.getpid(), signal.SIGKILL)


@task
def changes() -> list[str]:
    """Make, change and delete limits from where the task is; say which there were."""
    set_limit("fresh", 2)
    names = [limit.name for limit in list_limits()]
    delete_limit("fresh")
    return names


@task
def asks_too_much() -> None:
    """Ask for what there is not."""
    with concurrency("db", occupy=7):
        pass
