"""Times as they are typed: `2h` ago, or a date. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from towpath.errors import ConfigurationError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(r"(\d{1,6})([smhdw])")


def since(text: str, now: datetime, flag: str = "--since") -> datetime:
    """Read a time in the past: so long ago, or a date or time.

    Args:
        text: `90s`, `30m`, `2h`, `7d`, `1w`, or what `at` takes.
        now: the time, timezone-aware.
        flag: where it was typed, for the message.

    Raises:
        ConfigurationError: it is neither.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    return at(text, flag, "30m, 2h, 7d, or a date or time such as 2026-01-31")


def length(text: str, flag: str) -> timedelta:
    """Read a length of time.

    Args:
        text: seconds, or `90s`, `30m`, `2h`, `7d`, `1w`.
        flag: where it was typed, for the message.

    Raises:
        ConfigurationError: it is none.
    """
    if said := _AGO.fullmatch(text.strip()):
        return timedelta(**{_UNITS[said[2]]: int(said[1])})
    try:
        return timedelta(seconds=float(text))
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"{flag} takes seconds, or 30m, 2h, 7d; got {text!r}.") from error


def at(text: str, flag: str, takes: str = "a date or time such as 2026-01-31T06:00") -> datetime:
    """Read a date or time in ISO 8601; without an offset it is local.

    Args:
        text: what was typed.
        flag: where, for the message.
        takes: what belongs there, for the message.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"{flag} takes {takes}; got {text!r}.") from error
