"""A worker process: runs one task after the other for the process that started it, and ends with it.

python -m towpath.engine.worker FD

User code runs in the main thread.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import Final

from towpath import loggers
from towpath.engine.parcels import loads
from towpath.engine.remote import Lines, Worker
from towpath.engine.wire import Wire

#: How long a running task may take for its `finally` blocks when the main process has gone.
_GRACE_SECONDS: Final = 2.0


class ProcessWorker(Worker):
    """What the process does at its main process's request."""

    def on_begin(self, path: list[str], levels: dict[str, int], facts: bytes) -> None:
        """Take up how things are in the main process."""
        sys.path[:] = path
        loggers.hand_over(Lines(self.wire))
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        self.facts = loads(facts)

    def watch(self, wire: Wire) -> None:
        """Do what the main process wants; once it is gone, end in order, and else at once."""
        try:
            wire.serve(self)
        finally:
            self.part()
            self.jobs.put(None)
            time.sleep(_GRACE_SECONDS)
            os._exit(1)

    def work(self) -> None:
        """Run tasks until the end."""
        while (data := self.jobs.get()) is not None:
            self.make(data)


def main() -> None:
    """Serve the process at the other end of the file descriptor that is the first argument."""
    wire = Wire(int(sys.argv[1]))
    worker = ProcessWorker(wire)
    threading.Thread(target=worker.watch, args=[wire], name="towpath-wire", daemon=True).start()
    worker.work()


if __name__ == "__main__":
    main()
