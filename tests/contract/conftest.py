"""What the contract tests share: an API server, and Towpath's kinds where no operator meddles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.cluster.api import ClusterUnavailable
from tests.cluster.api import cluster as find_cluster
from tests.cluster.settings import in_ci
from tests.contract.apiserver import ApiServer, prepared
from tests.contract.own_group import OwnGroup, installed


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    """The API server of the clone's cluster; without one the tests skip, but fail in CI."""
    try:
        cluster = find_cluster()
    except ClusterUnavailable as unavailable:
        if in_ci():
            pytest.fail(str(unavailable))
        pytest.skip(str(unavailable))
    with prepared(cluster) as server:
        yield server


@pytest.fixture(scope="session")
def kinds(apiserver: ApiServer) -> Iterator[OwnGroup]:
    """Towpath's kinds in an API group of their own."""
    with installed(apiserver) as group:
        yield group
