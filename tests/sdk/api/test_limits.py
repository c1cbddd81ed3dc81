"""Texts are cut by what they take where they are stored."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.limits import cut, cut_front, stored_length

#: Any text that Python can hold, lone surrogates included, as they come from file names and subprocesses.
any_text = st.text(st.characters(exclude_categories=()), max_size=200)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("plain", 5),
        ("", 0),
        ('say "hi"', 10),
        ("line\nline", 10),
        ("\x1b[31m", 10),
        ("<module>", 18),
        ("a & b", 10),
        ("\u2028", 6),
        ("Grüße", 7),
        ("漢字", 6),
        ("🙂", 4),
    ],
    ids=ascii,
)
def test_stored_length_counts_what_the_api_server_writes(text: str, length: int) -> None:
    """A text is counted as UTF-8 inside JSON, with the escapes that the API server's encoder uses."""
    assert stored_length(text) == length


@settings(deadline=None)  # a busy machine is no failure
@given(any_text)
def test_a_text_that_fits_stays_as_it_is(text: str) -> None:
    """What fits is not touched, but for surrogates, which could not be sent."""
    sendable = text.encode("utf-8", "replace").decode()

    assert cut(text, 2000) == sendable
    assert cut_front(text, 2000) == sendable


@settings(deadline=None)  # a busy machine is no failure
@given(any_text, st.integers(min_value=3, max_value=100))
def test_a_cut_text_fits_and_shows_that_it_was_cut(text: str, limit: int) -> None:
    """Whatever the characters, the result fits, keeps the right end, and carries the mark if and only if something is missing."""
    sendable = text.encode("utf-8", "replace").decode()
    start, end = cut(text, limit), cut_front(text, limit)

    for result in (start, end):
        assert stored_length(result) <= limit
    if stored_length(sendable) <= limit:
        assert start == end == sendable
    else:
        assert start.endswith("…")
        assert sendable.startswith(start[:-1])
        assert end.startswith("…")
        assert sendable.endswith(end[1:])


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(min_size=1, max_size=200), st.integers(min_value=3, max_value=100))
def test_a_cut_text_keeps_as_much_as_fits(text: str, limit: int) -> None:
    """One more character would not have fitted."""
    result = cut(text, limit)

    if result != text:
        kept = len(result) - 1
        assert stored_length(text[: kept + 1]) + len("…".encode()) > limit


def test_a_huge_text_is_cut_at_once() -> None:
    """Cutting costs what the limit costs, not what the text costs: ten million characters are no work."""
    assert cut("x" * 10_000_000, 10) == "xxxxxxx…"
    assert cut_front("x" * 10_000_000, 10) == "…xxxxxxx"
