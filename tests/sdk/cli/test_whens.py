"""Times as they are typed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from towpath.cli import whens
from towpath.errors import ConfigurationError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        (" 2h ", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_so_long_ago(text: str, ago: timedelta) -> None:
    """A number with a unit means so long before now."""
    assert whens.since(text, NOW) == NOW - ago


def test_a_time_with_an_offset_is_that_time() -> None:
    """ISO 8601 with an offset does not depend on where one is."""
    assert whens.since("2026-01-31T06:00+02:00", NOW) == datetime(2026, 1, 31, 4, tzinfo=UTC)


def test_a_time_without_an_offset_is_local() -> None:
    """What somebody types is the time on their clock."""
    assert whens.at("2026-01-31T06:00", "--at").replace(tzinfo=None) == datetime(2026, 1, 31, 6)
    assert whens.at("2026-01-31", "--at").tzinfo is not None


@pytest.mark.parametrize("text", ["soon", "2x", "", "2026-13-01", "-2h", "9999999d"])
def test_anything_else_is_refused(text: str) -> None:
    """The sentence says what belongs there."""
    with pytest.raises(ConfigurationError, match="--since takes 30m, 2h, 7d, or a date"):
        whens.since(text, NOW)
    with pytest.raises(ConfigurationError, match="--at takes a date or time such as 2026-01-31T06:00; got"):
        whens.at(text, "--at")
