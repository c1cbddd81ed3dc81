"""How a script ends whose flow is suspended: without a traceback, and with an exit code of its own."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import NoReturn

from towpath.errors import FlowSuspended
from towpath.loggers import get_logger

_is_in_place = False


def exit_quietly() -> None:
    """From now on, have a FlowSuspended that nobody catches end the process with an exit code of its own."""
    global _is_in_place
    if _is_in_place:
        return
    _is_in_place = True
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        if isinstance(error, FlowSuspended):
            _exit(error)
        before(kind, error, at)

    sys.excepthook = hook


def _exit(error: FlowSuspended) -> NoReturn:
    if not get_logger("towpath.flow_runs").isEnabledFor(logging.INFO):  # else the log has said it
        sys.stderr.write(f"The flow run is suspended. {error}\n")
    raise SystemExit(error.exit_code)
