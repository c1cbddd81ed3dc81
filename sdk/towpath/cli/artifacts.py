"""`towpath artifacts …`: see and delete what runs have to show, on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from towpath.cli.exits import Exit
from towpath.cli.output import age, aligned, fields, moment, note, say, say_json, style_of, table
from towpath.errors import ConfigurationError, NotSet
from towpath.telling.kept import Kept, open_kept

if TYPE_CHECKING:
    import argparse

    from towpath.cli.output import Style
    from towpath.telling.port import RecordedArtifact

_BAR: Final = 40
_CELL: Final = 60
_ROWS: Final = 200


def ls(asked: argparse.Namespace) -> int:
    """List artifacts."""
    if asked.limit < 0:
        raise ConfigurationError(f"--limit takes a whole number, 0 or more; got {asked.limit}.")
    run_id = run_meant(asked.run)
    with open_kept() as kept:
        found = kept.artifacts(run_id=run_id, latest=not (asked.all or run_id), limit=asked.limit or None)
        versions = kept.versions()
    if asked.json:
        say_json([_plain(artifact) for artifact in found])
    elif not found:
        note("There are no such artifacts on this machine." if run_id else _none(versions, all_=asked.all))
    else:
        now = datetime.now(UTC)
        rows = [
            (
                artifact.key or str(artifact.id),
                _kind(artifact),
                str(versions[artifact.key]) if artifact.key and versions[artifact.key] > 1 else "",
                age(artifact.updated, now),
                _teller(artifact),
                artifact.description or "",
            )
            for artifact in found
        ]
        say(table([("ARTIFACT", "TYPE", "VERSIONS", "AGE", "RUN", "DESCRIPTION"), *rows]))
    return Exit.OK


def inspect(asked: argparse.Namespace) -> int:
    """Show an artifact."""
    with open_kept() as kept:
        latest, *before = _found(kept, asked.artifact)
    if asked.json:
        versions = [_plain(one) for one in (latest, *before)]
        for one in versions:
            del one["data"]
        say_json(_plain(latest) | {"versions": versions})
    else:
        style = style_of(sys.stdout)
        say(*_page(latest, before, style))
    return Exit.OK


def delete(asked: argparse.Namespace) -> int:
    """Delete artifacts."""
    with open_kept() as kept:
        chosen = {name: _found(kept, name) for name in asked.artifact}  # all of them, before anything is done
        for name, found in chosen.items():
            kept.delete_artifacts([one.id for one in found])
            if not asked.json:
                say(f"{name} is deleted{f', all {len(found)} versions' if len(found) > 1 else ''}.")
    if asked.json:
        say_json([_plain(one) for found in chosen.values() for one in found])
    return Exit.OK


def run_meant(which: str | None) -> str | None:
    """Give the id of the run that was named, if one was."""
    if which is None:
        return None
    from towpath.history import open_history

    with open_history() as history:
        return history.run(which).id


def _found(kept: Kept, which: str) -> Sequence[RecordedArtifact]:
    """Give all versions of a key, the latest first, or what has an id."""
    found = kept.artifacts(key=which)
    if not found and (one := kept.artifact(which)) is not None:
        found = [one]
    if not found:
        raise NotSet(
            f"There is no artifact with the key or id {which!r} on this machine. `towpath artifacts ls -a` lists all."
        )
    return found


def _none(versions: Mapping[str, int], *, all_: bool) -> str:
    if all_ or versions:
        return "There are no artifacts on this machine."
    return "There are no artifacts with a key on this machine; `towpath artifacts ls -a` lists those without."


def _kind(artifact: RecordedArtifact) -> str:
    return f"progress {artifact.data:g} %" if artifact.type == "progress" else artifact.type


def _teller(artifact: RecordedArtifact) -> str:
    return ", ".join(name for name in (artifact.flow_run or artifact.flow_run_id, artifact.task_run) if name)


def _page(latest: RecordedArtifact, before: Sequence[RecordedArtifact], style: Style) -> Iterator[str]:
    yield f"{style.heading(latest.key or str(latest.id))}  {latest.type}"
    if latest.description:
        yield latest.description
    yield ""
    yield fields(
        [
            ("Id", str(latest.id)),
            ("Run", latest.flow_run or latest.flow_run_id or ""),
            ("Task run", latest.task_run or latest.task_run_id or ""),
            ("Created", moment(latest.created)),
            ("Updated", moment(latest.updated) if latest.updated != latest.created else ""),
        ]
    )
    yield from ("", _shown(latest))
    if before:
        yield from ("", style.heading("Before"))
        yield aligned([(f"  {moment(one.created)}", str(one.id), _teller(one)) for one in before])


def _shown(artifact: RecordedArtifact) -> str:
    if artifact.type == "progress":
        done = round(_BAR * float(artifact.data) / 100)
        return f"[{'#' * done}{'.' * (_BAR - done)}] {artifact.data:g} %"
    if artifact.type == "table":
        return _drawn(json.loads(str(artifact.data)))
    return str(artifact.data)


def _drawn(data: Any) -> str:
    """Lay a table out, its first rows if there are many."""
    rows = _rows(data)
    left_out = len(rows) - 1 - _ROWS
    drawn = aligned([[_cell(value) for value in row] for row in rows[: _ROWS + 1]]) if rows else "(no rows)"
    return drawn + (f"\n… {left_out} more" if left_out > 0 else "")


def _rows(data: Any) -> list[list[Any]]:
    """Give a table's heading and rows, whatever form it has."""
    if isinstance(data, dict):
        return [list(data), *map(list, zip_longest(*data.values()))]
    if data and isinstance(data[0], dict):
        columns = list(dict.fromkeys(name for row in data for name in row))
        return [columns, *([row.get(name) for name in columns] for row in data)]
    width = max(map(len, data), default=0)
    return [[*row, *[None] * (width - len(row))] for row in data]


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def _plain(artifact: RecordedArtifact) -> dict[str, Any]:
    """Give an artifact's JSON form, with a table as it was given."""
    return {
        "id": str(artifact.id),
        "key": artifact.key,
        "type": artifact.type,
        "description": artifact.description,
        "data": json.loads(str(artifact.data)) if artifact.type == "table" else artifact.data,
        "flow_run_id": artifact.flow_run_id,
        "flow_run": artifact.flow_run,
        "task_run_id": artifact.task_run_id,
        "task_run": artifact.task_run,
        "created": artifact.created.isoformat(),
        "updated": artifact.updated.isoformat(),
    }
