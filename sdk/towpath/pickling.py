"""Pickles that mean the same wherever they are read: what goes from process to process, and into a run's status.

cloudpickle takes what a script defines by value. Exceptions go by their own means: packages such as Dask's teach pickle
to take tracebacks along, which a process without those packages could not read, and which some classes do not survive.
"""

from __future__ import annotations

import copyreg
import io
from typing import Any

import cloudpickle  # type: ignore[import-untyped]


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, for exceptions of any process."""

    def reducer_override(self, obj: Any) -> Any:
        """Say how a value is taken apart, as pickle asks."""
        if isinstance(obj, BaseException) and type(obj) in copyreg.dispatch_table:
            return obj.__reduce_ex__(4)
        return super().reducer_override(obj)


def dumps(value: Any) -> bytes:
    """Write a value down; raises whatever its parts raise."""
    file = io.BytesIO()
    Pickler(file).dump(value)
    return file.getvalue()


class Rebuilt:
    """Pickles an exception without its `__init__`: most of those with one of their own cannot be built from `args`."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self._error), self._error.args, self._error.__dict__)


def _rebuild(type_: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    error = type_.__new__(type_, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error
