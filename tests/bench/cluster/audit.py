"""Counts writes by the API server's own audit log."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

_WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(slots=True)
class Writes:
    """What was written."""

    own: Counter[str] = field(default_factory=Counter)
    """By the user, by verb and resource."""
    total: int = 0
    """How often, by whomever."""


class Audit:
    """Follows the log from where it ends now; one that is rotated is read to its end first.

    Args:
        log: the file.
        user: whose writes are told apart.
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

    def writes(self) -> Writes:
        """Count the writes since the last call; Leases, which are renewed whether there is work or not, left out."""
        counted = Writes()
        for line in self._lines():
            entry = orjson.loads(line)
            target = entry.get("objectRef") or {}
            if entry["verb"] not in _WRITES or target.get("resource") == "leases":
                continue
            counted.total += 1
            if entry["user"]["username"] == self._user:
                resource = "/".join(part for part in (target.get("resource"), target.get("subresource")) if part)
                counted.own[f"{entry['verb']} {resource}"] += 1
        return counted

    def _lines(self) -> list[bytes]:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        if self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino:
            self._file.close()
            self._file = self._path.open("rb")
            more = self._lines()
            return [*lines, *more]
        return lines
