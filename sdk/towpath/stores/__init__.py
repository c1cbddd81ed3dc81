"""Where results go: a folder, or whatever fsspec reaches when it is installed.

A storage is named by a path or a URL; what is kept there is found again by the reference that writing gave, an absolute
path or a URL. Reader and writer may be different processes on different machines: both have to reach the place.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import unquote, urlsplit

from towpath.errors import ConfigurationError, MissingResult, StorageError
from towpath.stores.local import LocalFileSystem
from towpath.stores.port import Storage, StorageLike
from towpath.stores.remote import RemoteFileSystem

__all__ = ["LocalFileSystem", "RemoteFileSystem", "Storage", "StorageLike", "read", "storage_of", "url_of", "write"]

_LOCAL_SCHEMES: Final = ("", "file")


def storage_of(like: StorageLike) -> Storage:
    """Give the storage that is meant.

    Raises:
        ConfigurationError: it is neither a path nor a URL nor a storage.
    """
    if isinstance(like, (str, os.PathLike)):
        text = os.fspath(like)
        if not text:
            raise ConfigurationError("A result storage is a folder or a URL; got an empty text.")
        parts = urlsplit(text)
        if parts.scheme not in _LOCAL_SCHEMES:
            return RemoteFileSystem(text)
        return LocalFileSystem(unquote(parts.path) if parts.scheme else text)
    if isinstance(like, Storage):
        return like
    raise ConfigurationError(
        f"A result storage is a folder, a URL such as 's3://bucket/prefix', or a Storage; got {like!r}."
    )


def url_of(like: StorageLike | None) -> str | None:
    """Give the path or URL by which another process can be told of a storage; None for an object that has none."""
    return os.fspath(like) if isinstance(like, (str, os.PathLike)) else None


def write(storage: StorageLike, key: str, data: bytes) -> str:
    """Keep bytes under a key, whole or not at all, and give the reference to read them by.

    Args:
        storage: a folder or any fsspec URL; folders are made as needed.
        key: path below the storage, with `/`.
        data: what to keep.

    Raises:
        ConfigurationError: the URL needs a package that is not installed.
        StorageError: the place cannot be written to.
    """
    place = storage_of(storage)
    place.write(key, data)
    return place.reference(key)


def read(reference: str) -> bytes:
    """Give the bytes that `write` kept.

    Raises:
        ConfigurationError: the URL needs a package that is not installed.
        MissingResult: there is nothing, or this process cannot read it.
    """
    folder, _, name = reference.rpartition("/")
    try:
        data = storage_of(folder or "/").read(name)
        why = "No such file or object."
    except StorageError as error:
        data, why = None, str(error)
    if data is None:
        raise MissingResult(
            f"The result kept at {reference!r} cannot be read here: {why} Result storage has to be a place that both"
            " the run and its reader reach, such as a shared volume or s3://…"
        )
    return data
