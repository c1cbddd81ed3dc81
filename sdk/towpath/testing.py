"""Testing flows: in a history of the test's own, on a clock that the test sets, and without waiting for retries.

    from towpath.testing import harness

    def test_a_flaky_source_is_asked_again():
        with harness() as towpath:
            towpath.clock.freeze(datetime(2026, 1, 31, 6, tzinfo=UTC))
            assert report() == 42                                  # its retries take no time
            assert towpath.clock.waits == [10.0, 20.0]             # but would have, in seconds
            [run] = towpath.history.runs()
            assert run.state.type is StateType.COMPLETED

With pytest, for each test that asks for it, or for all of them (`autouse=True`):

    @pytest.fixture
    def towpath() -> Iterator[Harness]:
        with harness() as made:
            yield made

The harness changes the environment and the clock of the process, so one process has one at a time; one within another
is fine. What is left as it is: timeouts and `time.sleep` in user code take their time.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from towpath.engine.clock import SYSTEM
from towpath.engine.effects import How, Settle
from towpath.engine.scope import OUTSIDE
from towpath.history import open_history
from towpath.history.place import ENV_HISTORY, ENV_HOME, FILE_NAME
from towpath.history.recorder import RECORDER
from towpath.names import ENV_RESULT_STORAGE, ENV_RUN

if TYPE_CHECKING:
    from towpath.history.port import History


class MovableClock:
    """A clock on which waiting takes no time: whoever waits moves it ahead instead.

    It shows the real time until it is moved or frozen. The waits of runs that go on side by side add up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead_seconds = 0.0
        self._frozen: float | None = None
        self.waits: list[float] = []
        """What was waited for, in seconds and in order."""

    def freeze(self, at: datetime | None = None) -> None:
        """Let the clock stand still, but for waits and moves.

        Args:
            at: what it shows from now on, with a time zone; by default what it shows anyway.

        Raises:
            ValueError: the time has no zone.
        """
        if at is not None and at.tzinfo is None:
            raise ValueError(f"A clock is set to a time with a zone; {at!r} has none. Add tzinfo=UTC, if that is it.")
        with self._lock:
            self._frozen = self._now() if at is None else at.timestamp()

    def unfreeze(self) -> None:
        """Let the clock go on from what it shows."""
        with self._lock:
            self._ahead_seconds = self._now() - time.time()
            self._frozen = None

    def move(self, by: timedelta | float) -> None:
        """Set the clock ahead, or back.

        Args:
            by: how far; a number means seconds, a negative one goes back.
        """
        with self._lock:
            self._move(by.total_seconds() if isinstance(by, timedelta) else by)

    @property
    def time(self) -> datetime:
        """What the clock shows, in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)

    def now(self) -> float:
        """Seconds since the epoch."""
        with self._lock:
            return self._now()

    def sleep(self, seconds: float) -> None:
        """Move ahead instead of waiting in a thread."""
        with self._lock:
            self.waits.append(seconds)
            self._move(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Move ahead instead of waiting in an event loop; what else goes on there has its turn."""
        import asyncio

        self.sleep(seconds)
        await asyncio.sleep(0)

    def _now(self) -> float:
        return time.time() + self._ahead_seconds if self._frozen is None else self._frozen

    def _move(self, seconds: float) -> None:
        if self._frozen is None:
            self._ahead_seconds += seconds
        else:
            self._frozen += seconds


class Harness:
    """What a test has of its own while its flows run; made by `harness`.

    Args:
        folder: where the history is, and results are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = MovableClock()
        self._open = ExitStack()

    @property
    def history(self) -> History:
        """The record of the runs so far: `runs()`, `tree(id)`, `states(id)`, `tasks(id)`, `logs([id])`."""
        RECORDER.flush()
        return self._history

    @cached_property
    def _history(self) -> History:
        return self._open.enter_context(open_history(self.folder / FILE_NAME))

    def close(self) -> None:
        """Let go of the history."""
        self._open.close()


@contextmanager
def harness() -> Iterator[Harness]:
    """Run flows in a temporary history, on a clock of the test's own; afterwards everything is as before.

    Results are kept in the temporary folder too, unless the flow or task names another place. Tasks that were submitted
    outside of any flow are waited for at the end. Changes of the environment within the block are undone.
    """
    with (
        tempfile.TemporaryDirectory(prefix="towpath-") as folder,
        closing(Harness(Path(folder))) as made,
        _recorded_elsewhere(),
        patch.dict(os.environ, {ENV_HOME: folder}),
    ):
        for name in (ENV_HISTORY, ENV_RESULT_STORAGE, ENV_RUN):
            os.environ[name] = ""  # the default, whatever a settings file says
        clock = made.clock
        with patch.multiple(SYSTEM.clock, now=clock.now, sleep=clock.sleep, sleep_async=clock.sleep_async):
            try:
                yield made
            finally:
                OUTSIDE.settle(Settle(How.FINISH))


@contextmanager
def _recorded_elsewhere() -> Iterator[None]:
    """See to it that what is noted before, within and after the block goes to the file of its time."""
    RECORDER.close()
    try:
        yield
    finally:
        RECORDER.close()
