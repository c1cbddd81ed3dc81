"""The limits: what is written to disk and handed over in any case, by hand and with nothing round it."""

# ruff: noqa: PTH105, PTH123 what is compared with should do nothing but open a file
from __future__ import annotations

import itertools
import os
import pickle
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from towpath.slugs import new_id

#: States that can be found again: each with a key, and an index by what they are states of.
TABLE = "CREATE TABLE states (id TEXT PRIMARY KEY, task_run TEXT, type TEXT, name TEXT, message TEXT, since REAL)"
INDEX = "CREATE INDEX states_by_task_run ON states (task_run, since)"
ROW = "INSERT INTO states VALUES (?, ?, ?, ?, ?, ?)"


def rows(path: Path, *, own_transactions: bool) -> Callable[[int], None]:
    """Give what writes three rows for each task with SQLite alone: all at once, or each in a transaction of its own."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(TABLE)
    connection.execute(INDEX)

    def states(times: int) -> Iterator[tuple[object, ...]]:
        for _ in range(times):
            task_run = new_id()
            for state in ("RUNNING", "SCHEDULED", "COMPLETED"):
                yield new_id(), task_run, state, state.capitalize(), None, time.time()

    def write(times: int) -> None:
        if own_transactions:
            for row in states(times):
                connection.execute(ROW, row)
            return
        connection.execute("BEGIN")
        connection.executemany(ROW, states(times))
        connection.execute("COMMIT")

    return write


def pool(times: int) -> None:
    """Hand a function over to a pool of threads so many times, and take what it gives."""
    with ThreadPoolExecutor(4) as executor:
        for future in [executor.submit(abs, number) for number in range(times)]:
            future.result()


class Pickles:
    """Files of a folder, one for each value."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fresh = itertools.count()

    def write(self, times: int) -> None:
        """Write so many new ones, each there as a whole or not at all."""
        for number in range(times):
            name = f"{self._folder}/{next(self._fresh)}.pickle"
            with open(f"{name}.tmp", "wb") as file:
                pickle.dump(number, file)
            os.replace(f"{name}.tmp", name)

    def read(self, times: int) -> None:
        """Read so many."""
        for number in range(times):
            with open(f"{self._folder}/{number}.pickle", "rb") as file:
                pickle.load(file)
