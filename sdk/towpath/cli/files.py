"""Files that a command line names."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from towpath.errors import ConfigurationError


def read_text(name: str) -> str:
    """Give the content of a file; `-` is standard input."""
    return sys.stdin.read() if name == "-" else Path(name).expanduser().read_text(encoding="utf-8")


def write_text(name: str, text: str) -> None:
    """Write a file, all of it or nothing; folders on the way are made.

    Raises:
        ConfigurationError: it cannot be written.
    """
    target = Path(name).expanduser()
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise ConfigurationError(f"{name!r} cannot be written: {error.strerror}.") from error
