"""Settings: what holds, and where it comes from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from towpath.cli import config
from towpath.cli.__main__ import main
from towpath.cli.config import OF_PODS, SETTINGS
from towpath.cli.exits import Exit

SDK = Path(__file__).parents[3] / "sdk" / "towpath"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with no setting set."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)


def test_every_setting_that_the_sdk_reads_is_listed() -> None:
    """Whoever adds an environment variable adds it to the table, or to those that the operator sets in pods."""
    read: set[str] = set()
    for source in SDK.rglob("*.py"):
        read |= set(re.findall(r"""["'](TOWPATH_[A-Z_]+)["']""", source.read_text(encoding="utf-8")))
    assert read
    assert {name for name in read if not name.endswith("_")} <= {setting.name for setting in SETTINGS} | OF_PODS


def test_defaults_hold_where_nothing_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    """Each setting has a value, where it comes from, and what it means."""
    assert main(["config", "--json"]) == Exit.OK
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert set(found) >= {setting.name for setting in SETTINGS}
    assert {one["source"] for name, one in found.items()} == {"default"}
    assert found["TOWPATH_LOG_LEVEL"]["value"] == "INFO"
    assert found["TOWPATH_HISTORY"]["value"] == f"{found['TOWPATH_HOME']['value']}/history.db"
    assert all(one["meaning"] for one in found.values())


def test_the_environment_goes_over_the_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is set is shown as it is understood."""
    monkeypatch.setenv("TOWPATH_LOG_PRINTS", "yes")
    monkeypatch.setenv("TOWPATH_HOME", "/tmp/x")
    monkeypatch.setenv("TOWPATH_HISTORY", "off")
    assert main(["config"]) == Exit.OK
    shown = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert ["TOWPATH_LOG_PRINTS", "true", "environment"] in shown
    assert ["TOWPATH_HOME", "/tmp/x", "environment"] in shown
    assert ["TOWPATH_HISTORY", "off", "environment"] in shown
    assert ["TOWPATH_MAX_DEPTH", "20", "default"] in shown


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TOWPATH_LOG_LEVEL", "loud", "TOWPATH_LOG_LEVEL must be one of DEBUG"),
        ("TOWPATH_TARGET", "moon", "TOWPATH_TARGET must be local or cluster; it is 'moon'."),
        ("TOWPATH_LOG_LEVL", "DEBUG", "TOWPATH_LOG_LEVL sets nothing: is TOWPATH_LOG_LEVEL meant?"),
        ("TOWPATH_ZZZ", "1", "TOWPATH_ZZZ sets nothing: `towpath config` lists what does."),
    ],
)
def test_what_is_wrong_is_told(
    name: str, value: str, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that cannot be, and a name that sets nothing; the exit code says so too."""
    monkeypatch.setenv(name, value)
    assert main(["config"]) == Exit.USAGE
    assert sentence in capsys.readouterr().err


def test_what_others_set_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of pods, of the operator and of the tests are no mistakes."""
    for name in ("TOWPATH_RUN", "TOWPATH_OPERATOR_WORKERS", "TOWPATH_TEST_KUBECONFIG"):
        monkeypatch.setenv(name, "x")
    assert not any(found.problem for found in config.look())
