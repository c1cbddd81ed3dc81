"""The bell that wakes a server."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import pytest
from tests.sdk.serving.scene import FakeAlive

from towpath.serving.bell import Bell, remove_left_over, ring


def test_a_ring_is_heard_once(tmp_path: Path) -> None:
    """Whoever rings wakes the server, at once; several rings wake it once."""
    bell = Bell(tmp_path / "history.db", 7)
    assert not bell.wait(0)
    assert ring(tmp_path / "history.db", 7)
    bell.ring()
    assert bell.wait(60)
    assert not bell.wait(0)
    bell.take_down()


def test_a_ring_before_anybody_waits_is_not_lost(tmp_path: Path) -> None:
    """Rung from another thread, just before or just after the wait begins."""
    bell = Bell(tmp_path / "history.db", 7)
    thread = threading.Thread(target=bell.ring)
    thread.start()
    assert bell.wait(60)
    thread.join()
    bell.take_down()


def test_a_bell_full_of_rings_takes_more_without_a_word(tmp_path: Path) -> None:
    """A server that is busy for long is rung tens of thousands of times."""
    bell = Bell(tmp_path / "history.db", 7)
    for _ in range(70_000):
        bell.ring()
    assert ring(tmp_path / "history.db", 7)
    while bell.wait(0):
        pass
    bell.take_down()


def test_a_process_with_thousands_of_files_hears_it(tmp_path: Path) -> None:
    """Which is more than `select` can watch."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip(f"at most {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(1030)]
    try:
        bell = Bell(tmp_path / "history.db", 7)
        assert ring(tmp_path / "history.db", 7)
        assert bell.wait(30)
        bell.take_down()
    finally:
        for file in many:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nobody_hears_a_bell_that_is_not_there(tmp_path: Path) -> None:
    """No server, another server, or one that has taken its bell down."""
    assert not ring(tmp_path / "history.db", 7)
    bell = Bell(tmp_path / "history.db", 7)
    assert not ring(tmp_path / "history.db", 8)
    bell.take_down()
    bell.ring()
    assert not ring(tmp_path / "history.db", 7)


def test_bells_of_servers_that_were_killed_are_removed(tmp_path: Path) -> None:
    """Those of servers that are there are left alone."""
    alive = FakeAlive()
    bells = {token: Bell(tmp_path / "history.db", token) for token in (alive.announce(), alive.announce())}
    alive.end(1)
    (tmp_path / "history.db-bell-strange").touch()
    remove_left_over(tmp_path / "history.db", alive)  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.db-bell-2", "history.db-bell-strange"]
    for bell in bells.values():
        bell.take_down()
