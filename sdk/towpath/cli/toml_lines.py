"""Changes a key of a settings file, and leaves all else in it as it is: comments, order, tables. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

from towpath.settings_files import flat

_TABLE: Final = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
_KEY: Final = re.compile(r"(\s*)([A-Za-z0-9_.\-]+)\s*=")
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]*")


def changed(text: str, key: str, value: str | None) -> str | None:
    """Give a file's text with a key set, or without it.

    Args:
        text: of the file.
        key: as `settings_files` names it, with the words of its tables before it.
        value: what is to be said for it; None: nothing.

    Returns:
        The new text; None if that is beyond this simple way of reading TOML.
    """
    lines = text.splitlines()
    at = [number for number, found in _keys(lines) if found == key]
    wanted = dict(flat(tomllib.loads(text)))
    if key in wanted and not at:
        return None
    if value is None:
        wanted.pop(key, None)
        for number in reversed(at):
            del lines[number]
    else:
        wanted[key] = tomllib.loads(f"x = {literal(value)}")["x"]
        if at:
            lines[at[0]] = re.sub(r"=.*", lambda _: f"= {literal(value)}", lines[at[0]])
        else:
            first_table = next((number for number, line in enumerate(lines) if line.lstrip().startswith("[")), None)
            here = len(lines) if first_table is None else first_table
            lines[here:here] = [f"{key} = {literal(value)}", *([""] if first_table is not None else [])]
    made = "".join(f"{line}\n" for line in lines)
    return made if _says(made) == wanted else None


def literal(value: str) -> str:
    """Write a value as TOML: true, false and whole numbers as what they are, all else as a text."""
    return value if value in {"true", "false"} or _WHOLE.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def _keys(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Give the lines that say something for a key."""
    above = ""
    for number, line in enumerate(lines):
        if table := _TABLE.match(line):
            above = _joined(table[1]) + "_"
        elif said := _KEY.match(line):
            yield number, above + _joined(said[2])


def _joined(name: str) -> str:
    return "_".join(part.strip().strip("\"'").replace("-", "_") for part in name.split("."))


def _says(text: str) -> dict[str, Any] | None:
    try:
        return dict(flat(tomllib.loads(text)))
    except tomllib.TOMLDecodeError:
        return None
