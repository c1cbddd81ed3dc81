"""Which runs and deployments are meant: those of this machine, or those of a cluster."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from towpath import settings
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from towpath.cli.locally import LocalRuns
    from towpath.cli.port import Deployments, Runs
    from towpath.cluster.console import Console
    from towpath.cluster.port import Cluster

ENV_TARGET: Final = "TOWPATH_TARGET"
_PLACES: Final = ("local", "cluster")


def is_cluster(asked: argparse.Namespace, environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether a cluster is meant, not this machine.

    Raises:
        ConfigurationError: both are, or TOWPATH_TARGET has a value that cannot be.
    """
    named = bool(asked.cluster or asked.context or asked.namespace)
    if asked.local and named:
        raise ConfigurationError("--local means this machine: leave out --cluster, --context and -n, or --local.")
    return named or (target_set(environment) == "cluster" and not asked.local)


def target_set(environment: Mapping[str, str] | None = None) -> str:
    """Give the place that is meant where nothing is said: `local` or `cluster`.

    Raises:
        ConfigurationError: TOWPATH_TARGET has a value that cannot be.
    """
    environment = settings.environment() if environment is None else environment
    told = environment.get(ENV_TARGET, "").strip().lower() or "local"
    if told not in _PLACES:
        raise ConfigurationError(f"{settings.place_of(ENV_TARGET)} must be local or cluster; it is {told!r}.")
    return told


@contextmanager
def runs_meant(asked: argparse.Namespace) -> Iterator[Runs]:
    """Open the place whose runs are meant."""
    if not is_cluster(asked):
        with _local_runs() as local:
            yield local
        return
    with cluster_meant(asked) as (cluster, console):
        from towpath.cli.in_cluster import ClusterRuns

        yield ClusterRuns(cluster, console, flags_for(asked))


@contextmanager
def deployments_meant(asked: argparse.Namespace) -> Iterator[Deployments]:
    """Open the place whose deployments are meant."""
    if not is_cluster(asked):
        from towpath.cli.deployments_locally import LocalDeployments
        from towpath.history.place import history_file
        from towpath.serving.book import Book
        from towpath.serving.calling import caller

        with _local_runs() as local:
            file = history_file()
            assert file is not None, "a history that is off cannot be opened"
            with Book(file) as book:
                yield LocalDeployments(book, caller(), local)
        return
    with cluster_meant(asked) as (cluster, console):
        from towpath.cli.deployments_in_cluster import ClusterDeployments

        yield ClusterDeployments(cluster, console, flags_for(asked))


@contextmanager
def cluster_meant(asked: argparse.Namespace) -> Iterator[tuple[Cluster, Console]]:
    """Connect to the cluster that is meant."""
    from towpath.cluster.connect import connect
    from towpath.cluster.console import Console

    cluster = connect(context=asked.context, namespace=asked.namespace)
    try:
        yield cluster, Console(cluster, cluster.namespace)
    finally:
        cluster.close()


@contextmanager
def _local_runs() -> Iterator[LocalRuns]:
    from towpath.cli.limits import slots_of
    from towpath.cli.locally import LocalRuns
    from towpath.cli.pauses import pauses_of
    from towpath.history import open_history
    from towpath.serving.cancelling import cancel

    local = LocalRuns(open_history(), cancel=cancel, pauses=pauses_of, slots=slots_of)
    try:
        yield local
    finally:
        local.close()


def flags_for(asked: argparse.Namespace) -> str:
    """Give what to type so that another verb means the same cluster and namespace."""
    flags = []
    if asked.context:
        flags += ["--context", shlex.quote(asked.context)]
    if asked.namespace:
        flags += ["-n", shlex.quote(asked.namespace)]
    return " ".join(flags or ["--cluster"])
