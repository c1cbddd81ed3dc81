"""Settings files: what is set for a project, in its folder, and for a user, in all folders.

    # towpath.toml, or [tool.towpath] in pyproject.toml
    log_level = "DEBUG"
    max_workers = 8

    [results]
    persist_by_default = true     # as results_persist_by_default = true

A key is the name of an environment variable, without TOWPATH_ and in lower case; the words of a table go before those
in it. The nearest folder that has one counts, from the working directory upwards; what its towpath.toml says goes over
its pyproject.toml, and both over the user's own towpath.toml, in ~/.config/towpath or XDG_CONFIG_HOME.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from towpath.errors import ConfigurationError

PREFIX: Final = "TOWPATH_"
FILE_NAME: Final = "towpath.toml"
PYPROJECT: Final = "pyproject.toml"
_TABLE: Final = b"tool.towpath"


@dataclass(frozen=True, slots=True)
class FromFile:
    """What a settings file says."""

    text: str
    file: Path


#: What the files say; None until somebody asks.
_said: Mapping[str, FromFile] | None = None


def values() -> Mapping[str, FromFile]:
    """Give what the settings files say, by the names of the variables; read once, when this is first asked for.

    Raises:
        ConfigurationError: a file cannot be read, or has what cannot be a setting.
    """
    global _said
    if _said is None:
        _said = {
            variable(key): FromFile(_text(key, value, file), file)
            for file in files()
            for key, value in flat(read(file))
        }
    return _said


def forget() -> None:
    """Have the files read anew, by the next that asks."""
    global _said
    _said = None


@contextmanager
def as_if(name: str, text: str, file: Path) -> Iterator[None]:
    """Have a file say something within the block, to see whether it can be."""
    global _said
    before, told = values(), os.environ.pop(name, None)
    _said = {**before, name: FromFile(text, file)}
    try:
        yield
    finally:
        _said = before
        if told is not None:
            os.environ[name] = told


def files() -> Iterator[Path]:
    """Give the files that there are, the one that others go over first."""
    if (own := user_file()).is_file():
        yield own
    yield from project_files()


def user_file() -> Path:
    """Give the user's own settings file, whether it is there or not."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):  # noqa: PTH117 a relative one does not count, says the XDG specification
        folder = os.path.expanduser("~/.config")  # noqa: PTH111 unlike Path's, it never raises
    return Path(folder) / "towpath" / FILE_NAME


def project_files() -> list[Path]:
    """Give the settings files of the project that the working directory is in."""
    try:
        here = Path.cwd()
    except OSError:  # it is gone
        return []
    for folder in (here, *here.parents):
        pyproject, own = folder / PYPROJECT, folder / FILE_NAME
        found = [pyproject] if _has_table(pyproject) else []
        if own.is_file() and own != user_file():
            found.append(own)
        if found:
            return found
    return []


def read(file: Path) -> Mapping[str, Any]:
    """Give what a file says of Towpath.

    Raises:
        ConfigurationError: it cannot be read, or is no TOML.
    """
    import tomllib

    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The settings file {str(file)!r} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a UnicodeDecodeError is one too
        raise ConfigurationError(f"The settings file {str(file)!r} is no TOML: {error}.") from error
    return said.get("tool", {}).get("towpath", {}) if file.name == PYPROJECT else said


def flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Give keys with the words of their tables before them, and what is said for each."""
    for word, value in table.items():
        key = f"{above}{word}".replace("-", "_")
        if isinstance(value, Mapping):
            yield from flat(value, f"{key}_")
        else:
            yield key, value


def variable(key: str) -> str:
    """Give the name of the environment variable that says the same as a key."""
    return f"{PREFIX}{key.upper()}"


def key_of(name: str) -> str:
    """Give the key that says the same as an environment variable."""
    return name.removeprefix(PREFIX).lower()


def _has_table(pyproject: Path) -> bool:
    try:
        return _TABLE in pyproject.read_bytes()  # to parse it takes ten times as long as all else here
    except OSError:
        return False


def _text(key: str, value: Any, file: Path) -> str:
    """Write a value as an environment variable has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value).strip()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    raise ConfigurationError(
        f"In the settings file {str(file)!r}, {key} must be a text, a number, true, false or a list of texts; it is"
        f" {value!r}."
    )
