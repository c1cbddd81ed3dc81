"""Settings: read from the environment, checked, documented."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from towpath.errors import ConfigurationError
from towpath_operator import settings
from towpath_operator.reconcile.policy import Policy
from towpath_operator.settings import Settings, load, variable

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "operator-settings.md"
NAMES = [variable(field.name) for field in dataclasses.fields(Settings)]


def test_nothing_has_to_be_set() -> None:
    """Without any variable the defaults hold, which are those that decisions have without a shell."""
    assert load({"PATH": "/bin"}) == Settings()
    assert Settings().policy == Policy()


def test_each_variable_sets_its_setting() -> None:
    """Values are parsed, and those that decisions depend on reach the policy."""
    loaded = load(
        {
            "TOWPATH_OPERATOR_NAMESPACES": "team-a, team-b,team-a,",
            "TOWPATH_OPERATOR_LOG_LEVEL": "WARNING",
            "TOWPATH_OPERATOR_LISTEN_PORT": "9000",
            "TOWPATH_OPERATOR_WORKERS": " 3 ",
            "TOWPATH_OPERATOR_RUNNER_SERVICE_ACCOUNT": "runs",
            "TOWPATH_OPERATOR_JOB_TTL_SECONDS": "0",
            "TOWPATH_OPERATOR_RUN_TTL_SECONDS": "86400",
            "TOWPATH_OPERATOR_PENDING_TIMEOUT_SECONDS": "60",
            "TOWPATH_OPERATOR_INFRA_RETRIES": "5",
            "TOWPATH_OPERATOR_WEBHOOK_HOSTS": "hooks.example.com, *.internal",
            "TOWPATH_OPERATOR_STALE_SECONDS": "100",
            "TOWPATH_OPERATOR_SWEEP_SECONDS": "60",
            "TOWPATH_OPERATOR_DRAIN_SECONDS": "5",
            "TOWPATH_OPERATOR_ADMISSION_CERTIFICATE": "/etc/towpath/admission",
            "TOWPATH_OPERATOR_ADMISSION_PORT": "0",
            "TOWPATH_OPERATOR_LEASE": "towpath-system/towpath-operator",
            "TOWPATH_OPERATOR_IDENTITY": "one",
        }
    )
    assert loaded == Settings(
        ("team-a", "team-b"),
        "warning",
        9000,
        3,
        "runs",
        0,
        86_400,
        60,
        5,
        ("hooks.example.com", "*.internal"),
        100,
        60,
        5,
        "/etc/towpath/admission",
        0,
        "towpath-system/towpath-operator",
        "one",
    )
    assert loaded.policy == Policy(
        service_account="runs", job_ttl_seconds=0, run_ttl_seconds=86_400, pending_timeout_seconds=60, infra_retries=5
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WORKERS", "many", "'many', but must be a whole number from 1 to 256"),
        ("WORKERS", "0", "a whole number from 1 to 256"),
        ("WORKERS", "", "a whole number"),
        ("LISTEN_PORT", "70000", "from 0 to 65535"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("NAMESPACES", "team a", "names of namespaces with commas between them"),
        ("NAMESPACES", "*", "names of namespaces"),
        ("LEASE", "towpath-operator", "a namespace and the name of a Lease"),
        ("LEASE", "Sys/lease", "a namespace and the name of a Lease"),
        ("LEASE", "sys/", "a namespace and the name of a Lease"),
        ("IDENTITY", "a\nb", "a text without line breaks"),
        ("RUNNER_SERVICE_ACCOUNT", "Runs!", "name of a Kubernetes object"),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: str, words: str) -> None:
    """The error names the variable, its value, and what it could be."""
    with pytest.raises(ConfigurationError, match=re.escape(words)) as caught:
        load({f"TOWPATH_OPERATOR_{name}": value})
    assert f"TOWPATH_OPERATOR_{name} is {value!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("TOWPATH_OPERATOR_WORKER", "Did you mean TOWPATH_OPERATOR_WORKERS?"),
        ("TOWPATH_OPERATOR_XYZ", "Known are TOWPATH_OPERATOR_ and one of ADMISSION_CERTIFICATE, "),
    ],
)
def test_a_misspelt_variable_is_refused(name: str, words: str) -> None:
    """A variable that sets nothing is an error with a hint, for otherwise it would be ignored in silence."""
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        load({name: "1"})


@pytest.mark.parametrize(
    "name",
    [
        "TOWPATH_OPERATOR_SERVICE_HOST",
        "TOWPATH_OPERATOR_METRICS_SERVICE_PORT",
        "TOWPATH_OPERATOR_METRICS_SERVICE_PORT_HTTP",
        "TOWPATH_OPERATOR_METRICS_PORT",
        "TOWPATH_OPERATOR_METRICS_PORT_8080_TCP_ADDR",
    ],
)
def test_what_kubernetes_sets_is_no_misspelling(name: str) -> None:
    """Variables that a Service of a like name brings into every pod are let pass."""
    assert load({name: "tcp://10.96.0.7:8080"}) == Settings()


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_each_setting_is_documented(field: dataclasses.Field[object]) -> None:
    """The reference has a row for each setting with its default and its meaning, and so has --help."""
    default = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
    row = f"| `{variable(field.name)}` | {f'`{default}`' if default else 'empty'} | {field.metadata['meaning']} |"
    assert row in REFERENCE.read_text()
    assert variable(field.name) in settings.describe()


def test_the_reference_has_nothing_else() -> None:
    """A setting that is gone is gone from the reference too."""
    assert set(re.findall(r"^\| `(TOWPATH_\w+)`", REFERENCE.read_text(), re.MULTILINE)) == set(NAMES)
