"""Settings files: which count, what goes over what, and how `towpath config set` changes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath import settings, settings_files
from towpath.cli.__main__ import main
from towpath.cli.config import SETTINGS
from towpath.cli.exits import Exit
from towpath.cli.toml_lines import changed
from towpath.errors import ConfigurationError

USER = "home/towpath/towpath.toml"
PROJECT = "project/towpath.toml"
PYPROJECT = "project/pyproject.toml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Be below a project, with nothing set."""
    inner = tmp_path / "project" / "src"
    inner.mkdir(parents=True)
    (tmp_path / "home" / "towpath").mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.startswith("TOWPATH_"):
            monkeypatch.delenv(name)
    settings_files.forget()
    yield tmp_path
    settings_files.forget()


@pytest.mark.parametrize(
    ("files", "environment", "level"),
    [
        ({}, None, "INFO"),
        ({USER: 'log_level = "DEBUG"'}, None, "DEBUG"),
        ({USER: 'log_level = "DEBUG"', PYPROJECT: '[tool.towpath]\nlog_level = "ERROR"'}, None, "ERROR"),
        ({PROJECT: '[log]\nlevel = "CRITICAL"', PYPROJECT: '[tool.towpath]\nlog_level = "ERROR"'}, None, "CRITICAL"),
        ({PROJECT: 'log_level = "CRITICAL"'}, "WARNING", "WARNING"),
        ({PROJECT: 'log_level = "CRITICAL"'}, "", "INFO"),
        ({"towpath.toml": 'log_level = "CRITICAL"', PYPROJECT: "[tool.towpath.log]\nlevel = 'ERROR'"}, None, "ERROR"),
        ({"towpath.toml": 'log_level = "CRITICAL"', PYPROJECT: "[project]\nname = 'x'"}, None, "CRITICAL"),
    ],
    ids=[
        "nothing said",
        "the user's own",
        "a project's goes over it",
        "its own file over its pyproject",
        "the environment over all",
        "an empty variable is the default",
        "the nearest folder counts",
        "a folder that says nothing does not",
    ],
)
def test_what_goes_over_what(
    files: dict[str, str],
    environment: str | None,
    level: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And `towpath config` says where what holds comes from."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    if environment is not None:
        monkeypatch.setenv("TOWPATH_LOG_LEVEL", environment)
    assert settings.log_level() == level
    assert main(["config", "--json"]) == Exit.OK
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}["TOWPATH_LOG_LEVEL"]
    assert found["value"] == level
    source = Path(found["source"])
    if source.is_absolute():
        assert level in source.read_text(encoding="utf-8")
    else:
        assert found["source"] == ("environment" if environment else "default")


def test_a_run_goes_by_the_files(folder: Path) -> None:
    """Not only the command line: a script in the project's folder does, and what it starts."""
    (folder / PROJECT).write_text(
        f"log_prints = true\nhistory = {str(folder / 'mine.db')!r}\nlogging_extra_loggers = ['a', 'b']",
        encoding="utf-8",
    )
    script = (
        "from towpath import flow, settings\n"
        "@flow\ndef main():\n    print('to the log', settings.extra_loggers())\nmain()"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "to the log ('a', 'b')" in ran.stderr
    assert (folder / "mine.db").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("log_level = ", r"The settings file '.*towpath.toml' is no TOML: "),
        ("log_level = [1]", r"log_level must be a text, a number, true, false or a list of texts; it is \[1\]"),
        ("log_level = 'loud'", r"In the settings file '.*', log_level \(TOWPATH_LOG_LEVEL\) must be one of .* 'loud'"),
        ("[log]\nlevl = 'INFO'", r"In '.*towpath.toml', log_levl sets nothing: is log_level meant\?"),
        ("debug = true", r"debug sets nothing: it has to be in the environment"),
        ("zzz = 1", r"zzz sets nothing: `towpath config` lists what does"),
    ],
    ids=["no TOML", "no such value", "a wrong value", "a wrong key", "of the environment", "nothing like it"],
)
def test_what_is_wrong_in_a_file_is_told(
    text: str, sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the file, the key and the value."""
    (folder / PROJECT).write_text(text, encoding="utf-8")
    assert main(["config"]) == Exit.USAGE
    with pytest.raises(ConfigurationError, match=sentence):
        raise ConfigurationError(capsys.readouterr().err)


def test_a_file_that_cannot_be_read_is_no_secret(folder: Path) -> None:
    """It is said, not passed over."""
    (folder / PROJECT).write_bytes(b"log_level = '\xff'")
    with pytest.raises(ConfigurationError, match="is no TOML"):
        settings.log_level()


def test_settings_are_written_and_taken_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the user, or of the project; what else a file says stays."""
    (folder / PROJECT).write_text(
        "# ours\nmax_workers = 3\n\n[results]\ndefault_serializer = 'json'\n", encoding="utf-8"
    )
    assert main(["config", "set", "log_level=debug", "TOWPATH_MAX_DEPTH=7"]) == Exit.OK
    assert main(["config", "set", "max-workers=8", "results.default_serializer=pickle", "--project"]) == Exit.OK
    assert (folder / USER).read_text() == 'log_level = "debug"\nmax_depth = 7\n'
    assert (folder / PROJECT).read_text() == ('# ours\nmax_workers = 8\n\n[results]\ndefault_serializer = "pickle"\n')
    settings_files.forget()
    assert (settings.log_level(), settings.max_workers(), settings.max_depth()) == ("DEBUG", 8, 7)
    capsys.readouterr()
    assert main(["config", "set", "max_workers=2"]) == Exit.OK
    assert "says max_workers = 8, which goes over that" in capsys.readouterr().err
    assert main(["config", "unset", "max_workers", "--project"]) == Exit.OK
    assert "still says max_workers = 2" in capsys.readouterr().err
    assert main(["config", "unset", "max_workers", "log_level", "--json"]) == Exit.OK
    assert [one["value"] for one in json.loads(capsys.readouterr().out)] == [None, None]
    assert (folder / USER).read_text() == "max_depth = 7\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["set", "log_level=loud"], "must be one of DEBUG"),
        (["set", "max_workers=2", "log_levl=DEBUG"], "There is no setting 'log_levl': is log_level meant?"),
        (["set", "NO_COLOR=1"], "NO_COLOR can be set in the environment only"),
        (["set", "log_level"], "config set takes NAME=VALUE"),
        (["unset", "nothing_of_ours"], "There is no setting 'nothing_of_ours'"),
    ],
    ids=["a wrong value", "a wrong name", "of the environment", "no value", "unset"],
)
def test_what_cannot_be_set_is_refused(
    arguments: list[str], sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is written, also not what would be right."""
    assert main(["config", *arguments]) == Exit.USAGE
    assert sentence in capsys.readouterr().err
    assert not (folder / USER).exists()


def test_a_file_that_is_beyond_editing_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the simple way of reading TOML does not see what a file says."""
    text = "log = {level = 'INFO'}\n"
    (folder / PROJECT).write_text(text, encoding="utf-8")
    assert main(["config", "set", "log_level=DEBUG", "--project"]) == Exit.USAGE
    assert "Change log_level in it by hand" in capsys.readouterr().err
    assert (folder / PROJECT).read_text() == text


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1),
    st.sampled_from(["", "# c\n", "other = 1\n", "[log]\nlevel = 'x'\n", "[a]\n[b.c]\nd = 2\n"]),
)
def test_a_key_that_is_set_says_what_was_set(value: str, text: str) -> None:
    """Whatever the value is; and taken out again, the file says what it said before, but for that key."""
    made = changed(text, "log_level", value)
    assert made is not None
    back = changed(made, "log_level", None)
    assert back is not None
    assert changed(text, "log_level", None) is not None
    assert str(said(made)["log_level"]).lower() == value.lower()
    assert said(back) == {key: one for key, one in said(text).items() if key != "log_level"}


def said(text: str) -> dict[str, object]:
    """Give what a file of this text says."""
    return dict(settings_files.flat(tomllib.loads(text)))


def test_every_setting_of_ours_can_be_in_a_file(folder: Path) -> None:
    """But for those that say so: a wrong value of each is found, or another one taken, wherever it is read."""
    for setting in SETTINGS:
        if not setting.by_file:
            continue
        with settings_files.as_if(setting.name, "/nowhere/of/ours", folder / USER):
            try:
                assert "/nowhere/of/ours" in setting.value()
            except ConfigurationError as error:
                assert f"{setting.key} ({setting.name}) must be" in str(error)  # noqa: PT017 either is right
