"""What a FlowRun says of its pauses, and what answers to them look like in its spec. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from towpath import limits, names
from towpath.cluster.port import Body
from towpath.errors import PauseError
from towpath.limits import cut
from towpath.pausing.port import Pause
from towpath.states import SUSPENDED, TERMINAL, StateType

#: Key of what somebody outside has asked for; spec.pause and spec.suspend say it, and no answer.
ASKED_FOR: Final = ""
_DIGEST_LENGTH: Final = 10


def key_of(pause: Pause, run_id: str) -> str:
    """Give the key of a pause among all of a FlowRun: those of flows that it calls in its process are its own, too.

    Args:
        pause: in the run, or in one that it calls in its process.
        run_id: UID of the FlowRun.

    Raises:
        PauseError: the author's key is too long.
    """
    inner = pause.identity.removeprefix(run_id).strip("/")
    key = f"{inner} {pause.key}" if inner else pause.key
    if len(key) <= limits.PAUSE_KEY:
        return key
    if not inner:
        raise PauseError(
            f"The key of a pause has at most {limits.PAUSE_KEY - len('key ')} characters in a cluster; this one has"
            f" {len(pause.key.removeprefix('key '))}: {pause.key.removeprefix('key ')!r}."
        )
    return f"{key[: limits.PAUSE_KEY - _DIGEST_LENGTH - 1]}-{names.digest(key, length=_DIGEST_LENGTH)}"


def written(pause: Pause, key: str, refused_input: str | None = None) -> dict[str, Any]:
    """Write a pause as `status.pause` has it.

    Args:
        pause: what the run waits for.
        key: among all pauses of the FlowRun.
        refused_input: digest of the input that the run did not take.

    Raises:
        PauseError: what is wanted is too large.
    """
    from towpath.api.v1alpha1.transitions import rfc3339

    body: dict[str, Any] = {"key": key}
    if pause.until is not None:
        body["until"] = rfc3339(pause.until)
    if pause.wanted is not None:
        schema = json.dumps(pause.wanted, separators=(",", ":"), ensure_ascii=False)
        if (size := limits.stored_length(schema)) > limits.PAUSE_WANTED:
            raise PauseError(
                f"The input that is wanted cannot be described in a cluster: its JSON Schema takes {size} bytes, and"
                f" {limits.PAUSE_WANTED} fit. Ask for less: fewer fields, or shorter descriptions."
            )
        body["wanted"] = schema
    if pause.description:
        body["description"] = cut(pause.description, limits.PAUSE_DESCRIPTION)
    if pause.refused:
        body["refused"] = cut(pause.refused, limits.PAUSE_REFUSED)
    if refused_input:
        body["refusedInput"] = refused_input
    return body


def pause_in(run: Body) -> Pause | None:
    """Give what a FlowRun waits for; None if it waits for nobody.

    A wish that it has yet to heed counts: who resumes it takes the wish back.
    """
    status, spec = run.get("status") or {}, run.get("spec") or {}
    state = status.get("state") or {}
    if state.get("type") in TERMINAL:
        return None
    common: dict[str, Any] = {
        "run_id": run["metadata"]["uid"],
        "identity": run["metadata"]["name"],
        "since": _moment(state.get("since") or run["metadata"]["creationTimestamp"]),
    }
    pause = status.get("pause")
    if state.get("type") == StateType.PAUSED and pause:
        return Pause(
            **common,
            key=pause["key"],
            is_suspension=state.get("name") == SUSPENDED,
            wanted=_schema(pause.get("wanted")),
            description=pause.get("description"),
            until=_moment(pause["until"]) if pause.get("until") else None,
            refused=pause.get("refused"),
        )
    if spec.get("pause") or spec.get("suspend"):
        return Pause(**common, key=ASKED_FOR, is_suspension=bool(spec.get("suspend")), is_asked_for=True)
    return None


def waits(run: Body) -> bool:
    """Tell whether a run waits already, and is not only asked to."""
    state = (run.get("status") or {}).get("state") or {}
    return state.get("type") == StateType.PAUSED or state.get("name") == SUSPENDED


def answer_in(run: Body, key: str) -> Mapping[str, Any] | None:
    """Give the answer to a pause, as the spec has it; None if there is none."""
    return next((answer for answer in run["spec"].get("answers") or () if answer["pause"] == key), None)


def answers_with(run: Body, key: str, given: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Give a run's answers with one more; another input for the same pause takes the place of the last.

    Raises:
        PauseError: they would be too many, or too large.
    """
    answer: dict[str, Any] = {"pause": key} if given is None else {"pause": key, "input": dict(given)}
    answers = [*(dict(one) for one in run["spec"].get("answers") or () if one["pause"] != key), answer]
    name = run["metadata"]["name"]
    if len(answers) > limits.ANSWERS:
        raise PauseError(
            f"Run {name!r} has {len(answers) - 1} answered pauses already, and cannot keep more. Give the flow fewer"
            " places at which it waits, or call flows that wait for themselves."
        )
    if (size := len(names.canonical_json(answers).encode())) > limits.ANSWERS_BYTES:
        raise PauseError(
            f"The input is too large: with what run {name!r} has been answered before, it takes {size} bytes as JSON,"
            f" and {limits.ANSWERS_BYTES} fit. Give a reference, such as a path or URL, instead of the data."
        )
    return answers


def _schema(text: str | None) -> Mapping[str, Any] | None:
    if text is None:
        return None
    try:
        schema = json.loads(text)
    except ValueError:
        return {}
    return schema if isinstance(schema, dict) else {}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
