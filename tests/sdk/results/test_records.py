"""Kept results as bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from towpath import __version__
from towpath.errors import UnreadableRecord
from towpath.records import VERSION, decode, describe, encode


def record(data: bytes = b"42", **facts: Any) -> bytes:
    """Make a record."""
    return encode(describe(data, **{"serializer": "json", "created": 1.0, "key": "k", **facts}), data)


@given(st.binary(max_size=200), st.text(), st.none() | st.floats(0, 1e12))
def test_a_record_says_what_it_was_told(data: bytes, key: str, expires: float | None) -> None:
    """Whatever the bytes and the key are."""
    metadata, read = decode(record(data, key=key, expires=expires, source="load-1"))
    assert bytes(read) == data
    assert (metadata.key, metadata.expires, metadata.serializer, metadata.source) == (key, expires, "json", "load-1")
    assert (metadata.towpath, metadata.size) == (__version__, len(data))


def test_a_record_can_be_looked_at() -> None:
    """Its first line is JSON, the rest is the value."""
    line, _, data = record().partition(b"\n")
    assert json.loads(line) == {
        "towpath-result": 1, "serializer": "json", "size": 2, "crc32": 841265288, "created": 1.0, "key": "k",
        "towpath": __version__, "python": decode(record())[0].python,
    }  # fmt: skip
    assert data == b"42"


@given(st.integers(0, 1000), st.integers(1, 255))
def test_a_changed_byte_is_seen(place: int, by: int) -> None:
    """In the value always; in the first line wherever it matters."""
    good = bytearray(record(b"some value that is kept"))
    place %= len(good)
    good[place] ^= by
    try:
        metadata, data = decode(bytes(good))
    except UnreadableRecord:
        return
    assert bytes(data) == b"some value that is kept"
    assert metadata.size == len(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"4", "1 bytes are there of 2"), (b"425", "3 bytes are there of 2"), (b"43", "not those that were written")],
)
def test_how_a_record_is_damaged_is_told(data: bytes, says: str) -> None:
    """Whether something is missing, or something else is there."""
    with pytest.raises(UnreadableRecord, match=says):
        decode(record().removesuffix(b"42") + data)


@given(st.integers(0, 1000))
def test_a_cut_record_is_seen(length: int) -> None:
    """However much of it is left: a disk was full, or a machine lost its power."""
    good = record(b"some value that is kept")
    assume(length < len(good))
    with pytest.raises(UnreadableRecord):
        decode(good[:length])


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\n",
        b"{}",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b"\x80\x05K*.",
        b'{"towpath-result": "x"}\n',
        b'{"towpath-result": 1}\n',
    ],
    ids=repr,
)
def test_garbage_is_no_record(garbage: bytes) -> None:
    """Files of others, or what is left of ours."""
    with pytest.raises(UnreadableRecord, match=r"no record|damaged|newer"):
        decode(garbage)


def test_a_newer_record_is_told_from_a_damaged_one() -> None:
    """It names the version that can read it."""
    line = {"towpath-result": VERSION + 1, "towpath": "9.9.9", "shape": "unheard of"}
    with pytest.raises(UnreadableRecord, match=r"written by a newer Towpath \(9\.9\.9; this is ") as caught:
        decode(json.dumps(line).encode() + b"\nwhatever")
    assert caught.value.newer
    with pytest.raises(UnreadableRecord) as caught:
        decode(record()[:-1])
    assert not caught.value.newer


def test_what_a_later_version_adds_is_overlooked() -> None:
    """Within the same version of the format, older readers read on."""
    line, _, data = record().partition(b"\n")
    metadata, read = decode(json.dumps(json.loads(line) | {"colour": "red"}).encode() + b"\n" + data)
    assert (metadata.key, bytes(read)) == ("k", b"42")


@pytest.mark.parametrize(
    ("expires", "now", "expired"), [(None, 1e12, False), (5, 4.9, False), (5, 5, True), (5, 6, True)]
)
def test_a_record_expires_at_its_time(expires: float | None, now: float, expired: bool) -> None:
    """To the moment; without a time, never."""
    assert decode(record(expires=expires))[0].is_expired(now) is expired
