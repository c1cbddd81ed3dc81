"""The history: what ran on this machine, and how it went. One SQLite file, no server, nothing to set up.

    from towpath.history import open_history

    with open_history() as history:
        for run in history.runs(flow="etl", limit=10):
            print(run.name, run.state.name, run.seconds)

Who does what:

- `recorder` takes a note of each state and log line, in the thread of the run that has it: a tuple into a queue.
- `writer`, one thread a process, turns the notes of some tens of milliseconds into rows and commits them at once.
- `database` opens the file, brings its tables up to date, and puts a broken file aside.
- `alive` tells whether the process that a run was in is still there; `sweep` makes CRASHED what it is not there for.
- `port` says what can be asked, `reader` answers from the file.

Everything here is standard library, and loaded by the first run, SQLite itself only by the writer and by readers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from towpath.history.port import History


def open_history(file: Path | str | None = None) -> History:
    """Open the history for reading, deleting and pruning; close it after use, or use it as a context manager.

    Args:
        file: the SQLite file; by default the one that runs of this user are recorded in.

    Raises:
        HistoryError: it cannot be opened, is no history, comes from a newer Towpath, or is switched off.
    """
    from towpath.errors import HistoryError
    from towpath.history.place import history_file
    from towpath.history.reader import SQLiteHistory

    where = history_file() if file is None else Path(file).absolute()
    if where is None:
        raise HistoryError("The history is switched off: TOWPATH_HISTORY is 'off'. Unset it, or name a file in it.")
    return SQLiteHistory(where)
