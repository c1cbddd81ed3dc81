"""Kept results as bytes: a line of JSON that says what follows, and the value as its serializer wrote it. Pure.

    {"towpath-result":1,"serializer":"json","size":2,"crc32":223132457,"created":1772359200.0,…}
    42

The line names the serializer, the versions that wrote it and when the record expires, so that whoever reads it can tell
what it needs, without having to unpickle anything first.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields
from typing import Any, Final
from zlib import crc32

from towpath import __version__
from towpath.errors import UnreadableRecord

#: Grows when older readers could misunderstand a record.
VERSION: Final = 1
_MARK: Final = "towpath-result"
_PYTHON: Final = ".".join(map(str, sys.version_info[:3]))
#: Bytes of the line, at most.
LONGEST_LINE: Final = 16_384
#: Characters of a key and of a source that stand in the line, for people; each takes six bytes of JSON at most.
_READABLE: Final = 1_000
_written: Final = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class RecordMetadata:
    """What is known of a kept result without reading it."""

    serializer: str
    """Name of the serializer."""
    size: int
    """Of the value as it was written, in bytes."""
    crc32: int
    created: float
    """Seconds since the epoch."""
    expires: float | None = None
    """Seconds since the epoch; None: never."""
    key: str = ""
    """For people: where the record is found says the storage; a very long key is cut."""
    source: str = ""
    """Which run it is the result of, for people."""
    at: str = ""
    """Reference to the record that has the value, if this one has only the key."""
    towpath: str = __version__
    python: str = _PYTHON

    def is_expired(self, now: float) -> bool:
        """Tell whether the record counts no longer."""
        return self.expires is not None and now >= self.expires


_CUT: Final = frozenset({"key", "source"})
_FIELDS: Final = tuple(field.name for field in fields(RecordMetadata))


def describe(data: bytes, **facts: Any) -> RecordMetadata:
    """Make the metadata of a value that has been written."""
    return RecordMetadata(size=len(data), crc32=crc32(data), **facts)


def encode(metadata: RecordMetadata, data: bytes) -> bytes:
    """Give a record as bytes."""
    line: dict[str, Any] = {_MARK: VERSION}
    for name in _FIELDS:
        if (value := getattr(metadata, name)) is not None and value != "":
            line[name] = value if name not in _CUT or len(value) <= _READABLE else f"{value[:_READABLE]}…"
    return _written(line).encode() + b"\n" + data


def heading(record: bytes) -> tuple[RecordMetadata, int]:
    """Read what is known of a result, and where its value begins; the first `LONGEST_LINE` bytes are enough.

    Raises:
        UnreadableRecord: it is damaged, no record at all, or of a newer Towpath (`newer`).
    """
    end = record.find(b"\n", 0, LONGEST_LINE)
    try:
        told = json.loads(record[: max(end, 0)])
        version = told[_MARK]
    except (ValueError, TypeError, KeyError):
        raise UnreadableRecord("it is no record of a result, or its beginning is damaged") from None
    if not isinstance(version, int) or version > VERSION:
        raise UnreadableRecord(
            f"it was written by a newer Towpath ({told.get('towpath', 'unknown')}; this is {__version__})", newer=True
        )
    try:
        return RecordMetadata(**{name: value for name, value in told.items() if name in _FIELDS}), end + 1
    except TypeError:
        raise UnreadableRecord("its beginning is damaged") from None


def decode(record: bytes) -> tuple[RecordMetadata, memoryview]:
    """Take a record apart.

    Raises:
        UnreadableRecord: it is damaged, no record at all, or of a newer Towpath (`newer`).
    """
    metadata, begin = heading(record)
    data = memoryview(record)[begin:]
    if len(data) != metadata.size:
        raise UnreadableRecord(f"it is damaged: {len(data)} bytes are there of {metadata.size}")
    if crc32(data) != metadata.crc32:
        raise UnreadableRecord("it is damaged: its bytes are not those that were written")
    return metadata, data
