"""FlowRuns of a cluster as the command line shows them. Pure; forgiving, as a body may come from another version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from towpath import names
from towpath.cli.pauses import seen
from towpath.cli.seen import Counts, Failure, Pause, Result, Run, SeenState
from towpath.cluster.pause_bodies import pause_in, waits
from towpath.states import StateType

Body = Mapping[str, Any]


def run_of(body: Body) -> Run:
    """Read a FlowRun."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    labels, parent = metadata.get("labels") or {}, spec.get("parent") or {}
    return Run(
        id=metadata["uid"],
        name=metadata["name"],
        flow=status.get("flow") or _flow_of(spec),
        state=state_of(body),
        created=time_of(metadata.get("creationTimestamp")),
        started=time_of(status.get("startTime")),
        ended=time_of(status.get("completionTime")),
        parent_id=parent.get("uid"),
        parent=parent.get("name"),
        root=labels.get(names.LABEL_ROOT_RUN) or (None if parent else metadata["name"]),
        deployment=spec.get("deploymentRef"),
        parameters=spec.get("parameters") or {},
        tags=tuple(spec.get("tags") or ()),
        attempt=status.get("attempt"),
        tasks=_counts(status.get("tasks")),
        children=_counts(status.get("children")),
        history=tuple(
            _state(entry, entry.get("at"), entry.get("attempt") or None) for entry in status.get("history") or ()
        ),
        error=_error(status.get("error")),
        result=_result(status.get("result")),
        waiting_for=status.get("waitingFor") or _slots(status, lacking=True) or None,
        holds=_slots(status, lacking=False) or None,
        pauses=_pauses(body),
        job=status.get("job"),
        pod=status.get("pod"),
    )


def slots_in(status: Body, field: str) -> dict[str, int]:
    """Give slots by limit, as `slotsWanted` and `slotsGranted` have them."""
    return {entry["limit"]: entry["slots"] for entry in status.get(field) or ()}


def _pauses(body: Body) -> tuple[Pause, ...]:
    pause = pause_in(body) if waits(body) else None
    return () if pause is None else (seen(pause, body["metadata"]["name"]),)


def state_of(body: Body) -> SeenState:
    """Read a FlowRun's state; one that nobody has looked at yet is waiting for the operator."""
    state = (body.get("status") or {}).get("state")
    if not state:
        return SeenState(StateType.SCHEDULED, "New")
    return _state(state, state.get("since"), None)


def _state(state: Body, since: str | None, attempt: int | None) -> SeenState:
    return SeenState(
        StateType(state["type"]), state["name"], state.get("reason"), state.get("message"), time_of(since), attempt
    )


def _flow_of(spec: Body) -> str | None:
    flow = spec.get("flow") or {}
    return spec.get("flowRef") or flow.get("name") or flow.get("entrypoint", "").rpartition(":")[2] or None


def time_of(text: str | None) -> datetime | None:
    """Read a time as Kubernetes writes it."""
    return datetime.fromisoformat(text) if text else None


def _slots(status: Body, *, lacking: bool) -> str:
    """Say which slots the code of a run waits for, or has."""
    wanted, granted = slots_in(status, "slotsWanted"), slots_in(status, "slotsGranted")
    counts = {name: slots - granted.get(name, 0) for name, slots in wanted.items()} if lacking else granted
    shown = [f"{count} slot{'' if count == 1 else 's'} of {name}" for name, count in counts.items() if count > 0]
    return "\n".join(shown)


def _counts(counts: Body | None) -> Counts | None:
    if counts is None:
        return None
    return Counts(counts.get("total", 0), counts.get("completed", 0), counts.get("failed", 0))


def _error(error: Body | None) -> Failure | None:
    if error is None:
        return None
    return Failure(error["message"], error.get("type"), error.get("kind"), error.get("traceback"))


def _result(result: Body | None) -> Result | None:
    if result is None:
        return None
    serializer, inline = result.get("serializer", "json"), result.get("inline")
    value = json.loads(inline) if serializer == "json" and inline else None
    return Result(serializer, result.get("size"), value, result.get("ref"))
