"""`towpath results …`: see and remove what runs have kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towpath.cli import whens
from towpath.cli.exits import Exit
from towpath.cli.output import age, fields, moment, note, say, say_json, style_of, table, value_json, value_text
from towpath.errors import ConfigurationError, NotFound, StorageError, UnreadableRecord
from towpath.records import LONGEST_LINE, RecordMetadata, heading
from towpath.results import ResultStore, storage_key
from towpath.stores import LocalFileSystem

if TYPE_CHECKING:
    import argparse

_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A kept result, without its value."""

    key: str
    source: str | None = None
    """Which run it is the result of."""
    serializer: str | None = None
    bytes: int | None = None
    created: datetime | None = None
    expires: datetime | None = None
    expired: bool = False
    problem: str | None = None
    """Why nothing more is known."""


def ls(asked: argparse.Namespace) -> int:
    """List kept results."""
    if asked.limit < 0:
        raise ConfigurationError(f"--limit takes a whole number, 0 or more; got {asked.limit}.")
    now = datetime.now(UTC)
    found = sorted(_kept(store := _store(asked), now), key=_newest_first)
    shown = found[: asked.limit or None]
    if asked.json:
        say_json(shown)
    elif not found:
        note(f"There are no results in {_place(store)}. Those of tasks and flows with persist_result=True are kept.")
    else:
        style = style_of(sys.stdout)
        rows = [
            (
                one.key,
                one.source or "",
                one.serializer or "",
                _size(one.bytes),
                age(one.created, now),
                "expired" if one.expired else moment(one.expires),
                one.problem or "",
            )
            for one in shown
        ]
        say(table([("KEY", "RESULT OF", "SERIALIZER", "SIZE", "AGE", "EXPIRES", "PROBLEM"), *rows]))
        total = sum(one.bytes or 0 for one in found)
        of = f"{len(shown)} of {len(found)}" if len(shown) < len(found) else str(len(found))
        say(style.faint(f"{of} in {_place(store)}, {_size(total)} in all"))
    return Exit.OK


def show(asked: argparse.Namespace) -> int:
    """Show a result with its value."""
    store, now = _store(asked), datetime.now(UTC)
    kept = _of(store, asked.key, now)
    if kept.problem is None and not kept.expired:
        value = store.read(asked.key).result
    elif asked.json:
        value = None
    else:
        why = f"it has expired, at {moment(kept.expires)}" if kept.expired else kept.problem
        raise UnreadableRecord(f"The result {asked.key!r} cannot be shown: {why}.")
    if asked.json:
        say_json({**_object(kept), "value": value_json(value)})
        return Exit.OK
    facts = [
        ("Key", kept.key),
        ("Result of", kept.source or ""),
        ("Created", moment(kept.created)),
        ("Expires", moment(kept.expires)),
        ("Serializer", kept.serializer or ""),
        ("Size", _size(kept.bytes)),
    ]
    say(fields(facts), "", value_text(value, indent=2))
    return Exit.OK


def delete(asked: argparse.Namespace) -> int:
    """Delete results."""
    store, now = _store(asked), datetime.now(UTC)
    chosen = [_of(store, key, now) for key in asked.key]  # all of them, before anything is done
    for one in chosen:
        store.delete(one.key)
        if not asked.json:
            say(f"{one.key} is deleted.")
    if asked.json:
        say_json(chosen)
    return Exit.OK


def prune(asked: argparse.Namespace) -> int:
    """Delete results that have expired, and those that are too old."""
    store, now = _store(asked), datetime.now(UTC)
    before = whens.since(asked.older_than, now, "--older-than") if asked.older_than else None
    gone = [
        one for one in _kept(store, now) if one.expired or (before and one.created is not None and one.created < before)
    ]
    for one in gone:
        store.delete(one.key)
    store.prune()  # also what killed writers have left behind
    if asked.json:
        say_json(gone)
    else:
        what = "1 result is" if len(gone) == 1 else f"{len(gone)} results are"
        say(f"{what} deleted from {_place(store)}, {_size(sum(one.bytes or 0 for one in gone))}.")
    return Exit.OK


def _store(asked: argparse.Namespace) -> ResultStore:
    return ResultStore(asked.storage)


def _kept(store: ResultStore, now: datetime) -> Iterator[Kept]:
    for key in list(store.keys()):
        if (head := _head(store, key)) is not None:
            yield _seen(key, head, now)


def _of(store: ResultStore, key: str, now: datetime) -> Kept:
    head = _head(store, storage_key(key))
    if head is None:
        near = sorted(filter(lambda one: one.startswith(key), store.keys()))[:5]
        hint = (
            f"Is {' or '.join(map(repr, near))} meant? Type all of it." if near else "`towpath results ls` lists them."
        )
        raise NotFound(f"There is no result {key!r} in {_place(store)}. {hint}")
    return _seen(key, head, now)


def _head(store: ResultStore, key: str) -> bytes | None:
    """Read the beginning of a record; None if it has gone. Of a file, not all has to be read."""
    place = store.place
    if not isinstance(place, LocalFileSystem):
        return place.read(key)
    try:
        with Path(place.reference(key)).open("rb") as file:
            return file.read(LONGEST_LINE)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"The result {key!r} in {_place(store)} cannot be read: {error.strerror}.") from error


def _seen(key: str, head: bytes, now: datetime) -> Kept:
    try:
        metadata, _ = heading(head)
    except UnreadableRecord as error:
        return Kept(key=key, problem=str(error))
    return Kept(
        key=key,
        source=metadata.source or None,
        serializer=metadata.serializer,
        bytes=metadata.size,
        created=datetime.fromtimestamp(metadata.created, UTC),
        expires=_moment(metadata),
        expired=metadata.is_expired(now.timestamp()),
    )


def _moment(metadata: RecordMetadata) -> datetime | None:
    """Tell when a record expires; never, if that is further off than calendars go."""
    try:
        return None if metadata.expires is None else datetime.fromtimestamp(metadata.expires, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _newest_first(kept: Kept) -> tuple[timedelta, str]:
    return datetime.max.replace(tzinfo=UTC) - (kept.created or datetime.min.replace(tzinfo=UTC)), kept.key


def _place(store: ResultStore) -> str:
    return str(getattr(store.place, "basepath", store.place))


def _size(size: int | None) -> str:
    if size is None:
        return ""
    if size < _KIB:
        return f"{size} B"
    value, units = size / _KIB, iter(("KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while value >= _KIB and unit != "TiB":
        value, unit = value / _KIB, next(units)
    return f"{value:.1f} {unit}"


def _object(kept: Kept) -> dict[str, Any]:
    from towpath.cli.seen import as_json

    said: dict[str, Any] = as_json(kept)
    return said
