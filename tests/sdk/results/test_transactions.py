"""Transactions: work that counts as a whole, or not at all."""

# ruff: noqa: PT012 what fails is a block of several statements
from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from towpath import flow, task
from towpath.errors import ConfigurationError, SerializationError, StorageError, UnreadableRecord
from towpath.locking.memory import MemoryLockManager
from towpath.results import ResultStore
from towpath.transactions import (
    BaseTransaction,
    CommitMode,
    IsolationLevel,
    Transaction,
    TransactionState,
    atransaction,
    get_transaction,
    transaction,
)


class Log:
    """What hooks say, in order."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def hook(self, word: str) -> Callable[[BaseTransaction], None]:
        """Make a hook that says a word."""
        return lambda _: self.said.append(word)

    def stage(self, txn: BaseTransaction, name: str, value: Any = None) -> None:
        """Stage a value with hooks of both kinds."""
        txn.stage(value, [self.hook(f"undo {name}")], [self.hook(f"did {name}")])


@pytest.fixture
def log() -> Log:
    """What hooks say in a test."""
    return Log()


def unwritable(monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
    """Let the disk be full for some keys."""
    original = ResultStore.put

    def put(store: ResultStore, packed: Any) -> None:
        if packed.metadata.key in keys:
            raise StorageError("No space left on device.")
        original(store, packed)

    monkeypatch.setattr(ResultStore, "put", put)


def test_work_of_a_key_is_done_once(log: Log) -> None:
    """Whoever begins it again is told that it has been committed, and with which value."""
    for _ in range(2):
        with transaction(key="2026-01-31") as txn:
            if not txn.is_committed():
                log.stage(txn, "work", 42)
    assert log.said == ["did work"]
    record = txn.read()
    assert record is not None
    assert record.result == 42


def test_states_follow_the_work() -> None:
    """Active, staged, committed; or rolled back."""
    txn = Transaction()
    assert (txn.is_pending(), txn.state) == (True, TransactionState.PENDING)
    with txn:
        assert txn.is_active()
        txn.stage(1)
        assert txn.is_staged()
    assert txn.is_committed()
    with pytest.raises(KeyError), transaction(key="k") as failed:
        raise KeyError
    assert failed.is_rolled_back()
    assert failed.read() is None


def test_a_failed_block_is_undone_latest_first(log: Log) -> None:
    """Its own hooks, then those of its parts; what ended before it is undone after what ended later."""
    with pytest.raises(ValueError, match="no"), transaction() as outer:
        for name in ("first", "second"):
            with transaction(key=name) as inner:
                log.stage(inner, name)
        log.stage(outer, "block")
        raise ValueError("no")
    assert log.said == ["undo block", "undo second", "undo first"]
    assert list(ResultStore().keys()) == []


def test_parts_count_when_the_whole_does(log: Log) -> None:
    """Nobody sees a part's record before; the parts' hooks run before the whole's."""
    with transaction(key="whole") as outer:
        with transaction(key="part") as inner:
            log.stage(inner, "part", 1)
        assert (inner.state, ResultStore().exists("part"), log.said) == (TransactionState.STAGED, False, [])
        log.stage(outer, "whole")
    assert log.said == ["did part", "did whole"]
    assert (inner.state, outer.state) == (TransactionState.COMMITTED, TransactionState.COMMITTED)
    assert ResultStore().read("part").result == 1


def test_a_failed_part_fails_the_blocks_round_it(log: Log) -> None:
    """Even if its exception is caught: the block was promised whole."""
    with transaction(key="outer") as outer:
        with transaction() as done:
            log.stage(done, "done")
        try:
            with transaction():
                raise ValueError
        except ValueError:
            pass
        with transaction() as late:
            log.stage(late, "late")
    assert outer.is_rolled_back()
    assert log.said == ["undo done", "undo late"]
    assert not ResultStore().exists("outer")


def test_values_are_handed_down_by_copy() -> None:
    """Inner code sees what was set round it, and changes it only by setting it."""
    with transaction() as outer:
        outer.set("rows", [1])
        with transaction() as inner:
            inner.get("rows").append(2)
            assert inner.get("rows") == outer.get("rows") == [1]
            inner.set("rows", [3])
            assert (inner.get("rows"), outer.get("rows")) == ([3], [1])
            assert inner.get("other", None) is None
            with pytest.raises(ValueError, match="Nothing was set under 'other'"):
                inner.get("other")


def test_code_can_ask_for_its_transaction() -> None:
    """The innermost."""
    assert get_transaction() is None
    with transaction() as outer:
        with transaction() as inner:
            assert get_transaction() is inner
        assert get_transaction() is outer
    assert get_transaction() is None


@pytest.mark.parametrize(
    ("mode", "at_end_of_part", "at_end"),
    [
        (CommitMode.LAZY, TransactionState.STAGED, TransactionState.COMMITTED),
        (CommitMode.EAGER, TransactionState.COMMITTED, TransactionState.COMMITTED),
        (CommitMode.OFF, TransactionState.STAGED, TransactionState.ROLLED_BACK),
    ],
)
def test_the_mode_says_when_it_counts(
    mode: CommitMode, at_end_of_part: TransactionState, at_end: TransactionState
) -> None:
    """At the end of the outermost, at its own, or by hand only; parts do as the whole."""
    with transaction(commit_mode=mode) as outer:
        with transaction(key="k") as inner:
            inner.stage(1)
        assert (inner.commit_mode, inner.state) == (mode, at_end_of_part)
    assert (inner.state, outer.state) == (at_end, at_end)


def test_it_can_be_ended_by_hand(log: Log) -> None:
    """Once; the end of the block changes nothing any more."""
    with transaction(commit_mode=CommitMode.OFF) as txn:
        log.stage(txn, "work")
        assert txn.commit() is True
        assert txn.commit() is False
        assert txn.rollback() is False
    with transaction() as txn:
        log.stage(txn, "more")
        assert txn.rollback() is True
    assert log.said == ["did work", "undo more"]


def test_a_record_can_be_replaced_or_left_out() -> None:
    """`overwrite` does the work anyway; `write_on_commit=False` keeps no record of it."""
    for value in (1, 2):
        with transaction(key="k", overwrite=True) as txn:
            assert not txn.is_committed()
            txn.stage(value)
    assert ResultStore().read("k").result == 2
    with transaction(key="other", write_on_commit=False) as txn:
        txn.stage(1)
    assert not ResultStore().exists("other")


def test_what_is_kept_is_what_was_staged() -> None:
    """What becomes of the value between the end of a part and that of the whole is not kept."""
    rows = [1]
    with transaction():
        with transaction(key="k") as inner:
            inner.stage(rows)
        rows.append(2)
    assert ResultStore().read("k").result == [1]


def test_a_block_whose_record_cannot_be_written_is_undone(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    """All of it: records that had been written are removed, hooks run, and the error is raised."""
    unwritable(monkeypatch, "whole")
    with pytest.raises(StorageError, match="No space left"), transaction(key="whole") as outer:
        with transaction(key="part") as inner:
            log.stage(inner, "part", 1)
        log.stage(outer, "whole")
    assert (inner.state, outer.state) == (TransactionState.ROLLED_BACK, TransactionState.ROLLED_BACK)
    assert log.said == ["undo whole", "undo part"]
    assert list(ResultStore().keys()) == []


def test_a_value_that_cannot_be_written_down_is_told(log: Log) -> None:
    """Before anything counts."""
    with pytest.raises(SerializationError), transaction(key="whole") as outer:
        with transaction(key="part") as inner:
            log.stage(inner, "part", 1)
        log.stage(outer, "whole", value=(x for x in ()))
    assert log.said == ["undo whole", "undo part"]
    assert list(ResultStore().keys()) == []


def test_a_damaged_record_is_not_taken_for_work_that_was_never_done(home: Path) -> None:
    """Who knows what the work was; doing it twice may cost more than asking."""
    with transaction(key="k"):
        pass
    (home / "results" / "k").write_bytes(b"")
    with pytest.raises(UnreadableRecord), transaction(key="k"):
        raise AssertionError("the work was done again")


def test_hooks_that_fail_are_told_and_the_rest_goes_on(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    """Of either kind; what counts, counts, and what is undone, is undone."""

    def broken(_: BaseTransaction) -> None:
        raise RuntimeError("hook")

    with transaction() as txn:
        txn.stage(1, on_commit_hooks=[broken, log.hook("did")])
    with pytest.raises(KeyError), transaction() as txn:
        txn.stage(1, on_rollback_hooks=[log.hook("undo"), broken])
        raise KeyError
    assert log.said == ["did", "undo"]
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "The on_commit hook 'broken' failed; the rest goes on.",
        "The on_rollback hook 'broken' failed; the rest goes on.",
    ]


@pytest.mark.parametrize("folder", [True, False], ids=["lock files", "memory"])
def test_one_at_a_time_works_on_a_key(folder: bool, tmp_path: Path) -> None:
    """SERIALIZABLE: those who come while it is worked on wait, and find it done."""
    store = ResultStore(tmp_path, lock_manager=None if folder else MemoryLockManager())
    did: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(name: str) -> None:
        with transaction(key="k", store=store, isolation_level=IsolationLevel.SERIALIZABLE) as txn:
            if not txn.is_committed():
                did.append(name)
                begun.set()
                go_on.wait(60)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert len(did) == 1
    assert not store.is_locked("k")


def test_a_lock_is_given_back_however_the_work_ends() -> None:
    """So that the next one may try."""
    store = ResultStore()
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), transaction(key="k", store=store, isolation_level="SERIALIZABLE"):  # type: ignore[arg-type]
            assert store.is_locked("k")
            raise error
        assert not store.is_locked("k")


def test_a_part_of_the_same_key_is_found_within_the_block() -> None:
    """What was done before in the same block counts there already; nobody waits for a lock that the block has."""
    with transaction(isolation_level=IsolationLevel.SERIALIZABLE):
        with transaction(key="k") as first:
            first.stage(1)
        with transaction(key="k") as second:
            assert second.is_committed()
            record = second.read()
            assert record is not None
            assert record.result == 1
        assert not ResultStore().exists("k")
    assert ResultStore().exists("k")


def test_a_part_that_ends_after_the_whole_shares_its_end(log: Log) -> None:
    """Such as a task that was submitted in the block, and not waited for."""
    begun, go_on = threading.Event(), threading.Event()

    @task
    def late() -> None:
        begun.set()
        go_on.wait(60)

    late.on_commit(log.hook("did late"))
    late.on_rollback(log.hook("undo late"))

    @flow
    def pipeline(fails: bool) -> None:
        begun.clear(), go_on.clear()
        with suppress(KeyError), transaction():
            future = late.submit()
            begun.wait(60)
            if fails:
                raise KeyError
        go_on.set()
        future.wait()

    pipeline(fails=False)
    pipeline(fails=True)
    assert log.said == ["did late", "undo late"]


def test_isolation_without_locks_is_refused() -> None:
    """When it begins, with the cure."""
    txn = transaction(key="k", store=ResultStore("memory://x"), isolation_level=IsolationLevel.SERIALIZABLE)
    with pytest.raises(ConfigurationError, match="needs a lock manager"), txn:
        pass


def test_asynchronous_code_has_transactions_too(log: Log) -> None:
    """With hooks of either kind, and parts of either kind."""

    async def later(_: BaseTransaction) -> None:
        await asyncio.sleep(0)
        log.said.append("later")

    async def work(fails: bool) -> None:
        async with atransaction(key="k", isolation_level=IsolationLevel.SERIALIZABLE) as outer:
            outer.stage(1, [later], [later])
            with transaction() as inner:
                log.stage(inner, "part")
            async with atransaction() as another:
                log.stage(another, "another")
            if fails:
                raise KeyError

    async def main() -> None:
        with pytest.raises(KeyError):
            await work(fails=True)
        assert log.said == ["later", "undo another", "undo part"]
        log.said.clear()
        await work(fails=False)
        assert log.said == ["did part", "did another", "later"]
        async with atransaction(key="k") as txn:
            assert txn.is_committed()
            record = await txn.read()
            assert record is not None
            assert record.result == 1
        async with atransaction() as by_hand:
            assert await by_hand.commit()
            assert not await by_hand.rollback()

    asyncio.run(main())


def test_synchronous_blocks_take_asynchronous_hooks(log: Log) -> None:
    """In a program with an event loop or without one."""

    async def later(_: BaseTransaction) -> None:
        await asyncio.sleep(0)
        log.said.append("later")

    def work() -> None:
        with transaction() as txn:
            txn.stage(1, on_commit_hooks=[later])

    async def main() -> None:
        work()

    work()
    asyncio.run(main())
    assert log.said == ["later", "later"]


def test_a_cancelled_wait_for_a_lock_leaves_no_lock_behind(tmp_path: Path) -> None:
    """The thread that waits for it on the loop's behalf gives it back."""
    store = ResultStore(tmp_path)
    store.acquire_lock("k", "somebody")

    async def want() -> None:
        async with atransaction(key="k", store=store, isolation_level=IsolationLevel.SERIALIZABLE):
            raise AssertionError("it had the lock")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(want(), 0.05)
        store.release_lock("k", "somebody")

    asyncio.run(main())
    assert store.wait_for_lock("k", 10)
    assert store.acquire_lock("k", "me", 10)


def test_a_file_is_not_left_by_a_pipeline_that_fails(tmp_path: Path) -> None:
    """The example that everybody knows: what a task wrote is removed when a later one finds it wanting."""
    path = tmp_path / "side-effect.txt"

    @task
    def write_file(contents: str) -> None:
        path.write_text(contents)

    @write_file.on_rollback
    def remove_file(txn: BaseTransaction) -> None:
        Path(txn.get("path")).unlink()

    @task
    def quality_test() -> None:
        if len(path.read_text().splitlines()) < 2:
            raise ValueError("Not enough data!")

    @flow
    def pipeline(contents: str) -> None:
        with transaction() as txn:
            txn.set("path", str(path))
            write_file(contents)
            quality_test()

    assert pipeline("hello world", return_state=True).is_failed()
    assert not path.exists()
    assert pipeline("hello\nworld", return_state=True).is_completed()
    assert path.exists()
