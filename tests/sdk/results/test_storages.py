"""What a result storage promises, whatever it is: one suite over a folder, fsspec, and a real server that speaks S3."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.results.storages import KINDS, storage_of_kind

from towpath import flow, task
from towpath.cache_policies import INPUTS
from towpath.errors import ConfigurationError, StorageError
from towpath.filesystems import LocalFileSystem, RemoteFileSystem
from towpath.results import ResultStore
from towpath.stores import Storage, storage_of, url_of
from towpath.stores.port import is_key


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """A storage of each kind, with nothing in it."""
    with storage_of_kind(request.param, tmp_path) as made:
        yield made


def test_what_is_written_is_read(storage: Storage) -> None:
    """Under its key, and under no other; a later writing takes the place of an earlier one."""
    assert storage.read("a/b") is None
    storage.write("a/b", b"1")
    storage.write("a/c", b"")
    storage.write("a/b", b"22")
    assert (storage.read("a/b"), storage.read("a/c"), storage.read("a"), storage.read("b")) == (b"22", b"", None, None)


def test_keys_are_listed_and_can_be_deleted(storage: Storage) -> None:
    """Nothing but what was written is in the list, at any depth."""
    assert list(storage.keys()) == []
    for key in ("top", "a/b", "a/c/d"):
        storage.write(key, b"1")
    assert sorted(storage.keys()) == ["a/b", "a/c/d", "top"]
    assert storage.delete("a/b") is True
    assert storage.delete("a/b") is False
    assert sorted(storage.keys()) == ["a/c/d", "top"]


def test_a_reader_sees_the_old_or_the_new_value_whole(storage: Storage) -> None:
    """However many write and read at the same time."""
    values = [bytes([n]) * 50_000 for n in range(4)]
    storage.write("k", values[0])
    seen: list[bytes | None] = []

    def write(value: bytes) -> None:
        for _ in range(5):
            storage.write("k", value)
            seen.append(storage.read("k"))

    threads = [threading.Thread(target=write, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if "file:" in repr(storage):  # fsspec writes files in place, and the record's checksum has to tell
        seen = [value for value in seen if value and len(value) == 50_000 and len(set(value)) == 1]
    assert seen
    assert set(seen) <= set(values)
    assert list(storage.keys()) == ["k"]


def test_a_storage_travels_to_another_process(storage: Storage) -> None:
    """As a part of a task, say."""
    storage.write("k", b"1")
    again = pickle.loads(pickle.dumps(storage))
    assert again == storage
    assert hash(again) == hash(storage)
    assert again.read("k") == b"1"


@pytest.mark.parametrize(
    "key",
    ["", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", ".", ".hidden", "a/.b", "a\0", "a\nb", "a\\b", "x" * 201],
)
def test_a_key_stays_within_its_storage(storage: Storage, key: str) -> None:
    """Nobody reads or writes elsewhere by way of a parameter that found its way into a key."""
    for use in (storage.read, storage.delete, storage.reference, lambda key: storage.write(key, b"")):
        with pytest.raises(ConfigurationError, match="cannot be a key of a result storage"):
            use(key)


def test_results_of_tasks_are_kept_in_it(storage: Storage) -> None:
    """As `result_storage` of a task; what is large or compressed, too."""
    calls: list[int] = []

    @task(cache_policy=INPUTS, result_storage=storage, result_serializer="compressed/pickle")
    def load(n: int) -> list[int]:
        calls.append(n)
        return list(range(n))

    @flow
    def etl() -> list[int]:
        return load(10_000) + load.submit(10_000).result()

    assert etl() == etl() == [*range(10_000), *range(10_000)]
    assert calls == [10_000]
    [key] = storage.keys()
    assert ResultStore(storage).read(key).result == list(range(10_000))


def test_asynchronous_tasks_use_it_without_holding_up_the_loop(storage: Storage) -> None:
    """A storage that is far is asked from a thread."""
    calls: list[int] = []

    @task(cache_policy=INPUTS, result_storage=storage)
    async def load(n: int) -> int:
        calls.append(n)
        return n

    @flow
    async def etl() -> list[int]:
        return [await load(1), await load(1)]

    import asyncio

    assert asyncio.run(etl()) == [1, 1]
    assert calls == [1]


@given(st.text(max_size=30))
def test_a_key_is_a_path_that_stays_where_it_is(text: str) -> None:
    """Whatever is taken as a key names a file below the folder."""
    if is_key(text):
        path = os.path.normpath(os.path.join("/base", text))  # noqa: PTH118
        assert path == f"/base/{text}"


@pytest.mark.parametrize(
    ("like", "is_near"),
    [
        ("results", True),
        (Path("results"), True),
        ("~/results", True),
        ("file:///tmp/a%20b", True),
        ("s3://bucket/x", False),
    ],
    ids=repr,
)
def test_a_storage_is_named_by_a_path_or_url(like: Any, is_near: bool) -> None:
    """Paths are made absolute, so that the working directory may change."""
    storage = storage_of(like)
    assert storage.is_near is is_near
    if isinstance(storage, LocalFileSystem):
        assert Path(storage.basepath).is_absolute()
        assert "~" not in storage.basepath
        assert "%20" not in storage.basepath
    assert storage_of(storage) is storage


@pytest.mark.parametrize("wrong", ["", 42, None, object()], ids=["nothing", "number", "None", "object"])
def test_what_is_no_storage_is_refused(wrong: Any) -> None:
    """With what it is."""
    with pytest.raises(ConfigurationError, match="A result storage is a folder"):
        storage_of(wrong)


def test_a_path_or_url_can_be_told_to_another_process() -> None:
    """An object cannot: the other process has it from the flow's code."""
    assert (url_of("s3://b"), url_of(Path("/a")), url_of(LocalFileSystem("/a")), url_of(None)) == (
        "s3://b",
        "/a",
        None,
        None,
    )


def test_a_remote_storage_needs_a_url() -> None:
    """A folder is taken by the other class."""
    with pytest.raises(ConfigurationError, match="'results' is no URL"):
        RemoteFileSystem("results")


def test_a_scheme_that_nobody_knows_is_told(tmp_path: Path) -> None:
    """When it is first used, with the URL."""
    with pytest.raises(ConfigurationError, match=r"'gopher://x' cannot be opened: .*gopher"):
        RemoteFileSystem("gopher://x").read("k")


@pytest.mark.parametrize("use", ["read", "write", "delete", "keys"])
def test_a_folder_that_cannot_be_used_is_told_with_the_reason(tmp_path: Path, use: str) -> None:
    """A file stands in the way; nothing is lost by it."""
    (tmp_path / "results").write_text("mine")
    storage = LocalFileSystem(tmp_path / "results")
    if use == "write":
        with pytest.raises(StorageError, match=r"'.*/results' cannot be written: (File exists|Not a directory)\."):
            storage.write("a/b", b"")
    elif use == "keys":
        assert list(storage.keys()) == []
    else:
        assert not getattr(storage, use)("a/b")
    assert (tmp_path / "results").read_text() == "mine"


def test_what_a_client_of_its_own_raises_is_told_in_our_words() -> None:
    """Clients of object stores have errors of many kinds; ours names the storage, and keeps theirs as the cause."""
    import fsspec  # type: ignore[import-untyped]

    class Broken(fsspec.AbstractFileSystem):  # type: ignore[misc,name-defined]
        protocol = "broken"

        def cat_file(self, *_: Any, **__: Any) -> bytes:
            raise RuntimeError("no credentials")

        pipe_file = find = exists = cat_file

    fsspec.register_implementation("broken", Broken, clobber=True)
    storage = RemoteFileSystem("broken://x")
    for use in (
        lambda: storage.read("k"),
        lambda: storage.write("k", b""),
        lambda: storage.delete("k"),
        lambda: [*storage.keys()],
    ):
        with pytest.raises(StorageError, match=r"'broken://x' cannot be (read|written): no credentials\.") as caught:
            use()
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert isinstance(caught.value, OSError)


def test_what_a_killed_writer_left_behind_is_swept_up_some_day(tmp_path: Path) -> None:
    """Once nobody can be writing it any longer; meanwhile it is no result."""
    storage = LocalFileSystem(tmp_path)
    storage.write("a/k", b"1")
    left = tmp_path / "a" / ".k.0011.tmp"
    left.write_bytes(b"half")
    assert list(storage.keys()) == ["a/k"]
    assert storage.sweep() == 0
    os.utime(left, (0, 0))
    assert storage.sweep() == 1
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["k"]


def test_results_in_the_users_own_folder_are_the_users_own(home: Path) -> None:
    """Nobody else may look into it, for who knows what is kept there."""
    ResultStore().write("secret", key="k")
    assert (home / "results").stat().st_mode & 0o077 == 0
