"""What runs wait for, as the command line shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from towpath.cli.output import Style, aligned, moment
from towpath.cli.seen import Pause, Run
from towpath.errors import HistoryError, PauseError
from towpath.parameter_words import FORMATS, TYPES
from towpath.pausing.port import Pause as Waited


def pauses_of(run_id: str) -> Sequence[Pause]:
    """Tell what a run on this machine, and those below it, wait for; nothing where that cannot be told."""
    from towpath.pausing.here import local_pauses

    try:
        standing = local_pauses().find(run_id)
    except (PauseError, HistoryError):
        return ()
    return [seen(pause, standing.names[pause.run_id]) for pause in standing.pauses]


def seen(pause: Waited, run: str) -> Pause:
    """Give a pause as the command line shows it.

    Args:
        pause: as it is kept.
        run: name of the run that waits.
    """
    return Pause(
        run=run,
        is_suspension=pause.is_suspension,
        description=pause.description,
        until=pause.until,
        input=pause.wanted,
        refused=pause.refused,
    )


def shown(run: Run, style: Style, flags: str = "") -> list[str]:
    """Show what a run waits for, and how to give it.

    Args:
        run: which.
        style: how.
        flags: what to type for the place of the run.
    """
    lines = []
    for pause in run.pauses:
        of = "" if pause.run == run.name else f", run {pause.run}"
        until = "" if pause.until is None else f", until {moment(pause.until)}"
        lines += ["", style.heading(f"Waits to be resumed{of}{until}")]
        lines += [f"  {line}" for line in (pause.description or "").splitlines()]
        lines += [f"  The last input was refused. {pause.refused}"] if pause.refused else []
        lines += [_fields(pause.input)] if pause.input is not None else []
        lines.append(f"  towpath runs resume {pause.run}{flags and f' {flags}'}{_arguments(pause.input)}")
    return lines


def _arguments(schema: Mapping[str, Any] | None) -> str:
    """Give what to type for input: the fields that have to be given."""
    return "".join(f" -p {name}=…" for name in (schema or {}).get("required") or ())


def _fields(schema: Mapping[str, Any]) -> str:
    required = schema.get("required") or ()
    return aligned(
        [
            (
                f"    {name}",
                _kind(field, schema),
                "" if name in required else _default(field),
                field.get("description") or "",
            )
            for name, field in (schema.get("properties") or {}).items()
        ]
    )


def _kind(field: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        field = (root.get("$defs") or {}).get(name) or {}
        return _kind(field, root) if "enum" in field else name
    if "enum" in field:
        return " or ".join(map(repr, field["enum"]))
    if "const" in field:
        return repr(field["const"])
    for keyword in ("anyOf", "oneOf"):
        if keyword in field:
            return " or ".join(dict.fromkeys(_kind(one, root) for one in field[keyword]))
    return FORMATS.get(field.get("format", "")) or TYPES.get(str(field.get("type")), "anything")


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default is None:
        return "may be left out"
    return f"else {default!r}" if isinstance(default, str) else f"else {json.dumps(default, ensure_ascii=False)}"
