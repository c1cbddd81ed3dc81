"""Where the API server is and who we are: a kubeconfig if one is named, else the pod's service account."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

from towpath.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Connection:
    """A loaded configuration, and what can renew its credentials."""

    configuration: Configuration
    loader: Any = None
    """The kubeconfig's loader; None: nothing needs to be renewed in the background."""

    async def keep_fresh(self) -> None:
        """Renew credentials that a kubeconfig's plugin gives, for ever.

        A service account's token needs none of this: it is read from its file again every minute, as the kubelet
        rotates it there.
        """
        if self.loader is not None:
            await config.refresh_token(self.loader, client_configuration=self.configuration)
        await asyncio.Event().wait()


async def connect(environ: Mapping[str, str] = os.environ) -> Connection:
    """Load the configuration: `$KUBECONFIG`, else the service account of the pod, else `~/.kube/config`.

    Raises:
        ConfigurationError: none of them is there, or what is there cannot be used.
    """
    configuration = Configuration()
    kubeconfig = environ.get("KUBECONFIG")
    if not kubeconfig and environ.get("KUBERNETES_SERVICE_HOST"):
        try:
            config.load_incluster_config(client_configuration=configuration)
        except (config.ConfigException, OSError) as error:
            raise ConfigurationError(f"The pod's service account cannot be used: {error}") from error
        return Connection(configuration)
    path = kubeconfig or os.path.expanduser("~/.kube/config")  # noqa: ASYNC240, PTH111 - once, before anything runs
    try:
        loader = await config.load_kube_config(path, client_configuration=configuration, persist_config=False)
    except (config.ConfigException, OSError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"The kubeconfig {path!r} cannot be used ({error})."
            " Set KUBECONFIG to one that works, or run inside a pod with a service account."
        ) from error
    return Connection(configuration, loader if configuration.host.startswith("https") else None)
