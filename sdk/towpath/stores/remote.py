"""Whatever fsspec reaches as result storage: S3, GCS, Azure, SFTP, …, and `memory://` for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from towpath.errors import ConfigurationError, StorageError
from towpath.stores.port import checked

#: Where folders are a part of a name, and need not be made.
_OBJECT_STORES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "memory"})


class RemoteFileSystem:
    """Keeps each result in an object of its own. Object stores write whole objects or none.

    Args:
        basepath: URL of a bucket or folder, such as `s3://bucket/prefix`.
        settings: given to the file system of fsspec as they are: credentials, an endpoint, …
    """

    is_near = False

    def __init__(self, basepath: str, settings: Mapping[str, Any] | None = None) -> None:
        self.basepath = basepath.rstrip("/") if not basepath.endswith("://") else basepath
        self.settings = dict(settings or {})
        self._scheme = urlsplit(basepath).scheme
        if not self._scheme:
            raise ConfigurationError(f"{basepath!r} is no URL. For a folder, use LocalFileSystem.")
        self._opening = threading.Lock()
        self._opened: tuple[Any, str] | None = None

    def read(self, key: str) -> bytes | None:
        """Give what is kept under a key; None if there is nothing."""
        name = checked(key)
        files, base = self._files()
        try:
            data: bytes = files.cat_file(f"{base}/{name}")
        except (FileNotFoundError, IsADirectoryError):
            return None
        except Exception as error:  # its clients raise errors of their own
            raise self._trouble("read", error) from error
        return data

    def write(self, key: str, data: bytes) -> None:
        """Keep bytes under a key."""
        name = checked(key)
        files, base = self._files()
        path = f"{base}/{name}"
        try:
            try:
                files.pipe_file(path, data)
            except FileNotFoundError:
                if self._scheme in _OBJECT_STORES:
                    raise
                files.makedirs(path.rpartition("/")[0], exist_ok=True)
                files.pipe_file(path, data)
        except Exception as error:
            raise self._trouble("written", error) from error

    def delete(self, key: str) -> bool:
        """Forget what is kept under a key; tell whether there was anything."""
        name = checked(key)
        files, base = self._files()
        path = f"{base}/{name}"
        try:
            files.invalidate_cache()
            if not files.exists(path):
                return False
            files.rm_file(path)
        except FileNotFoundError:
            return False
        except Exception as error:
            raise self._trouble("written", error) from error
        return True

    def keys(self) -> Iterator[str]:
        """Give all keys."""
        files, base = self._files()
        try:
            files.invalidate_cache()
            found = files.find(base)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._trouble("read", error) from error
        start = len(base) + 1
        for path in found:
            yield path[start:]

    def reference(self, key: str) -> str:
        """Give the URL of a key."""
        return f"{self.basepath}/{checked(key)}"

    def _files(self) -> tuple[Any, str]:
        """Give the file system, and the base as it names it; opened once, by the first that needs it."""
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped,import-not-found,unused-ignore]
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"The result storage {self.basepath!r} needs fsspec and its package for {self._scheme}:// (s3fs, gcsfs,"
                " adlfs, …), which are not installed: pip install fsspec and that package, or use a folder on a shared"
                " volume."
            ) from error
        try:
            files, base = url_to_fs(self.basepath, **self.settings)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"The result storage {self.basepath!r} cannot be opened: {error}") from error
        return files, base.rstrip("/")

    def _trouble(self, what: str, error: Exception) -> StorageError:
        why = getattr(error, "strerror", None) or str(error) or repr(error)
        trouble = StorageError(f"The result storage {self.basepath!r} cannot be {what}: {why.rstrip('.')}.")
        trouble.errno = getattr(error, "errno", None)
        return trouble

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFileSystem, (self.basepath, self.settings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteFileSystem) and (other.basepath, other.settings) == (
            self.basepath,
            self.settings,
        )

    def __hash__(self) -> int:
        return hash(self.basepath)

    def __repr__(self) -> str:
        return f"RemoteFileSystem({self.basepath!r})"
