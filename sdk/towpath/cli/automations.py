"""`towpath automations …`: see, test and steer the Automations of a namespace."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from towpath.cli.bodies import time_of
from towpath.cli.exits import Exit
from towpath.cli.output import Style, age, aligned, fields, moment, note, say, say_json, style_of, table
from towpath.cli.resources import ready_of
from towpath.cli.target import cluster_meant
from towpath.errors import NotFound

if TYPE_CHECKING:
    import argparse

    from towpath.cluster.console import Console

_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Waiting:
    """An action that is still to be done."""

    event: str
    run: str | None
    action: str
    attempts: int
    next_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Automation:
    """An automation as people look at it."""

    name: str
    ready: bool | None
    message: str | None
    paused: bool
    when: str
    runs: str
    actions: tuple[str, ...]
    triggered: int
    done: int
    failed: int
    waiting: int
    last_triggered: datetime | None
    last_done: datetime | None
    last_error: str | None
    pending: tuple[Waiting, ...]
    created: datetime | None


def ls(asked: argparse.Namespace) -> int:
    """List automations."""
    with cluster_meant(asked) as (_, console):
        found = [read(body) for body in console.listed("automations")]
        namespace = console.namespace
    if asked.json:
        say_json(found)
    elif not found:
        note(f"There are no automations in namespace {namespace!r}. docs/automations.md has some to apply.")
    else:
        style, now = style_of(sys.stdout), datetime.now(UTC)
        heads = (
            "AUTOMATION",
            "READY",
            "WHEN",
            "RUNS",
            "DOES",
            "TRIGGERED",
            "DONE",
            "FAILED",
            "WAITING",
            "LAST",
            "MESSAGE",
        )
        rows = [
            (
                one.name,
                style.passed(one.ready),
                one.when,
                one.runs,
                ", ".join(one.actions),
                str(one.triggered or ""),
                str(one.done or ""),
                str(one.failed or ""),
                str(one.waiting or ""),
                age(one.last_triggered, now),
                one.message or one.last_error or "",
            )
            for one in found
        ]
        say(table([heads, *rows]))
    return Exit.OK


def inspect(asked: argparse.Namespace) -> int:
    """Show an automation."""
    with cluster_meant(asked) as (_, console):
        found = read(_get(console, asked.automation))
    if asked.json:
        say_json(found)
    else:
        say(page(found, style_of(sys.stdout)))
    return Exit.OK


def pause(asked: argparse.Namespace) -> int:
    """Have an automation do nothing."""
    return _suspend(asked, True)


def resume(asked: argparse.Namespace) -> int:
    """Have an automation go on."""
    return _suspend(asked, False)


def test(asked: argparse.Namespace) -> int:
    """Have the operator send a test, and say how that went."""
    with cluster_meant(asked) as (_, console):
        body = _get(console, asked.automation)
        hooks = [one for one in body["spec"]["actions"] if "webhook" in one]
        if not hooks:
            raise NotFound(f"Automation {asked.automation!r} has no webhook: there is nothing to test.")
        asked_for = datetime.now(UTC).isoformat()
        failed = int((body.get("status") or {}).get("failed") or 0)
        console.test_automation(asked.automation, asked_for)
        *_, (last, body) = _watched(console, asked.automation, asked_for, asked.timeout)
    errors = [one.error or "It was not answered yet." for one in read(body).pending if one.event == "test"]
    given_up = int((body.get("status") or {}).get("failed") or 0) > failed
    if not errors and given_up:
        errors = [read(body).last_error or "It was given up."]
    if asked.json:
        say_json({"automation": asked.automation, "heard": last, "delivered": last and not errors, "errors": errors})
    elif not last:
        why = read(body).message or "Is the operator at work?"
        note(f"The operator has not sent a test of {asked.automation} within {asked.timeout:g} s. {why}")
    elif errors:
        note(*(f"The test of {asked.automation} was not taken: {error}" for error in errors))
        note("The operator tries it again; `towpath automations inspect` shows when.")
    else:
        say(f"The test of {asked.automation} was taken by {len(hooks)} webhook{'s' if len(hooks) > 1 else ''}.")
    return (Exit.NOT_COMPLETED if errors else Exit.OK) if last else Exit.TIMED_OUT


def read(body: Mapping[str, Any]) -> Automation:
    """Read an Automation resource."""
    spec, status = body["spec"], body.get("status") or {}
    ready, message = ready_of(dict(body))
    actions = tuple(action_of(action) for action in spec["actions"])
    pending = tuple(
        Waiting(
            one["event"],
            one.get("run"),
            actions[left["action"]] if left["action"] < len(actions) else "",
            left.get("attempts", 0),
            time_of(left.get("nextAt")),
            left.get("lastError"),
        )
        for one in status.get("pending") or ()
        for left in one["left"]
    )
    return Automation(
        name=body["metadata"]["name"],
        ready=ready,
        message=message,
        paused=bool(spec.get("suspend")),
        when=trigger_of(spec["trigger"]),
        runs=match_of(spec.get("match") or {}),
        actions=actions,
        triggered=status.get("triggered") or 0,
        done=status.get("delivered") or 0,
        failed=status.get("failed") or 0,
        waiting=status.get("waiting") or 0,
        last_triggered=time_of(status.get("lastTriggered")),
        last_done=time_of(status.get("lastDelivered")),
        last_error=status.get("lastError"),
        pending=pending,
        created=time_of(body["metadata"].get("creationTimestamp")),
    )


def trigger_of(trigger: Mapping[str, Any]) -> str:
    """Say when an automation does something."""
    if states := trigger.get("states"):
        narrower = [*states.get("names", ()), *states.get("reasons", ())]
        return " or ".join(states["types"]) + (f" ({', '.join(narrower)})" if narrower else "")
    if late := trigger.get("late"):
        return f"late by {late['afterSeconds']} s"
    if long := trigger.get("longRunning"):
        return f"running for {long['afterSeconds']} s"
    return f"no success for {(trigger.get('noSuccess') or {}).get('forSeconds')} s"


def match_of(match: Mapping[str, Any]) -> str:
    """Say which runs count."""
    parts = [f"of {', '.join(match['deployments'])}"] if match.get("deployments") else []
    parts += [f"of flow {', '.join(match['flows'])}"] if match.get("flows") else []
    parts += [f"tagged {' and '.join(match['tags'])}"] if match.get("tags") else []
    parts += [f"{name}={value}" for name, value in (match.get("labels") or {}).items()]
    return ", ".join(parts or ["all"]) + (", with subflows" if match.get("subflows") else "")


def action_of(action: Mapping[str, Any]) -> str:
    """Say what is done; of a URL, only the host."""
    if "webhook" in action:
        webhook = action["webhook"]
        kind = webhook.get("format") or ("own body" if "body" in webhook else "CloudEvents")
        if reference := (webhook.get("urlFrom") or {}).get("secretKeyRef"):
            return f"{kind} to the URL in {reference['name']}/{reference['key']}"
        return f"{kind} to {urlsplit(webhook.get('url', '')).hostname}"
    if "runDeployment" in action:
        return f"run {action['runDeployment']['name']}"
    if "cancel" in action:
        return "cancel the run" + (" now" if action["cancel"].get("mode") == "Now" else "")
    return f"suspend the {(action.get('suspend') or {}).get('target', 'Run').lower()}"


def page(one: Automation, style: Style) -> str:
    """Write the page of an automation."""
    parts = [f"{style.passed(one.ready)} {style.heading(one.name)}"]
    parts += [one.message] if one.message else []
    facts = [
        ("When", one.when),
        ("Runs", one.runs),
        ("Does", "\n".join(one.actions)),
        ("Triggered", f"{one.triggered}, last {moment(one.last_triggered)}" if one.last_triggered else "never"),
        ("Done", f"{one.done}, last {moment(one.last_done)}" if one.last_done else ""),
        ("Failed", str(one.failed or "")),
        ("Last error", one.last_error or ""),
        ("Created", moment(one.created)),
    ]
    parts += ["", fields(facts)]
    if one.pending:
        rows = [
            (
                f"  {left.run or left.event}",
                left.action,
                _tried(left.attempts),
                f"again {moment(left.next_at)}" if left.next_at else "",
                left.error or "",
            )
            for left in one.pending
        ]
        parts += ["", style.heading("Waits to be done"), aligned(rows)]
    return "\n".join(parts)


def _tried(attempts: int) -> str:
    return {0: "being done", 1: "tried once"}.get(attempts, f"tried {attempts} times")


def _get(console: Console, name: str) -> Mapping[str, Any]:
    try:
        return console.automation(name)
    except NotFound as error:
        known: Sequence[str] = [body["metadata"]["name"] for body in console.listed("automations")]
        have = f"Known: {', '.join(sorted(known)[:10])}." if known else "There are none."
        raise NotFound(f"There is no Automation {name!r} in namespace {console.namespace!r}. {have}") from error


def _suspend(asked: argparse.Namespace, suspend: bool) -> int:
    with cluster_meant(asked) as (_, console):
        _get(console, asked.automation)
        changed = read(console.change("automations", asked.automation, {"suspend": suspend or None}))
    if asked.json:
        say_json(changed)
    else:
        say(f"{changed.name} is paused." if suspend else f"{changed.name} goes on.")
    return Exit.OK


def _watched(
    console: Console, name: str, asked_for: str, timeout_seconds: float
) -> Iterator[tuple[bool, Mapping[str, Any]]]:
    """Give the automation until its test is over, and whether the operator has heard of it."""
    until = time.monotonic() + timeout_seconds
    while True:
        body = console.automation(name)
        status = body.get("status") or {}
        heard = status.get("tested") == asked_for
        left = [left for one in status.get("pending") or () if one["event"] == "test" for left in one["left"]]
        yield heard, body
        if (heard and all(one.get("lastError") for one in left)) or time.monotonic() >= until:
            return
        time.sleep(_POLL_SECONDS)
