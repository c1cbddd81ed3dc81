"""Transactions: work that counts as a whole, or not at all.

    from towpath.transactions import transaction

    @task
    def write_file(path: str) -> None: ...

    @write_file.on_rollback
    def remove_file(txn):
        os.unlink(txn.get("path"))

    with transaction(key="2026-01-31") as txn:
        if txn.is_committed():          # a transaction of this key has been committed before
            return
        txn.set("path", path)
        write_file(path)
        check_file(path)                # fails: what ran before in the block is rolled back

A task that runs in the block is part of it: its result is kept, and its `on_commit` hooks run, when the block ends
well; if the block, or a task in it, fails for good, the `on_rollback` hooks of its tasks run, the latest first.

What makes a transaction with a key committed is its record. All records are written before anything counts; if the
record of a `with` block cannot be written, those that were are removed, everything is rolled back, and the error is
raised. That the result of a task cannot be kept rolls nothing back: it is logged, and costs no more than another run of
the task some day. What hooks raise is logged, and the others still run.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from towpath.context import current_transaction, enter_transaction, leave_transaction
from towpath.engine.steps import settled, settled_async
from towpath.engine.transacting import BaseTransaction, CommitMode, IsolationLevel, TransactionState

if TYPE_CHECKING:
    import logging

    from towpath.results import ResultRecord, ResultStore

__all__ = [
    "AsyncTransaction",
    "BaseTransaction",
    "CommitMode",
    "IsolationLevel",
    "Transaction",
    "TransactionState",
    "atransaction",
    "get_transaction",
    "transaction",
]


class Transaction(BaseTransaction):
    """A transaction in synchronous code; `transaction(...)` makes and enters one."""

    def begin(self) -> None:
        """Begin: take the lock if it is asked for, and look whether it was committed before."""
        settled(self.begin_steps())

    def read(self) -> ResultRecord[Any] | None:
        """Give the record of an earlier transaction of the same key; None if there is no key."""
        return settled(self.read_steps())

    def commit(self) -> bool:
        """Commit now, with all that is part of it; tell whether there was anything to commit."""
        return settled(self.commit_steps())

    def rollback(self) -> bool:
        """Roll back now, with all that is part of it; tell whether there was anything to roll back."""
        return settled(self.rollback_steps())

    def __enter__(self) -> Self:
        self.begin()
        self._token = enter_transaction(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._token is not None
        leave_transaction(self._token)
        settled(self.end_steps() if error is None else self.fail_steps())


class AsyncTransaction(BaseTransaction):
    """A transaction in asynchronous code; `atransaction(...)` makes and enters one."""

    _in_loop: ClassVar[bool] = True

    async def begin(self) -> None:
        """Begin: take the lock if it is asked for, and look whether it was committed before."""
        await settled_async(self.begin_steps())

    async def read(self) -> ResultRecord[Any] | None:
        """Give the record of an earlier transaction of the same key; None if there is no key."""
        return await settled_async(self.read_steps())

    async def commit(self) -> bool:
        """Commit now, with all that is part of it; tell whether there was anything to commit."""
        return await settled_async(self.commit_steps())

    async def rollback(self) -> bool:
        """Roll back now, with all that is part of it; tell whether there was anything to roll back."""
        return await settled_async(self.rollback_steps())

    async def __aenter__(self) -> Self:
        await self.begin()
        self._token = enter_transaction(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._token is not None
        leave_transaction(self._token)
        await settled_async(self.end_steps() if error is None else self.fail_steps())


def get_transaction() -> BaseTransaction | None:
    """Give the innermost transaction that the current code is part of."""
    return current_transaction()


def transaction(  # noqa: PLR0917 as authors know it
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
) -> Transaction:
    """Make the work of a block count as a whole, or not at all: `with transaction(...) as txn:`.

    Args:
        key: names the work; once it has been committed, `txn.is_committed()` is true for whoever begins it again.
        store: where its record goes; that of the run by default.
        commit_mode: when it is committed: LAZY, or as the transaction round it.
        isolation_level: SERIALIZABLE lets one at a time work on a key; READ_COMMITTED by default.
        overwrite: begin the work anyway, and replace the record.
        write_on_commit: whether a record is written.
        logger: told of what goes wrong beside the work; that of the run by default.
    """
    return Transaction(
        key,
        _store(key, store),
        commit_mode=commit_mode,
        isolation_level=isolation_level,
        overwrite=overwrite,
        write_on_commit=write_on_commit,
        logger=logger,
    )


def atransaction(  # noqa: PLR0917 as authors know it
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    overwrite: bool = False,
    write_on_commit: bool = True,
    logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
) -> AsyncTransaction:
    """Do as `transaction` does, in asynchronous code: `async with atransaction(...) as txn:`."""
    return AsyncTransaction(
        key,
        _store(key, store),
        commit_mode=commit_mode,
        isolation_level=isolation_level,
        overwrite=overwrite,
        write_on_commit=write_on_commit,
        logger=logger,
    )


def _store(key: str | None, store: ResultStore | None) -> ResultStore | None:
    if key is None or store is not None:
        return store
    from towpath.results import get_result_store

    return get_result_store()
