"""`towpath variables …`: see and set variables, on this machine."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from towpath.cli.exits import Exit
from towpath.cli.output import age, note, say, say_json, table
from towpath.errors import NotSet
from towpath.telling import checks
from towpath.telling.kept import open_kept
from towpath.variables import Variable, environment_name, in_environment

if TYPE_CHECKING:
    import argparse

_SHOWN: Final = 60


def ls(asked: argparse.Namespace) -> int:
    """List variables."""
    found = [one for one in _all() if set(asked.tag) <= set(one["tags"])]
    if asked.json:
        say_json(found)
    elif not found:
        note(f"There are no {'such ' if asked.tag else ''}variables. `towpath variables set` makes one.")
    else:
        now = datetime.now(UTC)
        rows = [
            (one["name"], _short(one["value"]), one["from"], age(one["updated"], now), ", ".join(one["tags"]))
            for one in found
        ]
        say(table([("VARIABLE", "VALUE", "FROM", "AGE", "TAGS"), *rows]))
    return Exit.OK


def get(asked: argparse.Namespace) -> int:
    """Print a value."""
    nothing = object()
    value = Variable.get(asked.name, nothing)
    if value is nothing:
        raise NotSet(f"The variable {asked.name!r} is not set. `towpath variables ls` lists those that are.")
    if asked.json:
        say_json(value)
    else:
        say(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return Exit.OK


def set_(asked: argparse.Namespace) -> int:
    """Set a variable."""
    try:
        value = json.loads(asked.value)
    except ValueError:
        value = asked.value
    variable = Variable.set(asked.name, value, tags=asked.tag, overwrite=asked.overwrite)
    if asked.json:
        say_json(variable)
    else:
        say(f"{variable.name} is set to {_short(variable.value)}.")
    if Variable.get(variable.name) != variable.value:
        note(f"Here flows get what the environment says instead: {environment_name(variable.name)}.")
    return Exit.OK


def unset(asked: argparse.Namespace) -> int:
    """Forget variables."""
    with open_kept() as kept:
        for name in asked.name:
            if kept.variable(checks.variable_name(name)) is None:  # all of them, before anything is done
                raise NotSet(f"The variable {name!r} is not set. `towpath variables ls` lists those that are.")
    for name in asked.name:
        Variable.unset(name)
        if not asked.json:
            say(f"{name} is not set any more.")
    if asked.json:
        say_json(asked.name)
    return Exit.OK


def _all() -> list[dict[str, Any]]:
    """Give all variables by name, and where each comes from."""
    over = in_environment()
    found: dict[str, dict[str, Any]] = {}
    with open_kept() as kept:
        for one in kept.variables():
            said = [over.pop(name) for name in (one.name.replace("-", "_"), one.name) if name in over]
            facts = _facts(one.name, said[0], "environment") if said else _facts(one.name, one.value, "history")
            found[one.name] = {**facts, "tags": one.tags, "updated": one.updated}
    found |= {name: _facts(name, value, "environment") for name, value in over.items()}
    return [one for _, one in sorted(found.items())]


def _facts(name: str, value: Any, source: str) -> dict[str, Any]:
    return {"name": name, "value": value, "from": source, "tags": (), "updated": None}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
