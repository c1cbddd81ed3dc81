"""Where results go that are too large for a run's status: a folder, or whatever fsspec reaches when it is installed.

A storage is named by a path or a URL; what is kept there is found again by the reference that writing gave, an absolute
path or a URL. Reader and writer may be different processes on different machines: both have to reach the place.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from towpath.errors import ConfigurationError, MissingResult

_LOCAL_SCHEMES: Final = ("", "file")


def write(storage: str, key: str, data: bytes) -> str:
    """Keep bytes under a key, whole or not at all, and give the reference to read them by.

    Args:
        storage: a folder or any fsspec URL; folders are made as needed.
        key: path below the storage, with `/`.
        data: what to keep.

    Raises:
        ConfigurationError: the URL needs a package that is not installed.
        OSError: the place cannot be written to.
    """
    folder = _local(storage)
    if folder is None:
        url = f"{storage.rstrip('/')}/{key}"
        files, path = _remote(url)
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        files.pipe_file(path, data)
        return url
    target = folder.absolute() / key
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, target)  # noqa: PTH105 the same call, without another object
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise
    return str(target)


def read(ref: str) -> bytes:
    """Give the bytes that `write` kept.

    Raises:
        ConfigurationError: the URL needs a package that is not installed.
        MissingResult: there is nothing, or this process cannot read it.
    """
    local = _local(ref)
    try:
        if local is not None:
            return local.read_bytes()
        files, path = _remote(ref)
        data: bytes = files.cat_file(path)
        return data
    except OSError as error:
        raise MissingResult(
            f"The result kept at {ref!r} cannot be read here: {error.strerror or error}. Result storage has to be a"
            " place that both the run and its reader reach, such as a shared volume or s3://…"
        ) from error


def _local(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme not in _LOCAL_SCHEMES:
        return None
    return Path(unquote(parts.path) if parts.scheme else url).expanduser()


def _remote(url: str) -> tuple[Any, str]:
    scheme = urlsplit(url).scheme
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The result storage {url!r} needs fsspec and its package for {scheme}:// (s3fs, gcsfs, adlfs, …), which"
            " are not installed: pip install fsspec and that package, or use a folder on a shared volume."
        ) from error
    try:
        files, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"The result storage {url!r} cannot be opened: {error}") from error
    return files, path
