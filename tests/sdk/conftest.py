"""What the SDK's tests share: quiet logs where nobody reads them, and a clock on which waiting takes no time."""

from __future__ import annotations

import pytest

from towpath.engine.clock import SystemClock


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let waits for retries take no time; gives the seconds that would have been waited."""
    taken: list[float] = []

    async def sleep_async(_: SystemClock, seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: taken.append(seconds))
    monkeypatch.setattr(SystemClock, "sleep_async", sleep_async)
    return taken
