"""Log lines that say which run they come from: readable on a terminal, JSON in a pod.

    logger = get_run_logger()
    logger.info("read %s rows", n)

    10:26:08.123 | INFO     | Task run 'read-0' | read 1461 rows
    {"time": "2026-01-31T10:26:08.123Z", "level": "INFO", "message": "read 1461 rows", "run": "witty-otter", …}

Lines go through the logging module, under the logger `towpath`. Unless the program has handlers of its own, they are
written to stderr; with TOWPATH_LOG_FORMAT=json everything that is logged in the process is, not only Towpath's own.
TOWPATH_LOGGING_EXTRA_LOGGERS names loggers of libraries that are treated as Towpath's own: shown, and kept with the run
that they were used in. What the program has configured stays: levels, handlers, the root logger.
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
from towpath.console.looks import CYAN, DIM, LEVEL_COLOURS, has_colours, painted
from towpath.context import RunContext, current
from towpath.errors import MissingContext

if TYPE_CHECKING:
    RunLoggerBase = logging.LoggerAdapter[logging.Logger]
else:
    RunLoggerBase = logging.LoggerAdapter

#: Where artifacts and events are logged, if nothing else takes them; whatever the level is that was set.
TOLD: Final = "towpath.told"
_FIELDS: Final = ("run", "run_id", "flow", "task", "task_run", "attempt")
OF_RUNS: Final = ("towpath.flow_runs", "towpath.task_runs")
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
        MissingContext: there is no current run, and runs are not kept from logging either.
    """
    context = current()
    if context is not None:
        return run_logger(context)
    if all(logging.getLogger(name).disabled for name in OF_RUNS):
        return RunLogger(logging.getLogger(OF_RUNS[0]), {})
    raise MissingContext(
        "There is no current run here, so there is no logger of one. Call get_run_logger() within a flow or task;"
        " elsewhere, logging.getLogger(__name__) gives a logger. To try a task's function alone, as in a test, call it"
        " within `with towpath.logging.disable_run_logger():`."
    )


def run_logger(context: RunContext) -> RunLogger:
    """Give the logger of a run."""
    name = OF_RUNS[context.task_run is not None]
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
    level = settings.log_level()
    handler = _Stderr()
    if settings.log_format() == "json":
        handler.setFormatter(JsonFormatter())
        root = logging.getLogger()
        if not any(map(_shows, root.handlers)):
            root.addHandler(handler)
            root.setLevel(level)
    else:
        handler.setFormatter(TextFormatter())
        handler.addFilter(lambda _: not logging.getLogger().handlers)  # the program shows its log itself
        for logger in shown():
            if not logger.handlers:
                logger.addHandler(handler)
    for logger in shown():
        if logger.level == logging.NOTSET:
            logger.setLevel(level)
    logging.getLogger(TOLD).setLevel(logging.INFO)  # a worker process may tell, too


def shown() -> list[logging.Logger]:
    """Give the loggers whose lines are shown and kept; of those within another one, only that one."""
    names = {"towpath", *settings.extra_loggers()}
    return [
        logging.getLogger(name)
        for name in sorted(names)
        if not any(name.startswith(f"{other}.") and other in names for other in names)
    ]


def hand_over(handler: logging.Handler) -> None:
    """Leave all that is logged to a handler, in a process that does not show its log itself."""
    global _configured
    _configured = True
    logging.getLogger().addHandler(handler)


class TextFormatter(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, run and message, and a traceback below; in colours where they can be seen."""
        fields, coloured = _fields(record), has_colours(sys.stderr)
        clock = f"{time.strftime('%H:%M:%S', time.localtime(record.created))}.{int(record.msecs):03d}"
        level, who = f"{record.levelname:<8}", ""
        if "task_run" in fields:
            who = f"Task run {fields['task_run']!r}"
        elif "run" in fields:
            who = f"Flow run {fields['run']!r}"
        if coloured:
            clock, level = painted(clock, DIM), painted(level, LEVEL_COLOURS.get(record.levelname))
            who = painted(who, CYAN) if who else ""
        line = " | ".join([clock, level, *([who] if who else []), record.getMessage()])
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


def _shows(handler: logging.Handler) -> bool:
    """Tell whether a handler writes to the process's own output."""
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and handler.stream in streams


class _Stderr(logging.Handler):
    """Writes to what `sys.stderr` is at the time, which tests and notebooks replace."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)
