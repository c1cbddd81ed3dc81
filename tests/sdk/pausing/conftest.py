"""A history of the test's own, and flows that go on in threads meanwhile."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from towpath.history import open_history
from towpath.history.port import RecordedRun
from towpath.history.recorder import RECORDER

PATIENCE_SECONDS = 90.0


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.03)  # a look takes time that those who are waited for need
    return found


class Going:
    """A call that goes on in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def is_blocked(self) -> bool:
        """Tell whether it waits, in Towpath's own way."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return frame is not None and frame.f_code.co_name == "block"

    def result(self) -> Any:
        """Wait for it; give what it returned, or raise what it raised."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "it still goes on"
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self._value = call()
        except BaseException as error:
            self._error = error


class Scene:
    """The history of a test, and what is asked of it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def run(self, which: str | None = None) -> RecordedRun:
        """Give a run by its name or id; the latest that nobody has called by default."""
        RECORDER.flush()
        with open_history(self.file) as history:
            return history.run(which) if which else history.runs(top_level=True, limit=1)[0]

    def runs(self) -> list[RecordedRun]:
        """Give all runs, the newest first."""
        RECORDER.flush()
        with open_history(self.file) as history:
            return history.runs()

    def states(self, which: str | None = None) -> list[str]:
        """Give the names of the states that a run was in."""
        run = self.run(which)
        with open_history(self.file) as history:
            return [state.name for state in history.states(run.id)]

    def waiting(self, flow: str, name: str = "Paused") -> RecordedRun:
        """Wait until a run of a flow waits, and give it."""

        def found() -> RecordedRun | None:
            return next((run for run in self.runs() if run.flow == flow and run.state.name == name), None)

        run: RecordedRun = until(found, f"a run of {flow!r} that is {name}")
        return run


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Give a history in which this process's runs are recorded, and a place of its own for results."""
    RECORDER.close()
    file = tmp_path / "history.db"
    monkeypatch.setenv("TOWPATH_HISTORY", str(file))
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    monkeypatch.delenv("TOWPATH_RUN", raising=False)
    monkeypatch.chdir(Path.cwd())  # a run that begins anew goes to its own folder
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield Scene(file)
    RECORDER.close()
