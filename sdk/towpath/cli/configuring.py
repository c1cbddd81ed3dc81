"""`towpath config set` and `unset`: change a settings file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from towpath import settings_files
from towpath.cli.config import SETTINGS, Setting, meant
from towpath.cli.exits import Exit
from towpath.cli.files import write_text
from towpath.cli.output import note, say, say_json
from towpath.cli.toml_lines import changed, literal
from towpath.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse


def set_(asked: argparse.Namespace) -> int:
    """Write settings into a file."""
    file = _file(asked)
    pairs = [_pair(text) for text in asked.setting]
    for setting, value in pairs:  # all of them, before anything is written
        with settings_files.as_if(setting.name, value, file):
            setting.value()
    text = _text(file)
    for setting, value in pairs:
        text = _changed(file, text, setting, value)
    write_text(str(file), text)
    if asked.json:
        say_json([{"name": setting.name, "value": value, "file": str(file)} for setting, value in pairs])
    else:
        say(*(f"{setting.key} = {literal(value)} in {file}" for setting, value in pairs))
    _note_what_goes_over([setting for setting, _ in pairs], file)
    return Exit.OK


def unset(asked: argparse.Namespace) -> int:
    """Take settings out of a file."""
    file = _file(asked)
    chosen = [_setting(name) for name in asked.setting]
    text = before = _text(file)
    for setting in chosen:
        text = _changed(file, text, setting, None)
    if text != before:
        write_text(str(file), text)
    if asked.json:
        say_json([{"name": setting.name, "value": None, "file": str(file)} for setting in chosen])
    else:
        say(*(f"{setting.key} is not set in {file}." for setting in chosen))
    _note_what_goes_over(chosen, file)
    return Exit.OK


def _file(asked: argparse.Namespace) -> Path:
    """Give the file that is meant: the user's own, or the nearest of a project."""
    if not asked.project:
        return settings_files.user_file()
    found = settings_files.project_files()
    return (found[-1].parent if found else Path.cwd()) / settings_files.FILE_NAME


def _text(file: Path) -> str:
    if not file.exists():
        return ""
    settings_files.read(file)  # says what is wrong with it
    return file.read_text(encoding="utf-8")


def _pair(text: str) -> tuple[Setting, str]:
    name, separator, value = text.partition("=")
    if not separator or not value.strip():
        raise ConfigurationError(f"config set takes NAME=VALUE, such as log_level=DEBUG; got {text!r}.")
    return _setting(name.strip()), value.strip()


def _setting(name: str) -> Setting:
    """Find a setting by the name of its variable, or by its key."""
    upper = name.upper().replace("-", "_").replace(".", "_")
    variable = upper if upper.startswith(settings_files.PREFIX) else settings_files.variable(upper)
    for setting in SETTINGS:
        if setting.name in {variable, upper}:
            if setting.by_file:
                return setting
            raise ConfigurationError(f"{setting.name} can be set in the environment only: export {setting.name}=…")
    raise ConfigurationError(f"There is no setting {name!r}: {meant(variable, as_key=True)}")


def _changed(file: Path, text: str, setting: Setting, value: str | None) -> str:
    made = changed(text, setting.key, value)
    if made is None:
        raise ConfigurationError(
            f"{str(file)!r} says more than this command can edit. Change {setting.key} in it by hand."
        )
    return made


def _note_what_goes_over(chosen: list[Setting], file: Path) -> None:
    """Say what holds instead of what the file says by now."""
    order = list(settings_files.files())
    above = order[order.index(file) + 1 :] if file in order else order
    settings_files.forget()
    for setting in chosen:
        said = settings_files.values().get(setting.name)
        if setting.name in os.environ:
            note(f"The environment says {setting.name}={os.environ[setting.name]!r}, which goes over any file.")
        elif said is not None and said.file != file and said.file in above:
            note(f"{str(said.file)!r} says {setting.key} = {literal(said.text)}, which goes over that.")
        elif said is not None and said.file != file:
            note(f"{str(said.file)!r} still says {setting.key} = {literal(said.text)}.")
