"""`towpath deployments …`: see, steer and run deployments, of this machine and of a cluster."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from towpath.cli import given, whens
from towpath.cli.exits import Exit
from towpath.cli.files import read_text
from towpath.cli.output import age, note, say, say_json, style_of, table
from towpath.cli.page import deployment_page
from towpath.cli.port import Wanted
from towpath.cli.target import deployments_meant

if TYPE_CHECKING:
    import argparse


def ls(asked: argparse.Namespace) -> int:
    """List deployments."""
    with deployments_meant(asked) as deployments:
        found = deployments.list()
    if asked.json:
        say_json(found)
    elif not found:
        note(f"There are no deployments {deployments.runs.place}. {deployments.how_to_make_one}")
    else:
        style, now = style_of(sys.stdout), datetime.now(UTC)
        rows = [
            (
                one.name,
                one.flow,
                style.passed(one.ready),
                ", ".join(f"{name}={value!r}" for name, value in one.parameters.items()),
                ", ".join(one.tags),
                "; ".join(schedule.says for schedule in one.schedules if schedule.active),
                age(one.created, now),
                one.message or "",
            )
            for one in found
        ]
        say(table([("DEPLOYMENT", "FLOW", "READY", "PARAMETERS", "TAGS", "SCHEDULES", "AGE", "MESSAGE"), *rows]))
    return Exit.OK


def inspect(asked: argparse.Namespace) -> int:
    """Show a deployment."""
    with deployments_meant(asked) as deployments:
        found = deployments.get(asked.deployment)
        flags = deployments.runs.flags
    if asked.json:
        say_json(found)
    else:
        say(deployment_page(found, flags, style_of(sys.stdout)))
    return Exit.OK


def pause(asked: argparse.Namespace) -> int:
    """Have a deployment's schedules make no runs."""
    return _paused(asked, True)


def resume(asked: argparse.Namespace) -> int:
    """Have a deployment's schedules make runs again."""
    return _paused(asked, False)


def run(asked: argparse.Namespace) -> int:
    """Run a deployment."""
    with deployments_meant(asked) as deployments:
        taken = deployments.takes(asked.deployment)
        parameters = given.parameters(asked.param, asked.params_json, taken.schema, read_text)
        given.check(taken.flow, taken.schema, parameters, taken.preset)
        made = deployments.run(
            Wanted(
                deployment=asked.deployment,
                parameters=parameters,
                at=whens.at(asked.at, "--at") if asked.at else None,
                run_name=asked.name,
                tags=frozenset(asked.tag),
            )
        )
        if asked.watch:
            from towpath.cli.watching import watch

            if not asked.json:
                note(f"Run {made.name}")
            return watch(deployments.runs, made, timeout_seconds=asked.timeout, as_json=asked.json)
    if asked.json:
        say_json(made)
        return Exit.OK
    say(made.name)
    if sys.stderr.isatty():
        note(f"To see how it goes: towpath runs watch {made.name} {deployments.runs.flags}".rstrip())
    return Exit.OK


def _paused(asked: argparse.Namespace, paused: bool) -> int:
    with deployments_meant(asked) as deployments:
        changed = deployments.pause(asked.deployment, paused)
    if asked.json:
        say_json(changed)
        return Exit.OK
    none = "" if changed.schedules else " It has none."
    say(
        f"The schedules of {changed.name} are paused.{none}"
        if paused
        else f"The schedules of {changed.name} go on.{none}"
    )
    return Exit.OK
