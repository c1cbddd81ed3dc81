"""`towpath events …`: see, watch and emit events, on this machine."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from towpath.cli import whens
from towpath.cli.artifacts import run_meant
from towpath.cli.exits import Exit
from towpath.cli.output import aligned, note, say, say_json, say_json_line
from towpath.errors import ConfigurationError
from towpath.events import RESOURCE_ID, emit_event
from towpath.telling.kept import place
from towpath.telling.timeline import Query, SeenEvent, Timeline

if TYPE_CHECKING:
    import argparse

#: How often the history is looked at by who watches: it has no watch.
_LOOK_SECONDS: Final = 0.2
_SHOWN: Final = 100


def ls(asked: argparse.Namespace) -> int:
    """List events."""
    if asked.limit < 0:
        raise ConfigurationError(f"--limit takes a whole number, 0 or more; got {asked.limit}.")
    query = Query(
        name=asked.event,
        resource=asked.resource,
        run_id=run_meant(asked.run),
        since=whens.since(asked.since, datetime.now(UTC)) if asked.since else None,
    )
    with Timeline(place()) as timeline:
        found = timeline.latest(query, asked.limit or None)
    if asked.json:
        say_json([_plain(seen) for seen in found])
    elif found:
        say(aligned([_columns(seen, with_day=True) for seen in found]))
    else:
        note("There are no such events on this machine.")
    return Exit.OK


def watch(asked: argparse.Namespace) -> int:
    """Print events as they come."""
    query = Query(name=asked.event, resource=asked.resource)
    if query.asks_for_tasks:
        raise ConfigurationError(
            f"States of task runs cannot be watched, only listed: towpath events ls --event {asked.event!r}. What"
            " `emit_event` tells within a task can be watched."
        )
    until = None if asked.timeout is None else time.monotonic() + asked.timeout
    with Timeline(place()) as timeline:
        mark = timeline.mark()
        while True:
            found, mark = timeline.after(mark, query)
            for seen in found[:1] if asked.once else found:
                _tell(seen, as_json=asked.json)
            if found and asked.once:
                return Exit.OK
            if until is not None and time.monotonic() >= until:
                note(f"Nothing more within {asked.timeout:g} s.")
                return Exit.TIMED_OUT
            time.sleep(_LOOK_SECONDS)


def emit(asked: argparse.Namespace) -> int:
    """Emit an event."""
    resource = dict(_label(text) for text in asked.resource)
    if asked.resource_id is not None:
        resource[RESOURCE_ID] = asked.resource_id
    if not resource:
        raise ConfigurationError("An event is about something: say what with --resource-id ID.")
    event = emit_event(
        asked.event,
        resource,
        related=_json("--related", asked.related, list, "an array of objects"),
        payload=_json("--payload", asked.payload, dict, "an object"),
    )
    if asked.json:
        say_json(event.as_json())
    else:
        say(str(event.id))
    return Exit.OK


def _tell(seen: SeenEvent, *, as_json: bool) -> None:
    if as_json:
        say_json_line(_plain(seen))
    else:
        say("  ".join(_columns(seen, with_day=False)).rstrip())
        sys.stdout.flush()


def _columns(seen: SeenEvent, *, with_day: bool) -> tuple[str, ...]:
    event = seen.event
    about = event.resource.name or event.resource.id
    at = event.occurred.astimezone().strftime("%Y-%m-%d %H:%M:%S" if with_day else "%H:%M:%S")
    return at, event.event, about, _said(event.payload)


def _said(payload: Any) -> str:
    """Say what a payload says, in a line; of a state, why."""
    state = payload.get("state") if set(payload) == {"state"} else None
    if isinstance(state, dict):
        text = str(state.get("message") or "")
    else:
        text = json.dumps(payload, ensure_ascii=False) if payload else ""
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _plain(seen: SeenEvent) -> dict[str, Any]:
    origin = seen.origin
    return seen.event.as_json() | {
        "flow_run_id": origin.flow_run_id,
        "flow_run": origin.flow_run,
        "task_run_id": origin.task_run_id,
        "task_run": origin.task_run,
    }


def _label(text: str) -> tuple[str, str]:
    name, separator, label = text.partition("=")
    if not separator or not name:
        raise ConfigurationError(f"--resource takes LABEL=VALUE; got {text!r}.")
    return name, label


def _json(flag: str, text: str | None, kind: type, what: str) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{flag} takes {what} in JSON; got {text!r}, which is none: {error}.") from error
    if not isinstance(value, kind):
        raise ConfigurationError(f"{flag} takes {what} in JSON; got {text!r}.")
    return value
