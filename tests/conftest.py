"""What tests share: the installed Towpath, each test's own runs in it, and a history that is not the user's."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.cluster import project_images
from tests.cluster.api import Cluster, ClusterUnavailable
from tests.cluster.api import cluster as find_cluster
from tests.cluster.settings import in_ci
from tests.e2e.runs import NAMESPACE, Runs
from tests.installation import Installation, install
from tests.kube import Kube

from towpath.loggers import configure

FLOWS = Path(__file__).parent / "e2e" / "flows"

os.environ["TOWPATH_HISTORY"] = "off"  # the tests of the history itself name files of their own
_no_settings = tempfile.TemporaryDirectory(prefix="towpath-tests-")
os.environ["XDG_CONFIG_HOME"] = _no_settings.name  # nor are the settings the user's
configure()  # it is done once: within a test that changes levels for a while, it would not last
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell has it so for what it starts in the background,
    signal.signal(signal.SIGINT, signal.default_int_handler)  # and processes of tests would inherit that
# How long an example takes is the machine's business, and no promise of ours.
settings.register_profile("towpath", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("towpath")


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The clone's cluster; without one the tests skip, but fail in CI."""
    try:
        return find_cluster()
    except ClusterUnavailable as unavailable:
        if in_ci():
            pytest.fail(str(unavailable))
        pytest.skip(str(unavailable))


@pytest.fixture(scope="session")
def towpath(cluster: Cluster) -> Installation:
    """Towpath, installed from this checkout."""
    return install(cluster)


@pytest.fixture(scope="session")
def kube(cluster: Cluster) -> Iterator[Kube]:
    """The API server, as its administrator."""
    with Kube(cluster.kubeconfig) as own:
        yield own


@pytest.fixture(scope="session")
def image(towpath: Installation, cluster: Cluster) -> str:
    """The image of the tests' own flows, built on the project's as a user builds theirs."""
    reference = project_images.reference("e2e", towpath.tag)
    if project_images.published():
        return reference
    cluster.build_image(reference, FLOWS / "Dockerfile", FLOWS, {"FLOW_IMAGE": towpath.flow_image})
    return reference


@pytest.fixture
def runs(kube: Kube, image: str, request: pytest.FixtureRequest) -> Iterator[Runs]:
    """The test's own runs; deleted afterwards, and told about when the test fails."""
    own = Runs(kube, NAMESPACE, image, request.node.name.removeprefix("test_"))
    yield own
    if getattr(request.node, "failed", False):
        request.node.add_report_section("call", "runs", "\n".join(own.explain()))
    own.clean()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let fixtures know that their test failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call" and report.failed:
        item.failed = True  # type: ignore[attr-defined]
