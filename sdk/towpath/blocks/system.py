"""Secrets, by reference: a flow names one, and whoever runs it says what it is.

    from towpath.blocks.system import Secret

    password = Secret.load("db-password").get()

Where `load` looks, in this order:

1. the environment: TOWPATH_SECRET_DB_PASSWORD
2. a file of that name: in a run's pod below /etc/towpath/secrets, where a pod template mounts Kubernetes Secrets;
   on this machine below `secrets` in TOWPATH_HOME, readable by its owner only; or below the folder TOWPATH_SECRETS

A name may have a folder in it: Secret.load("warehouse/password"). Towpath itself writes secrets nowhere but into that
file, and only if `save` is called: not into a manifest, a log, a status, a result or the history.
"""

from __future__ import annotations

import hmac
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from towpath import settings
from towpath.errors import AlreadySet, ConfigurationError, NotSet, UnfitValue
from towpath.history.place import home_folder
from towpath.names import SECRET_PREFIX, SECRETS_DIR
from towpath.telling.outlets import is_pod
from towpath.telling.twins import awaited, either

__all__ = ["Secret"]

ENV_FOLDER: Final = "TOWPATH_SECRETS"
_NAME: Final = re.compile(r"(?!\.\.)[A-Za-z0-9._-]+(/(?!\.\.)[A-Za-z0-9._-]+)*")
_LONGEST: Final = 255
_OTHERS: Final = 0o077


class Secret:
    """A text that is not shown; `get` gives it.

    It cannot be pickled, so that it ends up in no result: pass its name on, and load it where it is needed.

    Args:
        value: the text.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise UnfitValue(
                f"A secret is a text; got a {type(value).__name__}. Write what has parts down with json.dumps."
            )
        self._value = value

    def get(self) -> str:
        """Give the text."""
        return self._value

    @classmethod
    @either
    def load(cls, name: str) -> Self:
        """Give the secret of a name; a line break at the end of its file does not count.

        Args:
            name: letters, digits, `-`, `_`, `.`, and `/` between folders.

        Raises:
            NotSet: there is none; says where it was looked for.
            UnfitValue: the name cannot be one.
            ConfigurationError: the file cannot be read, or others can.
        """
        return cls(_load(name))

    @either
    def save(self, name: str, overwrite: bool = False) -> str:
        """Keep it on this machine, in a file that only its owner can read; gives the file's path.

        Args:
            name: as `load` takes it.
            overwrite: whether there may be one of this name.

        Raises:
            AlreadySet: there is one of this name, and `overwrite` is not given.
            UnfitValue: the name cannot be one.
            ConfigurationError: the file cannot be written, or this is a pod.
        """
        return _save(name, self._value, overwrite)

    @classmethod
    async def aload(cls, name: str) -> Self:
        """Do as `load` does, in asynchronous code."""
        return cls(await awaited(_load)(name))

    async def asave(self, name: str, overwrite: bool = False) -> str:
        """Do as `save` does, in asynchronous code."""
        return await awaited(_save)(name, self._value, overwrite)

    def __repr__(self) -> str:
        return "Secret('********')"

    def __str__(self) -> str:
        return "********"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not written down: pass its name, and load it where it is needed")


def folder() -> Path:
    """Give the folder where secrets are files."""
    if told := settings.text(ENV_FOLDER):
        return Path(told).expanduser().absolute()
    return Path(SECRETS_DIR) if is_pod() else home_folder() / "secrets"


def environment_name(name: str) -> str:
    """Give the environment variable that may hold a secret."""
    return SECRET_PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())


def _load(name: str) -> str:
    _check(name)
    variable = environment_name(name)
    if (value := os.environ.get(variable)) is not None:
        return value
    path = folder() / name
    try:
        with path.open(encoding="utf-8", newline="") as file:
            _refuse_public(path, os.fstat(file.fileno()).st_mode)
            text = file.read()
            return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        cure = (
            "Have the pod template mount a Kubernetes Secret there, or set the variable from one (secretKeyRef)."
            if is_pod()
            else f"Here, Secret(…).save({name!r}) keeps one."
        )
        raise NotSet(
            f"There is no secret {name!r}: neither is {variable} set nor is there a file {str(path)!r}. {cure}"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"The secret {name!r} cannot be read from {str(path)!r}: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"The secret {name!r} in {str(path)!r} is no text in UTF-8.") from None


def _save(name: str, value: str, overwrite: bool) -> str:
    _check(name)
    if is_pod():
        raise ConfigurationError(f"The secret {name!r} cannot be kept by a run in a cluster: make a Kubernetes Secret.")
    path = folder() / name
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and not overwrite:
            raise AlreadySet(
                f"There is a secret {name!r} already, in {str(path)!r}. Pass overwrite=True to replace it."
            )
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(value + "\n" if value.endswith("\n") else value)  # as `load` takes one away
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ConfigurationError(
            f"The secret {name!r} cannot be written to {str(path)!r}: {error.strerror}."
        ) from error
    return str(path)


def _check(name: str) -> None:
    if not (isinstance(name, str) and len(name) <= _LONGEST and _NAME.fullmatch(name)):
        raise UnfitValue(
            "A secret's name consists of letters, digits, '-', '_' and '.', with '/' between folders, and no part"
            f" begins with '..'; got {name!r}."
        )


def _refuse_public(path: Path, mode: int) -> None:
    """Refuse a file of this user's that others can read; who names a folder has chosen how it is guarded."""
    if mode & _OTHERS and not is_pod() and not settings.text(ENV_FOLDER):
        raise ConfigurationError(
            f"The secret in {str(path)!r} can be read by others (mode {mode & 0o777:o}). Put that right first:"
            f" chmod 600 {str(path)!r}."
        )
