"""The task runner on a Dask cluster; needs `pip install 'towpath[dask]'`.

@flow(task_runner=DaskTaskRunner(address="tcp://scheduler:8786"))
def crawl(urls: list[str]) -> list[bytes]:
    return fetch.map(urls).result()

if __name__ == "__main__":
    crawl(["https://example.org"])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    from towpath.engine.dask_cluster import Connection
    from towpath.runners import TaskCall


class DaskTaskRunner:
    """Runs tasks on the workers of a Dask cluster: one that is there, or one of the flow run's own.

    Without arguments, a cluster of processes on this machine is made when the first task is submitted, and taken away
    when the flow run ends. Dask starts its processes such that they import the script; so a script calls its flow below
    `if __name__ == "__main__":`.

    Dask decides when and where a task runs. States, retries, timeouts, hooks and kept results of a task are the flow's
    process's affair; only its function is called in a worker, which needs Towpath and what the function imports.
    Arguments and values travel by the flow's process. A task that waits for tasks that it has submitted lets others run
    meanwhile. A task whose worker is killed CRASHED: it is not run again unasked.

    Args:
        cluster: a cluster object of Dask's, which stays when the run ends.
        address: of the scheduler of a cluster that is there, such as "tcp://10.0.0.5:8786".
        cluster_class: what makes a cluster for the run, or its name, such as "dask_kubernetes.operator.KubeCluster"; by
            default `distributed.LocalCluster`.
        cluster_kwargs: what it is given.
        adapt_kwargs: have the cluster grow and shrink; given to its method `adapt`.
        client_kwargs: given to `distributed.Client`.
        performance_report_path: where to write Dask's performance report, an HTML page, when the run ends; the
            scheduler needs the package bokeh for it.

    Raises:
        ConfigurationError: arguments that do not go together; when it is used, also if Dask is not installed.
    """

    def __init__(  # noqa: PLR0917 in the order that authors know
        self,
        cluster: Any = None,
        address: str | None = None,
        cluster_class: str | Callable[..., Any] | None = None,
        cluster_kwargs: Mapping[str, Any] | None = None,
        adapt_kwargs: Mapping[str, Any] | None = None,
        client_kwargs: Mapping[str, Any] | None = None,
        performance_report_path: str | None = None,
    ) -> None:
        self.cluster = cluster
        self.address = address
        self.cluster_class = cluster_class
        self.cluster_kwargs = dict(cluster_kwargs or {})
        self.adapt_kwargs = dict(adapt_kwargs or {})
        self.client_kwargs = dict(client_kwargs or {})
        self.performance_report_path = performance_report_path
        self._check()
        self._connection: Connection | None = None

    def duplicate(self) -> DaskTaskRunner:
        """Give a fresh one for a flow run."""
        return DaskTaskRunner(*self._settings)

    def submit(self, call: TaskCall) -> None:
        """Have the call made in a worker, when Dask has room for it."""
        if self._connection is None:
            try:
                from towpath.engine.dask_cluster import Connection
            except ImportError as error:
                raise ConfigurationError(
                    f"DaskTaskRunner needs the package {error.name!r}: pip install 'towpath[dask]'."
                ) from error
            self._connection = Connection(self)
        self._connection.hub.submit(call)

    def close(self) -> None:
        """Let go of the cluster, and take away what was made for this run."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DaskTaskRunner) and other._settings == self._settings

    def __hash__(self) -> int:
        return hash((DaskTaskRunner, self.address, id(self.cluster), repr(self.cluster_class)))

    def __repr__(self) -> str:
        names = [name for name in _NAMES if getattr(self, name)]
        return f"DaskTaskRunner({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    @property
    def _settings(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in _NAMES)

    def _check(self) -> None:
        given = [name for name in ("cluster", "address", "cluster_class") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigurationError(
                f"DaskTaskRunner takes one of {' and '.join(given)}, as each says where tasks run."
            )
        if self.cluster_kwargs and (self.cluster is not None or self.address is not None):
            raise ConfigurationError(
                f"cluster_kwargs are for a cluster that is made for the run; got {given[0]}= too, which is there."
            )
        if self.adapt_kwargs and self.address is not None:
            raise ConfigurationError("adapt_kwargs need the cluster itself, not its address; give cluster=.")
        if self.address is not None and not isinstance(self.address, str):
            raise ConfigurationError(f"address is a text such as 'tcp://10.0.0.5:8786'; got {self.address!r}.")
        for name in ("cluster_kwargs", "client_kwargs"):
            if "asynchronous" in getattr(self, name):
                raise ConfigurationError(f"{name} cannot set 'asynchronous': flows of both kinds use the same client.")
        if getattr(self.cluster, "asynchronous", False):
            raise ConfigurationError("The cluster was made with asynchronous=True; DaskTaskRunner needs one without.")


_NAMES = (
    "cluster",
    "address",
    "cluster_class",
    "cluster_kwargs",
    "adapt_kwargs",
    "client_kwargs",
    "performance_report_path",
)
