"""Finds the cluster: the one this process's pod runs in, else the one that the kubeconfig names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from towpath import settings
from towpath.cluster import access
from towpath.errors import ConfigurationError
from towpath.names import CREDENTIALS_DIR, ENV_NAMESPACE

if TYPE_CHECKING:
    from towpath.cluster.http import HttpCluster

#: A person at a laptop would rather hear that nobody answers than wait as long as a run does.
LAPTOP_PATIENCE_SECONDS: Final = 10.0
POD_PATIENCE_SECONDS: Final = 30.0


def connect(
    *, context: str | None = None, namespace: str | None = None, environment: Mapping[str, str] | None = None
) -> HttpCluster:
    """Connect to the pod's own cluster, or to that of a kubeconfig's context.

    Args:
        context: name of a kubeconfig context; a pod's own cluster does not count then.
        namespace: overrides TOWPATH_NAMESPACE, which overrides the context's or the pod's.
        environment: the process's environment.

    Raises:
        ConfigurationError: no cluster is named, or what names it cannot be used.
    """
    try:
        from towpath.cluster.http import HttpCluster
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    environment = settings.environment() if environment is None else environment
    wanted = namespace or environment.get(ENV_NAMESPACE)
    if context is None and (own := access.in_pod(environment, wanted)) is not None:
        return HttpCluster(own, patience_seconds=POD_PATIENCE_SECONDS)
    from towpath.cluster import kubeconfig  # a pod has no use for it

    files = kubeconfig.paths(environment)
    try:
        config = kubeconfig.read(files)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    if config is None:
        raise ConfigurationError(_nowhere(environment, files))
    return HttpCluster(kubeconfig.access(config, context, wanted), patience_seconds=LAPTOP_PATIENCE_SECONDS)


def _missing(error: ModuleNotFoundError) -> ConfigurationError:
    return ConfigurationError(f"Talking to a cluster needs the package {error.name!r}: pip install 'towpath[cluster]'.")


def _nowhere(environment: Mapping[str, str], files: list[Path]) -> str:
    named = "KUBECONFIG names" if environment.get("KUBECONFIG") else "KUBECONFIG is not set, and kubectl's default is"
    looked = ", ".join(repr(str(file)) for file in files)
    return (
        f"No cluster is named. This process has no credentials of a pod ({CREDENTIALS_DIR}); {named} {looked}, which"
        " does not exist. Set KUBECONFIG to the file that kubectl uses."
    )
