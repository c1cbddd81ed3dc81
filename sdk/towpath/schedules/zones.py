"""Time zones by name."""

from __future__ import annotations

from datetime import UTC, tzinfo

from towpath.errors import ConfigurationError


def zone_named(name: str | None) -> tzinfo:
    """Give the zone of a name such as `Europe/Berlin`; UTC, which needs no data, for None.

    Raises:
        ConfigurationError: there is no such zone, or no data.
    """
    if name is None or name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        return ZoneInfo(name)  # which keeps those it has made
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        known = available_timezones()
    if not known:
        raise ConfigurationError(
            f"A schedule's timezone={name!r} cannot be used: this machine has no zone data. Install it: pip install"
            " tzdata."
        )
    from difflib import get_close_matches

    close = get_close_matches(str(name), known, n=3, cutoff=0.7)
    hint = (
        f"Did you mean {' or '.join(map(repr, close))}?"
        if close
        else "Write for example 'Europe/Berlin', 'America/New_York' or 'UTC'."
    )
    raise ConfigurationError(f"A schedule's timezone={name!r} is not the name of a time zone. {hint}")
