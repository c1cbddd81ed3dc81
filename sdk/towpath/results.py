"""Kept results: where they are, how they are written, and how they are read again.

    from towpath.results import ResultStore

    store = ResultStore(result_storage="s3://bucket/results", serializer="json")
    store.write({"rows": 42}, key="sales/2026-01-31")
    store.read("sales/2026-01-31").result
    for key in store.keys(): ...
    store.prune()                     # remove what has expired

The store of a run is made of what its task says, else of what its flow says, else of the settings: by default a folder
of this user, TOWPATH_HOME/results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from towpath import settings
from towpath.context import current
from towpath.engine.clock import SYSTEM
from towpath.errors import ConfigurationError, MissingResult, UnreadableRecord
from towpath.history.place import home_folder
from towpath.records import RecordMetadata, decode, describe, encode
from towpath.serializers import Serializer, SerializerLike, dumped, is_own, loaded, name_of, serializer_of
from towpath.slugs import new_id
from towpath.stores import LocalFileSystem, Storage, StorageLike, read, storage_of
from towpath.stores.port import is_key

if TYPE_CHECKING:
    from towpath.locking.protocol import LockManager

R = TypeVar("R")
_LOCKS: Final = ".locks"
_READABLE: Final = 60


class ResultRecord(Generic[R]):
    """A kept result; its value is read when it is asked for."""

    __slots__ = ("_data", "_serializer", "_value", "metadata")

    def __init__(self, metadata: RecordMetadata, data: memoryview, serializer: Serializer) -> None:
        self.metadata = metadata
        self._data: memoryview | None = data
        self._serializer = serializer
        self._value: Any = None

    @property
    def result(self) -> R:
        """The value.

        Raises:
            UnreadableRecord: it cannot be read here.
        """
        return self.read()

    def read(self) -> R:
        """Give the value, as `result` does."""
        if self._data is not None:
            try:
                self._value = loaded(self._serializer, self._data)
            except Exception as error:
                written = f"Python {self.metadata.python} and Towpath {self.metadata.towpath}"
                raise UnreadableRecord(
                    f"what was written with {written} cannot be read by the serializer {self.metadata.serializer!r}:"
                    f" {error!r}"
                ) from error
            self._data = None
        value: R = self._value
        return value


class Packed(NamedTuple):
    """A value as it will be kept."""

    metadata: RecordMetadata
    data: bytes


class ResultStore:
    """Keeps results under keys.

    Args:
        result_storage: a folder, an fsspec URL or a storage; None: as set.
        serializer: writes and reads values; None: as set.
        metadata_storage: where it is looked up whether there is a result, if not beside the results.
        lock_manager: keeps runs of the same key apart, if that is asked for; lock files beside the records by default.
    """

    def __init__(
        self,
        result_storage: StorageLike | None = None,
        serializer: SerializerLike | None = None,
        *,
        metadata_storage: StorageLike | None = None,
        lock_manager: LockManager | None = None,
    ) -> None:
        self.result_storage: Storage = default_storage() if result_storage is None else storage_of(result_storage)
        self.serializer = serializer_of(settings.result_serializer() if serializer is None else serializer)
        self.metadata_storage: Storage | None = None if metadata_storage is None else storage_of(metadata_storage)
        self._lock_manager = lock_manager

    @property
    def is_near(self) -> bool:
        """Whether it answers within a millisecond or so, such that an event loop may wait for it."""
        return self.result_storage.is_near and (self.metadata_storage is None or self.metadata_storage.is_near)

    @property
    def place(self) -> Storage:
        """Where it is looked up whether there is a result."""
        return self.metadata_storage or self.result_storage

    @property
    def lock_manager(self) -> LockManager:
        """What keeps runs of the same key apart.

        Raises:
            ConfigurationError: none was given, and the records are not in a folder, where lock files could be.
        """
        if self._lock_manager is None:
            if not isinstance(self.place, LocalFileSystem):
                raise ConfigurationError(
                    f"SERIALIZABLE needs a lock manager, because {self.place!r} has no locks of its own. Give one:"
                    " cache_policy=POLICY.configure(lock_manager=FileSystemLockManager('/shared/locks')), or"
                    " ResultStore(lock_manager=...)."
                )
            from towpath.locking.filesystem import locks_in

            return locks_in(f"{self.place.basepath}/{_LOCKS}")  # the same for all, or one could not give back another's
        return self._lock_manager

    def changed(
        self,
        result_storage: StorageLike | None = None,
        serializer: SerializerLike | None = None,
        metadata_storage: StorageLike | None = None,
        lock_manager: LockManager | None = None,
    ) -> ResultStore:
        """Give a store that differs in what is given."""
        return ResultStore(
            self.result_storage if result_storage is None else result_storage,
            self.serializer if serializer is None else serializer,
            metadata_storage=self.metadata_storage if metadata_storage is None else metadata_storage,
            lock_manager=self._lock_manager if lock_manager is None else lock_manager,
        )

    def read(self, key: str) -> ResultRecord[Any]:
        """Give the result that is kept under a key.

        Raises:
            MissingResult: there is none, or it has expired.
            UnreadableRecord: it is damaged, or was written by a newer Towpath.
            StorageError: the storage cannot be read.
        """
        record = self.find(key)
        if record is None:
            raise MissingResult(
                f"There is no result under the key {key!r} in {self.place!r}. Results are kept of tasks and flows with"
                " persist_result=True, a cache policy or a result storage."
            )
        return record

    async def aread(self, key: str) -> ResultRecord[Any]:
        """Give the result that is kept under a key, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(self.read, key)

    def find(self, key: str) -> ResultRecord[Any] | None:
        """Give the result that is kept under a key; None if there is none, or it has expired.

        Raises:
            UnreadableRecord: it is damaged, or was written by a newer Towpath.
            StorageError: the storage cannot be read.
        """
        found = self.place.read(storage_key(key))
        if found is None:
            return None
        metadata, data = decode(found)
        if metadata.is_expired(SYSTEM.clock.now()):
            return None
        if metadata.at:
            try:
                metadata, data = decode(read(metadata.at))
            except MissingResult:
                return None
        return ResultRecord(metadata, data, self._reader(metadata.serializer))

    def exists(self, key: str) -> bool:
        """Tell whether a result is kept under a key, and has not expired."""
        return self.find(key) is not None

    def write(
        self, obj: Any, key: str | None = None, expiration: datetime | timedelta | None = None, *, source: str = ""
    ) -> str:
        """Keep a value; what was kept under the key before is gone.

        Args:
            obj: the value.
            key: where; by default a new one.
            expiration: when it counts no longer, or in how long.
            source: which run it is the result of, for people.

        Returns:
            The key.

        Raises:
            SerializationError: the value cannot be written by the serializer.
            StorageError: the storage cannot be written; what was there before is still there.
        """
        packed = self.pack(obj, new_id() if key is None else key, expiration, source=source)
        self.put(packed)
        return packed.metadata.key

    def pack(self, obj: Any, key: str, expiration: datetime | timedelta | None = None, *, source: str = "") -> Packed:
        """Write a value down in memory, for `put`; the arguments are those of `write`.

        Raises:
            SerializationError: the value cannot be written by the serializer.
        """
        data, now = dumped(self.serializer, obj), SYSTEM.clock.now()
        expires = _moment(expiration, now)
        return Packed(
            describe(data, serializer=name_of(self.serializer), created=now, expires=expires, key=key, source=source),
            data,
        )

    def unpacked(self, packed: Packed) -> ResultRecord[Any]:
        """Give what has been written down as it would be read."""
        return ResultRecord(packed.metadata, memoryview(packed.data), self._reader(packed.metadata.serializer))

    def put(self, packed: Packed) -> None:
        """Keep what has been written down.

        Raises:
            StorageError: the storage cannot be written; what was there before is still there.
        """
        metadata, data = packed
        name = storage_key(metadata.key)
        if self.metadata_storage is None or self.metadata_storage == self.result_storage:
            self.result_storage.write(name, encode(metadata, data))
            return
        value = f"values/{new_id()}"
        self.result_storage.write(value, encode(metadata, data))
        pointer = replace(metadata, at=self.result_storage.reference(value), size=0, crc32=0)
        self.metadata_storage.write(name, encode(pointer, b""))

    async def awrite(self, obj: Any, key: str | None = None, expiration: datetime | timedelta | None = None) -> str:
        """Keep a value, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(self.write, obj, key, expiration)

    def delete(self, key: str) -> bool:
        """Forget what is kept under a key; tell whether there was anything."""
        return self.place.delete(storage_key(key))

    def keys(self) -> Iterator[str]:
        """Give the keys of all results, as the storage knows them; read one to learn when it expires."""
        return self.place.keys()

    def prune(self) -> int:
        """Remove results that have expired, and what killed writers left behind; gives the number of results."""
        now, removed = SYSTEM.clock.now(), 0
        for key in list(self.place.keys()):
            record = self.place.read(key)
            try:
                expired = record is not None and decode(record)[0].is_expired(now)
            except UnreadableRecord:
                continue  # somebody else's, or a newer Towpath's
            removed += expired and self.place.delete(key)
        if isinstance(self.place, LocalFileSystem):
            self.place.sweep()
        return removed

    def acquire_lock(self, key: str, holder: str, timeout: float | None = None) -> bool:
        """Take the lock of a key, waiting for it `timeout` seconds at most; tell whether it was had."""
        return self.lock_manager.acquire_lock(storage_key(key), holder, timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Give the lock of a key back."""
        self.lock_manager.release_lock(storage_key(key), holder)

    def is_locked(self, key: str) -> bool:
        """Tell whether anybody has the lock of a key."""
        return self.lock_manager.is_locked(storage_key(key))

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Tell whether a holder has the lock of a key."""
        return self.lock_manager.is_lock_holder(storage_key(key), holder)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody has the lock of a key, `timeout` seconds at most; tell whether that came."""
        return self.lock_manager.wait_for_lock(storage_key(key), timeout)

    def _reader(self, name: str) -> Serializer:
        """Give what reads a record: the serializer that it names, whatever this store writes with."""
        if name == name_of(self.serializer):
            return self.serializer
        if is_own(name):
            return serializer_of(name)
        raise UnreadableRecord(
            f"it was written by the serializer {name!r}, and this store reads with {name_of(self.serializer)!r}"
        )

    def __repr__(self) -> str:
        return f"ResultStore({self.result_storage!r}, {name_of(self.serializer)!r})"


def get_result_store() -> ResultStore:
    """Give the store of the run that the current code belongs to; outside of any, that of the settings."""
    context = current()
    store = None if context is None else context.results
    return ResultStore() if store is None else store


def default_storage() -> Storage:
    """Give the storage of runs that say nothing about it."""
    told = settings.result_storage()
    return LocalFileSystem(home_folder() / "results", private=True) if told is None else storage_of(told)


def storage_key(key: str) -> str:
    """Give the name of a key in a storage: the key itself if that can be one, else the beginning of it and a hash."""
    if is_key(key):
        return key
    readable = "".join(letter if letter.isalnum() else "-" for letter in key[:_READABLE]).strip("-")
    return f"{readable}-{blake2b(key.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"


def _moment(expiration: datetime | timedelta | None, now: float) -> float | None:
    if expiration is None:
        return None
    if isinstance(expiration, timedelta):
        return now + expiration.total_seconds()
    return expiration.timestamp()
