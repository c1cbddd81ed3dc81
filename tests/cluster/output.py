"""What the commands say: short lines with the time since the start, and a sign of life while something long goes on."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEARTBEAT_SECONDS = 15.0
_STARTED = time.monotonic()


def say(line: str) -> None:
    """Print one progress line; standard error, so that standard output holds results only."""
    print(f"[{time.monotonic() - _STARTED:6.1f}s] {line}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str, sign_of_life: Callable[[], str] | None = None) -> Iterator[None]:
    """Announce ``what`` when it takes long or ends, with ``sign_of_life()`` every few seconds while it goes on."""
    began = time.monotonic()
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            say(f"{what} … {sign_of_life() if sign_of_life else 'still going on'}")

    if sign_of_life:
        say(f"{what} …")
    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    except BaseException:
        say(f"{what}: failed after {time.monotonic() - began:.1f} s")
        raise
    else:
        say(f"{what}: {time.monotonic() - began:.1f} s")
    finally:
        over.set()
        heart.join()
