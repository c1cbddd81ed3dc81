"""The pages that `towpath runs inspect` and `towpath deployments inspect` show. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from towpath.cli.output import Style, aligned, fields, moment
from towpath.cli.pauses import shown
from towpath.cli.seen import Counts, Deployment, Run, TaskRun
from towpath.console.looks import duration
from towpath.states import StateType

_TASKS_SHOWN: Final = 50


def page(run: Run, tasks: Sequence[TaskRun], flags: str, now: datetime, style: Style) -> str:
    """Write the page.

    Args:
        run: the run.
        tasks: its task runs, where they are known.
        flags: what to type for the place where it is.
        now: the time.
        style: colours.
    """
    why = run.state.message if run.state.type is StateType.COMPLETED else run.state.why
    parts = [f"{style.heading(run.name)}  {style.state(run.state)}", *([why] if why else []), "", _facts(run, now)]
    parts += shown(run, style, flags)
    if run.history:
        parts += ["", style.heading("States"), _states(run, style)]
    if tasks:
        parts += ["", style.heading("Tasks"), _tasks(tasks, style)]
    if run.error is not None:
        parts += ["", style.heading("Error"), (run.error.traceback or run.error.message).rstrip()]
    if run.result is not None:
        parts += ["", style.heading("Result"), _result(run)]
    parts += ["", style.heading("Next"), *(f"  {command}" for command in _next(run, flags))]
    return "\n".join(parts)


def deployment_page(deployment: Deployment, flags: str, style: Style) -> str:
    """Write the page of a deployment.

    Args:
        deployment: the deployment.
        flags: what to type for the place where it is.
        style: colours.
    """
    parts = [f"{style.passed(deployment.ready)} {style.heading(deployment.name)}"]
    parts += [deployment.message] if deployment.message else []
    facts = [
        ("Flow", deployment.flow),
        ("Description", deployment.description or ""),
        ("Version", deployment.version or ""),
        ("Tags", ", ".join(deployment.tags)),
        ("Parameters", "\n".join(f"{name} = {_short(value)}" for name, value in deployment.parameters.items())),
        ("Takes", "\n".join(_taken(deployment.takes or {}))),
        ("Created", moment(deployment.created)),
    ]
    parts += ["", fields(facts)]
    if deployment.schedules:
        off = "paused" if deployment.paused else ""
        rows = [(f"  {one.says}", one.problem or off or ("" if one.active else "off")) for one in deployment.schedules]
        parts += ["", style.heading("Schedules"), aligned(rows)]
    if deployment.next_runs:
        parts += ["", style.heading("Next runs"), *(f"  {moment(time)}" for time in deployment.next_runs)]
    steer = ["resume" if deployment.paused else "pause"] if deployment.schedules else []
    commands = [f"towpath deployments {verb} {deployment.name} {flags}".rstrip() for verb in ("run", *steer)]
    return "\n".join([*parts, "", style.heading("Next"), *(f"  {command}" for command in commands)])


def _taken(schema: Mapping[str, Any]) -> Iterator[str]:
    """Say what a flow takes, a parameter a line."""
    needed = schema.get("required") or ()
    for name, one in (schema.get("properties") or {}).items():
        kind = (
            one.get("type")
            or one.get("format")
            or " or ".join(str(part.get("type") or "any") for part in one.get("anyOf") or ())
        )
        kind = " or ".join(kind) if isinstance(kind, list) else kind
        default = f" = {_short(one['default'])}" if "default" in one else ""
        yield f"{name}: {kind or 'any'}{default}{', needed' if name in needed else ''}"


def _facts(run: Run, now: datetime) -> str:
    return fields(
        [
            ("Flow", run.flow or ""),
            ("Id", run.id),
            ("Deployment", run.deployment or ""),
            ("Parent", run.parent or run.parent_id or ""),
            ("Tags", ", ".join(run.tags)),
            ("Parameters", "\n".join(f"{name} = {_short(value)}" for name, value in run.parameters.items())),
            ("Created", moment(run.created)),
            ("Started", moment(run.started)),
            ("Ended", moment(run.ended)),
            ("Took" if run.ended else "Runs for", duration(run.seconds(now))),
            ("Waits for", run.waiting_for or ""),
            ("Holds", run.holds or ""),
            ("Attempt", "" if run.attempt is None else str(run.attempt)),
            ("Job", run.job or ""),
            ("Pod", run.pod or ""),
            ("Runs in", run.process or ""),
            ("Tasks", _counted(run.tasks)),
            ("Children", _counted(run.children)),
        ]
    )


def _counted(counts: Counts | None) -> str:
    if counts is None or not counts.total:
        return ""
    named = ((counts.completed, "completed"), (counts.failed, "failed"), (counts.running, "running"))
    said = ", ".join(f"{count} {name}" for count, name in named if count)
    return f"{said} ({counts.cached} of a kept result)" if counts.cached else said


def _states(run: Run, style: Style) -> str:
    several = len({state.attempt for state in run.history}) > 1
    return aligned(
        [
            (
                f"  {moment(state.since)}",
                style.state(state),
                *([f"attempt {state.attempt}"] if several else []),
                state.why,
            )
            for state in run.history
        ]
    )


def _tasks(tasks: Sequence[TaskRun], style: Style) -> str:
    rows = [
        (f"  {task.name}", style.state(task.state), duration(task.seconds), _tries(task))
        for task in tasks[-_TASKS_SHOWN:]
    ]
    left_out = len(tasks) - len(rows)
    return (f"  … {left_out} before these\n" if left_out else "") + aligned(rows)


def _tries(task: TaskRun) -> str:
    return f"{task.run_count} tries" if task.run_count > 1 else ""


def _result(run: Run) -> str:
    result = run.result
    assert result is not None
    if result.ref:
        return f"  kept at {result.ref} ({result.serializer}, {result.size or 0:,} bytes)"
    if result.serializer != "json":
        return f"  a {result.serializer} of {result.size or 0:,} bytes"
    return result.value if isinstance(result.value, str) else json.dumps(result.value, ensure_ascii=False, indent=2)


def _next(run: Run, flags: str) -> list[str]:
    can_be_cancelled = not run.has_ended and bool(flags or run.parent_id is None)
    can_be_retried = bool(flags) and run.state.type in {StateType.FAILED, StateType.CRASHED}
    verbs = ["logs", "tree" if run.has_ended else "watch"]
    verbs += [*(["cancel"] if can_be_cancelled else []), *(["retry"] if can_be_retried else [])]
    return [f"towpath runs {verb} {run.name} {flags}".rstrip() for verb in verbs]


def _short(value: Any, most: int = 200) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"
