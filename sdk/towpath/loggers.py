"""Log lines that say which run they come from: readable on a terminal, JSON in a pod.

    logger = get_run_logger()
    logger.info("read %s rows", n)

    10:26:08.123 | INFO     | Task run 'read-0' | read 1461 rows
    {"time": "2026-01-31T10:26:08.123Z", "level": "INFO", "message": "read 1461 rows", "run": "witty-otter", …}

Lines go through the logging module, under the logger `towpath`. Unless the program has handlers of its own, they are
written to stderr; with TOWPATH_LOG_FORMAT=json everything that is logged in the process is, not only Towpath's own.
"""

from __future__ import annotations

import builtins
import io
import json
import logging
import sys
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from towpath import settings
from towpath.context import RunContext, current, get_run_context

if TYPE_CHECKING:
    RunLoggerBase = logging.LoggerAdapter[logging.Logger]
else:
    RunLoggerBase = logging.LoggerAdapter

#: Where artifacts and events are logged, if nothing else takes them; whatever the level is that was set.
TOLD: Final = "towpath.told"
_FIELDS: Final = ("run", "run_id", "flow", "task", "task_run", "attempt")
_original_print: Final = builtins.print
_configured = False


class RunLogger(RunLoggerBase):
    """A logger whose records carry the run's fields, also when it is used in a thread that the run knows nothing of."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run's fields to those of the record."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def get_logger(name: str = "towpath") -> logging.Logger:
    """Give a logger below `towpath`."""
    return logging.getLogger(name)


def get_run_logger() -> RunLogger:
    """Give the logger of the current task run or flow run.

    Raises:
        MissingContext: there is no current run.
    """
    return run_logger(get_run_context())


def run_logger(context: RunContext) -> RunLogger:
    """Give the logger of a run."""
    name = "towpath.task_runs" if context.task_run is not None else "towpath.flow_runs"
    return RunLogger(logging.getLogger(name), fields_of(context))


def fields_of(context: RunContext | None) -> dict[str, Any]:
    """Give what a record says of the run that it comes from."""
    if context is None:
        return {}
    fields: dict[str, Any] = {}
    if (flow_run := context.flow_run) is not None:
        fields = {"run": flow_run.name, "run_id": flow_run.id, "flow": flow_run.flow_name, "attempt": flow_run.attempt}
    if (task_run := context.task_run) is not None:
        fields |= {"task": task_run.task_name, "task_run": task_run.name}
    return fields


def configure() -> None:
    """Set up the handler, once, when the first run begins."""
    global _configured
    if _configured:
        return
    _configured = True
    towpath = logging.getLogger("towpath")
    level = settings.log_level()
    if settings.log_format() == "json":
        handler = _Stderr()
        handler.setFormatter(JsonFormatter())
        root = logging.getLogger()
        root.addHandler(handler)
        root.setLevel(level)
    elif not towpath.handlers:
        handler = _Stderr()
        handler.setFormatter(TextFormatter())
        handler.addFilter(lambda _: not logging.getLogger().handlers)  # the program shows its log itself
        towpath.addHandler(handler)
    if towpath.level == logging.NOTSET:
        towpath.setLevel(level)
    logging.getLogger(TOLD).setLevel(logging.INFO)  # a worker process may tell, too


def hand_over(handler: logging.Handler) -> None:
    """Leave all that is logged to a handler, in a process that does not show its log itself."""
    global _configured
    _configured = True
    logging.getLogger().addHandler(handler)


class TextFormatter(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, run and message, and a traceback below."""
        fields = _fields(record)
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        who = ""
        if "task_run" in fields:
            who = f"Task run {fields['task_run']!r} | "
        elif "run" in fields:
            who = f"Flow run {fields['run']!r} | "
        line = f"{clock}.{int(record.msecs):03d} | {record.levelname:<8} | {who}{record.getMessage()}"
        return "\n".join([line, *_traces(self, record)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, logger, message, the run's fields, what it tells, and the traceback if there is one."""
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{clock}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
            **getattr(record, "told", {}),
        }
        if traces := _traces(self, record):
            line["exception"] = "\n".join(traces)
        return json.dumps(line, ensure_ascii=False, default=str)


def show_prints_in_log() -> None:
    """From now on, have `print` write to the log of a run that asks for it; elsewhere it stays as it is."""
    builtins.print = _print


def _print(*values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False) -> None:
    context = current()
    if context is None or not context.log_prints or file not in (None, sys.stdout):
        _original_print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    line = io.StringIO()
    _original_print(*values, sep=sep, end="", file=line)
    run_logger(context).info("%s", line.getvalue())


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    own = {name: value for name in _FIELDS if (value := getattr(record, name, None)) is not None}
    return own or fields_of(current())


def _traces(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    traces = []
    if record.exc_info:
        traces.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        traces.append(formatter.formatStack(record.stack_info))
    return traces


class _Stderr(logging.Handler):
    """Writes to what `sys.stderr` is at the time, which tests and notebooks replace."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)
