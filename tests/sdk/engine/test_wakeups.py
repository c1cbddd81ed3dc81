"""Signals are heard at once, even while the main thread sits in a call that Python does not interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from towpath.engine.wakeups import heard

WAIT = 60


@pytest.fixture
def usr1() -> Iterator[None]:
    """A handler in Python that does nothing."""
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("usr1")
def test_a_signal_is_told_in_another_thread() -> None:
    """Its number arrives without any help of the main thread; nothing is left behind."""
    told: list[tuple[int, str]] = []
    arrived = threading.Event()

    def tell(number: int) -> None:
        told.append((number, threading.current_thread().name))
        arrived.set()

    with heard(tell):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert arrived.wait(WAIT)

    assert told == [(signal.SIGUSR1, "towpath-signals")]
    assert signal.set_wakeup_fd(-1) == -1
    assert "towpath-signals" not in [thread.name for thread in threading.enumerate()]


def test_what_a_forked_child_is_sent_is_its_own() -> None:
    """A signal of a child is not told to its parent."""
    code = """
import os, signal, threading, time
from towpath.engine.wakeups import heard

told = []
signal.signal(signal.SIGTERM, lambda *_: os._exit(7) if os.getpid() != parent else None)
parent = os.getpid()
with heard(told.append):
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writable, b"up")
        while True:
            time.sleep(0.05)
    os.read(readable, 2)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert told == [] or told == [signal.SIGCHLD], told
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
