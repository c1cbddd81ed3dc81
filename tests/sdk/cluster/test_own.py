"""What a run's pod is told about its run."""

from __future__ import annotations

import pytest

from towpath.cluster.own import OwnRun, own_run
from towpath.errors import ConfigurationError

ENVIRONMENT = {
    "TOWPATH_RUN": "etl-2",
    "TOWPATH_RUN_UID": "u-2",
    "TOWPATH_NAMESPACE": "shop",
    "TOWPATH_ROOT_RUN": "etl",
    "TOWPATH_PARENT": "etl-1",
    "TOWPATH_DEPTH": "2",
    "TOWPATH_ATTEMPT": "3",
    "TOWPATH_FLOW": "etl",
    "TOWPATH_DEPLOYMENT": "nightly",
    "TOWPATH_ENTRYPOINT": "etl.py:etl",
    "TOWPATH_IMAGE": "shop:1",
    "TOWPATH_PARAMETERS": '{"day":"2026-01-01"}',
    "TOWPATH_TAGS": '["a","b"]',
    "TOWPATH_RETRIES": "0",
    "TOWPATH_TIMEOUT_SECONDS": "60",
    "TOWPATH_RESULT_STORAGE": "s3://bucket",
}


def test_everything_comes_from_the_environment() -> None:
    """Nothing has to be asked of the API before the run starts."""
    assert own_run(ENVIRONMENT) == OwnRun(
        name="etl-2",
        uid="u-2",
        attempt=3,
        entrypoint="etl.py:etl",
        namespace="shop",
        flow="etl",
        root="etl",
        parent="etl-1",
        depth=2,
        deployment="nightly",
        image="shop:1",
        parameters={"day": "2026-01-01"},
        tags=frozenset({"a", "b"}),
        retries=0,
        timeout_seconds=60,
        result_storage="s3://bucket",
    )


def test_what_is_not_said_is_not_set() -> None:
    """A run without a parent, limits or parameters is the top of its own tree."""
    own = own_run({"TOWPATH_RUN": "etl", "TOWPATH_RUN_UID": "u"})
    assert own == OwnRun(name="etl", uid="u", attempt=1, root="etl")
    assert (own.retries, own.parent, own.parameters) == (None, None, {})


def test_outside_a_run_there_is_none() -> None:
    """A laptop is no run."""
    assert own_run({"HOME": "/"}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOWPATH_RUN_UID", ""),
        ("TOWPATH_ATTEMPT", "one"),
        ("TOWPATH_RETRIES", "-1"),
        ("TOWPATH_PARAMETERS", "{"),
        ("TOWPATH_PARAMETERS", "[]"),
        ("TOWPATH_TAGS", "{}"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, value: str) -> None:
    """A damaged environment names the variable and its value."""
    with pytest.raises(ConfigurationError, match=name):
        own_run(ENVIRONMENT | {name: value})
