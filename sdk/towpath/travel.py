"""How results and exceptions travel from a run to whoever waits for it, through the run's status.

A value goes as JSON when JSON gives exactly it back, so that people can read it with kubectl; else as a pickle. Whoever
can write the status of a run can make its reader unpickle what they like: that is why the chart lets a pod write its
own run's status only.
"""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

from towpath import limits, stores
from towpath.engine.effects import Ended
from towpath.errors import (
    ConfigurationError,
    EntrypointError,
    FlowPauseTimeout,
    FlowRunCancelled,
    FlowRunCrashed,
    FlowRunFailed,
    MissingResult,
    ParameterError,
    ResultTooLarge,
    RunTimeout,
    TowpathError,
)
from towpath.names import MAX_INLINE_RESULT_BYTES
from towpath.states import Reason, State, StateType

if TYPE_CHECKING:
    from towpath.stores import StorageLike

_AS_TEXT: Final = {"json": "JSON", "pickle": "pickle in base64"}
_SCALARS: Final = (str, int, float, bool, type(None))
#: What the parent raises for an end that the run's own process did not live to explain.
_BY_REASON: Final[dict[str, type[TowpathError]]] = {
    Reason.INVALID_PARAMETERS: ParameterError,
    Reason.ENTRYPOINT_NOT_FOUND: EntrypointError,
    Reason.TIMED_OUT: RunTimeout,
    Reason.RESULT_TOO_LARGE: ResultTooLarge,
}


def pack_result(
    value: object, *, storage: StorageLike | None, key: str, room: int = MAX_INLINE_RESULT_BYTES
) -> dict[str, Any]:
    """Make `status.result` of what a flow returned, keeping it in the storage if it is too large for the status.

    Args:
        value: what the flow returned.
        storage: folder or fsspec URL for large values, if there is one.
        key: path below the storage, without a suffix; unique to the run's attempt.
        room: how many bytes of it the status takes.

    Raises:
        ResultTooLarge: the value fits neither the status nor any storage.
        TowpathError: the value cannot be serialised.
    """
    data, serializer = _serialise(value)
    result: dict[str, Any] = {"serializer": serializer, "size": len(data)}
    text = data if serializer == "json" else base64.b64encode(data)
    if len(text) <= room:
        return result | {"inline": text.decode()}
    too_large = (
        f"The flow returned {len(text):,} bytes ({_AS_TEXT[serializer]} of a {_type_name(type(value))}); a run's status"
        f" takes {room:,}."
    )
    if not storage:
        raise ResultTooLarge(
            f"{too_large} Set result_storage to a place that the run and its readers reach"
            " (@flow(result_storage='s3://…'), or resultStorage of the FlowRun or Deployment), or return less."
        )
    try:
        return result | {"ref": stores.write(storage, f"{key}.{serializer}", data)}
    except (OSError, ConfigurationError) as error:
        raise ResultTooLarge(f"{too_large} It could not be kept in the result storage {storage!r}: {error}") from error


def unpack_result(result: Mapping[str, Any] | None, run: str) -> object:
    """Give the value that `pack_result` packed.

    Raises:
        MissingResult: it was not kept, or cannot be read here.
    """
    inline = (result or {}).get("inline")
    if not result or (inline is None and not result.get("ref")):
        raise MissingResult(f"Flow run {run!r} completed, but what it returned was not kept: its status has no result.")
    is_json = result.get("serializer", "json") == "json"
    data = stores.read(result["ref"]) if inline is None else inline.encode() if is_json else base64.b64decode(inline)
    try:
        return json.loads(data) if is_json else _unpickle(data)
    except Exception as error:
        raise MissingResult(
            f"The result of flow run {run!r} cannot be read here: {error!r}. A pickled result needs the modules and"
            " versions that the flow's image has."
        ) from error


def pack_error(error: BaseException, reason: str, kind: Literal["User", "Infrastructure"] = "User") -> dict[str, Any]:
    """Make `status.error` of what ended a run.

    Args:
        error: the exception, whose traceback and, if it can be pickled and is small enough, self travel along.
        reason: one word, as in the state.
        kind: whose it is.
    """
    packed: dict[str, Any] = {
        "code": reason,
        "kind": kind,
        "message": limits.cut(describe(error), limits.ERROR_MESSAGE),
        "type": limits.cut(_type_name(type(error)), limits.ERROR_TYPE),
    }
    part = _authors_part(error.__traceback__)
    if part is not None or error.__cause__ is not None:
        lines = traceback.format_exception(type(error), error, part)
        packed["traceback"] = limits.cut_front("".join(lines), limits.ERROR_TRACEBACK)
    pickled = _pickled_exception(error)
    if pickled is not None:
        packed["exception"] = pickled
    return packed


def unpack_end(body: Mapping[str, Any]) -> BaseException:
    """Give what to raise for a run that ended otherwise than completed: its own exception where that can be had."""
    name = body["metadata"]["name"]
    status = body.get("status") or {}
    state, error = status.get("state") or {}, status.get("error") or {}
    type_, reason = StateType(state["type"]), error.get("code") or state.get("reason") or ""
    message = error.get("message") or state.get("message") or "no reason is known"
    if type_ is StateType.CANCELLED:
        return FlowRunCancelled(f"Flow run {name!r} was cancelled ({reason or 'no reason given'}): {message}")
    if type_ is StateType.CRASHED:
        return FlowRunCrashed(f"Flow run {name!r} crashed ({reason or 'no reason given'}): {message}")
    raised = _own_exception(error)
    if raised is None and reason in _BY_REASON:
        raised = _BY_REASON[reason](message)
    if raised is None:
        what = f"{error['type']}: {message}" if error.get("type") else message
        raised = FlowRunFailed(f"Flow run {name!r} failed: {what}")
    trace = error.get("traceback")
    raised.add_note(f"Raised in flow run {name!r}" + (f":\n{trace.rstrip()}" if trace else "."))
    return raised


def reason_of(state: State[Any], error: BaseException, *, began: bool) -> Reason:
    """Say in one word why a run ended that neither completed nor was cancelled.

    Args:
        state: its end.
        error: what ended it.
        began: whether any user code has run.
    """
    if state.type is StateType.CRASHED:
        return Reason.TERMINATED if isinstance(error, Ended) else Reason.EXITED
    if not began:
        return Reason.ENTRYPOINT_NOT_FOUND if isinstance(error, EntrypointError) else Reason.INVALID_PARAMETERS
    is_late = state.name == "TimedOut" or isinstance(error, FlowPauseTimeout)
    return Reason.TIMED_OUT if is_late else Reason.FLOW_FAILED


def describe(error: BaseException) -> str:
    """Say an exception in one line or more: its text, or its type if it has none."""
    try:
        return str(error) or _type_name(type(error))
    except Exception:
        return _type_name(type(error))


def _serialise(value: object) -> tuple[bytes, Literal["json", "pickle"]]:
    if _survives_json(value, set()):
        try:
            data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
            json.loads(data)  # an int may be too long to be read again
            return data, "json"
        except ValueError:  # not a number, infinite, or a lone surrogate
            pass
    try:
        from towpath import pickling

        pickled = pickling.dumps(value)
    except Exception as error:
        raise TowpathError(
            f"The flow returned a value of {_type_name(type(value))} that can be serialised neither as JSON nor as a"
            f" pickle: {error!r}. Return plain data, or None."
        ) from error
    return pickled, "pickle"


def _survives_json(value: object, above: set[int]) -> bool:
    """Tell whether JSON gives back exactly this, types included: 1.0 stays a float, but a tuple would become a list."""
    if type(value) in _SCALARS:
        return True
    if type(value) not in (list, dict) or id(value) in above or len(above) > 200:  # deeper goes as a pickle
        return False
    inner = above | {id(value)}
    if isinstance(value, dict):
        return all(type(key) is str and _survives_json(item, inner) for key, item in value.items())
    assert isinstance(value, list)
    return all(_survives_json(item, inner) for item in value)


def _authors_part(at: TracebackType | None) -> TracebackType | None:
    """Leave out our own frames at the beginning of a traceback: what is left, if anything is, is the flow's."""
    while at is not None and at.tb_frame.f_globals.get("__name__", "").startswith("towpath."):
        at = at.tb_next
    return at


def _pickled_exception(error: BaseException) -> str | None:
    """Pickle an exception, by its own means or ours, if what comes out is the same and small enough."""
    from towpath.pickling import Rebuilt, dumps

    for pickled_as in (error, Rebuilt(error)):
        try:
            pickled = dumps(pickled_as)
            again = _unpickle(pickled)
            if _type_name(type(again)) == _type_name(type(error)) and str(again) == str(error):
                text = base64.b64encode(pickled).decode()
                return text if len(text) <= limits.ERROR_EXCEPTION else None
        except Exception:  # noqa: S112 then the next way, or none
            continue
    return None


def _own_exception(error: Mapping[str, Any]) -> Exception | None:
    if not error.get("exception"):
        return None
    try:
        own = _unpickle(base64.b64decode(error["exception"]))
    except Exception:  # its class is not to be had here
        return None
    return own if isinstance(own, Exception) else None


def _unpickle(data: bytes) -> object:
    import pickle

    return pickle.loads(data)  # noqa: S301 see the module's docstring


def _type_name(type_: type) -> str:
    return f"{type_.__module__}.{type_.__qualname__}"
