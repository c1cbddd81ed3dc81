"""What tests on a cluster that may be broken share: the cluster, and its image of flows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.chaos.__main__ import NotBreakableError, breakable_cluster, flows_image
from tests.cluster.api import Cluster, ClusterUnavailable
from tests.cluster.settings import in_ci
from tests.kube import Kube


@pytest.fixture(scope="session")
def breakable() -> Iterator[Cluster]:
    """A cluster of this checkout's own, beside that of the other tests; taken away afterwards."""
    try:
        found = breakable_cluster()
    except NotBreakableError as other:
        pytest.skip(str(other))
    except ClusterUnavailable as unavailable:
        if in_ci():
            pytest.fail(str(unavailable))
        pytest.skip(str(unavailable))
    yield found
    found.provider.down()


@pytest.fixture(scope="session")
def flows(breakable: Cluster) -> str:
    """The image of the tests' own flows."""
    return flows_image(breakable)


@pytest.fixture(scope="session")
def breakable_kube(breakable: Cluster) -> Iterator[Kube]:
    """The API server of the breakable cluster."""
    with Kube(breakable.kubeconfig) as kube:
        yield kube
