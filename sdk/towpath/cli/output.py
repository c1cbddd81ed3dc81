"""How things look on a terminal: tables, times, colours; and as JSON."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TextIO

from towpath.cli.seen import SeenState, as_json
from towpath.console.looks import BOLD, COLOURS, DIM, GREEN, LEVEL_COLOURS, MARKS, RED, WAITING, has_colours, painted

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*m")
#: What a terminal would obey instead of showing it; names come from anywhere.
_COMMANDS: Final = re.compile(r"[\x00-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029]|\x1b(?!\[[0-9;]*m)")
#: Characters of a cell, at most.
_CELL: Final = 200
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Style:
    """Colours, or none."""

    coloured: bool = False

    def state(self, state: SeenState) -> str:
        """Show a state: a mark that can be told apart without colours, and its name."""
        return self._paint(f"{MARKS.get(state.type, WAITING)} {state.name}", COLOURS.get(state.type))

    def level(self, level: str) -> str:
        """Show the level of a log line."""
        return self._paint(f"{level:<8}", LEVEL_COLOURS.get(level))

    def passed(self, passed: bool | None) -> str:
        """Show whether a check has passed; None: it could not be made."""
        if passed is None:
            return self._paint("?", DIM)
        return self._paint("✔", GREEN) if passed else self._paint("✘", RED)

    def heading(self, text: str) -> str:
        """Show a heading."""
        return self._paint(text, BOLD)

    def faint(self, text: str) -> str:
        """Show what matters less."""
        return self._paint(text, DIM)

    def _paint(self, text: str, colour: str | None) -> str:
        return painted(text, colour) if self.coloured else text


PLAIN: Final = Style()


def style_of(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Style:
    """Choose colours for a terminal that has them, unless NO_COLOR is set (https://no-color.org)."""
    return Style(has_colours(stream, environment))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows, the first of which has the headings; columns without a single entry are left out."""
    filled = [index for index in range(len(rows[0])) if any(row[index] for row in rows[1:])]
    return aligned([[row[index] for index in filled] for row in rows])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows without headings."""
    rows = [[_cell(text) for text in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def fields(pairs: Sequence[tuple[str, str]]) -> str:
    """Lay out names and values, one below the other; what is empty is left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name:<{width}}  {indented(value, width + 2)}" for name, value in shown)


def indented(text: str, by: int) -> str:
    """Indent all lines but the first."""
    return text.replace("\n", "\n" + " " * by)


def age(when: datetime | None, now: datetime) -> str:
    """Say how long ago something was, in one unit."""
    if when is None:
        return ""
    seconds = max(0, int((now - when).total_seconds()))
    for length, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def moment(when: datetime | None) -> str:
    """Say when something was, in the time of whoever reads it."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S") if when is not None else ""


def say(*lines: str) -> None:
    """Write lines to standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def note(*lines: str) -> None:
    """Write lines for people to standard error, which leaves standard output to what was asked for."""
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def say_json(value: Any) -> None:
    """Write JSON for programs, readable for people."""
    say(json.dumps(as_json(value), ensure_ascii=False, indent=2))


def say_json_line(value: Any) -> None:
    """Write JSON in one line, at once: whoever reads a stream wants it now."""
    say(json.dumps(as_json(value), ensure_ascii=False))
    sys.stdout.flush()


def value_text(value: Any, indent: int | None = None) -> str:
    """Give what a flow or task returned as people read it: text as it is, else JSON, else Python's own words."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except (TypeError, ValueError):
        return repr(value)


def value_json(value: Any) -> Any:
    """Give such a value for JSON: itself where it has that form, else Python's own words."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return repr(value)
    return value


def _cell(text: str) -> str:
    """Give a text that fits into one line, and does nothing to the terminal but to stand there."""
    text = _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return text if len(text) <= _CELL or _ESCAPES.search(text) else f"{text[: _CELL - 1]}…"


def _width(text: str) -> int:
    return len(_ESCAPES.sub("", text))
