"""Log lines of runs on their way into the history."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from towpath.context import current
from towpath.loggers import configure, fields_of, get_logger, shown

if TYPE_CHECKING:
    from towpath.history.recorder import Recorder


class LineHandler(logging.Handler):
    """Takes note of each line that a run logs; lines of no run are none of its business."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a line."""
        run_id, task_run = getattr(record, "run_id", None), getattr(record, "task_run", None)
        if run_id is None:
            fields = fields_of(current())
            run_id, task_run = fields.get("run_id"), fields.get("task_run")
            if run_id is None:
                return
        try:
            message = self.format(record)  # with the traceback below
            self.recorder.line(run_id, task_run, record.levelno, message, record.created)
        except Exception:
            self.handleError(record)


def keep_lines(recorder: Recorder) -> None:
    """Have the lines of runs taken note of, from now on."""
    configure()  # first: it adds a handler of its own only where there is none
    for logger in shown():
        if not any(isinstance(handler, LineHandler) for handler in logger.handlers):
            logger.addHandler(LineHandler(recorder))


def warn(text: str) -> None:
    """Tell the user something about the history itself."""
    configure()
    get_logger("towpath.history").warning("%s", text)
