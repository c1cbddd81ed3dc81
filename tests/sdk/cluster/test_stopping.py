"""SIGTERM: once, twice, early, late."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from towpath.cluster.stopping import Stopping


class Run:
    """Something that takes as long to stop as a test wants."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.threads: list[str] = []

    def stop(self) -> None:
        self.threads.append(threading.current_thread().name)
        self.stopped.set()

    def exit_code(self) -> int:
        return 7


class Exits:
    """Takes note of exits instead of making them."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.happened = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.happened.set()


@pytest.fixture
def exits() -> Exits:
    """Give the exits that would have been made."""
    return Exits()


@pytest.fixture
def restored() -> Iterator[None]:
    """Put the signal's handler back afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("restored")
def test_the_signal_stops_the_run_from_another_thread(exits: Exits) -> None:
    """A signal handler must not wait; asking why and interrupting happens elsewhere, once."""
    stopping, run = Stopping(60, exits), Run()
    stopping.watch_over(run)
    signal.raise_signal(signal.SIGTERM)
    assert run.stopped.wait(10)
    assert run.threads == ["towpath-stop"]
    assert exits.codes == []


@pytest.mark.usefixtures("restored")
def test_a_signal_that_comes_early_is_not_forgotten(exits: Exits) -> None:
    """Between the start of the process and the start of the run there is somebody who listens."""
    stopping, run = Stopping(60, exits), Run()
    signal.raise_signal(signal.SIGTERM)
    assert not run.stopped.is_set()
    stopping.watch_over(run)
    assert run.stopped.wait(10)


@pytest.mark.usefixtures("restored")
def test_a_second_signal_ends_the_process_at_once(exits: Exits) -> None:
    """Whoever asks twice does not wait for the grace period."""
    stopping, run = Stopping(60, exits), Run()
    stopping.watch_over(run)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert exits.codes == [7]


@pytest.mark.usefixtures("restored")
def test_two_signals_before_the_run_begins_end_the_process(exits: Exits) -> None:
    """Even then the code says that the process was told to stop."""
    Stopping(60, exits)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert exits.codes == [143]


@pytest.mark.usefixtures("restored")
def test_the_grace_period_ends(exits: Exits) -> None:
    """A run that does not stop in time is not waited for."""
    stopping, run = Stopping(0.01, exits), Run()
    stopping.watch_over(run)
    signal.raise_signal(signal.SIGTERM)
    assert exits.happened.wait(10)
    assert exits.codes == [7]
