"""Tasks for worker processes, which import them."""

from __future__ import annotations

import os
from pathlib import Path

from towpath import task


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
