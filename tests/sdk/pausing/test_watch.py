"""Waiting until something is so, by looking."""

from __future__ import annotations

import threading

import pytest
from tests.sdk.pausing.conftest import PATIENCE_SECONDS

from towpath.errors import HistoryError
from towpath.pausing.watch import Watch


def watching() -> set[threading.Thread]:
    """Give the threads that look."""
    return {thread for thread in threading.enumerate() if thread.name == "towpath-pauses"}


def test_a_look_is_taken_when_something_has_changed() -> None:
    """And a nudge is as good as a change, for what this process itself has written."""
    there: list[str] = []
    changes: list[bool] = []
    watch = Watch(lambda: bool(changes and changes.pop()))
    first = watch.expect(lambda: there[0] if there else None)
    second = watch.expect(lambda: there[1] if len(there) > 1 else None)
    there.append("a")
    changes.append(True)
    assert first.result(30) == "a"
    assert not second.done()
    there.append("b")
    watch.nudge()
    assert second.result(30) == "b"


def test_nobody_looks_for_those_who_have_given_up() -> None:
    """The thread is there while somebody waits."""
    others = watching()
    watch = Watch(lambda: False)
    future = watch.expect(lambda: None)
    (thread,) = watching() - others
    del future
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_trouble_is_told_to_whoever_waits_for_it() -> None:
    """A look that fails fails for one; a file that cannot be read, for all whose look needs it."""

    def fails() -> None:
        raise HistoryError("damaged")

    def is_damaged() -> bool:
        raise HistoryError("damaged")

    there: list[str] = []
    watch = Watch(is_damaged)
    failing, other = watch.expect(fails), watch.expect(lambda: there[0] if there else None)
    with pytest.raises(HistoryError, match="damaged"):
        failing.result(30)
    there.append("a")
    assert other.result(30) == "a"
