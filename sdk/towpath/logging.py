"""Loggers, under the module's name that authors know.

from towpath.logging import disable_run_logger, get_logger, get_run_logger

def test_the_plain_function():
    with disable_run_logger():
        assert fetch.fn("https://example.org") == "text"    # its get_run_logger() says nothing, and needs no run
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from towpath import loggers
from towpath.loggers import get_run_logger

__all__ = ["disable_run_logger", "get_logger", "get_run_logger"]


def get_logger(name: str | None = None) -> logging.Logger:
    """Give a logger below `towpath`, which writes as runs do; the one at the top by default.

    Args:
        name: for example `etl`, for `towpath.etl`.
    """
    if name is None or name == "towpath" or name.startswith("towpath."):
        return loggers.get_logger(name or "towpath")
    return loggers.get_logger(f"towpath.{name}")


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Let runs log nothing within the block, and `get_run_logger()` give a silent logger where there is no run."""
    silenced = [loggers.get_logger(name) for name in loggers.OF_RUNS]
    before = [logger.disabled for logger in silenced]
    try:
        for logger in silenced:
            logger.disabled = True
        yield
    finally:
        for logger, was in zip(silenced, before, strict=True):
            logger.disabled = was
