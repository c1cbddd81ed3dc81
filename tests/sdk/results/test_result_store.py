"""The store of results."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.errors import ConfigurationError, MissingResult, UnreadableRecord
from towpath.locking.filesystem import FileSystemLockManager
from towpath.locking.memory import MemoryLockManager
from towpath.records import describe, encode
from towpath.results import ResultStore, default_storage, get_result_store, storage_key
from towpath.stores import LocalFileSystem, RemoteFileSystem
from towpath.stores.port import is_key
from towpath.testing import harness


def test_what_is_written_is_read() -> None:
    """With what is known of it; under a key of its own if none is given."""
    store = ResultStore(serializer="json")
    assert store.write([1, 2], key="sales/monday", source="load-1") == "sales/monday"
    record = store.read("sales/monday")
    assert record.result == [1, 2]
    assert (record.metadata.key, record.metadata.serializer, record.metadata.source) == (
        "sales/monday",
        "json",
        "load-1",
    )
    assert store.read(store.write(3)).result == 3
    assert store.exists("sales/monday")
    assert not store.exists("sales/tuesday")


def test_what_is_not_there_says_what_to_set() -> None:
    """The usual cause is that nobody asked for it to be kept."""
    with pytest.raises(MissingResult, match=r"no result under the key 'k' in LocalFileSystem\(.*persist_result=True"):
        ResultStore().read("k")


def test_a_result_counts_until_it_expires() -> None:
    """At a moment, or after a while; then it is as if it was not there, and can be pruned."""
    store = ResultStore()
    with harness() as towpath:
        store = ResultStore()
        towpath.clock.freeze(datetime(2026, 1, 31, tzinfo=UTC))
        store.write(1, key="for a day", expiration=timedelta(days=1))
        store.write(2, key="until March", expiration=datetime(2026, 3, 1, tzinfo=UTC))
        store.write(3, key="for ever")
        assert [store.exists(key) for key in ("for a day", "until March", "for ever")] == [True, True, True]
        towpath.clock.move(timedelta(days=1))
        assert [store.exists(key) for key in ("for a day", "until March", "for ever")] == [False, True, True]
        assert store.prune() == 1
        towpath.clock.move(timedelta(days=30))
        assert store.prune() == 1
        assert sorted(store.keys()) == ["for ever"]
        towpath.clock.move(-timedelta(days=300))  # a clock that jumps back makes nothing invalid
        assert store.read("for ever").result == 3


def test_pruning_leaves_alone_what_it_does_not_understand(home: Path) -> None:
    """Files of others in the folder, and records of a newer Towpath."""
    store = ResultStore()
    store.write(1, key="k", expiration=timedelta(seconds=-1))
    (home / "results" / "notes.txt").write_text("mine")
    assert store.prune() == 1
    assert list(store.keys()) == ["notes.txt"]


def test_reading_needs_no_setting_of_the_writer() -> None:
    """A record names its serializer, and whoever reads it uses that."""
    ResultStore(serializer="compressed/json").write({"a": (1,)}, key="k")
    assert ResultStore(serializer="pickle").read("k").result == {"a": (1,)}


def test_a_serializer_of_the_authors_own_has_to_be_given_for_reading_too() -> None:
    """Otherwise the error names it."""

    class Own:
        type = "own"

        def dumps(self, value: Any) -> bytes:
            return bytes(value)

        def loads(self, data: bytes) -> Any:
            return list(data)

    ResultStore(serializer=Own()).write([1, 2], key="k")
    assert ResultStore(serializer=Own()).read("k").result == [1, 2]
    with pytest.raises(UnreadableRecord, match="written by the serializer 'own', and this store reads with 'pickle'"):
        ResultStore().read("k")


def test_a_value_that_cannot_be_read_here_says_who_wrote_it(home: Path) -> None:
    """Such as one of a class that this process does not have."""
    data = b"\x80\x05cno_such_module\nThing\n."
    metadata = describe(data, serializer="pickle", created=1.0, key="k")
    (home / "results").mkdir(parents=True)
    (home / "results" / "k").write_bytes(encode(metadata, data))
    store = ResultStore()
    with pytest.raises(
        UnreadableRecord, match=r"written with Python 3\..* cannot be read .*'pickle': ModuleNotFoundError"
    ):
        _ = store.read("k").result


def test_keys_may_be_kept_elsewhere(tmp_path: Path) -> None:
    """A record of each key in one place, the values in another; without the record there is no result."""
    store = ResultStore(tmp_path / "values", metadata_storage=tmp_path / "keys")
    store.write([1], key="k", expiration=timedelta(days=1))
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["k"]
    [value] = (tmp_path / "values" / "values").iterdir()
    assert store.read("k").result == [1]
    value.unlink()
    assert store.find("k") is None
    store.write([2], key="k")
    assert store.read("k").result == [2]
    assert store.delete("k")
    assert store.find("k") is None


def test_the_default_place_can_be_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the user's own folder, or by the variable that a run's pod has too."""
    assert default_storage() == LocalFileSystem(home / "results")
    monkeypatch.setenv("TOWPATH_RESULT_STORAGE", "s3://bucket/results")
    assert default_storage() == RemoteFileSystem("s3://bucket/results")
    monkeypatch.setenv("TOWPATH_RESULTS_DEFAULT_SERIALIZER", "JSON")
    assert repr(ResultStore()) == "ResultStore(RemoteFileSystem('s3://bucket/results'), 'json')"
    monkeypatch.setenv("TOWPATH_RESULTS_DEFAULT_SERIALIZER", "yaml")
    with pytest.raises(ConfigurationError, match=r"TOWPATH_RESULTS_DEFAULT_SERIALIZER must be pickle, json.*'yaml'"):
        ResultStore()


def test_outside_of_runs_the_store_is_that_of_the_settings(home: Path) -> None:
    """As for a script that looks at what its flows have kept."""
    assert get_result_store().result_storage == LocalFileSystem(home / "results")


def test_asynchronous_code_reads_and_writes_too() -> None:
    """Without holding up its loop."""

    async def use() -> Any:
        store = ResultStore()
        key = await store.awrite(42, expiration=timedelta(days=1))
        return (await store.aread(key)).result

    assert asyncio.run(use()) == 42


def test_a_folder_brings_its_own_locks(tmp_path: Path) -> None:
    """Beside the records, where every process that reaches them finds them; they are no keys."""
    store = ResultStore(tmp_path)
    assert store.acquire_lock("k", "a")
    assert ResultStore(tmp_path).is_locked("k")
    assert not ResultStore(tmp_path).acquire_lock("k", "b", 0)
    assert store.is_lock_holder("k", "a")
    assert list(store.keys()) == []
    store.release_lock("k", "a")
    assert store.wait_for_lock("k", 0)
    assert isinstance(store.lock_manager, FileSystemLockManager)


def test_other_storages_need_a_lock_manager() -> None:
    """The error says how to give one."""
    with pytest.raises(ConfigurationError, match=r"SERIALIZABLE needs a lock manager.*FileSystemLockManager"):
        _ = ResultStore("s3://bucket").lock_manager
    locks = MemoryLockManager()
    assert ResultStore("s3://bucket", lock_manager=locks).changed(serializer="json").lock_manager is locks


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_every_text_can_be_a_key(one: str, other: str) -> None:
    """A path as it stands; anything else as a readable beginning and a hash. Different keys have different names."""
    assert is_key(storage_key(one))
    assert (storage_key(one) == storage_key(other)) == (one == other)
    if is_key(one):
        assert storage_key(one) == one


def test_keys_of_functions_are_kept_within_the_folder(home: Path) -> None:
    """A key such as a URL, or one that would climb out of the folder, is a name like any other."""
    store = ResultStore()
    for key in ("../../escape", "https://example.org/a?b=c", "x" * 5000, "", "a\0b"):
        store.write(key, key=key)
        assert store.read(key).result == key
    assert {path.parent for path in home.rglob("*") if path.is_file()} == {home / "results"}
    assert not any(path.name.startswith(".") for path in (home / "results").iterdir())
