"""Counts writes by the API server's own audit log."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Final

import orjson

_WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class Audit:
    """Follows the log from where it ends now; one that is rotated is read to its end first.

    Args:
        log: the file.
        user: whose writes are counted.
    """

    def __init__(self, log: Path, user: str) -> None:
        self._user = user
        self._path = log
        self._file = log.open("rb")
        self._file.seek(0, os.SEEK_END)
        self._rest = b""

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def writes(self) -> Counter[str]:
        """Count the user's writes since the last call, by verb and resource."""
        counted: Counter[str] = Counter()
        for line in self._lines():
            entry = orjson.loads(line)
            if entry["verb"] not in _WRITES or entry["user"]["username"] != self._user:
                continue
            target = entry.get("objectRef") or {}
            resource = "/".join(part for part in (target.get("resource"), target.get("subresource")) if part)
            counted[f"{entry['verb']} {resource}"] += 1
        return counted

    def _lines(self) -> list[bytes]:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        if self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino:
            self._file.close()
            self._file = self._path.open("rb")
            more = self._lines()
            return [*lines, *more]
        return lines
