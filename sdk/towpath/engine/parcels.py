"""How functions, arguments, values and exceptions travel between this process and its workers.

What a script defines goes by value (`towpath.pickling`). What a module defines goes by its name, also a task's own
function, which the module has no name for: the decorator has put the task in its place.
"""

from __future__ import annotations

import io
import pickle
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FunctionType
from typing import Any

from towpath.definitions import Definition
from towpath.errors import RunError, SerializationError
from towpath.futures import Future
from towpath.pickling import Pickler, Rebuilt
from towpath.runs import TaskCounts
from towpath.states import State

loads = pickle.loads


def dumps(value: Any) -> bytes:
    """Write a value down; raises whatever its parts raise."""
    file = io.BytesIO()
    _Pickler(file, protocol=5).dump(value)
    return file.getvalue()


def dumps_error(error: BaseException) -> bytes:
    """Write an exception down with its traceback as a note; one that cannot travel becomes a RunError that tells."""
    with suppress(AttributeError, TypeError):  # an exception with slots only goes without
        error.add_note("In the worker process:\n" + "".join(traceback.format_exception(error)).rstrip())
    for parcel in (error, Rebuilt(error)):
        try:
            data = dumps(parcel)
            again = loads(data)
        except Exception:  # noqa: S112 then the next way
            continue
        if type(again).__qualname__ == type(error).__qualname__ and str(again) == str(error):
            return data
    return dumps(RunError(f"The task raised {type(error).__qualname__}: {error}. The exception itself cannot travel."))


def dumps_call(name: str, named: Callable[[], Any], call: tuple[Any, ...]) -> bytes:
    """Write a call down.

    Args:
        name: of the task.
        named: gives its arguments by name, should one have to be blamed.
        call: what travels.

    Raises:
        SerializationError: something in it cannot travel; names the argument.
    """
    try:
        return dumps(call)
    except Exception as error:
        for argument, value in named().items():
            try:
                dumps(value)
            except Exception as reason:
                raise SerializationError(
                    f"Argument {argument!r} of task {name!r} cannot be sent to a worker process: {reason}. "
                    "Pass plain data, and open files, locks and connections within the task."
                ) from reason
        raise SerializationError(
            f"Task {name!r} cannot be sent to a worker process: {error}. Its function uses something that belongs to"
            " this process; make that within the task."
        ) from error


class _Pickler(Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Definition):
            fn = obj.fn
            if _found(fn) is obj:
                return _named, (fn.__module__, fn.__qualname__)
            return NotImplemented
        if isinstance(obj, FunctionType) and isinstance(found := _found(obj), Definition) and found.fn is obj:
            return _function, (obj.__module__, obj.__qualname__)
        if isinstance(obj, Future):
            return _ended, (obj.state,)
        if isinstance(obj, TaskCounts):
            return _counts, (obj.total, obj.completed, obj.failed)
        return super().reducer_override(obj)


def _found(fn: Any) -> Any:
    """Give what a function's name stands for in its module; None in a script, which a worker does not have."""
    module = getattr(fn, "__module__", None)
    found = sys.modules.get(module) if module not in (None, "__main__") else None
    for part in getattr(fn, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found


def _named(module: str, path: str) -> Any:
    __import__(module)
    found: Any = sys.modules[module]
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _function(module: str, path: str) -> Any:
    return _named(module, path).fn


def _ended(state: State[Any]) -> Future[Any]:
    future: Future[Any] = Future()
    future.complete(state)
    return future


def _counts(total: int, completed: int, failed: int) -> TaskCounts:
    counts = TaskCounts()
    counts.total, counts.completed, counts.failed = total, completed, failed
    return counts
