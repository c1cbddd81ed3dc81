"""Futures: waiting, results, callbacks, and what is made of many."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from towpath import Completed, Failed, Future, FutureList, as_completed, wait
from towpath.futures import after, arrive


def ended(value: Any) -> Future[Any]:
    """Make a future that has ended."""
    future: Future[Any] = Future()
    future.complete(Failed(data=value) if isinstance(value, Exception) else Completed(data=value))
    return future


def in_thread(fn: Any) -> threading.Thread:
    """Start something beside the test."""
    thread = threading.Thread(target=fn)
    thread.start()
    return thread


def test_the_first_end_counts() -> None:
    """A second end changes nothing, and says so."""
    future: Future[int] = Future()
    assert not future.done()
    assert future.state.is_pending()
    assert future.complete(Completed(data=1))
    assert not future.complete(Completed(data=2))
    assert future.result() == 1


def test_result_waits_for_another_thread() -> None:
    """The value is there as soon as the other thread has brought it."""
    future: Future[int] = Future()
    thread = in_thread(lambda: future.complete(Completed(data=3)))
    assert future.result(timeout=60) == 3
    thread.join()


def test_waiting_ends_after_the_timeout() -> None:
    """`wait` gives the state it is in, `result` raises TimeoutError; the run may end later all the same."""
    future: Future[int] = Future()
    assert future.wait(timeout=0).is_pending()
    with pytest.raises(TimeoutError, match=r"0\.001 s"):
        future.result(timeout=0.001)
    future.complete(Completed(data=1))
    assert future.result(timeout=0) == 1


def test_failures_are_raised_or_given() -> None:
    """As the caller wishes."""
    error = ValueError("x")
    with pytest.raises(ValueError, match="x"):
        ended(error).result()
    assert ended(error).result(raise_on_failure=False) is error


def test_callbacks_are_called_once_in_order(caplog: pytest.LogCaptureFixture) -> None:
    """Before or after the end; one that raises is logged and does not keep the others from being called."""
    future: Future[int] = Future()
    calls: list[str] = []

    def broken(_: Future[int]) -> None:
        raise RuntimeError("callback")

    future.add_done_callback(lambda _: calls.append("first"))
    future.add_done_callback(broken)
    future.add_done_callback(lambda done: calls.append(f"second {done.result()}"))
    with caplog.at_level(logging.ERROR):
        future.complete(Completed(data=1))
    future.add_done_callback(lambda _: calls.append("late"))
    assert calls == ["first", "second 1", "late"]
    assert "callback" in caplog.text


def test_wait_tells_done_from_not_done() -> None:
    """With a timeout of zero nothing is waited for; duplicates count once."""
    done, open_ = ended(1), Future[int]()
    assert wait([done, open_, done], timeout=0) == ({done}, {open_})
    assert wait([done]).not_done == set()
    open_.complete(Completed())


def test_as_completed_gives_the_first_to_end_first() -> None:
    """Order of ends, not of the list."""
    futures = [Future[int]() for _ in range(3)]
    seen: list[Future[int]] = []
    done = as_completed([*futures, futures[0]])
    for i in (2, 0, 1):
        futures[i].complete(Completed(data=i))
        seen.append(next(done))
    assert [future.result() for future in seen] == [2, 0, 1]
    assert list(done) == []


def test_as_completed_waits_for_other_threads() -> None:
    """What ends meanwhile is given on."""
    futures = [Future[int]() for _ in range(20)]
    threads = [in_thread(lambda f=future, i=i: f.complete(Completed(data=i))) for i, future in enumerate(futures)]
    assert sorted(future.result() for future in as_completed(futures, timeout=60)) == list(range(20))
    for thread in threads:
        thread.join()


def test_as_completed_says_how_many_are_missing() -> None:
    """A timeout names the number of those that have not ended."""
    with pytest.raises(TimeoutError, match="1 of 2 runs"):
        list(as_completed([ended(1), Future()], timeout=0.001))
    with pytest.raises(ValueError, match="-1"):
        list(as_completed([], timeout=-1))


def test_lists_of_futures() -> None:
    """Values come in the list's order; the first failure is raised, or all exceptions given."""
    error = ValueError("x")
    assert FutureList([ended(2), ended(1)]).result() == [2, 1]
    with pytest.raises(ValueError, match="x"):
        FutureList([Future(), ended(error)]).result()
    assert FutureList([ended(1), ended(error)]).result(raise_on_failure=False) == [1, error]
    FutureList([ended(1)]).wait()
    with pytest.raises(TimeoutError):
        FutureList([Future()]).result(timeout=0.001)


async def arrived() -> list[Any]:
    """Await futures that another thread ends."""
    first, second = Future[int](), Future[int]()
    threads = [in_thread(lambda f=f: f.complete(Completed(data=1))) for f in (first, second)]
    await arrive([first, second, ended(0)])
    values = [await first, await second, await ended(5)]
    for thread in threads:
        thread.join()
    return values


def test_futures_can_be_awaited() -> None:
    """In an event loop nothing is blocked."""
    assert asyncio.run(arrived()) == [1, 1, 5]


def test_after_all_have_ended() -> None:
    """Called once, when the last has ended; at once if there is nothing to wait for."""
    futures = [Future[int]() for _ in range(3)]
    calls: list[int] = []
    after(futures, lambda: calls.append(1))
    for future in futures:
        assert calls == []
        future.complete(Completed())
    assert calls == [1]
    after([], lambda: calls.append(2))
    assert calls == [1, 2]
