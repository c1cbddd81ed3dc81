"""A flow run's connection to a Dask cluster, which is there or made for the run."""

from __future__ import annotations

import importlib
import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import distributed

from towpath.engine.dask_hub import Hub
from towpath.engine.threads import THREADS, block
from towpath.errors import ConfigurationError
from towpath.loggers import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from towpath.dask_runner import DaskTaskRunner

#: How long the end of a run waits for a cluster that was still being made.
_START_SECONDS: Final = 60.0


class Connection:
    """Made in a thread of its own, so that an interrupt of the run ends the wait for it, and nothing is left half made.

    Args:
        runner: says where.

    Raises:
        ConfigurationError: there is no such cluster, or it cannot be made.
    """

    def __init__(self, runner: DaskTaskRunner) -> None:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise ConfigurationError(
                "This process was started by Dask for its own work, and came upon the call of a flow when it imported"
                ' the script. Call the flow below `if __name__ == "__main__":`.'
            )
        self._runner = runner
        self._stack = ExitStack()
        self._hub: Hub | None = None
        self._error: Exception | None = None
        self._made = threading.Lock()
        self._made.acquire()
        THREADS.start(self._make)

    @property
    def hub(self) -> Hub:
        """What calls are given to; waits until it is there."""
        if self._hub is None and self._error is None:
            block(self._made, keep_place=True)
            self._made.release()
        if self._hub is None:
            assert self._error is not None
            raise self._error
        return self._hub

    def close(self) -> None:
        """Let go of the cluster, and take away what was made."""
        if self._made.acquire(timeout=_START_SECONDS):
            try:
                self._stack.close()
            except Exception:  # what the tasks did is done
                get_logger("towpath.dask").exception("The Dask cluster could not be left in order.")

    def _make(self) -> None:
        try:
            self._hub = self._connect()
        except Exception as error:
            self._stack.close()
            self._error = error
        finally:
            self._made.release()

    def _connect(self) -> Hub:
        runner = self._runner
        where: Any = runner.address or runner.cluster
        if where is None:
            make = _class_of(runner.cluster_class)
            try:
                where = self._stack.enter_context(make(**runner.cluster_kwargs))
            except Exception as error:
                raise ConfigurationError(
                    f"{make!r} made no Dask cluster: {error} If processes of its own failed, they have said why above."
                ) from error
        if runner.adapt_kwargs:
            where.adapt(**runner.adapt_kwargs)
        try:
            client = distributed.Client(where, **{"set_as_default": False, **runner.client_kwargs})
        except OSError as error:
            raise ConfigurationError(f"There is no Dask scheduler at {runner.address!r}: {error}") from error
        hub = Hub(client)
        self._stack.callback(hub.close)
        if runner.performance_report_path is not None:
            self._stack.enter_context(_reported(client, runner.performance_report_path))
        return hub


@contextmanager
def _reported(client: distributed.Client, path: str) -> Iterator[None]:
    """Have Dask write a report of what is done meanwhile; it looks for the client in the context of each call."""
    report = distributed.performance_report(path)
    with client.as_current():
        report.__enter__()
    yield
    with client.as_current():
        report.__exit__(None, None, None)


def _class_of(wanted: str | Callable[..., Any] | None) -> Callable[..., Any]:
    """Give what makes a cluster."""
    if wanted is None:
        return distributed.LocalCluster  # type: ignore[no-any-return]
    if not isinstance(wanted, str):
        return wanted
    module, _, name = wanted.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"cluster_class {wanted!r} cannot be imported: {error}") from error
