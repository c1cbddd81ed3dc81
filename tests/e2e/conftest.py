"""What end-to-end tests share beside the installed Towpath."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.operators import scale_installed
from tests.installation import Installation
from tests.kube import Kube


@pytest.fixture(scope="module")
def installed_operator_away(kube: Kube, towpath: Installation) -> Iterator[None]:
    """No operator in the cluster but those under test."""
    scale_installed(kube, 0)
    yield
    scale_installed(kube, 1)
