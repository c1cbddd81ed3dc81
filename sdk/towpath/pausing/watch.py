"""Waiting until something is so in a file that other processes write to.

SQLite has no watch; a look whether the file has changed takes microseconds, and only if it has is there a closer one.
One thread looks for all who wait in this process, and is there while somebody does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from towpath.errors import HistoryError
from towpath.futures import Future
from towpath.states import State, StateType

T = TypeVar("T")

LOOK_SECONDS: Final = 0.02
#: How often is looked closer although nothing has changed: a process that waited may have gone without a word.
CLOSER_SECONDS: Final = 1.0


class Watch:
    """Completes futures when what they wait for is there.

    Args:
        has_changed: whether anything was written since it was asked last.
    """

    def __init__(self, has_changed: Callable[[], bool]) -> None:
        self._has_changed = has_changed
        self._guard = threading.Lock()
        self._looks: WeakKeyDictionary[Future[Any], Callable[[], Any]] = WeakKeyDictionary()  # who gave up is gone
        self._is_new = False
        self._is_watching = False

    def expect(self, look: Callable[[], T | None]) -> Future[T]:
        """Give a future that ends with what a look gives, once it is something; keep it while you wait."""
        future: Future[T] = Future()
        with self._guard:
            self._looks[future] = look
            self._is_new = True
            if not self._is_watching:
                self._is_watching = True
                threading.Thread(target=self._watch, name="towpath-pauses", daemon=True).start()
        return future

    def nudge(self) -> None:
        """Have all look soon: this process itself has written something."""
        self._is_new = True

    def _watch(self) -> None:
        looked = 0.0
        future: Future[Any] | None
        while True:
            with self._guard:
                waiting = [(future, look) for future, look in self._looks.items() if not future.done()]
                is_new, self._is_new = self._is_new, False
                if not waiting:
                    self._is_watching = False
                    return
            if self._is_news() or is_new or time.monotonic() - looked >= CLOSER_SECONDS:
                looked = time.monotonic()
                for future, look in waiting:
                    _look(future, look)
            waiting, future = [], None  # nothing here keeps those alive who have given up
            time.sleep(LOOK_SECONDS)

    def _is_news(self) -> bool:
        try:
            return self._has_changed()
        except HistoryError:
            return True  # each look will tell what is wrong


def _look(future: Future[T], look: Callable[[], T | None]) -> None:
    try:
        if (found := look()) is not None:
            future.complete(State(StateType.COMPLETED, data=found))
    except Exception as error:  # whoever waits is told; the others wait on
        future.complete(State(StateType.CRASHED, message=str(error), data=error))
