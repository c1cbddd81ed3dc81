"""Shared threads, lanes, and waiting in them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from towpath.engine.threads import Lane, Threads, block


def all_done(threads: Any, pieces: list[Callable[[], None]]) -> None:
    """Start pieces of work, and wait until all are done."""
    done = threading.Semaphore(0)

    def wrapped(piece: Callable[[], None]) -> Callable[[], None]:
        def work() -> None:
            piece()
            done.release()

        return work

    for piece in pieces:
        threads.start(wrapped(piece))
    for _ in pieces:
        assert done.acquire(timeout=60)


def test_pieces_that_block_get_a_thread_each() -> None:
    """A hundred pieces that wait for each other all go on at once."""
    barrier = threading.Barrier(100)
    all_done(Threads(), [lambda: barrier.wait(60) and None] * 100)


def test_many_that_block_get_a_thread_each_when_nobody_gets_on() -> None:
    """However many wait already; somebody watches whether work is taken."""
    threads = Threads()
    for crowd in (40, 300, 300):
        barrier = threading.Barrier(crowd)
        all_done(threads, [lambda barrier=barrier: barrier.wait(60) and None] * crowd)  # type: ignore[misc]


def test_a_flood_of_short_pieces_is_worked_off_by_a_few() -> None:
    """Also while it goes on."""
    threads = Threads()
    seen: set[int] = set()
    most = 0
    for _ in range(20):
        all_done(threads, [lambda: seen.add(threading.get_ident())] * 1000)
        most = max(most, len(seen))
    assert most < 300


def test_short_pieces_share_a_few_threads() -> None:
    """A burst of short pieces does not start a thread for each."""
    seen: set[int] = set()
    all_done(Threads(), [lambda: seen.add(threading.get_ident())] * 1000)
    assert len(seen) < 100


def test_idle_threads_go_away() -> None:
    """A thread that finds nothing to do for a while ends; further work starts another."""
    threads = Threads(idle_seconds=0.001)
    seen: list[threading.Thread] = []
    for _ in range(2):
        all_done(threads, [lambda: seen.append(threading.current_thread())])
        seen[-1].join(60)
        assert not seen[-1].is_alive()


def test_a_crowd_of_idle_threads_goes_away_one_by_one() -> None:
    """The eldest first, each when the one before it has gone; whoever is called meanwhile works."""
    threads = Threads(idle_seconds=0.05)
    barrier = threading.Barrier(300)
    seen: list[threading.Thread] = []

    def meet() -> None:
        seen.append(threading.current_thread())
        barrier.wait(60)

    all_done(threads, [meet] * 300)
    all_done(threads, [lambda: None] * 300)
    for thread in seen:
        thread.join(60)
        assert not thread.is_alive()


def test_a_system_out_of_threads_is_lived_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no further thread can be had, those that are there do the work, also that which others of them wait for."""
    threads = Threads()
    monkeypatch.setattr("towpath.engine.threads.THREADS", threads)
    start, started = threading.Thread.start, []

    def reluctant(self: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", reluctant)
    depth: list[int] = []

    def nest(n: int) -> None:
        depth.append(n)
        if n:
            bell = threading.Lock()
            bell.acquire()

            def work() -> None:
                nest(n - 1)
                bell.release()

            threads.start(work)
            assert block(bell, 60)

    all_done(threads, [lambda: nest(10)])
    assert depth == list(range(10, -1, -1))


@pytest.mark.parametrize("width", [1, 3])
def test_a_lane_bounds_what_goes_on_at_a_time(width: int) -> None:
    """Never more pieces at once than its width, and in the end all have been done."""
    lane, lock = Lane(width), threading.Lock()
    now, most, total = 0, 0, 0

    def piece() -> None:
        nonlocal now, most, total
        with lock:
            now += 1
            most = max(most, now)
            total += 1
        sum(range(1000))
        with lock:
            now -= 1

    all_done(lane, [piece] * 200)
    assert total == 200
    assert most <= width


def test_work_from_outside_is_done_in_order() -> None:
    """First come, first served."""
    lane, order = Lane(1), list[int]()
    all_done(lane, [lambda i=i: order.append(i) for i in range(50)])  # type: ignore[misc]
    assert order == list(range(50))


@pytest.mark.parametrize("width", [1, 2, 5])
def test_pieces_that_wait_for_pieces_do_not_deadlock(width: int) -> None:
    """However deep: a waiting piece gives its place up, and few wait at a time."""
    lane, lock = Lane(width), threading.Lock()
    running, most = 0, 0

    def fib(n: int, answer: list[int], bell: threading.Lock) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if n < 2:
            answer.append(n)
        else:
            calls = []
            for m in (n - 1, n - 2):
                got, ring = list[int](), threading.Lock()
                ring.acquire()
                calls.append((got, ring))
                lane.start(lambda m=m, got=got, ring=ring: fib(m, got, ring))  # type: ignore[misc]
            with lock:
                running -= 1
            for _, ring in calls:
                assert block(ring, 60)
            with lock:
                running += 1
            answer.append(sum(got[0] for got, _ in calls))
        with lock:
            running -= 1
        bell.release()

    before = threading.active_count()
    answer, bell = list[int](), threading.Lock()
    bell.acquire()
    lane.start(lambda: fib(12, answer, bell))
    assert bell.acquire(timeout=60)
    assert answer == [144]
    assert most <= width
    assert threading.active_count() - before < 100


def test_blocking_gives_up_after_its_time() -> None:
    """In any thread."""
    lock = threading.Lock()
    lock.acquire()
    assert not block(lock, 0.001)
    assert not block(lock, -5)
