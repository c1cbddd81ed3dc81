"""What a result storage is: a place that keeps bytes under keys, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Protocol, TypeAlias, runtime_checkable

from towpath.errors import ConfigurationError

_LONGEST: Final = 200  # bytes of a part of a key; file systems take 255, and temporary names are longer


@runtime_checkable
class Storage(Protocol):
    """A place that keeps bytes under keys.

    Keys are relative paths with `/`; no part of one is empty or begins with a dot.
    """

    @property
    def is_near(self) -> bool:
        """Whether it answers within a millisecond or so, such that an event loop may wait for it."""

    def read(self, key: str) -> bytes | None:
        """Give what is kept under a key; None if there is nothing.

        Raises:
            StorageError: it cannot be read.
        """

    def write(self, key: str, data: bytes) -> None:
        """Keep bytes under a key, in place of what was there; whoever reads meanwhile gets the one or the other.

        Raises:
            StorageError: it cannot be written; what was there before is still there.
        """

    def delete(self, key: str) -> bool:
        """Forget what is kept under a key; tell whether there was anything."""

    def keys(self) -> Iterator[str]:
        """Give all keys, in no order."""

    def reference(self, key: str) -> str:
        """Give the absolute path or URL of a key, as `towpath.stores.read` takes it."""


StorageLike: TypeAlias = str | os.PathLike[str] | Storage
"""A folder, an fsspec URL such as `s3://bucket/prefix`, or a storage."""


@lru_cache(maxsize=16)  # a run asks several times of its own key
def is_key(key: str) -> bool:
    """Tell whether a text can be a key."""
    if not key.isprintable() or "\\" in key:
        return False
    return all(part and part[0] != "." and len(part.encode()) <= _LONGEST for part in key.split("/"))


def checked(key: str) -> str:
    """Give the key back.

    Raises:
        ConfigurationError: it is none.
    """
    if not is_key(key):
        raise ConfigurationError(
            f"{key!r} cannot be a key of a result storage. A key is a relative path such as 'sales/2026-01-31': no part"
            f" of it is empty, begins with a dot or has more than {_LONGEST} bytes, and all characters can be printed."
        )
    return key
